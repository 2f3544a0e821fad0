//! A pool of emulated chips, each on its own thread: from a picture to its embedding.
//!
//! A [`Pool`] runs the jobs of admitted requests; [`Rates`] estimate how long they take. Absent: the
//! catalogue's contents, and what an embedding is used for.

mod embedder;
mod error;
mod maker;
mod options;
mod pool;
mod rates;

pub use embedder::{Embedded, Embedder, STORED};
pub use error::ChipError;
pub use maker::Maker;
pub use options::{RunChoice, RunOptions};
pub use pool::Pool;
pub use rates::{Rates, Workload};
