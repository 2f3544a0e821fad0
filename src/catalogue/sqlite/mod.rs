//! A catalogue in SQLite: one file in a data directory, opened by one process at a time, with an index beside it.
//!
//! The database is the truth; the index is a cache that is rebuilt whenever it is missing, outdated or damaged. Writes go
//! through one thread (`writer`), reads through a bounded pool of connections (`readers`). Absent: how an embedding is
//! made.

mod apply;
mod backup;
mod beside;
mod bulk;
mod catalogue;
mod change;
mod check;
mod checksums;
mod chunks;
mod copy_mark;
mod copying;
mod counting;
mod embeddings;
mod error;
mod import_rows;
mod index;
mod judge;
mod kept;
mod keys;
mod listing;
mod nearest;
mod next;
mod passing;
mod pictures;
mod place;
mod queue;
mod reader;
mod readers;
mod recall;
mod reembedding;
mod reserve;
mod restore;
mod room;
mod rows;
mod schema;
mod searching;
mod settings;
mod shown;
mod store;
mod successor;
mod survey;
mod target;
mod terms;
mod writer;

pub use catalogue::Sqlite;
pub use reader::Moment;
pub use survey::Survey;
pub use target::Target;
