//! `serve`: how much of a PostgreSQL database it uses, and how long it waits for it.

use std::time::Duration;

use clap::Args;

use crate::catalogue::StoreOptions;

/// Options that only a catalogue in PostgreSQL has.
#[derive(Debug, Args)]
#[command(next_help_heading = "PostgreSQL")]
pub struct Postgres {
    /// Most connections to the database [default: twice as many as chips, and 4]
    #[arg(long, value_name = "N", env = "SPIKELENS_STORE_CONNECTIONS",
          value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(2..=10_000))]
    store_connections: Option<usize>,
    /// Longest wait for a connection, in milliseconds; then the database is unavailable
    #[arg(long, value_name = "MS", default_value_t = 2000, env = "SPIKELENS_STORE_TIMEOUT_MS",
          value_parser = clap::value_parser!(u64).range(1..=3_600_000))]
    store_timeout_ms: u64,
    /// Longest that a statement for a request may run, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 8000, env = "SPIKELENS_STATEMENT_TIMEOUT_MS",
          value_parser = clap::value_parser!(u64).range(1..=3_600_000))]
    statement_timeout_ms: u64,
    /// Longest that a statement waits for a lock, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 3000, env = "SPIKELENS_LOCK_TIMEOUT_MS",
          value_parser = clap::value_parser!(u64).range(1..=3_600_000))]
    lock_timeout_ms: u64,
}

impl Postgres {
    /// The options of a server with so many chips.
    pub fn options(&self, chips: usize) -> StoreOptions {
        StoreOptions {
            connections: self.store_connections.unwrap_or(2 * chips + 4),
            wait: Duration::from_millis(self.store_timeout_ms),
            statement: Duration::from_millis(self.statement_timeout_ms),
            lock: Duration::from_millis(self.lock_timeout_ms),
        }
    }
}
