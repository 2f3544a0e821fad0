//! Another model, probe or T for a catalogue that has embeddings already.
//!
//! The old ones answer while a thread makes the new ones, gives way to requests, and goes on after a restart. Then an
//! index is built over them, and the writer lets both take over at once. Absent: how embeddings are kept
//! (`catalogue::reembedding`) and the moment of taking over (`super::writer`).

use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::embed::{Embedder, RunOptions};
use super::index::Successor;
use super::live::{Current, Reembedding};
use super::maker::Maker;
use super::pool::Backlog;
use super::progress::{Progress, Stage};
use super::writer::{Candidate, Takeover, TookOver, Writes};
use super::{ServiceError, kept};
use crate::catalogue::PictureKey;
use crate::catalogue::store::{Reader, Store, StoredPicture};
use crate::catalogue::write::Write;
use engine::embedding::is_zero;
use engine::model::Model;
use engine::parallel::in_parallel;
use engine::picture::DecodeLimits;

/// Pictures that are held at a time, about how many bytes of them, and how many while all threads work on them.
const PICTURES: usize = 64;
const BYTES: usize = 32 << 20;
const ON_ALL_THREADS: usize = 2000;
/// About the most work that a kill costs.
const COMMIT: Duration = Duration::from_millis(500);
/// With requests waiting, the thread sleeps up to so many times as long as it worked: they come first, and yet it gets
/// to its end under any load.
const GIVE_WAY: u32 = 4;
/// How often a sleeping thread looks whether requests still wait.
const LOOK: Duration = Duration::from_micros(200);
/// What one row takes of the graph at most; more than that was spent otherwise.
const LONGEST_LINK: Duration = Duration::from_millis(10);
/// After a failure, as of a full disk, it is tried again.
const AGAIN: Duration = Duration::from_secs(5);
/// Pictures were let in under the limit of their day.
pub const STORED: DecodeLimits = DecodeLimits { max_pixels: u64::MAX };

/// What answers at first over a store, and what is to take over, if another is `wanted` than made the embeddings and
/// the old one's model can be had: it is the same, the shipped one, or one that the catalogue keeps.
pub fn makers(store: &Store, wanted: Maker) -> Result<(Maker, Option<Maker>), ServiceError> {
    let Some(found) = store.origin()?.filter(|found| *found != *wanted.origin) else {
        return Ok((wanted, None));
    };
    if store.products()? == 0 {
        return Ok((wanted, None));
    }
    let model = if found.model_id == wanted.model.id {
        Some(Arc::clone(&wanted.model))
    } else {
        let kept = store.model(&found.model_id)?;
        Model::of_id(&found.model_id, kept.as_deref(), wanted.model.cost_model)
    };
    Ok(match model {
        Some(model) => {
            let origin = Arc::new(found);
            (Maker { model, origin }, Some(wanted))
        }
        None => {
            tracing::warn!(
                model_id = found.model_id,
                "the model of the catalogue's embeddings cannot be had: nothing is answered until all are made anew"
            );
            (wanted, None)
        }
    })
}

/// Makes every embedding anew before anything is answered: for a catalogue whose old model cannot be had.
pub fn embed_anew(
    store: &mut Store,
    maker: &Maker,
    threads: usize,
    progress: &Progress,
) -> Result<(), ServiceError> {
    store.begin_next(&maker.origin, &maker.model.file)?;
    let reader = store.reader()?;
    progress.go_on(Stage::Embedding, reader.count_next()?, reader.count_pictures()?);
    let mut without = Without::default();
    let mut after = reader.last_next()?;
    loop {
        let batch = reader.pictures_after(after, ON_ALL_THREADS, BYTES)?;
        let Some(last) = batch.last() else { break };
        after = Some(last.key);
        let make = || Embedder::new(Arc::clone(&maker.model), STORED);
        let made = in_parallel(threads, batch.len(), make, |embedder, index| {
            let made = embedding_of(embedder, &batch[index], maker);
            progress.advance(1);
            made
        });
        let pairs = batch.iter().zip(made);
        let made: Vec<_> = pairs
            .map(|(picture, made)| (picture.key, without.or_zeros(picture, made, maker)))
            .collect();
        store.add_next(&made)?;
    }
    store.adopt_next(&[])?;
    without.tell();
    Ok(())
}

