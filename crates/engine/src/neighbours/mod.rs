//! Nearest-neighbour search by cosine. Embeddings can be added and removed during searches.
//!
//! Embeddings are numbered as rows; equal ones share a row. A search follows [`Links`] between rows and computes similarities
//! from the embeddings themselves, in integers. The graph library links a spread-out core of the rows, and the others join
//! its links (`join`), which also sees to it that every row can be reached. A new row is found at once: it is compared
//! exactly until it is linked, which is done apart from searches and writes ([`Linking`]). A removed row leads on, matches
//! nothing, and comes back with an equal embedding, until the caller builds a new index without it. Absent: products, and
//! files.

mod batch;
mod chunked;
mod equal;
pub mod exact;
mod graph;
mod join;
mod kernel;
mod linking;
mod links;
pub mod quality;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use chunked::Chunked;
use equal::Equal;
use exact::{Vectors, nearest_first};
use join::Join;
use linking::CORE;
use links::number;

pub use exact::Neighbour;
pub use linking::Linking;
pub use links::Links;

/// The smallest number of candidates that a search keeps.
pub const CANDIDATES_AT_SEARCH: usize = 96;
/// Below this many embeddings the exact search is as fast as the graph.
pub const EXACT_BELOW: usize = 2048;
/// The core is built anew when it is a smaller part of the rows than one in this many, and less than half as large as it may be.
const CORE_SHARE: usize = 16;
/// Rows are linked when this many, or 1 in this many of all rows, are not linked, whichever is more.
const UNLINKED: (usize, usize) = (1024, 256);
/// Up to this many removed rows never justify a rebuild.
const FEW_REMOVED: usize = 1024;

/// Version of [`Links::write`]; it changes whenever older links must not be read.
pub const LINKS_FORMAT: &str = "hnsw M16 ef120, joined 96 20 24 32, 1";

/// Stored embeddings with their links.
#[derive(Debug, Clone)]
pub struct Neighbours {
    vectors: Vectors,
    equal: Equal,
    /// `[row]`: whether it was removed.
    removed: Chunked<bool>,
    /// The number of rows that are not removed.
    live: usize,
    /// Of the first rows; later ones are compared one by one. `None` while there are few rows.
    links: Option<Arc<Links>>,
}

/// The embeddings of one moment.
#[derive(Debug, Clone)]
pub struct Stored {
    vectors: Vectors,
    removed: Chunked<bool>,
}

impl Stored {
    /// The `k` nearest embeddings, by exact search.
    #[must_use]
    pub fn nearest(&self, values: &[i32], k: usize) -> Vec<Neighbour> {
        let query = self.vectors.query(values);
        let live = |row: usize| !self.removed.row(row)[0];
        self.vectors.nearest(&query, k, 0..self.vectors.len(), live)
    }
}

impl Neighbours {
    /// No embeddings, of `dimensions` values each.
    #[must_use]
    pub fn new(dimensions: usize) -> Self {
        Self {
            vectors: Vectors::new(dimensions),
            equal: Equal::default(),
            removed: Chunked::new(1),
            live: 0,
            links: None,
        }
    }

    /// Links whose rows get their embeddings by [`Neighbours::restore`]; those that get none are removed.
    #[must_use]
    pub fn of_links(dimensions: usize, links: Links) -> Self {
        let mut restored = Self::new(dimensions);
        let zeros = vec![0; dimensions];
        for _ in 0..links.rows() {
            restored.vectors.push(&zeros);
            restored.removed.push(std::iter::once(true));
        }
        restored.links = Some(Arc::new(links));
        restored
    }

    /// Gives a linked row its embedding, which no other row has.
    ///
    /// # Panics
    /// If there is no such row, or the length is not that of the others.
    pub fn restore(&mut self, row: usize, values: &[i32]) {
        self.vectors.set(row, values);
        self.equal.add(values, number(row));
        self.revive(row);
    }

    /// Mends links after [`Neighbours::restore`]: rows without an embedding lead nowhere.
    pub fn mend(&mut self, threads: usize) {
        if let Some(links) = self.links.take() {
            let mut join = Join::new(&self.vectors, Arc::unwrap_or_clone(links), threads);
            join.mend(&[]);
            self.links = Some(Arc::new(join.into_links()));
        }
    }

    /// The embeddings as they are now, to be compared while others are added and removed; it takes a moment.
    #[must_use]
    pub fn stored(&self) -> Stored {
        Stored {
            vectors: self.vectors.clone(),
            removed: self.removed.clone(),
        }
    }

    /// The stored embeddings.
    #[must_use]
    pub fn vectors(&self) -> &Vectors {
        &self.vectors
    }

    /// The links; none while there are few rows.
    #[must_use]
    pub fn links(&self) -> Option<&Arc<Links>> {
        self.links.as_ref()
    }

    /// The number of embeddings that are searched; equal ones are one.
    #[must_use]
    pub fn live(&self) -> usize {
        self.live
    }

