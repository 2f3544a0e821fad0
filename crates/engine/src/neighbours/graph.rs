//! The HNSW graph, built over 8-bit copies of the embeddings, of which only the links are kept.
//!
//! Only this file uses `hnsw_rs`. It exits or panics on NaN, unequal lengths and filters that pass nothing. None of these can
//! reach it: values are integers, lengths are checked before, zero vectors have a defined distance, and its filters are not
//! used.

use std::sync::atomic::{AtomicUsize, Ordering};

use hnsw_rs::anndists::dist::Distance;
use hnsw_rs::hnsw::{Hnsw, Neighbour};

use super::exact::Vectors;
use super::kernel::Kernel;
use super::links::Links;

/// Links per entry; twice as many in the lowest layer (Malkov and Yashunin 2018, section 4.1: 5 to 48).
const LINKS: usize = 16;
/// Candidates examined per insertion.
const CANDIDATES_AT_BUILD: usize = 120;
/// The library's largest number of layers.
const GRAPH_LAYERS: usize = 16;
/// So many rows are inserted by one thread first: concurrent insertions into an empty graph would not see one another.
const ALONE: usize = 1000;

/// Builds the library's graph over some rows on `threads` threads and returns its links; calls `progress(1)` for each row.
/// The other rows have no links. There must be at least one row.
pub fn build(vectors: &Vectors, rows: &[u32], threads: usize, progress: &(dyn Fn(usize) + Sync)) -> Links {
    let graph = Graph::new(rows.len());
    let insert = |row: &u32| {
        graph.insert(&vectors.row(*row as usize), *row as usize);
        progress(1);
    };
    let (first, rest) = rows.split_at(rows.len().min(ALONE));
    first.iter().for_each(insert);
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                while let Some(row) = rest.get(next.fetch_add(1, Ordering::Relaxed)) {
                    insert(row);
                }
            });
        }
    });
    graph.links(vectors.len())
}

/// Entries and their links.
struct Graph(Hnsw<'static, i8, QuantisedCosine>);

impl Graph {
    /// An empty graph for about `expected` entries.
    fn new(expected: usize) -> Self {
        let hnsw = Hnsw::new(
            LINKS,
            expected,
            GRAPH_LAYERS,
            CANDIDATES_AT_BUILD,
            QuantisedCosine::default(),
        );
        Self(hnsw)
    }

    /// Adds row `index`. All rows must have one length.
    fn insert(&self, values: &[i32], index: usize) {
        self.0.insert((&quantised(values), index));
    }

    /// All links. Nothing may be inserted during the call.
    fn links(&self, rows: usize) -> Links {
        let number = |row: usize| u32::try_from(row).expect("rows are numbered in 32 bits");
        let linked = self.0.get_point_indexation().into_iter().map(|point| {
            let layers = point.get_neighborhood_id();
            let height = usize::from(point.get_point_id().0) + 1;
            let row = |neighbour: &Neighbour| number(neighbour.d_id);
            let layers = layers.iter().take(height);
            let layers = layers.map(|linked| linked.iter().map(row).collect());
            (number(point.get_origin_id()), layers.collect())
        });
        Links::new(rows, linked.collect())
    }

    /// About `count` rows that are near, by the library's own search.
    #[cfg(test)]
    fn candidates(&self, values: &[i32], count: usize) -> impl Iterator<Item = usize> {
        let found = self.0.search(&quantised(values), count, count);
        found.into_iter().map(|candidate| candidate.d_id)
    }
}

/// Bytes of the norm that follows the values of a quantised vector.
const NORM_BYTES: usize = 4;

/// Cosine distance of two quantised vectors: 0 for equal directions, 2 for opposite ones, 1 if either is all zeros.
#[derive(Clone, Copy)]
struct QuantisedCosine {
    kernel: Kernel,
}

impl Default for QuantisedCosine {
    fn default() -> Self {
        Self {
            kernel: Kernel::detect(),
        }
    }
}

impl Distance<i8> for QuantisedCosine {
    fn eval(&self, a: &[i8], b: &[i8]) -> f32 {
        let (a, a_norm) = split(a);
        let (b, b_norm) = split(b);
        let scale = a_norm * b_norm;
        if scale == 0.0 {
            return 1.0;
        }
        // The library does not allow negative distances, which rounding could cause for equal directions.
        let cosine = self.kernel.dot_i8(a, b) as f32 / scale;
        (1.0 - cosine).max(0.0)
    }
}

fn split(vector: &[i8]) -> (&[i8], f32) {
    let (values, norm) = vector
        .split_last_chunk::<NORM_BYTES>()
        .expect("every quantised vector ends with its norm");
    (values, f32::from_le_bytes(norm.map(i8::cast_unsigned)))
}

/// An embedding scaled to 8 bits, followed by its norm. Small integers, such as spike counts, are not scaled.
fn quantised(values: &[i32]) -> Vec<i8> {
    let largest = values.iter().map(|value| value.unsigned_abs()).max().unwrap_or(0);
    let scale = if largest <= 127 {
        1.0
    } else {
        127.0 / f64::from(largest)
    };
    let mut vector: Vec<i8> = values
        .iter()
        // At most 127 in magnitude by the choice of the scale.
        .map(|&value| (f64::from(value) * scale).round() as i8)
        .collect();
    let square: i64 = vector.iter().map(|&value| i64::from(value).pow(2)).sum();
    let norm = (square as f64).sqrt() as f32;
    vector.extend(norm.to_le_bytes().map(u8::cast_signed));
    vector
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The library's search is the slow, obvious one: the walk along the copy finds at least as near rows.
    #[test]
    fn the_copied_links_lead_where_the_library_s_own_search_leads() {
        let rows: Vec<Vec<i32>> = (0..3000u64)
            .map(|row| {
                let spread =
                    |axis: u64| (row * 7919 + axis * 104_729).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 57;
                (0..16)
                    .map(|axis| i32::try_from(spread(axis)).unwrap() - 40)
                    .collect()
            })
            .collect();
        let distance = QuantisedCosine::default();
        let graph = Graph::new(rows.len());
        rows.iter()
            .enumerate()
            .for_each(|(index, row)| graph.insert(row, index));
        let links = graph.links(rows.len());
        assert_eq!(links.rows(), rows.len());
        let (mut theirs, mut ours) = (0.0, 0.0);
        for query in rows.iter().step_by(50) {
            let query = quantised(query);
            let similarity = |row: usize| 1.0 - f64::from(distance.eval(&query, &quantised(&rows[row])));
            let values: Vec<i32> = query[..16].iter().map(|&value| value.into()).collect();
            let sum = |found: &mut dyn Iterator<Item = usize>| -> f64 {
                let mut found: Vec<f64> = found.map(similarity).collect();
                found.sort_by(|a, b| b.total_cmp(a));
                found[..10].iter().sum()
            };
            theirs += sum(&mut graph.candidates(&values, 64));
            let rough = |row: usize| similarity(row) as f32;
            let found = links.nearest(64, None, rough, |_| {}, |_| true);
            ours += sum(&mut found.into_iter().map(|key| key.row() as usize));
        }
        assert!(ours >= theirs - 1e-3, "{ours} against {theirs}");
    }

    #[test]
    fn zero_vectors_have_a_defined_distance() {
        let distance = QuantisedCosine::default();
        let zeros = quantised(&[0; 8]);
        let ones = quantised(&[1; 8]);
        assert_eq!(distance.eval(&zeros, &ones), 1.0);
        assert_eq!(distance.eval(&ones, &ones), 0.0);
    }
}
