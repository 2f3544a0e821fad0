//! A catalogue in a PostgreSQL database with pgvector, which any number of servers share.
//!
//! The database is the truth and the index in one, and its transactions are all that servers agree by: nothing that a write
//! changes is kept between two requests, but for counts that are valid while no product changes, and every search asks in the
//! same statement whether its embeddings are still the present ones. Absent: replication, backup and failover, which are
//! PostgreSQL's own.

mod bulk;
mod comparing;
mod connecting;
mod connections;
mod copying;
mod counting;
mod directions;
mod error;
mod filter;
mod imports;
mod kept_counts;
mod measured;
mod nearest;
mod opening;
mod reads;
mod reembedding;
mod rows;
mod schema;
mod servers;
mod spaces;
mod stats;
mod store;
mod survey;
mod target;
mod text;
mod watching;
mod writes;

pub use store::Postgres;
pub use survey::Survey;
pub use target::Target;
