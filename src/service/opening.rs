//! Starting and stopping the service: choosing the makers, loading the catalogue, running the background threads.

use std::sync::Arc;
use std::time::Duration;

use engine::model::Model;
use engine::network::{Probe, TimeSteps};
use engine::parallel::in_parallel;
use parking_lot::RwLock;

use super::counters::Counters;
use super::ended::Ended;
use super::error::ServiceError;
use super::importer::{self, Importer};
use super::makers::{Chosen, Makers, Reembedding, model_of};
use super::reembed::{self, OTHERS, Reembedder};
use super::state::{Phase, Service, ServiceOptions};
use super::unembedded::Unembedded;
use crate::admission::Admissions;
use crate::catalogue::{Background, Catalogue, CatalogueError, Origin};
use crate::chips::{Embedder, Maker, Pool, Rates, STORED};
use crate::progress::{Progress, Stage};

/// The most pictures in memory while all threads embed them, and about the most bytes of them.
const PICTURES: usize = 2000;
const BYTES: usize = 32 << 20;

/// How long after a failure the catalogue is loaded again.
const AGAIN: Duration = Duration::from_secs(1);

/// The network to serve a catalogue with.
#[derive(Debug, Clone)]
pub struct Wanted {
    pub model: Arc<Model>,
    /// By default the catalogue's, else the model's.
    pub probe: Option<Probe>,
    /// By default the catalogue's, else the model's.
    pub time_steps: Option<TimeSteps>,
    /// Whether the model was asked for; else it is the catalogue's own, or the one that a new catalogue takes.
    pub given: bool,
    /// Whether embeddings by another network wait to be taken over once they are complete.
    pub hold: bool,
}

impl Service {
    /// Starts the emulated chips for a catalogue. Requests for embeddings are answered at once, all others after
    /// [`load`](Self::load). If `wanted` is not what made the catalogue's embeddings, the old network answers while the
    /// stored pictures are re-embedded, provided that its model is available.
    ///
    /// # Errors
    /// If the catalogue cannot be read or a thread cannot be started.
    pub async fn open(
        catalogue: Catalogue,
        wanted: Wanted,
        options: ServiceOptions,
    ) -> Result<Arc<Self>, ServiceError> {
        let shared = catalogue.is_shared();
        Self::open_as(catalogue, wanted, options, shared).await
    }

    /// As [`open`](Self::open); whether other servers work on the catalogue is said.
    pub(super) async fn open_as(
        catalogue: Catalogue,
        wanted: Wanted,
        options: ServiceOptions,
        shared: bool,
    ) -> Result<Arc<Self>, ServiceError> {
        let Wanted {
            model,
            probe,
            time_steps,
            given,
            hold,
        } = wanted;
        let before = catalogue.origin().await?;
        let given = given || probe.is_some() || time_steps.is_some();
        let wanted = Maker::new(model, before.as_ref(), probe, time_steps);
        let mut chosen = choose(&catalogue, wanted, given, shared).await?;
        chosen.hold = hold;
        let makers = Makers::new(catalogue.clone(), shared, chosen);
        let (limits, of_chip) = (options.limits, makers.clone());
        let pool = Pool::start(options.chips, options.waiting, move || {
            Embedder::new(Arc::clone(&of_chip.present().model), limits)
        });
        Ok(Arc::new(Self {
            admissions: Admissions::new(options.chips, options.waiting),
            pool: pool.map_err(ServiceError::NoThread)?,
            options,
            progress: Arc::default(),
            counters: Arc::new(Counters::default()),
            catalogue,
            makers,
            phase: RwLock::new(Phase::Loading),
            rates: Arc::new(Rates::default()),
            importer: std::sync::OnceLock::new(),
            ended: Ended::default(),
            look: tokio::sync::Notify::new(),
        }))
    }

    /// Loads the catalogue, which may take long; again where its database was lost on the way.
    ///
    /// # Errors
    /// If it cannot be loaded; the service then refuses requests that need it.
    pub async fn load(self: &Arc<Self>) -> Result<(), ServiceError> {
        let result = loop {
            match self.try_load().await {
                Err(error) if self.makers.shared && error.is_unreachable() => {
                    tracing::error!(%error, "the catalogue is not loaded yet");
                    tokio::time::sleep(AGAIN).await;
                }
                result => break result,
            }
        };
        if let Err(error) = &result {
            *self.phase.write() = Phase::Failed(error.to_string());
        }
        result
    }