/// What the network makes of a stored picture.
pub fn embedding_of(
    embedder: &mut Embedder,
    picture: &StoredPicture,
    maker: &Maker,
) -> Result<Vec<i32>, ServiceError> {
    embedder.take_up(&maker.model);
    let options = RunOptions {
        mode: picture.prepare,
        ..maker.options()
    };
    let run = AssertUnwindSafe(|| embedder.embed(&picture.bytes, options));
    match std::panic::catch_unwind(run) {
        Ok(embedded) => Ok(embedded?.embedding.values),
        Err(_) => {
            *embedder = Embedder::new(Arc::clone(&maker.model), STORED);
            Err(ServiceError::WorkerPanicked)
        }
    }
}

/// Pictures that this model makes nothing of.
#[derive(Debug, Default)]
pub struct Without(usize);

impl Without {
    /// So many are named in the log; the others are counted.
    const NAMED: usize = 20;

    /// The embedding; all zeros, which are near nothing, in place of one that cannot be made: the picture stays, its
    /// product with it, and another model may make something of it.
    pub fn or_zeros(
        &mut self,
        picture: &StoredPicture,
        made: Result<Vec<i32>, ServiceError>,
        maker: &Maker,
    ) -> Vec<i32> {
        let reason = match &made {
            Ok(values) if !is_zero(values) => None,
            Ok(_) => Some(ServiceError::EmptyEmbedding.to_string()),
            Err(error) => Some(error.to_string()),
        };
        if let Some(reason) = reason {
            if self.0 < Self::NAMED {
                let (product, picture) = (&picture.product, picture.key.0);
                tracing::warn!(product, picture, reason, "a picture is near nothing from now on");
            }
            self.0 += 1;
        }
        made.unwrap_or_else(|_| vec![0; maker.dimensions()])
    }

    /// Says how many they are.
    pub fn tell(&self) {
        if self.0 > 0 {
            tracing::warn!(
                pictures = self.0,
                "this model makes no embedding of some pictures: they are near nothing until they are replaced"
            );
        }
    }
}

impl Reembedding {
    /// Looks how far it has come.
    pub(super) fn count(&self, reader: &Reader) -> Result<(), ServiceError> {
        let (done, total) = (reader.count_next()?, reader.count_pictures()?);
        self.progress.go_on(Stage::Embedding, done, total);
        Ok(())
    }
}

/// What the thread works with.
#[derive(Debug)]
pub struct Work {
    pub(super) current: Current,
    pub(super) reembedding: Arc<Reembedding>,
    pub(super) reader: Reader,
    pub(super) backlog: Backlog,
    /// The data directory.
    pub(super) folder: PathBuf,
}

/// Starts the thread, which ends when its embeddings have taken over or the service drains.
pub fn start(work: Work) -> std::io::Result<()> {
    std::thread::Builder::new()
        .name("reembedder".to_owned())
        .spawn(move || work.run())
        .map(|_| ())
}

/// Why a round of work ended.
enum Ended {
    /// The new embeddings answer.
    Done,
    /// The service drains: the rest is for the next start.
    Draining,
}

impl Work {
    fn run(self) {
        let origin = &self.reembedding.maker.origin;
        let (model_id, probe, time_steps) = (&origin.model_id, origin.probe, origin.time_steps.get());
        tracing::info!(model_id, %probe, time_steps, "the stored pictures are embedded anew; the old embeddings answer meanwhile");
        // Run here once, so that no request for the chip's description waits for it.
        let _ = self.reembedding.maker.model.sample();
        loop {
            match self.round() {
                Ok(Ended::Done) => {
                    tracing::info!(model_id, %probe, time_steps, "the new embeddings answer");
                    return;
                }
                Ok(Ended::Draining) => return,
                Err(error) => {
                    tracing::error!(%error, "embedding anew stands still; it is tried again in some seconds");
                    std::thread::sleep(AGAIN);
                }
            }
        }
    }

