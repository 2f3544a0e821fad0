//! Counts of products, kept until a product changes.

use crate::catalogue::counts::Counts;
use crate::catalogue::filter::Filter;
use crate::catalogue::last_few::LastFew;

/// Counts that are kept, of up to 100 values for each attribute.
const KEPT: usize = 64;

/// The last few counts.
pub type KeptCounts = LastFew<Counted, Counts, KEPT>;

/// What was counted, and when.
#[derive(Debug, PartialEq)]
pub struct Counted {
    pub filter: Option<Filter>,
    pub names: Vec<String>,
    /// The value of the sequence, and since when the database runs: a sequence may fall back when another one takes over.
    pub changes: i64,
    pub running_since: String,
}
