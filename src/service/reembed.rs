//! Re-embedding a catalogue for another model, probe or T.
//!
//! The old embeddings answer while a thread computes the new ones. It yields to requests and continues after a restart. The
//! catalogue then adopts all new embeddings in one transaction. Absent: how embeddings are stored and adopted (`catalogue`).

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use engine::embedding::is_zero;
use parking_lot::Mutex;
use tokio::runtime::Handle;

use super::error::ServiceError;
use super::makers::{Agreement, Makers, Reembedding};
use super::unembedded::Unembedded;
use crate::admission::{Admissions, Work};
use crate::catalogue::search::{Nearest, SearchOptions};
use crate::catalogue::{Background, Catalogue, CatalogueError, StoredPicture};
use crate::chips::{Embedder, Maker, STORED};
use crate::progress::Stage;

/// The most pictures in memory at a time, and about the most bytes of them.
const PICTURES: usize = 64;
const BYTES: usize = 32 << 20;
/// The most work that a kill costs, approximately.
const COMMIT: Duration = Duration::from_millis(500);
/// While requests are waiting, the thread sleeps for up to this many times as long as it worked: requests come first, but
/// it makes progress under any load.
const GIVE_WAY: u32 = 4;
/// How often the sleeping thread checks whether requests are still waiting.
const LOOK: Duration = Duration::from_micros(200);
/// The pause after a failure, for instance a full disk.
const RETRY: Duration = Duration::from_secs(5);
/// How long complete embeddings wait until those of pictures that were written meanwhile are made.
const HELD: Duration = Duration::from_secs(3);
/// Stored pictures whose results are compared.
const SAMPLE: usize = 100;
/// The pause until other servers may have embedded the last pictures.
pub const OTHERS: Duration = Duration::from_millis(250);

/// The thread's resources.
#[derive(Debug)]
pub struct Reembedder {
    pub catalogue: Catalogue,
    pub makers: Makers,
    pub reembedding: Arc<Reembedding>,
    /// The requests that it gives way to.
    pub admissions: Admissions,
    /// Set when the service drains.
    pub stop: Arc<AtomicBool>,
}

/// Starts the thread, which ends when its embeddings have been adopted or the service drains. Must be called on a tokio
/// runtime.
///
/// # Errors
/// If the thread cannot be started.
pub fn start(job: Reembedder) -> std::io::Result<()> {
    let runtime = Handle::current();
    std::thread::Builder::new()
        .name("reembedder".to_owned())
        .spawn(move || job.run(&runtime))
        .map(|_| ())
}

/// Why a round of work ended.
enum Ended {
    /// The new embeddings have been adopted.
    Done,
    /// The service is draining; the next start continues.
    Draining,
    /// Another server adopted the new embeddings, or they were dropped.
    Left,
}

/// The thread's chip, and the pictures that it could not embed.
struct Chip {
    embedder: Embedder,
    unembedded: Unembedded,
}

impl Reembedder {
    fn run(self, runtime: &Handle) {
        let origin = &self.reembedding.maker.origin;
        let (model_id, probe, time_steps) = (&origin.model_id, origin.probe, origin.time_steps.get());
        tracing::info!(model_id, %probe, time_steps, "re-embedding the stored pictures; the old embeddings answer until it is done");
        // Computed here once, so that no request for the chip's description waits for it.
        let _ = self.reembedding.maker.model.sample();
        loop {
            match self.round(runtime) {
                Ok(Ended::Done) => {
                    tracing::info!(model_id, %probe, time_steps, "re-embedding done; the new embeddings answer");
                    return;
                }
                Ok(Ended::Draining) => return,
                Ok(Ended::Left) | Err(ServiceError::Catalogue(CatalogueError::OtherOrigin)) => {
                    self.makers.leave(&self.reembedding);
                    tracing::info!(model_id, %probe, time_steps, "the re-embedding was ended");
                    return;
                }
                Err(_) if self.stops() || self.reembedding.is_left() => return,
                Err(error) => {
                    tracing::error!(%error, "re-embedding failed; retrying in a few seconds");
                    std::thread::sleep(RETRY);
                }
            }
        }
    }

