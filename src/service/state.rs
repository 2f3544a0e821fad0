//! The running service: the state that its use cases share.

use std::sync::Arc;
use std::sync::OnceLock;
use std::time::Duration;

use engine::picture::DecodeLimits;
use parking_lot::RwLock;
use tokio::sync::Notify;

use super::counters::Counters;
use super::ended::Ended;
use super::error::ServiceError;
use super::importer::Importer;
use super::makers::{Makers, Reembedding};
use crate::admission::Admissions;
use crate::catalogue::{Catalogue, CatalogueError};
use crate::chips::{Embedder, Maker, Pool, Rates};
use crate::progress::Progress;

/// Options of a service.
#[derive(Debug, Clone)]
pub struct ServiceOptions {
    /// Emulated chips, one OS thread each.
    pub chips: usize,
    /// Estimated work that may be queued for each chip.
    pub waiting: Duration,
    /// Threads for embedding and indexing while the catalogue is loaded.
    pub threads: usize,
    pub limits: DecodeLimits,
}

/// The phase of the service's life.
#[derive(Debug, Clone)]
pub(super) enum Phase {
    Loading,
    Failed(String),
    Ready,
    Draining,
}

/// The running service.
#[derive(Debug)]
pub struct Service {
    pub options: ServiceOptions,
    pub progress: Arc<Progress>,
    pub counters: Arc<Counters>,
    pub(super) catalogue: Catalogue,
    pub(super) makers: Makers,
    pub(super) phase: RwLock<Phase>,
    pub(super) admissions: Admissions,
    pub(super) pool: Pool<Embedder>,
    pub(super) rates: Arc<Rates>,
    /// The thread that works on imports, once there is one.
    pub(super) importer: OnceLock<Importer>,
    /// Tells which imports have ended.
    pub(super) ended: Ended,
    /// Wakes the task that looks for what other servers have done.
    pub(super) look: Notify,
}

impl Service {
    /// The maker of the embeddings that answer now.
    #[must_use]
    pub fn maker(&self) -> Arc<Maker> {
        self.makers.present()
    }

    /// The re-embedding in progress, if any.
    #[must_use]
    pub fn reembedding(&self) -> Option<Arc<Reembedding>> {
        self.makers.next()
    }

    /// The number of emulated chips.
    #[must_use]
    pub fn chips(&self) -> usize {
        self.pool.chips()
    }

    /// Estimated work of all admitted requests.
    #[must_use]
    pub fn queued(&self) -> Duration {
        self.admissions.queued()
    }

    /// The work at which requests are refused.
    #[must_use]
    pub fn queue_limit(&self) -> Duration {
        self.admissions.limit()
    }

    /// The number of pictures in the index; `None` before the service is ready.
    #[must_use]
    pub fn pictures(&self) -> Option<usize> {
        self.ready().ok().and_then(|()| self.catalogue.pictures())
    }

    /// Succeeds if requests for the catalogue are answered.
    ///
    /// # Errors
    /// The reason why they are not.
    pub fn ready(&self) -> Result<(), ServiceError> {
        match &*self.phase.read() {
            Phase::Ready => match self.catalogue.lost() {
                None => Ok(()),
                Some(reason) if self.catalogue.is_shared() => {
                    Err(CatalogueError::Unavailable { reason }.into())
                }
                Some(why) => Err(ServiceError::NotReady { why }),
            },
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
}