    async fn try_load(self: &Arc<Self>) -> Result<(), ServiceError> {
        let shared = self.makers.shared;
        if shared && self.catalogue.count().await? > 0 {
            match self.makers.catch_up().await {
                // All pictures are re-embedded below.
                Err(ServiceError::NoModel { .. }) => {}
                caught_up => caught_up?,
            }
        }
        let maker = self.maker();
        // Computed here once, so that no request for the chip's description waits for it.
        let sampled = Arc::clone(&maker.model);
        blocking(move || {
            // A failure is reported in the description.
            let _ = sampled.sample();
            Ok(())
        })
        .await?;
        let (origin, file) = ((*maker.origin).clone(), maker.model.file.clone());
        if self.catalogue.origin().await?.as_ref() == Some(&*maker.origin) {
            let kept = self.catalogue.keep_model(origin.clone(), file).await;
            go_on(kept, "the model is not stored in the catalogue yet")?;
        } else {
            embed_all(&self.catalogue, &maker, self.options.threads, &self.progress).await?;
        }
        match self.reembedding() {
            Some(next) if next.has_begun() => {
                let (done, total) = self.catalogue.reembedded().await?;
                next.progress.resume(Stage::Embedding, done, total);
            }
            Some(next) => {
                let (origin, file) = (&next.maker.origin, &next.maker.model.file);
                let begun = self
                    .catalogue
                    .begin_reembedding((**origin).clone(), file.clone(), next.holds())
                    .await;
                if begun.is_ok() {
                    next.begin();
                }
                go_on(begun, "re-embedding cannot begin yet")?;
                let (done, total) = self.catalogue.reembedded().await?;
                next.progress.resume(Stage::Embedding, done, total);
            }
            // What other servers have begun is theirs.
            None if shared => {}
            None => {
                if let Some(begun) = self.catalogue.next_origin().await? {
                    tracing::warn!(
                        model_id = begun.model_id,
                        probe = %begun.probe,
                        time_steps = begun.time_steps.get(),
                        "the new embeddings that were begun are dropped: this server was not started for them"
                    );
                }
                let cancelled = self.catalogue.cancel_reembedding().await;
                go_on(
                    cancelled,
                    "the new embeddings that were begun are not dropped yet",
                )?;
            }
        }
        self.catalogue
            .load(
                origin,
                maker.dimensions(),
                self.options.threads,
                Arc::clone(&self.progress),
            )
            .await?;
        let importer = Importer::start(importer::Job {
            catalogue: self.catalogue.clone(),
            embedder: Embedder::new(Arc::clone(&maker.model), self.options.limits),
            limits: self.options.limits,
            makers: self.makers.clone(),
            counters: Arc::clone(&self.counters),
            ended: self.ended.clone(),
        })
        .map_err(ServiceError::NoThread)?;
        let importer = self.importer.get_or_init(|| importer);
        {
            let mut phase = self.phase.write();
            // A signal may have arrived first.
            if matches!(*phase, Phase::Draining) {
                importer.stop();
                return Ok(());
            }
            *phase = Phase::Ready;
        }
        if let Some(reembedding) = self.reembedding() {
            self.reembed(reembedding)?;
        }
        if shared {
            self.follow_others();
        }
        Ok(())
    }

    /// Starts to work on a re-embedding.
    pub(super) fn reembed(&self, reembedding: Arc<Reembedding>) -> Result<(), ServiceError> {
        let importer = self.importer.get().ok_or(CatalogueError::NotLoaded)?;
        let job = Reembedder {
            catalogue: self.catalogue.clone(),
            makers: self.makers.clone(),
            reembedding,
            admissions: self.admissions.clone(),
            stop: importer.stop_flag(),
        };
        reembed::start(job).map_err(ServiceError::NoThread)
    }

    /// Refuses new requests from now on, and stops the background threads.
    pub fn drain(&self) {
        *self.phase.write() = Phase::Draining;
        self.look.notify_one();
        self.ended.tell_all();
        if let Some(importer) = self.importer.get() {
            importer.stop();
        }
    }

    /// Finishes the waiting writes and saves the index for the next start.
    pub async fn close(&self) {
        self.catalogue.close().await;
    }
}

