//! What a server does, a file for each use case: search, recommend, products, writes, imports, re-embedding, stats.
//!
//! Deadlines, background threads and the queue are handled here. In: a catalogue, a network and requests. Out: answers.
//! Absent: HTTP and its status codes.

pub mod check;
pub mod copy;
pub mod counters;
pub mod duplicates;
mod ended;
mod error;
pub mod export;
mod follow;
pub mod imports;
mod importer;
pub mod ingest;
mod makers;
mod opening;
mod products;
mod reading;
pub mod recommend;
mod reembed;
mod removals;
mod search;
mod state;
pub mod stats;
mod takeover;
mod times;
mod unembedded;
pub mod writes;

pub use error::ServiceError;
pub use makers::{Agreement, Reembedding, model_of};
pub use opening::Wanted;
pub use search::{EmbeddedBy, Found, Query};
pub use state::{Service, ServiceOptions};
pub use times::{Clock, Times};
