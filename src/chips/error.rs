//! Why a picture has no embedding.

use engine::embedding::EmbeddingError;
use engine::emulator::EmulatorError;
use engine::picture::PictureError;
use thiserror::Error;

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
    #[error("all emulated chips are busy and the queue is full")]
    Overloaded,
    #[error("the server is shutting down")]
    ShuttingDown,
    #[error("the request took longer than its time limit")]
    DeadlineExceeded,
    #[error("a worker failed on this request")]
    WorkerPanicked,
}
