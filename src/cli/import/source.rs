//! What every form of source gives.

use crate::service::ingest::Offered;

/// An open source.
pub struct Source {
    pub offered: Box<dyn Iterator<Item = Offered>>,
    /// The approximate number of products.
    pub expected: usize,
    /// What was skipped because it is not a product, in words.
    pub skipped: Option<String>,
}
