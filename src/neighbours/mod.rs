//! Who is nearest: embeddings in, [`Neighbour`]s by cosine out.
//!
//! A graph (`hnsw_rs`) over 8-bit copies proposes candidates; [`exact`] re-ranks them in whole numbers, so that a
//! similarity never depends on the graph. The graph is a cache of the stored embeddings. Absent: products, and every
//! file but the graph library's own dump.
//!
//! The library exits or panics on NaN, unequal lengths and damaged dumps. None can reach it: values are integers,
//! lengths are compared before, zero vectors get a defined distance, and a dump is loaded only after its caller has
//! verified that it is, byte for byte, one that this module wrote.

pub mod exact;
pub mod products;
pub mod quality;

use std::path::Path;

use hnsw_rs::anndists::dist::Distance;
use hnsw_rs::api::AnnT;
use hnsw_rs::hnsw::Hnsw;
use hnsw_rs::hnswio::HnswIo;
use thiserror::Error;

use exact::{Vectors, dot_i8, nearest_first};

/// A stored embedding and how near it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Neighbour {
    /// Which stored embedding, in the order in which they were pushed.
    pub index: usize,
    /// Cosine, -1 to 1.
    pub similarity: f64,
}

/// Why a graph could not be kept or taken up again.
#[derive(Debug, Error)]
pub enum NeighboursError {
    #[error("the graph could not be written: {reason}")]
    Dump { reason: String },
    #[error("the kept graph is of no use: {reason}")]
    Load { reason: String },
}

/// Links of each entry; twice as many in the lowest layer (Malkov and Yashunin 2018, section 4.1: 5 to 48).
pub const LINKS: usize = 16;
/// Candidates that are looked at for each insertion.
pub const CANDIDATES_AT_BUILD: usize = 120;
/// Candidates that a search looks at, at least; all are re-ranked.
pub const CANDIDATES_AT_SEARCH: usize = 96;
/// The library's own largest number of layers.
const GRAPH_LAYERS: usize = 16;
/// Below this many embeddings the exact search is as quick as the graph.
pub const EXACT_BELOW: usize = 2048;

/// Changes whenever an older dump must not be loaded.
pub const GRAPH_FORMAT: &str = "hnsw_rs-0.3 i8+norm M16 ef120";

/// Stored embeddings with their graph.
pub struct Neighbours {
    vectors: Vectors,
    /// None while there are few.
    graph: Option<Hnsw<'static, i8, QuantisedCosine>>,
}

impl std::fmt::Debug for Neighbours {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Neighbours")
            .field("embeddings", &self.vectors.len())
            .field("dimensions", &self.vectors.dimensions())
            .field("graph", &self.graph.is_some())
            .finish()
    }
}

impl Neighbours {
    /// Builds the graph on `threads` threads; `progress` is told of every embedding that is in.
    pub fn build(vectors: Vectors, threads: usize, progress: &(dyn Fn(usize) + Sync)) -> Self {
        if vectors.len() < EXACT_BELOW {
            progress(vectors.len());
            return Self { vectors, graph: None };
        }
        let graph = Hnsw::new(
            LINKS,
            vectors.len(),
            GRAPH_LAYERS,
            CANDIDATES_AT_BUILD,
            QuantisedCosine,
        );
        // The first thousand go in one by one: threads that start on an empty graph would miss one another.
        let alone = 1000.min(vectors.len());
        for index in 0..alone {
            graph.insert((&quantised(&vectors.row(index)), index));
            progress(1);
        }
        let next = std::sync::atomic::AtomicUsize::new(alone);
        std::thread::scope(|scope| {
            for _ in 0..threads.max(1) {
                scope.spawn(|| {
                    loop {
                        let index = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        if index >= vectors.len() {
                            break;
                        }
                        graph.insert((&quantised(&vectors.row(index)), index));
                        progress(1);
                    }
                });
            }
        });
        Self {
            vectors,
            graph: Some(graph),
        }
    }

    /// The stored embeddings.
    pub fn vectors(&self) -> &Vectors {
        &self.vectors
    }

    /// Whether searches go through a graph; few embeddings are searched exactly.
    pub fn has_graph(&self) -> bool {
        self.graph.is_some()
    }

    /// The `k` nearest embeddings, found through the graph and re-ranked exactly.
    pub fn nearest(&self, values: &[i32], k: usize) -> Vec<Neighbour> {
        let query = self.vectors.query(values);
        let Some(graph) = &self.graph else {
            return self.vectors.nearest(&query, k, |_| true);
        };
        let candidates = CANDIDATES_AT_SEARCH.max(2 * k);
        let found = graph
            .search(&quantised(values), candidates, candidates)
            .into_iter()
            .map(|candidate| Neighbour {
                index: candidate.d_id,
                similarity: self.vectors.cosine(&query, candidate.d_id),
            });
        nearest_first(found.collect(), k)
    }

    /// The `k` nearest embeddings, compared with every one.
    pub fn nearest_exact(&self, values: &[i32], k: usize) -> Vec<Neighbour> {
        self.nearest_among(values, k, |_| true)
    }

    /// The `k` nearest embeddings of those that pass, compared with every one of them.
    pub fn nearest_among(&self, values: &[i32], k: usize, passes: impl Fn(usize) -> bool) -> Vec<Neighbour> {
        let query = self.vectors.query(values);
        self.vectors.nearest(&query, k, passes)
    }

    /// Lets the graph library write its two files into `folder`; gives their names, none where there is no graph.
    pub fn dump(&self, folder: &Path) -> Result<Vec<String>, NeighboursError> {
        let Some(graph) = &self.graph else {
            return Ok(Vec::new());
        };
        let name = graph
            .file_dump(folder, "graph")
            .map_err(|error| NeighboursError::Dump {
                reason: error.to_string(),
            })?;
        Ok(["graph", "data"]
            .map(|part| format!("{name}.hnsw.{part}"))
            .to_vec())
    }

    /// Takes up a graph that [`Neighbours::dump`] wrote over the same embeddings. The caller has verified the files.
    pub fn load(vectors: Vectors, folder: &Path) -> Result<Self, NeighboursError> {
        // The library ties a graph to its reader's lifetime, though the graph owns its data: the reader, some hundred
        // bytes, is left for the life of the process.
        let reader: &'static mut HnswIo = Box::leak(Box::new(HnswIo::new(folder, "graph")));
        let graph: Hnsw<'static, i8, QuantisedCosine> =
            reader
                .load_hnsw_with_dist(QuantisedCosine)
                .map_err(|error| NeighboursError::Load {
                    reason: error.to_string(),
                })?;
        if graph.get_nb_point() != vectors.len() {
            return Err(NeighboursError::Load {
                reason: format!(
                    "it has {} entries for {} embeddings",
                    graph.get_nb_point(),
                    vectors.len()
                ),
            });
        }
        Ok(Self {
            vectors,
            graph: Some(graph),
        })
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
        let loaded = Neighbours::load(spread(2500, 8), folder.path()).unwrap();
        for index in [0, 77, 2499] {
            let query = built.vectors().row(index);
            assert_eq!(built.nearest(&query, 20), loaded.nearest(&query, 20));
        }
        assert!(Neighbours::load(spread(2501, 8), folder.path()).is_err());
    }

    #[test]
    fn zero_vectors_have_a_defined_distance() {
        let zeros = quantised(&[0; 8]);
        let ones = quantised(&[1; 8]);
        assert_eq!(QuantisedCosine.eval(&zeros, &ones), 1.0);
        assert_eq!(QuantisedCosine.eval(&ones, &ones), 0.0);
    }
}
