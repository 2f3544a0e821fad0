//! What the connection to the database is measured by.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::catalogue::store_stats::Timed;

/// What a statement or a transaction is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Searches.
    Search,
    /// Products, pictures and lists that are read.
    Look,
    /// Changes of products.
    Write,
    /// Imports, re-embedding, and what a server says of itself.
    Background,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Search, Self::Look, Self::Write, Self::Background];

    fn name(self) -> &'static str {
        match self {
            Self::Search => "search",
            Self::Look => "read",
            Self::Write => "write",
            Self::Background => "background",
        }
    }
}

#[derive(Debug, Default)]
struct Times {
    count: AtomicU64,
    nanoseconds: AtomicU64,
}

impl Times {
    fn add(&self, time: Duration) {
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.count.fetch_add(1, Ordering::Relaxed);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    fn read(&self) -> Timed {
        Timed {
            count: self.count.load(Ordering::Relaxed),
            seconds: self.nanoseconds.load(Ordering::Relaxed) as f64 * 1e-9,
        }
    }
}

/// Counters since the start.
#[derive(Debug, Default)]
pub struct Measured {
    waits: Times,
    kinds: [Times; 4],
    retries: AtomicU64,
}

impl Measured {
    /// A connection was waited for.
    pub fn waited(&self, time: Duration) {
        self.waits.add(time);
    }

    /// Something was done on a connection.
    pub fn took(&self, kind: Kind, time: Duration) {
        self.kinds[kind as usize].add(time);
    }

    /// A transaction lost a conflict and is done again.
    pub fn retried(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    /// The times of waiting for connections.
    pub fn waits(&self) -> Timed {
        self.waits.read()
    }

    /// The times of each kind.
    pub fn kinds(&self) -> Vec<(&'static str, Timed)> {
        let read = |kind: Kind| (kind.name(), self.kinds[kind as usize].read());
        Kind::ALL.into_iter().map(read).collect()
    }

    /// Transactions that were done again.
    pub fn retries(&self) -> u64 {
        self.retries.load(Ordering::Relaxed)
    }
}
