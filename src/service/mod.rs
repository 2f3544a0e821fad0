//! The shell around the core: it starts, loads, answers and drains. Time, threads and files live here.
//!
//! In: a model, a data directory and requests. Out: answers. Absent: HTTP and its status codes.

pub mod check;
pub mod counters;
pub mod describe;
pub mod embed;
pub mod imports;
pub mod index;
pub mod ingest;
pub mod kept;
pub mod manifest;
pub mod model;
pub mod pool;
pub mod products;
pub mod rates;
pub mod recommend;
pub mod sample;
pub mod search;
pub mod stats;
pub mod trace;
pub mod writer;
pub mod writes;

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::Serialize;
use thiserror::Error;

use crate::catalogue::store::{Reader, Store};
use crate::catalogue::{CatalogueError, Origin};
use crate::embedding::EmbeddingError;
use crate::emulator::EmulatorError;
use crate::neighbours::NeighboursError;
use crate::picture::{DecodeLimits, PictureError};
use counters::Counters;
use embed::{Embedded, Embedder, RunOptions};
use imports::Importer;
use index::Index;
use model::Model;
use pool::Pool;
use rates::{Rates, Work};
use search::{Match, SearchOptions};
use stats::Recall;
use writer::{SharedIndex, Writes, lend};

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

/// What the service is busy with before it is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    Opening,
    Embedding,
    Reading,
    Indexing,
}

impl Stage {
    /// A few words for people.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Opening => "opening the catalogue",
            Self::Embedding => "embedding pictures",
            Self::Reading => "reading embeddings",
            Self::Indexing => "building the index",
        }
    }
}

/// Where long work stands; read by `/readyz` and by progress bars.
#[derive(Debug)]
pub struct Progress {
    stage: Mutex<Stage>,
    done: AtomicUsize,
    total: AtomicUsize,
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            stage: Mutex::new(Stage::Opening),
            done: AtomicUsize::new(0),
            total: AtomicUsize::new(0),
        }
    }
}

impl Progress {
    fn enter(&self, stage: Stage, total: usize) {
        self.done.store(0, Ordering::Relaxed);
        self.total.store(total, Ordering::Relaxed);
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner) = stage;
    }

    fn advance(&self, count: usize) {
        self.done.fetch_add(count, Ordering::Relaxed);
    }

    /// The stage, what is done of it, and of how much.
    pub fn now(&self) -> (Stage, usize, usize) {
        let stage = *self.stage.lock().unwrap_or_else(PoisonError::into_inner);
        let done = self.done.load(Ordering::Relaxed);
        (stage, done, self.total.load(Ordering::Relaxed))
    }
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
    /// What the catalogue's embeddings are made with.
    pub origin: Origin,
}

/// A catalogue that is ready to be searched.
#[derive(Debug)]
struct Live {
    index: SharedIndex,
    /// One a chip, so that no worker waits for another's read.
    readers: Mutex<Vec<Reader>>,
    /// The data directory, which the writer owns.
    folder: PathBuf,
    writes: Writes,
    importer: Importer,
}

#[derive(Debug)]
enum Phase {
    Loading,
    Failed(String),
    Ready(Arc<Live>),
    Draining,
}

/// The running service.
#[derive(Debug)]
pub struct Service {
    pub model: Arc<Model>,
    pub options: ServiceOptions,
    pub progress: Progress,
    pub counters: Arc<Counters>,
    pool: Pool<Embedder>,
    rates: Arc<Rates>,
    /// Measured for those who watch, and when.
    recall: Mutex<Option<(Recall, Instant)>>,
    phase: RwLock<Phase>,
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
    /// Starts the emulators and begins to load; embeddings can be asked for at once, searches once it is ready.
    pub fn start(model: Arc<Model>, options: ServiceOptions) -> std::io::Result<Arc<Self>> {
        let limits = options.limits;
        let chip = Arc::clone(&model);
        let pool = Pool::start(options.chips, options.waiting, move || {
            Embedder::new(Arc::clone(&chip), limits)
        })?;
        Ok(Arc::new(Self {
            model,
            options,
            progress: Progress::default(),
            counters: Arc::default(),
            pool,
            rates: Arc::default(),
            recall: Mutex::new(None),
            phase: RwLock::new(Phase::Loading),
            writer: Mutex::new(None),
        }))
    }

    /// Brings the catalogue up; blocks until it is ready or has failed.
    pub fn load(&self, store: Store) -> Result<(), ServiceError> {
        // Run here once, so that no request for the chip's description waits for it.
        let _ = self.model.sample();
        let result = self.bring_up(store);
        match &result {
            Ok(live) => self.begin(Arc::clone(live)),
            Err(error) => self.turn(Phase::Failed(error.to_string())),
        }
        result.map(|_| ())
    }

