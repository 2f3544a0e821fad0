//! Counts of products, kept until a product changes.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::catalogue::counts::Counts;
use crate::catalogue::filter::Filter;

/// Counts that are kept, of up to 100 values for each attribute.
const KEPT: usize = 64;

/// The last few counts.
#[derive(Debug, Default)]
pub struct KeptCounts(Mutex<Vec<(Counted, Arc<Counts>)>>);

/// What was counted, and when.
#[derive(Debug, PartialEq)]
pub struct Counted {
    pub filter: Option<Filter>,
    pub names: Vec<String>,
    /// The value of the sequence, and since when the database runs: a sequence may fall back when another one takes over.
    pub changes: i64,
    pub running_since: String,
}

impl KeptCounts {
    /// Counts of these products, if they are still right.
    pub fn known(&self, counted: &Counted) -> Option<Arc<Counts>> {
        let kept = self.0.lock();
        let known = kept.iter().find(|(known, _)| known == counted);
        known.map(|(_, counts)| Arc::clone(counts))
    }

    /// Keeps counts.
    pub fn keep(&self, counted: Counted, counts: &Arc<Counts>) {
        let mut kept = self.0.lock();
        if kept.len() >= KEPT {
            kept.remove(0);
        }
        kept.push((counted, Arc::clone(counts)));
    }
}
