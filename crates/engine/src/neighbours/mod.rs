//! Nearest-neighbour search by cosine. Embeddings can be added and removed during searches.
//!
//! A search follows a flat copy of the links of an HNSW graph, which is built over 8-bit copies of the embeddings, and
//! computes similarities from the embeddings themselves, in integers. Embeddings are numbered as rows. A new row is
//! found at once: it is compared exactly until it is linked into the graph and the copy of the links includes it. A
//! removed row stays in the graph, which cannot remove entries, and is skipped, until the caller builds a new index
//! without it. Absent: products, and files other than the dump of the graph library.

mod batch;
pub mod exact;
mod graph;
mod kernel;
mod links;
pub mod quality;

use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use exact::{Vectors, nearest_first};
use graph::Graph;
use links::Links;

pub use exact::Neighbour;
pub use graph::NeighboursError;

/// The smallest number of candidates that a search keeps.
pub const CANDIDATES_AT_SEARCH: usize = 96;
/// Below this many embeddings the exact search is as fast as the graph.
pub const EXACT_BELOW: usize = 2048;
/// The links are copied again when this many rows, or 1 in this many of all rows, are not in the copy, whichever is
/// more.
const UNCOPIED: (usize, usize) = (1024, 64);
/// Up to this many removed rows never justify a rebuild.
const FEW_REMOVED: usize = 1024;

/// Version of the dump; it changes whenever older dumps must not be loaded.
pub const GRAPH_FORMAT: &str = "hnsw_rs-0.3 i8+norm M16 ef120 rows";

/// Stored embeddings with their graph.
#[derive(Debug)]
pub struct Neighbours {
    vectors: Vectors,
    /// `[row]`: whether it was removed.
    removed: Vec<bool>,
    /// The number of rows that are not removed.
    live: usize,
    /// `None` while there are few rows.
    graph: Option<Arc<Graph>>,
    /// Rows before this one are in the graph.
    linked: AtomicUsize,
    /// The copy that searches use; later rows are compared one by one.
    links: RwLock<Option<Arc<Links>>>,
}

/// A row that is not in the graph yet. It can be linked without a lock on the index.
#[derive(Debug)]
pub struct Unlinked {
    graph: Arc<Graph>,
    values: Vec<i32>,
    row: usize,
}

impl Unlinked {
    /// Links it; call [`Neighbours::linked`] afterwards.
    pub fn link(&self) {
        self.graph.insert(&self.values, self.row);
    }
}

impl Neighbours {
    /// Builds the graph on `threads` threads; calls `progress` with the number of embeddings added since the last
    /// call.
    pub fn build(vectors: Vectors, threads: usize, progress: &(dyn Fn(usize) + Sync)) -> Self {
        let rows = vectors.len();
        let graph = (rows >= EXACT_BELOW).then(|| Arc::new(Graph::new(rows)));
        if graph.is_none() {
            progress(rows);
        }
        let built = Self {
            removed: vec![false; rows],
            live: rows,
            vectors,
            graph,
            linked: AtomicUsize::new(0),
            links: RwLock::new(None),
        };
        built.link_all(threads, progress);
        built
    }

    /// Loads a graph that [`Neighbours::dump`] wrote. It holds the first `linked` rows of `vectors`, some of which may
    /// have been removed since. The caller must have verified the files.
    ///
    /// # Errors
    /// [`NeighboursError::Load`] if the files cannot be read or do not hold `linked` rows.
    pub fn load(
        vectors: Vectors,
        removed: Vec<bool>,
        linked: usize,
        folder: &Path,
    ) -> Result<Self, NeighboursError> {
        let graph = Graph::load(folder)?;
        if graph.len() != linked || removed.len() != vectors.len() || linked > vectors.len() {
            return Err(NeighboursError::Load {
                reason: format!(
                    "it has {} entries for {linked} of {} embeddings",
                    graph.len(),
                    vectors.len()
                ),
            });
        }
        let loaded = Self {
            live: removed.iter().filter(|removed| !**removed).count(),
            vectors,
            removed,
            graph: Some(Arc::new(graph)),
            linked: AtomicUsize::new(linked),
            links: RwLock::new(None),
        };
        loaded.refresh_links();
        Ok(loaded)
    }

    /// The stored embeddings.
    pub fn vectors(&self) -> &Vectors {
        &self.vectors
    }

    /// The number of embeddings that are searched.
    pub fn live(&self) -> usize {
        self.live
    }

