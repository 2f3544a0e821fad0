//! What re-embedding hands to a store: how its work in the background behaves, and who makes the last embeddings.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::product::StoredPicture;
use crate::progress::Progress;

/// Embeds a stored picture for the next origin, while writes wait.
pub type EmbedLast = Box<dyn FnMut(&StoredPicture) -> Vec<i32> + Send>;

/// A picture's present and next embedding.
#[derive(Debug, Clone, PartialEq)]
pub struct OfBoth {
    /// The product's id.
    pub product: String,
    pub present: Vec<i32>,
    pub next: Vec<i32>,
}

/// How work in the background reports its progress and gives way.
#[derive(Clone)]
pub struct Background {
    pub progress: Arc<Progress>,
    /// Called after each piece of work with the time that it took; returns when the next may begin.
    pub give_way: Arc<dyn Fn(Duration) + Send + Sync>,
}

impl fmt::Debug for Background {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Background")
            .field("progress", &self.progress)
            .finish_non_exhaustive()
    }
}