    fn bring_up(&self, mut store: Store) -> Result<Arc<Live>, ServiceError> {
        let ServiceOptions { origin, threads, .. } = &self.options;
        if store.origin()?.as_ref() != Some(origin) {
            if store.products()? > 0 {
                tracing::info!("the catalogue was embedded otherwise and is embedded anew");
            }
            ingest::embed_anew(&mut store, &self.model, origin, *threads, &self.progress)?;
        }
        let dimensions = self.model.snn.network.embedding_dimensions();
        let index = Index::open(&store, origin, dimensions, *threads, &self.progress)?;
        let readers = (0..self.options.chips)
            .map(|_| store.reader())
            .collect::<Result<_, _>>()?;
        let folder = store.folder().to_owned();
        let index: SharedIndex = Arc::new(RwLock::new(index));
        let (writes, thread) =
            writer::start(store, Arc::clone(&index), origin.clone()).map_err(|source| {
                ServiceError::File {
                    path: folder.display().to_string(),
                    source,
                }
            })?;
        *self.writer.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        let importer = Importer::start(imports::Work {
            reader: Reader::open(&folder)?,
            writes: writes.clone(),
            embedder: Embedder::new(Arc::clone(&self.model), self.options.limits),
            limits: self.options.limits,
            options: ingest::options(&self.model, origin),
            counters: Arc::clone(&self.counters),
        });
        let importer = importer.map_err(|source| ServiceError::File {
            path: folder.display().to_string(),
            source,
        })?;
        Ok(Arc::new(Live {
            index,
            readers: Mutex::new(readers),
            folder,
            writes,
            importer,
        }))
    }

    /// From now on nothing new is taken.
    pub fn drain(&self) {
        if let Ok(live) = self.live() {
            live.importer.stop();
        }
        self.turn(Phase::Draining);
    }

    /// Waits until the writer has ended, which it does when the last request has; it keeps the index for the next start.
    pub fn finish(&self) {
        let thread = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the writer panicked");
        }
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

    fn live(&self) -> Result<Arc<Live>, ServiceError> {
        match &*self.phase.read().unwrap_or_else(PoisonError::into_inner) {
            Phase::Ready(live) => Ok(Arc::clone(live)),
            Phase::Draining => Err(ServiceError::ShuttingDown),
            Phase::Failed(why) => Err(ServiceError::NotReady { why: why.clone() }),
            Phase::Loading => {
                let (stage, done, total) = self.progress.now();
                Err(ServiceError::NotReady {
                    why: format!("{} ({done} of {total})", stage.describe()),
                })
            }
        }
    }

    /// Answers from now on, unless a signal came first.
    fn begin(&self, live: Arc<Live>) {
        let mut phase = self.phase.write().unwrap_or_else(PoisonError::into_inner);
        if matches!(*phase, Phase::Draining) {
            live.importer.stop();
        } else {
            *phase = Phase::Ready(live);
        }
    }

    fn turn(&self, phase: Phase) {
        *self.phase.write().unwrap_or_else(PoisonError::into_inner) = phase;
    }

    /// Runs one picture.
    pub async fn embed<B: AsRef<[u8]> + Send + 'static>(
        &self,
        picture: B,
        options: RunOptions,
        deadline: Instant,
    ) -> Result<(Embedded, Times), ServiceError> {
        let start = Instant::now();
        let work = Work::of_picture(picture.as_ref(), options);
        let rates = Arc::clone(&self.rates);
        let counters = Arc::clone(&self.counters);
        let run = move |embedder: &mut Embedder, queued: Duration| {
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

    /// Searches the catalogue.
    pub async fn search<B: AsRef<[u8]> + Send + 'static>(
        &self,
        query: Query<B>,
        options: SearchOptions,
        deadline: Instant,
    ) -> Result<Found, ServiceError> {
        let start = Instant::now();
        let live = self.live()?;
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
                    let embedded = embedder.embed(bytes.as_ref(), run)?;
                    counters.add(&embedded.emulation);
                    (embedded.embedding.values.clone(), Some(embedded))
                }
            };
            let searching = Instant::now();
            let matches =
                live.with_reader(|reader| search::search(&live.index(), reader, &[values], &[], &options))?;
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

impl Live {
    fn index(&self) -> RwLockReadGuard<'_, Index> {
        lend(&self.index)
    }

    fn with_reader<T>(
        &self,
        read: impl FnOnce(&Reader) -> Result<T, ServiceError>,
    ) -> Result<T, ServiceError> {
        let readers = || self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = readers().pop();
        // A panicking job takes its reader along; a new one is opened in its place.
        let reader = match taken {
            Some(reader) => reader,
            None => Reader::open(&self.folder)?,
        };
        let result = read(&reader);
        readers().push(reader);
        result
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
