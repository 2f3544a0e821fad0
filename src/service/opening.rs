//! Starting and stopping the service: choosing the makers, loading the catalogue, running the background threads.

use std::sync::Arc;

use engine::chip::cost::CostModel;
use engine::model::Model;
use engine::network::{Probe, TimeSteps};
use engine::parallel::in_parallel;
use parking_lot::RwLock;

use super::counters::Counters;
use super::error::ServiceError;
use super::importer::{self, Importer};
use super::makers::Makers;
use super::reembed::{self, Reembedder};
use super::state::{Phase, Service, ServiceOptions};
use super::unembedded::Unembedded;
use crate::admission::Admissions;
use crate::catalogue::{Background, Catalogue, CatalogueError};
use crate::chips::{Embedder, Maker, Pool, Rates, STORED};
use crate::progress::{Progress, Stage};

/// The most pictures in memory while all threads embed them, and about the most bytes of them.
const PICTURES: usize = 2000;
const BYTES: usize = 32 << 20;

/// The network to serve a catalogue with.
#[derive(Debug, Clone)]
pub struct Wanted {
    pub model: Arc<Model>,
    /// By default the catalogue's, else the model's.
    pub probe: Option<Probe>,
    /// By default the catalogue's, else the model's.
    pub time_steps: Option<TimeSteps>,
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
        let Wanted {
            model,
            probe,
            time_steps,
        } = wanted;
        let before = catalogue.origin().await?;
        let wanted = Maker::new(model, before.as_ref(), probe, time_steps);
        let (present, next) = makers(&catalogue, wanted).await?;
        let makers = Makers::new(catalogue.clone(), present, next);
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
        }))
    }

    /// Loads the catalogue, which may take long.
    ///
    /// # Errors
    /// If it cannot be loaded; the service then refuses requests that need it.
    pub async fn load(&self) -> Result<(), ServiceError> {
        let result = self.try_load().await;
        if let Err(error) = &result {
            *self.phase.write() = Phase::Failed(error.to_string());
        }
        result
    }

    async fn try_load(&self) -> Result<(), ServiceError> {
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
            Some(next) => {
                let (origin, file) = (&next.maker.origin, &next.maker.model.file);
                let begun = self
                    .catalogue
                    .begin_reembedding((**origin).clone(), file.clone())
                    .await;
                go_on(begun, "re-embedding cannot begin yet")?;
                let (done, total) = self.catalogue.reembedded().await?;
                next.progress.resume(Stage::Embedding, done, total);
            }
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
            reembed::start(Reembedder {
                catalogue: self.catalogue.clone(),
                makers: self.makers.clone(),
                reembedding,
                admissions: self.admissions.clone(),
                stop: importer.stop_flag(),
            })
            .map_err(ServiceError::NoThread)?;
        }
        Ok(())
    }

    /// Refuses new requests from now on, and stops the background threads.
    pub fn drain(&self) {
        *self.phase.write() = Phase::Draining;
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
/// embeddings and the model that did is available.
async fn makers(catalogue: &Catalogue, wanted: Maker) -> Result<(Maker, Option<Maker>), CatalogueError> {
    let found = catalogue.origin().await?;
    let Some(found) = found.filter(|found| *found != *wanted.origin) else {
        return Ok((wanted, None));
    };
    if catalogue.count().await? == 0 {
        return Ok((wanted, None));
    }
    let model = if found.model_id == wanted.model.id {
        Some(Arc::clone(&wanted.model))
    } else {
        model_of(catalogue, &found.model_id, wanted.model.cost_model).await?
    };
    Ok(match model {
        Some(model) => {
            let origin = Arc::new(found);
            (Maker { model, origin }, Some(wanted))
        }
        None => {
            tracing::warn!(
                model_id = found.model_id,
                "the model of the catalogue's embeddings is not available: not ready until all pictures are re-embedded"
            );
            (wanted, None)
        }
    })
}

/// The model with this id: stored in the catalogue, or one that is built in.
///
/// # Errors
/// If the catalogue cannot be read.
pub async fn model_of(
    catalogue: &Catalogue,
    id: &str,
    cost_model: CostModel,
) -> Result<Option<Arc<Model>>, CatalogueError> {
    let kept = catalogue.model(id.to_owned()).await?;
    Ok(Model::of_id(id, kept.as_deref(), cost_model))
}

/// Re-embeds everything before the service is ready: for a catalogue whose old model is not available.
async fn embed_all(
    catalogue: &Catalogue,
    maker: &Arc<Maker>,
    threads: usize,
    progress: &Arc<Progress>,
) -> Result<(), ServiceError> {
    let (origin, file) = ((*maker.origin).clone(), maker.model.file.clone());
    catalogue.begin_reembedding(origin, file).await?;
    let (done, total) = catalogue.reembedded().await?;
    progress.resume(Stage::Embedding, done, total);
    let mut unembedded = Unembedded::default();
    loop {
        let batch = catalogue.without_embedding(PICTURES, BYTES).await?;
        if batch.is_empty() {
            break;
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
        catalogue.add_embeddings(made.collect()).await?;
    }
    // Nothing can be written before the catalogue is loaded: every picture has its embedding.
    let embed_last = Box::new(|_: &_| Vec::new());
    let background = Background {
        progress: Arc::clone(progress),
        give_way: Arc::new(|_| {}),
    };
    catalogue
        .adopt(maker.dimensions(), embed_last, background)
        .await?;
    unembedded.log_count();
    Ok(())
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
