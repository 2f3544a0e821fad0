//! Why a request, or the service, failed.

use thiserror::Error;

use crate::admission::Stopped;
use crate::catalogue::{CatalogueError, Origin};
use crate::chips::ChipError;

/// Why a request, or the service, failed.
#[derive(Debug, Error)]
pub enum ServiceError {
    #[error(transparent)]
    Chip(#[from] ChipError),
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    #[error(
        "the catalogue's embeddings were made by model {}, probe {}, T = {}; import with the same, or serve it once with the new ones",
        found.model_id, found.probe, found.time_steps
    )]
    OtherOrigin { found: Origin },
    #[error("not ready: {why}")]
    NotReady { why: String },
    #[error(
        "the catalogue's embeddings are by the network with the id {id}, which is neither stored in it nor built into this program"
    )]
    NoModel { id: String },
    #[error(
        "there is no next network: start the server with --hold and another --model, --probe or --time-steps"
    )]
    NoNext,
    #[error("the embeddings of the next network are not complete yet: {done} of {total}")]
    NextNotReady { done: usize, total: usize },
    #[error("the server is shutting down")]
    ShuttingDown,
    #[error(transparent)]
    Stopped(#[from] Stopped),
    #[error("a thread failed on this request")]
    Panicked,
    #[error("no thread could be started: {0}")]
    NoThread(#[source] std::io::Error),
}

impl ServiceError {
    /// Whether the same may succeed as soon as the store can be reached.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Catalogue(error) if error.is_unreachable())
    }
}
