//! The shell around the core: it starts, loads, answers and drains. Time, threads and files live here.
//!
//! In: a model, a data directory and requests. Out: answers. Absent: HTTP and its status codes.

pub mod check;
pub mod counters;
pub mod embed;
pub mod imports;
pub mod index;
pub mod ingest;
pub mod kept;
pub mod live;
pub mod maker;
pub mod manifest;
pub mod pool;
pub mod products;
pub mod progress;
pub mod rates;
pub mod recommend;
pub mod reembed;
pub mod room;
pub mod search;
pub mod stats;
pub mod writer;
pub mod writes;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::Serialize;
use thiserror::Error;

use crate::catalogue::store::{Reader, Store};
use crate::catalogue::{CatalogueError, Origin};
use counters::Counters;
use embed::{Embedded, Embedder, RunOptions};
use engine::embedding::EmbeddingError;
use engine::emulator::EmulatorError;
use engine::neighbours::NeighboursError;
use engine::picture::{DecodeLimits, PictureError};
use imports::Importer;
use index::Index;
use live::{Current, Live, Phase, Readers, Reembedding};
use maker::Maker;
use pool::Pool;
pub use progress::{Progress, Stage};
use rates::{Rates, Work};
use search::{Match, SearchOptions};
use stats::KnownRecall;
use writer::SharedIndex;

/// Why a request, or the service, failed.
#[derive(Debug, Error)]
pub enum ServiceError {
    #[error(transparent)]
    Picture(#[from] PictureError),
    #[error(transparent)]
    Emulator(#[from] EmulatorError),
    #[error(transparent)]
    Embedding(#[from] EmbeddingError),
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    #[error(transparent)]
    Neighbours(#[from] NeighboursError),
    #[error("{path}: {source}")]
    File { path: String, source: std::io::Error },
    #[error(
        "the embedding is all zeros, nothing can be compared with it; give it more time steps or a brighter picture"
    )]
    EmptyEmbedding,
    #[error("the embedding has {given} values; this model's have {wanted}")]
    Dimensions { given: usize, wanted: usize },
    #[error(
        "the catalogue's embeddings were made by model {}, probe {}, T = {}; import with the same, or serve it once with the new ones",
        found.model_id, found.probe, found.time_steps
    )]
    OtherOrigin { found: Origin },
    #[error("every emulator is busy and the queue is full")]
    Overloaded,
    #[error("not ready: {why}")]
    NotReady { why: String },
    #[error("the server is shutting down")]
    ShuttingDown,
    #[error("the request took longer than its time limit")]
    DeadlineExceeded,
    #[error("a worker failed on this request")]
    WorkerPanicked,
}

/// Choices of a running service.
#[derive(Debug, Clone)]
pub struct ServiceOptions {
    /// Emulated chips, one OS thread each.
    pub chips: usize,
    /// Estimated work that may wait for each chip.
    pub waiting: Duration,
    /// Threads for embedding and indexing at start.
    pub threads: usize,
    pub limits: DecodeLimits,
}

/// The running service.
#[derive(Debug)]
pub struct Service {
    pub options: ServiceOptions,
    pub progress: Progress,
    pub counters: Arc<Counters>,
    current: Current,
    pool: Pool<Embedder>,
    rates: Arc<Rates>,
    /// Measured for those who watch.
    recall: Mutex<Option<KnownRecall>>,
    /// The thread that writes, once there is one.
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// What a search gave.
#[derive(Debug)]
pub struct Found {
    pub matches: Vec<Match>,
    /// None where the query was an embedding.
    pub embedded: Option<Embedded>,
    pub times: Times,
}

/// How long this host took, in order of flow.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Times {
    pub decode_ms: f64,
    pub queue_ms: f64,
    pub emulation_ms: f64,
    pub search_ms: f64,
    pub total_ms: f64,
}

/// What is searched for.
#[derive(Debug)]
pub enum Query<B> {
    Picture(B, RunOptions),
    Embedding(Vec<i32>),
}

