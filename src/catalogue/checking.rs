//! What a check of a whole catalogue reads and counts.

use super::product::{PictureKey, StoredPicture};

/// What was checked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Checked {
    pub products: usize,
    pub pictures: usize,
    pub embeddings: usize,
    /// Those of the next model, probe or T that have gathered so far.
    pub next: usize,
}

/// What is compared: the embeddings in use, or those being made to replace them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    Present,
    Next,
}

/// Some pictures in stored order.
#[derive(Debug)]
pub struct Batch {
    /// Those that have an embedding, with it.
    pub found: Vec<(StoredPicture, Vec<i32>)>,
    /// The last picture that was read; none at the end.
    pub last: Option<PictureKey>,
}
