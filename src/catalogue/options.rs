//! What a store may use while it is open.

use std::time::Duration;

/// What a catalogue may use while it is open.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    /// How many short and how many long reads may run at a time.
    pub connections: usize,
    /// Bytes of products in memory, for answers.
    pub shown_bytes: u64,
}

impl Room {
    /// Enough for one user.
    pub const ONE: Self = Self {
        connections: 1,
        shown_bytes: 1 << 20,
    };
}

/// How a store on the network is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreOptions {
    /// The most connections that are open at a time.
    pub connections: usize,
    /// The longest wait for one of them, be it new or in use.
    pub wait: Duration,
    /// The longest that a statement for a request may run.
    pub statement: Duration,
    /// The longest that a statement waits for a lock.
    pub lock: Duration,
}

impl StoreOptions {
    /// For a command that does one thing after the other, however long it takes.
    pub const ONE: Self = Self {
        connections: 4,
        wait: Duration::from_secs(10),
        statement: Duration::from_secs(3600),
        lock: Duration::from_secs(60),
    };
}