    fn stops(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    fn round(&self, runtime: &Handle) -> Result<Ended, ServiceError> {
        let Reembedding { maker, progress, .. } = &*self.reembedding;
        let chip = Arc::new(Mutex::new(Chip {
            embedder: Embedder::new(Arc::clone(&maker.model), STORED),
            unembedded: Unembedded::default(),
        }));
        // On a full disk it could not begin when the service was opened. What others have dropped does not begin again.
        if !(self.makers.shared && self.reembedding.has_begun()) {
            let begun = self.catalogue.begin_reembedding(
                (*maker.origin).clone(),
                maker.model.file.clone(),
                self.reembedding.holds(),
            );
            runtime.block_on(begun)?;
            self.reembedding.begin();
        }
        let (done, total) = runtime.block_on(self.catalogue.reembedded())?;
        progress.resume(Stage::Embedding, done, total);
        loop {
            if let Some(ended) = self.embed(runtime, &chip)? {
                return Ok(ended);
            }
            if runtime.block_on(self.catalogue.is_held())? {
                if let Some(ended) = self.wait_for_release(runtime)? {
                    return Ok(ended);
                }
                continue;
            }
            let (last, of_last) = (Arc::clone(&chip), Arc::clone(maker));
            let embed_last = Box::new(move |picture: &StoredPicture| {
                let Chip { embedder, unembedded } = &mut *last.lock();
                let made = embedder.embed_stored(picture, &of_last);
                unembedded.or_zeros(picture, made, &of_last)
            });
            let adopted =
                self.catalogue
                    .adopt(&maker.origin, maker.dimensions(), embed_last, self.background());
            if runtime.block_on(adopted)? {
                self.makers.adopted(&self.reembedding);
                chip.lock().unembedded.log_count();
                return Ok(Ended::Done);
            }
            if self.makers.shared {
                // Other servers are still embedding the last pictures.
                std::thread::sleep(OTHERS);
            }
        }
    }

    fn background(&self) -> Background {
        let admissions = self.admissions.clone();
        Background {
            progress: Arc::clone(&self.reembedding.progress),
            give_way: Arc::new(move |worked| give_way(&admissions, worked)),
        }
    }

    /// Makes the complete embeddings searchable, says how their results differ from the present ones, and waits for a while.
    fn wait_for_release(&self, runtime: &Handle) -> Result<Option<Ended>, ServiceError> {
        let Reembedding { maker, progress, .. } = &*self.reembedding;
        let (done, total) = runtime.block_on(self.catalogue.reembedded())?;
        let known = self.reembedding.agreement();
        if known.is_none() || progress.now() != (Stage::Held, done, total) {
            let prepared = self
                .catalogue
                .prepare_next(&maker.origin, maker.dimensions(), self.background());
            runtime.block_on(prepared)?;
            if known.is_none() {
                let agreement = runtime.block_on(compare(&self.catalogue, &self.makers.present(), maker))?;
                tracing::info!(
                    shared = agreement.shared,
                    queries = agreement.queries,
                    "the new embeddings are complete and wait to be taken over: POST /v1/model"
                );
                self.reembedding.agrees(agreement);
            }
            progress.resume(Stage::Held, done, total);
        }
        let start = Instant::now();
        while start.elapsed() < HELD {
            if self.stops() {
                return Ok(Some(Ended::Draining));
            }
            if self.reembedding.is_left() {
                return Ok(Some(Ended::Left));
            }
            if !runtime.block_on(self.catalogue.is_held())? {
                break;
            }
            std::thread::sleep(OTHERS);
        }
        Ok(None)
    }

    /// Embeds the pictures that have no next embedding, unless that ends first.
    fn embed(&self, runtime: &Handle, chip: &Mutex<Chip>) -> Result<Option<Ended>, ServiceError> {
        let Reembedding { maker, progress, .. } = &*self.reembedding;
        loop {
            if self.stops() {
                return Ok(Some(Ended::Draining));
            }
            if self.reembedding.is_left() {
                return Ok(Some(Ended::Left));
            }
            if self.makers.shared {
                let (done, total) = runtime.block_on(self.catalogue.reembedded())?;
                progress.advance(done.saturating_sub(progress.now().1));
                progress.expect(total);
            }
            let batch = runtime.block_on(self.catalogue.without_embedding(&maker.origin, PICTURES, BYTES))?;
            if batch.is_empty() {
                return Ok(None);
            }
            let mut made = Vec::with_capacity(batch.len());
            let begun = Instant::now();
            for picture in batch.iter().take_while(|_| begun.elapsed() < COMMIT) {
                let start = Instant::now();
                let Chip { embedder, unembedded } = &mut *chip.lock();
                let values = embedder.embed_stored(picture, maker);
                made.push((picture.key, unembedded.or_zeros(picture, values, maker)));
                if !self.makers.shared {
                    progress.advance(1);
                }
                give_way(&self.admissions, start.elapsed());
            }
            runtime.block_on(self.catalogue.add_embeddings(&maker.origin, made))?;
            if progress.now().0 == Stage::Embedding
                && let Some(pictures) = self.catalogue.pictures()
            {
                progress.expect(pictures);
            }
        }
    }
}

/// How many of the ten best products both makers' embeddings have in common, for some stored pictures.
async fn compare(catalogue: &Catalogue, present: &Maker, next: &Maker) -> Result<Agreement, CatalogueError> {
    let nearest = async |maker: &Maker, embedding: Vec<i32>, product: &str| {
        let search = Nearest {
            origin: Arc::clone(&maker.origin),
            embeddings: vec![embedding],
            without: vec![product.to_owned()],
            options: SearchOptions::default(),
            with_embeddings: false,
        };
        let found = catalogue.nearest(search, Work::OWN).await?;
        let ids = found.matches.into_iter().map(|found| found.product.id.clone());
        Ok::<HashSet<String>, CatalogueError>(ids.collect())
    };
    let (mut queries, mut shared, mut found) = (0, 0, 0);
    for sample in catalogue.sample_of_both(SAMPLE).await? {
        if is_zero(&sample.present) || is_zero(&sample.next) {
            continue;
        }
        let by_present = nearest(present, sample.present, &sample.product).await?;
        let by_next = nearest(next, sample.next, &sample.product).await?;
        queries += 1;
        shared += by_present.intersection(&by_next).count();
        found += by_present.len().max(by_next.len());
    }
    Ok(Agreement {
        k: SearchOptions::default().k,
        queries,
        shared: match found {
            0 => 1.0,
            found => shared as f64 / found as f64,
        },
    })
}

/// Lets waiting requests go first, after `worked` of work.
fn give_way(admissions: &Admissions, worked: Duration) {
    let start = Instant::now();
    while admissions.queued() > Duration::ZERO && start.elapsed() < worked * GIVE_WAY {
        std::thread::sleep(LOOK);
    }
}
