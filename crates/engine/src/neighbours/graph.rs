//! The graph over 8-bit copies of the embeddings: who is linked to whom.
//!
//! `hnsw_rs` is named in this file alone. It exits or panics on NaN, unequal lengths, filters that let nothing through
//! and damaged dumps. None can reach it: values are integers, lengths are compared before, zero vectors get a defined
//! distance, its filters are not used, and a dump is loaded only after its caller has verified that it is, byte for byte,
//! one that this module wrote.

use std::path::Path;

use hnsw_rs::anndists::dist::Distance;
use hnsw_rs::api::AnnT;
use hnsw_rs::hnsw::{Hnsw, Neighbour};
use hnsw_rs::hnswio::HnswIo;

use super::NeighboursError;
use super::kernel::dot_i8;
use super::links::Links;

/// Links of each entry; twice as many in the lowest layer (Malkov and Yashunin 2018, section 4.1: 5 to 48).
pub const LINKS: usize = 16;
/// Candidates that are looked at for each insertion.
pub const CANDIDATES_AT_BUILD: usize = 120;
/// The library's own largest number of layers.
const GRAPH_LAYERS: usize = 16;

/// Entries and their links. Entries can be added while others search; none can be removed.
pub struct Graph(Hnsw<'static, i8, QuantisedCosine>);

impl std::fmt::Debug for Graph {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_tuple("Graph").field(&self.len()).finish()
    }
}

impl Graph {
    /// No entries yet; about `expected` will come.
    pub fn new(expected: usize) -> Self {
        let hnsw = Hnsw::new(
            LINKS,
            expected,
            GRAPH_LAYERS,
            CANDIDATES_AT_BUILD,
            QuantisedCosine,
        );
        Self(hnsw)
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.0.get_nb_point()
    }

    /// Adds row `index`. All rows have one length: callers have compared it.
    pub fn insert(&self, values: &[i32], index: usize) {
        self.0.insert((&quantised(values), index));
    }

    /// A copy of all links, to search in. There are rows `0..len`, and nothing may be inserted meanwhile.
    pub fn links(&self) -> Links {
        let mut links = vec![Vec::new(); self.len()];
        for point in self.0.get_point_indexation() {
            let layers = point.get_neighborhood_id();
            let height = usize::from(point.get_point_id().0) + 1;
            let row = |neighbour: &Neighbour| u32::try_from(neighbour.d_id).expect("rows are few enough");
            links[point.get_origin_id()] = layers
                .iter()
                .take(height)
                .map(|linked| linked.iter().map(row).collect())
                .collect();
        }
        Links::new(links)
    }

    /// About `count` rows that are near, by the library's own search.
    #[cfg(test)]
    pub fn candidates(&self, values: &[i32], count: usize) -> impl Iterator<Item = usize> {
        let found = self.0.search(&quantised(values), count, count);
        found.into_iter().map(|candidate| candidate.d_id)
    }

    /// Lets the library write its two files into `folder`; gives their names. Nothing may be inserted meanwhile.
    pub fn dump(&self, folder: &Path) -> Result<Vec<String>, NeighboursError> {
        let name = self
            .0
            .file_dump(folder, "graph")
            .map_err(|error| NeighboursError::Dump {
                reason: error.to_string(),
            })?;
        Ok(["graph", "data"]
            .map(|part| format!("{name}.hnsw.{part}"))
            .to_vec())
    }

    /// Takes up what [`Graph::dump`] wrote. The caller has verified the files.
    pub fn load(folder: &Path) -> Result<Self, NeighboursError> {
        // The library ties a graph to its reader's lifetime, though the graph owns its data: the reader, some hundred
        // bytes, is left for the life of the process.
        let reader: &'static mut HnswIo = Box::leak(Box::new(HnswIo::new(folder, "graph")));
        let hnsw = reader
            .load_hnsw_with_dist(QuantisedCosine)
            .map_err(|error| NeighboursError::Load {
                reason: error.to_string(),
            })?;
        Ok(Self(hnsw))
    }
}

/// Bytes that hold the norm behind the values of a quantised vector.
const NORM_BYTES: usize = 4;

/// Cosine distance of two quantised vectors: 0 for one direction, 2 for opposite ones, 1 where either is all zeros.
#[derive(Clone, Copy, Default)]
struct QuantisedCosine;

impl Distance<i8> for QuantisedCosine {
    fn eval(&self, a: &[i8], b: &[i8]) -> f32 {
        let (a, a_norm) = split(a);
        let (b, b_norm) = split(b);
        let scale = a_norm * b_norm;
        if scale == 0.0 {
            return 1.0;
        }
        // The library wants no negative distances; rounding could give one for equal directions.
        let cosine = dot_i8(a, b) as f32 / scale;
        (1.0 - cosine).max(0.0)
    }
}

fn split(vector: &[i8]) -> (&[i8], f32) {
    let (values, norm) = vector
        .split_last_chunk::<NORM_BYTES>()
        .expect("every quantised vector ends with its norm");
    (values, f32::from_le_bytes(norm.map(i8::cast_unsigned)))
}

/// An embedding scaled into 8 bits, its norm behind it. Small whole numbers, like spike counts, stay as they are.
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
        let graph = Graph::new(rows.len());
        rows.iter()
            .enumerate()
            .for_each(|(index, row)| graph.insert(row, index));
        let links = graph.links();
        assert_eq!(links.rows(), rows.len());
        let (mut theirs, mut ours) = (0.0, 0.0);
        for query in rows.iter().step_by(50) {
            let query = quantised(query);
            let similarity =
                |row: usize| 1.0 - f64::from(QuantisedCosine.eval(&query, &quantised(&rows[row])));
            let values: Vec<i32> = query[..16].iter().map(|&value| value.into()).collect();
            let sum = |found: &mut dyn Iterator<Item = usize>| -> f64 {
                let mut found: Vec<f64> = found.map(similarity).collect();
                found.sort_by(|a, b| b.total_cmp(a));
                found[..10].iter().sum()
            };
            theirs += sum(&mut graph.candidates(&values, 64));
            ours += sum(&mut links.nearest(64, similarity, |_| {}));
        }
        assert!(ours >= theirs - 1e-3, "{ours} against {theirs}");
    }

    #[test]
    fn zero_vectors_have_a_defined_distance() {
        let zeros = quantised(&[0; 8]);
        let ones = quantised(&[1; 8]);
        assert_eq!(QuantisedCosine.eval(&zeros, &ones), 1.0);
        assert_eq!(QuantisedCosine.eval(&ones, &ones), 0.0);
    }
}
