//! An index over the next embeddings, to be searched beside the one in use. It is as of a moment ago: products that went since
//! are not found, and those that came are found by the next one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::RwLock;

use super::index::{Index, Version};
use super::successor::Successor;
use crate::catalogue::origin::Origin;

/// How long it is searched at least, and how many times as long as making it took.
const FRESH: Duration = Duration::from_secs(1);
const RARELY: u32 = 50;

/// With what it was made of.
#[derive(Debug)]
pub struct Beside {
    origin: Origin,
    /// Of the index in use, from which it has its products.
    version: Version,
    /// Until then it is searched even if that was changed.
    until: Instant,
    index: Arc<RwLock<Index>>,
}

impl Beside {
    /// Makes it of the next embeddings and of the products of the index in use.
    pub fn make(origin: &Origin, successor: Successor, of: &RwLock<Index>) -> Self {
        let begun = Instant::now();
        let (version, index) = {
            let of = of.read();
            (of.version(), successor.into_index(&of))
        };
        Self {
            origin: origin.clone(),
            version,
            // What takes long is done rarely.
            until: Instant::now() + FRESH.max(RARELY * begun.elapsed()),
            index: Arc::new(RwLock::new(index)),
        }
    }

    /// What makes the embeddings.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Whether it is searched, where the index in use has this version.
    pub fn is_fresh(&self, version: Version) -> bool {
        self.version == version || self.until > Instant::now()
    }

    /// The index.
    pub fn index(&self) -> Arc<RwLock<Index>> {
        Arc::clone(&self.index)
    }
}
