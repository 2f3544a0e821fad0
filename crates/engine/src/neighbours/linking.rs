//! Linking rows while others are searched, added and removed.

use std::sync::Arc;

use super::exact::Vectors;
use super::graph;
use super::join::Join;
use super::links::{Links, number};

/// The most rows that the graph library links: its memory for a row is 20 times that of the links that are kept.
pub(super) const CORE: usize = 1 << 17;

/// Rows to be linked, apart from the index that they are of.
#[derive(Debug)]
pub struct Linking {
    vectors: Vectors,
    /// Those that the rows join; without them all are linked anew.
    links: Option<Arc<Links>>,
}

impl Linking {
    /// Links the rows of `vectors` that `links` does not have, or all.
    pub(super) fn new(vectors: Vectors, links: Option<Arc<Links>>) -> Self {
        Self { vectors, links }
    }

    /// The number of rows that get links.
    #[must_use]
    pub fn count(&self) -> usize {
        self.vectors.len() - self.links.as_ref().map_or(0, |links| links.rows())
    }

    /// Links them on `threads` threads; calls `progress` with the number of rows linked since the last call.
    pub fn run(self, threads: usize, progress: &(dyn Fn(usize) + Sync)) -> Arc<Links> {
        let vectors = &self.vectors;
        let rows = number(vectors.len());
        let mut fresh: Vec<u32> = (0..rows).collect();
        let mut join = match self.links {
            Some(links) => {
                fresh.drain(..links.rows());
                let mut join = Join::new(vectors, Arc::unwrap_or_clone(links), threads);
                join.link(fresh.iter().copied(), progress);
                join
            }
            None => {
                let step = vectors.len().div_ceil(CORE);
                // Spread over all rows, of which neighbours in stored order are often alike.
                let core: Vec<u32> = (0..rows).step_by(step).collect();
                let mut join = Join::new(vectors, graph::build(vectors, &core, threads, progress), threads);
                for first in 1..number(step) {
                    join.link((first..rows).step_by(step), progress);
                }
                join
            }
        };
        join.mend(&fresh);
        Arc::new(join.into_links())
    }
}