impl Service {
    /// Starts the emulators and begins to load; embeddings can be asked for at once, searches once it is ready. With a
    /// `next`, the stored pictures are embedded by it while `maker` answers.
    pub fn start(maker: Maker, next: Option<Maker>, options: ServiceOptions) -> std::io::Result<Arc<Self>> {
        let limits = options.limits;
        let reembedding = next.map(|next| {
            Arc::new(Reembedding {
                maker: Arc::new(next),
                progress: Progress::default(),
            })
        });
        let current = Current::new(Arc::new(maker), reembedding);
        let chip = current.clone();
        let pool = Pool::start(options.chips, options.waiting, move || {
            Embedder::new(Arc::clone(&chip.maker().model), limits)
        })?;
        Ok(Arc::new(Self {
            options,
            progress: Progress::default(),
            counters: Arc::default(),
            current,
            pool,
            rates: Arc::default(),
            recall: Mutex::new(None),
            writer: Mutex::new(None),
        }))
    }

    /// Brings the catalogue up; blocks until it is ready or has failed.
    pub fn load(&self, store: Store) -> Result<(), ServiceError> {
        // Run here once, so that no request for the chip's description waits for it.
        let _ = self.maker().model.sample();
        let folder = store.folder().to_owned();
        let result = self.bring_up(store).and_then(|live| self.begin(live, folder));
        if let Err(error) = &result {
            self.current.turn(Phase::Failed(error.to_string()));
        }
        result
    }

    fn bring_up(&self, mut store: Store) -> Result<Arc<Live>, ServiceError> {
        let threads = self.options.threads;
        let maker = self.maker();
        if store.origin()?.as_ref() == Some(&*maker.origin) {
            store.keep_model(&maker.origin, &maker.model.file)?;
        } else {
            reembed::embed_anew(&mut store, &maker, threads, &self.progress)?;
        }
        kept::drop_next(store.folder());
        match self.current.reembedding() {
            Some(next) => {
                store.begin_next(&next.maker.origin, &next.maker.model.file)?;
                next.count(&store.reader()?)?;
            }
            None => store.drop_next()?,
        }
        let index = Index::open(&store, &maker.origin, maker.dimensions(), threads, &self.progress)?;
        let readers = (0..self.options.chips)
            .map(|_| store.reader())
            .collect::<Result<_, _>>()?;
        let folder = store.folder().to_owned();
        let no_thread = |source| ServiceError::File {
            path: folder.display().to_string(),
            source,
        };
        let index: SharedIndex = Arc::new(RwLock::new(index));
        let (writes, thread) =
            writer::start(store, Arc::clone(&index), Arc::clone(&maker.origin)).map_err(no_thread)?;
        *self.writer.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        let importer = Importer::start(imports::Work {
            reader: Reader::open(&folder)?,
            writes: writes.clone(),
            embedder: Embedder::new(Arc::clone(&maker.model), self.options.limits),
            limits: self.options.limits,
            current: self.current.clone(),
            counters: Arc::clone(&self.counters),
        });
        Ok(Arc::new(Live {
            maker,
            index,
            importer: Arc::new(importer.map_err(no_thread)?),
            readers: Arc::new(Readers::new(readers, folder)),
            writes,
        }))
    }

    /// Answers from now on, unless a signal came first; what is to take over is begun.
    fn begin(&self, live: Arc<Live>, folder: PathBuf) -> Result<(), ServiceError> {
        if !self.current.begin(Arc::clone(&live)) {
            live.importer.stop();
            return Ok(());
        }
        let Some(reembedding) = self.current.reembedding() else {
            return Ok(());
        };
        reembed::start(reembed::Work {
            current: self.current.clone(),
            reembedding,
            reader: Reader::open(&folder)?,
            backlog: self.pool.backlog(),
            folder: folder.clone(),
        })
        .map_err(|source| ServiceError::File {
            path: folder.display().to_string(),
            source,
        })
    }

    /// From now on nothing new is taken.
    pub fn drain(&self) {
        if let Some(live) = self.current.live() {
            live.importer.stop();
        }
        self.current.turn(Phase::Draining);
    }

