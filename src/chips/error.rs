//! Why a picture has no embedding.

use engine::embedding::EmbeddingError;
use engine::emulator::EmulatorError;
use engine::picture::PictureError;
use thiserror::Error;

use crate::admission::Stopped;

/// Why a chip refused a picture, or failed on it.
#[derive(Debug, Error)]
pub enum ChipError {
    #[error(transparent)]
    Picture(#[from] PictureError),
    #[error(transparent)]
    Emulator(#[from] EmulatorError),
    #[error(transparent)]
    Embedding(#[from] EmbeddingError),
    #[error("the embedding is all zeros and cannot be compared; use more time steps or a brighter picture")]
    EmptyEmbedding,
    #[error(transparent)]
    Stopped(#[from] Stopped),
    #[error("the server is shutting down")]
    ShuttingDown,
    #[error("a worker failed on this request")]
    WorkerPanicked,
}
