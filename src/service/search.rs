//! Embedding → neighbours → products.

use super::ServiceError;
use super::index::{Entry, Index};
use crate::catalogue::filter::Filter;
use crate::catalogue::store::Reader;
use crate::catalogue::{Product, ProductKey};
use crate::embedding::is_zero;
use crate::neighbours::Neighbour;
use crate::neighbours::exact::nearest_first;

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
    /// Where that picture is in the index.
    pub row: usize,
    /// Cosine, -1 to 1.
    pub score: f64,
}

/// The products whose pictures are nearest to one of `embeddings`, each once, with its best picture; those of `without`
/// are left out.
pub fn search(
    index: &Index,
    reader: &Reader,
    embeddings: &[Vec<i32>],
    without: &[ProductKey],
    options: &SearchOptions,
) -> Result<Vec<Match>, ServiceError> {
    let dimensions = index.neighbours.vectors().dimensions();
    for embedding in embeddings {
        if embedding.len() != dimensions {
            return Err(ServiceError::Dimensions {
                given: embedding.len(),
                wanted: dimensions,
            });
        }
        if is_zero(embedding) {
            return Err(ServiceError::EmptyEmbedding);
        }
    }
    let entries = index.neighbours.live();
    let passing = options.filter.as_ref().map(|filter| index.passing(filter));
    let among = passing.as_ref().map_or(entries, |passing| passing.count);
    let passes = |entry: usize| {
        passing.as_ref().is_none_or(|passing| passing.has(entry))
            && !without.contains(&index.entry(entry).product)
    };
    let mut exact = options.exact || among < entries / RARE;
    let mut wanted = options.k;
    loop {
        let mut found = Vec::new();
        // What lies below the last of a list that could be longer is not known.
        let mut known_from = f64::NEG_INFINITY;
        for embedding in embeddings {
            let nearest = if exact {
                index.neighbours.nearest_among(embedding, wanted, passes)
            } else {
                // So many of all that about as many as are wanted pass.
                let ahead = wanted.saturating_mul(entries.div_ceil(among.max(1)));
                let mut nearest = index.neighbours.nearest(embedding, ahead.min(entries));
                nearest.retain(|neighbour| passes(neighbour.index));
                nearest
            };
            let whole = exact && nearest.len() < wanted;
            match nearest.last() {
                Some(last) if !whole => known_from = known_from.max(last.similarity),
                None if !whole => known_from = f64::INFINITY,
                _ => {}
            }
            found.extend(nearest);
        }
        let floor = known_from.max(options.min_score.unwrap_or(f64::NEG_INFINITY));
        let found = nearest_first(found, usize::MAX);
        let known = found.partition_point(|neighbour| neighbour.similarity >= floor);
        let matches = products(index, reader, &found[..known], options)?;
        let all_known = floor > known_from || known_from == f64::NEG_INFINITY;
        if matches.len() == options.k || all_known || (exact && wanted >= among) {
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
    let SearchOptions { k, filter, .. } = options;
    let k = *k;
    let _moment = reader.moment()?;
    let mut matches: Vec<Match> = Vec::with_capacity(k);
    let mut seen = Vec::with_capacity(k);
    for neighbour in found {
        if matches.len() == k {
            break;
        }
        let Entry { picture, product } = index.entry(neighbour.index);
        if seen.contains(&product) {
            continue;
        }
        seen.push(product);
        let Some((product, pictures)) = reader.product(product)? else {
            continue;
        };
        // A write may have been committed that the index has not heard of yet: what is given is as it is stored now.
        if filter
            .as_ref()
            .is_some_and(|filter| !filter.holds(&product.attributes))
        {
            continue;
        }
        if let Some(place) = pictures.iter().position(|key| *key == picture) {
            matches.push(Match {
                picture_id: product.pictures[place].id.clone(),
                row: neighbour.index,
                product,
                score: neighbour.similarity,
            });
        }
    }
    Ok(matches)
}
