//! What a store may use while it is open.

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