    /// Waits until the writer has ended, which it does when the last request has; it keeps the index for the next start.
    pub fn finish(&self) {
        let thread = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the writer panicked");
        }
    }

    /// What makes embeddings now.
    pub fn maker(&self) -> Arc<Maker> {
        self.current.maker()
    }

    /// Other embeddings on their way, if there are any.
    pub fn reembedding(&self) -> Option<Arc<Reembedding>> {
        self.current.reembedding()
    }

    /// How many emulated chips there are.
    pub fn chips(&self) -> usize {
        self.pool.chips()
    }

    /// Estimated work that waits for the emulators or runs on them.
    pub fn queued(&self) -> Duration {
        self.pool.queued()
    }

    /// The work at which requests are refused.
    pub fn queue_limit(&self) -> Duration {
        self.pool.limit()
    }

    /// Whether searches are answered, and if not, why.
    pub fn ready(&self) -> Result<(), ServiceError> {
        self.live().map(|_| ())
    }

    /// The number of pictures that are searched; none before the service is ready.
    pub fn pictures(&self) -> Option<usize> {
        self.live().ok().map(|live| live.index().neighbours.live())
    }

    /// The model and the index that answer now, as one; a request takes them once.
    pub fn live(&self) -> Result<Arc<Live>, ServiceError> {
        match self.current.phase() {
            Phase::Ready(live) => Ok(live),
            Phase::Draining => Err(ServiceError::ShuttingDown),
            Phase::Failed(why) => Err(ServiceError::NotReady { why }),
            Phase::Loading => {
                let (stage, done, total) = self.progress.now();
                Err(ServiceError::NotReady {
                    why: format!("{} ({done} of {total})", stage.describe()),
                })
            }
        }
    }

    /// Runs one picture on the network of `maker`.
    pub async fn embed<B: AsRef<[u8]> + Send + 'static>(
        &self,
        maker: &Maker,
        picture: B,
        options: RunOptions,
        deadline: Instant,
    ) -> Result<(Embedded, Times), ServiceError> {
        let start = Instant::now();
        let work = Work::of_picture(picture.as_ref(), options);
        let rates = Arc::clone(&self.rates);
        let counters = Arc::clone(&self.counters);
        let model = Arc::clone(&maker.model);
        let run = move |embedder: &mut Embedder, queued: Duration| {
            embedder.take_up(&model);
            let embedded = embedder.embed(picture.as_ref(), options)?;
            counters.add(&embedded.emulation);
            rates.learn(work, embedded.took());
            Ok((embedded, queued))
        };
        let (embedded, queued) = self.pool.run(self.rates.estimate(work), deadline, run).await?;
        let times = Times {
            decode_ms: milliseconds(embedded.decode_time),
            queue_ms: milliseconds(queued),
            emulation_ms: milliseconds(embedded.emulation_time),
            search_ms: 0.0,
            total_ms: milliseconds(start.elapsed()),
        };
        Ok((embedded, times))
    }

    /// Searches the catalogue as it answers in `live`.
    pub async fn search<B: AsRef<[u8]> + Send + 'static>(
        &self,
        live: &Arc<Live>,
        query: Query<B>,
        options: SearchOptions,
        deadline: Instant,
    ) -> Result<Found, ServiceError> {
        let start = Instant::now();
        let live = Arc::clone(live);
        let mut work = match &query {
            Query::Picture(bytes, run) => Work::of_picture(bytes.as_ref(), *run),
            Query::Embedding(_) => Work::default(),
        };
        work.searches = true;
        let rates = Arc::clone(&self.rates);
        let counters = Arc::clone(&self.counters);
        let run = move |embedder: &mut Embedder, queued: Duration| {
            let (values, embedded) = match query {
                Query::Embedding(values) => (values, None),
                Query::Picture(bytes, run) => {
                    embedder.take_up(&live.maker.model);
                    let embedded = embedder.embed(bytes.as_ref(), run)?;
                    counters.add(&embedded.emulation);
                    (embedded.embedding.values.clone(), Some(embedded))
                }
            };
            let searching = Instant::now();
            let find = |reader: &Reader| search::search(&live.index(), reader, &[values], &[], &options);
            let matches = live.readers.with(find)?;
            let mut took = embedded.as_ref().map(Embedded::took).unwrap_or_default();
            took.search = searching.elapsed();
            rates.learn(work, took);
            let times = Times {
                decode_ms: milliseconds(took.decoding),
                queue_ms: milliseconds(queued),
                emulation_ms: milliseconds(took.emulation),
                search_ms: milliseconds(took.search),
                total_ms: 0.0,
            };
            Ok(Found {
                matches,
                embedded,
                times,
            })
        };
        let mut found = self.pool.run(self.rates.estimate(work), deadline, run).await?;
        found.times.total_ms = milliseconds(start.elapsed());
        Ok(found)
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
