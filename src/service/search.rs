//! Embedding → neighbours → products.

use super::ServiceError;
use super::index::{Entry, Index};
use crate::catalogue::Product;
use crate::catalogue::filter::Filter;
use crate::catalogue::store::Reader;
use crate::embedding::is_zero;
use crate::neighbours::Neighbour;

/// What a search may choose.
#[derive(Debug, Clone, PartialEq)]
pub struct SearchOptions {
    /// 1 to 100.
    pub k: usize,
    /// Products below it are left out; -1 to 1.
    pub min_score: Option<f64>,
    /// Compare with every embedding instead of asking the graph.
    pub exact: bool,
    /// Only products that pass are given.
    pub filter: Option<Filter>,
}

/// With fewer than one in so many entries passing a filter, they are compared one by one; the graph would have to look
/// at as many to find them.
const RARE: usize = 8;

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
            filter: None,
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
    options: &SearchOptions,
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
    let entries = index.entries.len();
    let passing = options.filter.as_ref().map(|filter| index.passing(filter));
    let among = passing.as_ref().map_or(entries, |passing| passing.count);
    let passes = |entry: usize| passing.as_ref().is_none_or(|passing| passing.has(entry));
    let mut exact = options.exact || among < entries / RARE;
    let mut wanted = options.k;
    loop {
        let found = if exact {
            index.neighbours.nearest_among(embedding, wanted, passes)
        } else {
            // So many of all that about as many as are wanted pass.
            let ahead = wanted.saturating_mul(entries.div_ceil(among.max(1)));
            let mut found = index.neighbours.nearest(embedding, ahead.min(entries));
            found.retain(|neighbour| passes(neighbour.index));
            found
        };
        let matches = products(index, reader, &found, options)?;
        let below = |neighbour: &Neighbour| {
            options
                .min_score
                .is_some_and(|least| neighbour.similarity < least)
        };
        if matches.len() == options.k || found.last().is_some_and(below) || (exact && wanted >= among) {
            return Ok(matches);
        }
        // Several pictures of one product take several places: look further until k products are there. A graph need not
        // lead to every entry; comparing does.
        exact |= wanted >= among;
        wanted = wanted.saturating_mul(4).min(among.max(1));
    }
}

/// The first `k` products of `found`, each with its best picture.
fn products(
    index: &Index,
    reader: &Reader,
    found: &[Neighbour],
    options: &SearchOptions,
) -> Result<Vec<Match>, ServiceError> {
    let mut matches: Vec<Match> = Vec::with_capacity(options.k);
    let mut seen = Vec::with_capacity(options.k);
    for neighbour in found {
        let Entry { picture, product, .. } = index.entries[neighbour.index];
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
    Ok(matches)
}
