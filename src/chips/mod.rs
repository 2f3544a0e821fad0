//! A pool of emulated chips, each on its own thread: from a picture to its embedding.
//!
//! A [`Pool`] takes jobs from one queue, which is bounded by the estimated time of the work in it ([`Rates`]). Absent: the
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
pub use pool::{Admission, Backlog, Pool};
pub use rates::{Rates, TimeTaken, Workload};
