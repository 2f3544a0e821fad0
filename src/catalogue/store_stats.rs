//! Which store answers, and what the connections to it do.

use serde::Serialize;

/// Which store a catalogue is in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StoreName {
    pub kind: StoreKind,
    /// The address without the password. None of a data directory: a path means nothing to another machine.
    pub place: Option<String>,
    /// Servers that work on the catalogue.
    pub servers: usize,
}

/// The kinds of stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StoreKind {
    Sqlite,
    Postgresql,
}

/// The connections to a database, and what was done on them since the start.
#[derive(Debug, Clone, PartialEq)]
pub struct StoreStats {
    pub used: usize,
    pub idle: usize,
    pub limit: usize,
    /// Waits for a connection, those in vain included.
    pub waits: Timed,
    /// What connections were used for, by kind.
    pub kinds: Vec<(&'static str, Timed)>,
    /// Transactions that were done again after a conflict.
    pub retries: u64,
}

/// How often something was done, and how long it took in all.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Timed {
    pub count: u64,
    pub seconds: f64,
}
