//! Emulated chips at work: from a picture to its embedding, on threads of their own.
//!
//! A [`Pool`] of chips works through one queue that is bounded by the time its work will take, as learned from the work
//! done ([`Rates`]). Absent: the catalogue's contents, and what an embedding is used for.

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
pub use rates::{Rates, Took, Work};