/// The makers of a catalogue's present and next embeddings. There is a next one if `wanted` is not what made the present
/// embeddings and the model that did is available. A server that nobody asked for another network (`given`) follows the
/// others of a shared catalogue, and joins what they have begun.
async fn choose(
    catalogue: &Catalogue,
    wanted: Maker,
    given: bool,
    shared: bool,
) -> Result<Chosen, ServiceError> {
    let alone = |present| Chosen {
        present,
        next: None,
        hold: false,
    };
    let begun = if shared {
        catalogue.next_origin().await?
    } else {
        None
    };
    let found = catalogue.origin().await?;
    let Some(found) = found.filter(|found| *found != *wanted.origin || begun.is_some()) else {
        return Ok(alone(wanted));
    };
    if catalogue.count().await? == 0 {
        return Ok(alone(wanted));
    }
    let maker_of = async |origin: &Origin| -> Result<Option<Maker>, ServiceError> {
        let model = if origin.model_id == wanted.model.id {
            Some(Arc::clone(&wanted.model))
        } else {
            model_of(catalogue, &origin.model_id, wanted.model.cost_model).await?
        };
        let origin = Arc::new(origin.clone());
        Ok(model.map(|model| Maker { model, origin }))
    };
    let Some(present) = maker_of(&found).await? else {
        tracing::warn!(
            model_id = found.model_id,
            "the model of the catalogue's embeddings is not available: not ready until all pictures are re-embedded"
        );
        return Ok(alone(wanted));
    };
    let others = given && *wanted.origin != found && Some(&*wanted.origin) != begun.as_ref();
    let next = match begun {
        Some(begun) if !others => maker_of(&begun).await?.map(|next| (next, true)),
        _ if shared && !given => None,
        _ => Some((wanted, false)),
    };
    Ok(Chosen {
        present,
        next,
        hold: false,
    })
}

/// Re-embeds everything before the service is ready: for a catalogue whose old model is not available.
async fn embed_all(
    catalogue: &Catalogue,
    maker: &Arc<Maker>,
    threads: usize,
    progress: &Arc<Progress>,
) -> Result<(), ServiceError> {
    let (origin, file) = ((*maker.origin).clone(), maker.model.file.clone());
    catalogue.begin_reembedding(origin, file, false).await?;
    let mut unembedded = Unembedded::default();
    let adopted = loop {
        let missing = embed_missing(catalogue, maker, threads, progress, &mut unembedded).await;
        if missing.is_err() {
            break missing;
        }
        // Nothing can be written before the catalogue is loaded: every picture has its embedding, unless other servers
        // are still embedding some.
        let embed_last = Box::new(|_: &_| Vec::new());
        let background = Background {
            progress: Arc::clone(progress),
            give_way: Arc::new(|_| {}),
        };
        let adopt = catalogue.adopt(&maker.origin, maker.dimensions(), embed_last, background);
        match adopt.await {
            Ok(true) => break Ok(()),
            Ok(false) => tokio::time::sleep(OTHERS).await,
            Err(error) => break Err(error.into()),
        }
    };
    match adopted {
        // Another server was quicker.
        Err(ServiceError::Catalogue(CatalogueError::OtherOrigin))
            if catalogue.origin().await?.as_ref() == Some(&*maker.origin) => {}
        adopted => adopted?,
    }
    unembedded.log_count();
    Ok(())
}

/// Embeds the pictures that have no next embedding, on all threads.
async fn embed_missing(
    catalogue: &Catalogue,
    maker: &Arc<Maker>,
    threads: usize,
    progress: &Arc<Progress>,
    unembedded: &mut Unembedded,
) -> Result<(), ServiceError> {
    let (done, total) = catalogue.reembedded().await?;
    progress.resume(Stage::Embedding, done, total);
    loop {
        let batch = catalogue
            .without_embedding(&maker.origin, PICTURES, BYTES)
            .await?;
        if batch.is_empty() {
            return Ok(());
        }
        let (of_thread, progress) = (Arc::clone(maker), Arc::clone(progress));
        let (batch, made) = blocking(move || {
            let make = || Embedder::new(Arc::clone(&of_thread.model), STORED);
            let made = in_parallel(threads, batch.len(), make, |embedder, index| {
                let made = embedder.embed_stored(&batch[index], &of_thread);
                progress.advance(1);
                made
            });
            Ok((batch, made))
        })
        .await?;
        let pairs = batch.iter().zip(made);
        let made = pairs.map(|(picture, made)| (picture.key, unembedded.or_zeros(picture, made, maker)));
        catalogue.add_embeddings(&maker.origin, made.collect()).await?;
    }
}

/// Leaves what the disk has no room for, or another program keeps from being written, for later: searches do not need it.
fn go_on(written: Result<(), CatalogueError>, consequence: &str) -> Result<(), CatalogueError> {
    match written {
        Err(error) if error.passes() => {
            tracing::warn!(%error, "{consequence}");
            Ok(())
        }
        written => written,
    }
}

/// Runs long work on a thread that may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ServiceError> + Send + 'static,
) -> Result<T, ServiceError> {
    let task = tokio::task::spawn_blocking(work);
    task.await.map_err(|_| ServiceError::Panicked)?
}
