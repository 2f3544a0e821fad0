//! Embedding → neighbours → products.

use super::ServiceError;
use super::index::Index;
use crate::catalogue::Product;
use crate::catalogue::store::Reader;
use crate::embedding::is_zero;

/// What a search may choose.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SearchOptions {
    /// 1 to 100.
    pub k: usize,
    /// Products below it are left out; -1 to 1.
    pub min_score: Option<f64>,
    /// Compare with every embedding instead of asking the graph.
    pub exact: bool,
}

impl SearchOptions {
    /// The most products that one search gives.
    pub const MOST: usize = 100;
}

impl Default for SearchOptions {
    fn default() -> Self {
        Self {
            k: 10,
            min_score: None,
            exact: false,
        }
    }
}

/// A product that was found, with the picture of it that is nearest.
#[derive(Debug, Clone)]
pub struct Match {
    pub product: Product,
    pub picture_id: String,
    /// Cosine, -1 to 1.
    pub score: f64,
}

/// The products whose pictures are nearest, each once, with its best picture.
pub fn search(
    index: &Index,
    reader: &Reader,
    embedding: &[i32],
    options: SearchOptions,
) -> Result<Vec<Match>, ServiceError> {
    let dimensions = index.neighbours.vectors().dimensions();
    if embedding.len() != dimensions {
        return Err(ServiceError::Dimensions {
            given: embedding.len(),
            wanted: dimensions,
        });
    }
    if is_zero(embedding) {
        return Err(ServiceError::EmptyEmbedding);
    }
    let mut matches: Vec<Match> = Vec::with_capacity(options.k);
    let mut wanted = options.k;
    loop {
        let found = if options.exact {
            index.neighbours.nearest_exact(embedding, wanted)
        } else {
            index.neighbours.nearest(embedding, wanted)
        };
        matches.clear();
        let mut seen = Vec::with_capacity(options.k);
        for neighbour in &found {
            let (picture, product) = index.entries[neighbour.index];
            let below = options
                .min_score
                .is_some_and(|least| neighbour.similarity < least);
            if below || matches.len() == options.k {
                break;
            }
            if seen.contains(&product) {
                continue;
            }
            seen.push(product);
            if let Some((product, picture_id)) = reader.product(product, picture)? {
                matches.push(Match {
                    product,
                    picture_id,
                    score: neighbour.similarity,
                });
            }
        }
        // Several pictures of one product take several places: look further until k products are there.
        let last = found.last().map(|neighbour| neighbour.similarity);
        let exhausted = wanted >= index.entries.len()
            || options
                .min_score
                .is_some_and(|least| last.is_some_and(|last| last < least));
        if matches.len() == options.k || exhausted {
            return Ok(matches);
        }
        wanted = wanted.saturating_mul(4).min(index.entries.len());
    }
}