    /// The number of rows, removed ones included.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.vectors.len()
    }

    /// Whether row `index` is not removed.
    #[must_use]
    pub fn is_live(&self, index: usize) -> bool {
        !self.removed.row(index)[0]
    }

    /// The row of this embedding, removed or not.
    #[must_use]
    pub fn find(&self, values: &[i32]) -> Option<usize> {
        self.equal.find(&self.vectors, values).map(|row| row as usize)
    }

    /// Stores an embedding and returns its row, which equal ones share; searches find it at once.
    ///
    /// # Panics
    /// If its length is not that of the others.
    pub fn push(&mut self, values: &[i32]) -> usize {
        if let Some(row) = self.find(values) {
            self.revive(row);
            return row;
        }
        let row = self.rows();
        self.vectors.push(values);
        self.equal.add(values, number(row));
        self.removed.push(std::iter::once(false));
        self.live += 1;
        row
    }

    fn revive(&mut self, row: usize) {
        if !self.is_live(row) {
            self.removed.row_mut(row).fill(false);
            self.live += 1;
        }
    }

    /// Removes a row: it will match no search.
    pub fn remove(&mut self, index: usize) {
        if self.is_live(index) {
            self.removed.row_mut(index).fill(true);
            self.live -= 1;
        }
    }

    /// The number of rows that are compared one by one until they are linked.
    #[must_use]
    pub fn unlinked(&self) -> usize {
        let linked = |links: &Arc<Links>| self.rows() - links.rows();
        self.links.as_ref().map_or(0, linked)
    }

    /// The rows to be linked, if there are enough of them.
    #[must_use]
    pub fn linking(&self) -> Option<Linking> {
        let (least, share) = UNLINKED;
        let anew = match &self.links {
            None => self.live >= EXACT_BELOW,
            Some(links) => links.core() < (CORE / 2).min(self.rows() / CORE_SHARE),
        };
        let wanted = anew || self.unlinked() >= least.max(self.rows() / share);
        let links = self.links.clone().filter(|_| !anew);
        wanted.then(|| Linking::new(self.vectors.clone(), links))
    }

    /// Takes the links that a [`Linking`] of these rows has made; returns those that it had.
    pub fn set_links(&mut self, links: Arc<Links>) -> Option<Arc<Links>> {
        debug_assert!(links.rows() <= self.rows(), "links of these rows");
        self.links.replace(links)
    }

    /// Links all rows at once, if they are enough for links; calls `progress` with the number of rows done since the last
    /// call.
    pub fn link(&mut self, threads: usize, progress: &(dyn Fn(usize) + Sync)) {
        match self.linking() {
            Some(linking) => drop(self.set_links(linking.run(threads, progress))),
            None => progress(self.unlinked()),
        }
    }

    /// What takes memory, and how many bytes.
    #[must_use]
    pub fn memory(&self) -> Vec<(&'static str, usize)> {
        let [lowest, above] = self.links.as_ref().map_or([0, 0], |links| links.bytes());
        vec![
            ("embeddings", self.vectors.bytes()),
            ("links", lowest),
            ("links of higher layers", above),
            ("which embeddings are equal", self.equal.bytes()),
            ("which rows are removed", self.removed.bytes()),
        ]
    }

    /// Whether a rebuild from the live rows is worthwhile: many rows are removed.
    #[must_use]
    pub fn wants_rebuilding(&self) -> bool {
        let removed = self.rows() - self.live;
        removed > FEW_REMOVED + self.live / 3
    }

    /// The `k` nearest embeddings, found along the links.
    #[must_use]
    pub fn nearest(&self, values: &[i32], k: usize) -> Vec<Neighbour> {
        let links = match &self.links {
            Some(links) if self.live >= EXACT_BELOW => links,
            _ => return self.nearest_exact(values, k),
        };
        let query = self.vectors.query(values);
        let count = CANDIDATES_AT_SEARCH.max(k.saturating_mul(2)).min(self.rows());
        // Whatever the links, an embedding that is stored is found.
        let own = self.equal.find(&self.vectors, values);
        let linked = links.nearest(
            count,
            own.filter(|row| (*row as usize) < links.rows()),
            |row| self.vectors.rough_cosine(&query, row),
            |row| self.vectors.prefetch(row),
            |row| self.is_live(row),
        );
        let linked = linked.into_iter().map(|key| key.row() as usize);
        let fresh = (links.rows()..self.rows()).filter(|row| self.is_live(*row));
        let found = linked.chain(fresh).map(|row| Neighbour {
            index: row,
            similarity: self.vectors.cosine(&query, row),
        });
        nearest_first(found.collect(), k)
    }

    /// The `k` nearest embeddings, by exact search.
    #[must_use]
    pub fn nearest_exact(&self, values: &[i32], k: usize) -> Vec<Neighbour> {
        self.nearest_among(values, k, 0..self.rows(), |_| true)
    }

    /// The `k` nearest embeddings of those among `rows` for which `passes` is true, by exact search.
    pub fn nearest_among(
        &self,
        values: &[i32],
        k: usize,
        rows: impl Iterator<Item = usize>,
        passes: impl Fn(usize) -> bool,
    ) -> Vec<Neighbour> {
        let query = self.vectors.query(values);
        self.vectors
            .nearest(&query, k, rows, |row| self.is_live(row) && passes(row))
    }
}