    /// The number of rows, removed ones included.
    pub fn rows(&self) -> usize {
        self.vectors.len()
    }

    /// Whether row `index` is not removed.
    pub fn is_live(&self, index: usize) -> bool {
        !self.removed[index]
    }

    /// Whether there is a graph; few embeddings are searched exactly.
    pub fn has_graph(&self) -> bool {
        self.graph.is_some()
    }

    /// Stores an embedding and returns its row; searches find it at once.
    ///
    /// # Panics
    /// If its length is not that of the others.
    pub fn push(&mut self, values: &[i32]) -> usize {
        self.vectors.push(values);
        self.removed.push(false);
        self.live += 1;
        self.vectors.len() - 1
    }

    /// Removes a row: it will match no search.
    pub fn remove(&mut self, index: usize) {
        if !std::mem::replace(&mut self.removed[index], true) {
            self.live -= 1;
        }
    }

    /// The number of rows that are not in the graph yet.
    pub fn unlinked(&self) -> usize {
        match self.graph {
            Some(_) => self.rows() - self.linked.load(Ordering::Acquire),
            None => 0,
        }
    }

    /// The next row to link. Only one thread may link at a time.
    pub fn next_unlinked(&self) -> Option<Unlinked> {
        let graph = self.graph.as_ref()?;
        let row = self.linked.load(Ordering::Acquire);
        (row < self.rows()).then(|| Unlinked {
            graph: Arc::clone(graph),
            values: self.vectors.row(row),
            row,
        })
    }

    /// Records that a row is in the graph.
    pub fn linked(&self, row: &Unlinked) {
        self.linked.store(row.row + 1, Ordering::Release);
        self.refresh_links();
    }

