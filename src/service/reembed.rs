//! Re-embedding: another model, probe or T for a catalogue that has embeddings already.
//!
//! The old embeddings answer while a thread makes the new ones, gives way to requests, and continues after a restart. Then
//! the catalogue adopts them all at one moment. Absent: how embeddings are kept, and how they are adopted (`catalogue`).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::runtime::Handle;

use super::error::ServiceError;
use super::makers::{Makers, Reembedding};
use super::unembedded::Unembedded;
use crate::catalogue::sqlite::Background;
use crate::catalogue::{Catalogue, StoredPicture};
use crate::chips::{Backlog, Embedder, STORED};
use crate::progress::Stage;

/// Pictures that are held at a time, and about how many bytes of them.
const PICTURES: usize = 64;
const BYTES: usize = 32 << 20;
/// The most work that a kill costs, approximately.
const COMMIT: Duration = Duration::from_millis(500);
/// With requests waiting, the thread sleeps up to so many times as long as it worked: they come first, and yet it
/// finishes under any load.
const GIVE_WAY: u32 = 4;
/// How often a sleeping thread looks whether requests still wait.
const LOOK: Duration = Duration::from_micros(200);
/// After a failure, as of a full disk, it is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// What the thread works with.
#[derive(Debug)]
pub struct Reembedder {
    pub catalogue: Catalogue,
    pub makers: Makers,
    pub reembedding: Arc<Reembedding>,
    pub backlog: Backlog,
    /// Set once the service drains.
    pub stop: Arc<AtomicBool>,
}

/// Starts the thread, which ends when its embeddings have been adopted or the service drains. Must be called on a tokio
/// runtime.
///
/// # Errors
/// If the system starts no thread.
pub fn start(job: Reembedder) -> std::io::Result<()> {
    let runtime = Handle::current();
    std::thread::Builder::new()
        .name("reembedder".to_owned())
        .spawn(move || job.run(&runtime))
        .map(|_| ())
}

/// Why a round of work ended.
enum Ended {
    /// The new embeddings answer.
    Done,
    /// The service drains: the rest is for the next start.
    Draining,
}

/// The chip of the thread, and what it has not embedded.
struct Chip {
    embedder: Embedder,
    unembedded: Unembedded,
}

impl Reembedder {
    fn run(self, runtime: &Handle) {
        let origin = &self.reembedding.maker.origin;
        let (model_id, probe, time_steps) = (&origin.model_id, origin.probe, origin.time_steps.get());
        tracing::info!(model_id, %probe, time_steps, "the stored pictures are re-embedded; the old embeddings answer meanwhile");
        // Measured once here, so that no request for the chip's description waits for it.
        let _ = self.reembedding.maker.model.sample();
        loop {
            match self.round(runtime) {
                Ok(Ended::Done) => {
                    tracing::info!(model_id, %probe, time_steps, "the new embeddings answer");
                    return;
                }
                Ok(Ended::Draining) => return,
                Err(_) if self.stops() => return,
                Err(error) => {
                    tracing::error!(%error, "re-embedding cannot go on; it is tried again in some seconds");
                    std::thread::sleep(RETRY);
                }
            }
        }
    }

    fn stops(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    fn round(&self, runtime: &Handle) -> Result<Ended, ServiceError> {
        let Reembedding { maker, progress } = &*self.reembedding;
        let chip = Arc::new(Mutex::new(Chip {
            embedder: Embedder::new(Arc::clone(&maker.model), STORED),
            unembedded: Unembedded::default(),
        }));
        let (done, total) = runtime.block_on(self.catalogue.reembedded())?;
        progress.resume(Stage::Embedding, done, total);
        loop {
            if !self.embed(runtime, &chip)? {
                return Ok(Ended::Draining);
            }
            let (last, of_last) = (Arc::clone(&chip), Arc::clone(maker));
            let embed_last = Box::new(move |picture: &StoredPicture| {
                let Chip { embedder, unembedded } = &mut *last.lock();
                let made = embedder.embed_stored(picture, &of_last);
                unembedded.or_zeros(picture, made, &of_last)
            });
            let backlog = self.backlog.clone();
            let background = Background {
                progress: Arc::clone(progress),
                give_way: Arc::new(move |worked| give_way(&backlog, worked)),
            };
            let adopted = self.catalogue.adopt(maker.dimensions(), embed_last, background);
            if runtime.block_on(adopted)? {
                self.makers.adopted();
                chip.lock().unembedded.log_count();
                return Ok(Ended::Done);
            }
        }
    }

    /// Embeds the pictures that have no next embedding; false once the service drains.
    fn embed(&self, runtime: &Handle, chip: &Mutex<Chip>) -> Result<bool, ServiceError> {
        let Reembedding { maker, progress } = &*self.reembedding;
        loop {
            if self.stops() {
                return Ok(false);
            }
            let batch = runtime.block_on(self.catalogue.without_embedding(PICTURES, BYTES))?;
            if batch.is_empty() {
                return Ok(true);
            }
            let mut made = Vec::with_capacity(batch.len());
            let begun = Instant::now();
            for picture in batch.iter().take_while(|_| begun.elapsed() < COMMIT) {
                let start = Instant::now();
                let Chip { embedder, unembedded } = &mut *chip.lock();
                let values = embedder.embed_stored(picture, maker);
                made.push((picture.key, unembedded.or_zeros(picture, values, maker)));
                progress.advance(1);
                give_way(&self.backlog, start.elapsed());
            }
            runtime.block_on(self.catalogue.add_embeddings(made))?;
            if progress.now().0 == Stage::Embedding
                && let Some(pictures) = self.catalogue.pictures()
            {
                progress.expect(pictures);
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