    fn round(&self) -> Result<Ended, ServiceError> {
        let Reembedding { maker, progress } = &*self.reembedding;
        let mut embedder = Embedder::new(Arc::clone(&maker.model), STORED);
        let mut without = Without::default();
        self.reembedding.count(&self.reader)?;
        let mut made = |_, _: &[i32]| progress.advance(1);
        if !self.embed(self.reader.last_next()?, &mut embedder, &mut without, &mut made)? {
            return Ok(Ended::Draining);
        }
        let (linked, backlog) = (Mutex::new(Instant::now()), &self.backlog);
        let linked = |count| {
            progress.advance(count);
            let mut last = linked.lock().unwrap_or_else(PoisonError::into_inner);
            give_way(backlog, last.elapsed().min(LONGEST_LINK));
            *last = Instant::now();
        };
        let begin = |count| progress.enter(Stage::Indexing, count);
        let mut successor = Successor::build(&self.reader, maker.dimensions(), begin, &linked)?;
        successor.keep(&kept::next_folder(&self.folder), &maker.origin);
        loop {
            // What was written meanwhile follows, until so little is left that the writer can do it between two writes.
            let after = successor.last();
            let mut made = |picture, values: &[i32]| successor.push(picture, values);
            if !self.embed(after, &mut embedder, &mut without, &mut made)? {
                return Ok(Ended::Draining);
            }
            successor.link(&linked);
            let Some(live) = self.current.live() else {
                return Ok(Ended::Draining);
            };
            let (reply, answer) = sync_channel(1);
            live.writes.take_over(Takeover {
                candidate: Candidate {
                    successor,
                    embedder,
                    without,
                    maker: Arc::clone(maker),
                },
                current: self.current.clone(),
                reply,
            })?;
            drop(live);
            let (back, error) = match answer.recv().map_err(|_| ServiceError::WorkerPanicked)? {
                TookOver::Yes => return Ok(Ended::Done),
                TookOver::NotYet(back) => (back, None),
                TookOver::Failed(back, error) => (back, Some(error)),
            };
            if let Some(error) = error {
                tracing::error!(%error, "the new embeddings did not take over; it is tried again in some seconds");
                std::thread::sleep(AGAIN);
            }
            Candidate {
                successor,
                embedder,
                without,
                ..
            } = *back;
        }
    }

    /// Embeds the pictures behind `after`, durably; tells `each`. False once the service drains.
    fn embed(
        &self,
        mut after: Option<PictureKey>,
        embedder: &mut Embedder,
        without: &mut Without,
        each: &mut dyn FnMut(PictureKey, &[i32]),
    ) -> Result<bool, ServiceError> {
        let Reembedding { maker, progress } = &*self.reembedding;
        let mut made = Vec::new();
        let mut committed = Instant::now();
        loop {
            let batch = self.reader.pictures_after(after, PICTURES, BYTES)?;
            for picture in &batch {
                let start = Instant::now();
                let values = embedding_of(embedder, picture, maker);
                let values = without.or_zeros(picture, values, maker);
                each(picture.key, &values);
                made.push((picture.key, values));
                give_way(&self.backlog, start.elapsed());
            }
            after = batch.last().map(|last| last.key).or(after);
            // Taken anew each time and let go again: the writer ends once nobody can write any more.
            let Some(live) = self.current.live() else {
                return Ok(false);
            };
            if batch.is_empty() || committed.elapsed() >= COMMIT {
                let embeddings = std::mem::take(&mut made);
                let pending = live.writes.hand_in(Write::Next { embeddings })?;
                if progress.now().0 == Stage::Embedding {
                    // The old embeddings tell how many pictures there are now.
                    progress.expect(live.index().neighbours.live());
                }
                drop(live);
                Writes::wait(pending)?;
                committed = Instant::now();
            }
            if batch.is_empty() {
                return Ok(true);
            }
        }
    }
}

/// Lets requests go first, after `worked`.
fn give_way(backlog: &Backlog, worked: Duration) {
    let start = Instant::now();
    while backlog.queued() > Duration::ZERO && start.elapsed() < worked * GIVE_WAY {
        std::thread::sleep(LOOK);
    }
}