    fn links(&self) -> Option<Arc<Links>> {
        self.links.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Copies the links for searches if many rows were linked since the last copy. Nothing may be linked during the
    /// call.
    fn refresh_links(&self) {
        let linked = self.linked.load(Ordering::Acquire);
        let copied = self.links().map_or(0, |links| links.rows());
        let (least, share) = UNCOPIED;
        if linked - copied < least.max(linked / share) {
            return;
        }
        let links = self.graph.as_ref().map(|graph| Arc::new(graph.links()));
        *self.links.write().unwrap_or_else(PoisonError::into_inner) = links;
    }

    /// Links every row on `threads` threads; calls `progress(1)` for each.
    pub fn link_all(&self, threads: usize, progress: &(dyn Fn(usize) + Sync)) {
        let Some(graph) = &self.graph else { return };
        let first = self.linked.load(Ordering::Acquire);
        let link = |row: usize| {
            graph.insert(&self.vectors.row(row), row);
            progress(1);
        };
        // The first thousand are inserted by one thread: concurrent insertions into an empty graph would not see one
        // another.
        let alone = self.rows().min(first.max(1000));
        (first..alone).for_each(link);
        let next = AtomicUsize::new(alone);
        std::thread::scope(|scope| {
            for _ in 0..threads.max(1) {
                scope.spawn(|| {
                    loop {
                        let row = next.fetch_add(1, Ordering::Relaxed);
                        if row >= self.rows() {
                            break;
                        }
                        link(row);
                    }
                });
            }
        });
        self.linked.store(self.rows(), Ordering::Release);
        self.refresh_links();
    }

    /// Whether a rebuild from the live rows is worthwhile: many rows are removed, or there are enough rows for a graph
    /// and there is none.
    pub fn wants_rebuilding(&self) -> bool {
        let removed = self.rows() - self.live;
        removed > FEW_REMOVED + self.live / 3 || (self.graph.is_none() && self.live >= EXACT_BELOW)
    }

    /// The `k` nearest embeddings, found through the graph.
    pub fn nearest(&self, values: &[i32], k: usize) -> Vec<Neighbour> {
        let links = match self.links() {
            Some(links) if self.live >= EXACT_BELOW => links,
            _ => return self.nearest_exact(values, k),
        };
        let query = self.vectors.query(values);
        // Removed rows are among the candidates.
        let wanted = CANDIDATES_AT_SEARCH.max(k.saturating_mul(2));
        let removed = self.rows() - self.live;
        let wanted = wanted.saturating_add(wanted.saturating_mul(removed) / self.live);
        let found = links
            .nearest(
                wanted.min(self.rows()),
                |row| self.vectors.cosine(&query, row),
                |row| self.vectors.prefetch(row),
            )
            .chain(links.rows()..self.rows())
            .filter(|row| self.is_live(*row))
            .map(|row| Neighbour {
                index: row,
                similarity: self.vectors.cosine(&query, row),
            });
        nearest_first(found.collect(), k)
    }

    /// The `k` nearest embeddings, by exact search.
    pub fn nearest_exact(&self, values: &[i32], k: usize) -> Vec<Neighbour> {
        self.nearest_among(values, k, 0..self.rows(), |_| true)
    }

    /// The `k` nearest embeddings of those among `rows` for which `passes` is true, by exact search.
    pub fn nearest_among(
        &self,
        values: &[i32],
        k: usize,
        rows: Range<usize>,
        passes: impl Fn(usize) -> bool,
    ) -> Vec<Neighbour> {
        let query = self.vectors.query(values);
        self.vectors
            .nearest(&query, k, rows, |row| self.is_live(row) && passes(row))
    }

    /// Writes the graph library's two files to `folder` and returns their names; no names if there is no graph. Every
    /// row must be linked.
    ///
    /// # Errors
    /// [`NeighboursError::Dump`] if the files cannot be written or a row is not linked yet.
    pub fn dump(&self, folder: &Path) -> Result<Vec<String>, NeighboursError> {
        match &self.graph {
            None => Ok(Vec::new()),
            Some(_) if self.unlinked() > 0 => Err(NeighboursError::Dump {
                reason: format!("{} rows are not linked yet", self.unlinked()),
            }),
            Some(graph) => graph.dump(folder),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A deterministic spread of vectors around a few centres.
    fn spread(count: i32, dimensions: i32) -> Vectors {
        let mut vectors = Vectors::new(usize::try_from(dimensions).unwrap());
        for index in 0..count {
            let row: Vec<i32> = (0..dimensions)
                .map(|axis| {
                    let centre = (index % 7 * 31 + axis * 17) % 50;
                    centre + (index.wrapping_mul(7919) ^ axis.wrapping_mul(104_729)) % 13
                })
                .collect();
            vectors.push(&row);
        }
        vectors
    }

    #[test]
    fn the_graph_finds_what_the_exact_search_finds() {
        let neighbours = Neighbours::build(spread(3000, 24), 2, &|_| {});
        assert!(neighbours.has_graph());
        let mut total = 0.0;
        for index in (0..3000).step_by(100) {
            let query = neighbours.vectors().row(index);
            let ids = |found: Vec<Neighbour>| -> Vec<f64> {
                found.into_iter().map(|found| found.similarity).collect()
            };
            // Many of these are equally near: similarities are compared, not who they belong to.
            let exact = ids(neighbours.nearest_exact(&query, 10));
            let found = ids(neighbours.nearest(&query, 10));
            let hits = exact.iter().zip(&found).filter(|(e, f)| e == f).count();
            total += hits as f64 / 10.0;
            assert_eq!(found[0], exact[0]);
        }
        assert!(total / 30.0 > 0.97, "{total}");
    }

    #[test]
    fn a_kept_graph_answers_like_the_one_that_was_built() {
        let folder = tempfile::tempdir().unwrap();
        let built = Neighbours::build(spread(2500, 8), 1, &|_| {});
        let names = built.dump(folder.path()).unwrap();
        assert_eq!(names.len(), 2);
        let loaded = Neighbours::load(spread(2500, 8), vec![false; 2500], 2500, folder.path()).unwrap();
        for index in [0, 77, 2499] {
            let query = built.vectors().row(index);
            assert_eq!(built.nearest(&query, 20), loaded.nearest(&query, 20));
        }
        assert!(Neighbours::load(spread(2501, 8), vec![false; 2501], 2501, folder.path()).is_err());
    }

    /// How much of the exact answer the graph gives, over some of the live rows as queries.
    fn recall(neighbours: &Neighbours) -> f64 {
        let queries: Vec<usize> = (0..neighbours.rows())
            .step_by(97)
            .filter(|row| neighbours.is_live(*row))
            .collect();
        let hits: usize = queries
            .iter()
            .map(|row| {
                let query = neighbours.vectors().row(*row);
                let found = neighbours.nearest(&query, 10);
                assert!(found.iter().all(|found| neighbours.is_live(found.index)));
                let exact = neighbours.nearest_exact(&query, 10);
                // Equally near ones may stand for one another.
                let least = exact.last().unwrap().similarity;
                found.iter().filter(|found| found.similarity >= least).count()
            })
            .sum();
        hits as f64 / (10 * queries.len()) as f64
    }

    #[test]
    fn rows_that_come_and_go_are_found_and_gone_at_once_and_recall_stays() {
        let mut neighbours = Neighbours::build(scattered(4000, 0), 1, &|_| {});
        let fresh = scattered(2000, 4000);
        for round in 0..2000 {
            neighbours.remove(2 * round);
            let values = fresh.row(round);
            let row = neighbours.push(&values);
            let nearest = neighbours.nearest(&values, 1)[0];
            assert_eq!((nearest.index, nearest.similarity), (row, 1.0));
            if round % 3 == 0
                && let Some(unlinked) = neighbours.next_unlinked()
            {
                unlinked.link();
                neighbours.linked(&unlinked);
            }
        }
        assert_eq!((neighbours.live(), neighbours.rows()), (4000, 6000));
        assert!(neighbours.unlinked() > 1000);
        assert!(recall(&neighbours) >= 0.98);
        neighbours.link_all(2, &|_| {});
        assert_eq!(neighbours.unlinked(), 0);
        assert!(recall(&neighbours) >= 0.98);
        // Every live row being asked for, none that was removed comes back.
        let all = neighbours.nearest(&fresh.row(0), 6000);
        assert!(all.iter().all(|found| neighbours.is_live(found.index)));
        assert_eq!(neighbours.nearest_exact(&fresh.row(0), 6000).len(), 4000);
    }

    /// The figure that is promised: `cargo test --release --lib recall_after -- --ignored --nocapture`.
    #[test]
    #[ignore = "some minutes; the test above is its small sister"]
    fn recall_after_twenty_thousand_deletes_and_inserts() {
        let mut neighbours = Neighbours::build(scattered(60_000, 0), 2, &|_| {});
        let fresh = scattered(20_000, 60_000);
        for row in 0..20_000 {
            neighbours.remove(3 * row);
            neighbours.push(&fresh.row(row));
        }
        neighbours.link_all(1, &|_| {});
        let recall = recall(&neighbours);
        println!("recall@10 {recall:.4} after 20,000 deletes and 20,000 inserts");
        assert!(recall >= 0.98);
    }

    #[test]
    fn a_graph_that_lost_rows_is_taken_up_with_its_gaps() {
        let folder = tempfile::tempdir().unwrap();
        let mut built = Neighbours::build(scattered(3000, 0), 1, &|_| {});
        built.dump(folder.path()).unwrap();
        let mut vectors = built.vectors().clone();
        let mut removed = vec![false; 3000];
        for row in (0..3000).step_by(5) {
            removed[row] = true;
            built.remove(row);
        }
        for row in 0..10 {
            let values = scattered(10, 3000).row(row);
            vectors.push(&values);
            removed.push(false);
            built.push(&values);
        }
        assert!(built.dump(folder.path()).is_err(), "ten rows are not linked");
        let loaded = Neighbours::load(vectors, removed, 3000, folder.path()).unwrap();
        assert_eq!((loaded.live(), loaded.unlinked()), (2410, 10));
        for row in [1, 78, 3001] {
            let query = built.vectors().row(row);
            assert_eq!(built.nearest(&query, 20), loaded.nearest(&query, 20));
        }
    }

    #[test]
    fn building_anew_is_wanted_when_many_are_gone_or_enough_have_come() {
        let mut neighbours = Neighbours::build(scattered(2000, 0), 1, &|_| {});
        assert!(!neighbours.wants_rebuilding() && !neighbours.has_graph());
        for row in 0..100 {
            neighbours.push(&scattered(100, 2000).row(row));
        }
        assert!(neighbours.wants_rebuilding());
        let mut neighbours = Neighbours::build(scattered(2100, 0), 1, &|_| {});
        assert!(!neighbours.wants_rebuilding());
        (0..1500).for_each(|row| neighbours.remove(row));
        assert!(neighbours.wants_rebuilding());
        // Few live ones are compared one by one, whatever the graph holds.
        assert_eq!(neighbours.nearest(&scattered(1, 0).row(0), 1000).len(), 600);
    }

    /// Rows in all directions, reproducible: numbers of a linear congruential generator (Knuth, MMIX).
    fn scattered(count: usize, first: u64) -> Vectors {
        let mut vectors = Vectors::new(16);
        for index in 0..u64::try_from(count).unwrap() {
            let mut state = (first + index + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let row: Vec<i32> = (0..16)
                .map(|_| {
                    state = state
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1_442_695_040_888_963_407);
                    i32::try_from(state >> 57).unwrap() - 40
                })
                .collect();
            vectors.push(&row);
        }
        vectors
    }
}
