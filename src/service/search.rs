//! Embedding → neighbours → products.

use super::ServiceError;
use super::index::{Entry, Index};
use crate::catalogue::filter::Filter;
use crate::catalogue::store::Reader;
use crate::catalogue::{Product, ProductKey};
use engine::embedding::is_zero;
use engine::neighbours::Neighbour;
use engine::neighbours::exact::nearest_first;

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
/// With at least that share passing, the graph is asked first, and only what it leads to is asked whether it passes.
const COMMON: f64 = 0.05;

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
    let round = Round {
        index,
        reader,
        embeddings,
        without,
        options,
    };
    if let Some(filter) = &options.filter
        && !options.exact
        && index.neighbours.has_graph()
    {
        let share = index.share(filter);
        if share >= COMMON {
            // Those that are met on the way are asked, and nobody else: with a few more than should do.
            let ahead = (options.k as f64 * 1.5 / share).ceil() as usize + 16;
            let passes = |row: usize| index.passes(row, filter);
            let (matches, all_known) = round.look(Way::Graph { ahead }, options.k, &passes)?;
            if matches.len() == options.k || all_known {
                return Ok(matches);
            }
        }
    }
    let entries = index.neighbours.live();
    let passing = options.filter.as_ref().map(|filter| index.passing(filter));
    let among = passing.as_ref().map_or(entries, |passing| passing.count);
    let passes = |row: usize| passing.as_ref().is_none_or(|passing| passing.has(row));
    let mut exact = options.exact || among < entries / RARE;
    let mut wanted = options.k;
    loop {
        let way = if exact {
            Way::Exact
        } else {
            // So many of all that about as many as are wanted pass.
            let ahead = wanted.saturating_mul(entries.div_ceil(among.max(1)));
            Way::Graph { ahead }
        };
        let (matches, all_known) = round.look(way, wanted, &passes)?;
        if matches.len() == options.k || all_known || (exact && wanted >= among) {
            return Ok(matches);
        }
        // Several pictures of one product take several places: look further until k products are there. A graph need not
        // lead to every entry; comparing does.
        exact |= wanted >= among;
        wanted = wanted.saturating_mul(4).min(among.max(1));
    }
}

/// How the nearest are found.
#[derive(Debug, Clone, Copy)]
enum Way {
    /// So many nearest of all; those that pass are kept.
    Graph { ahead: usize },
    /// Everything that passes is compared.
    Exact,
}

/// What every look of one search goes by.
struct Round<'a> {
    index: &'a Index,
    reader: &'a Reader,
    embeddings: &'a [Vec<i32>],
    without: &'a [ProductKey],
    options: &'a SearchOptions,
}

impl Round<'_> {
    /// The matches among the `wanted` nearest rows that pass, and whether there are no others, however far one looks.
    fn look(
        &self,
        way: Way,
        wanted: usize,
        passes: &dyn Fn(usize) -> bool,
    ) -> Result<(Vec<Match>, bool), ServiceError> {
        let Self { index, options, .. } = self;
        let passes = |row: usize| passes(row) && !self.without.contains(&index.entry(row).product);
        let mut found = Vec::new();
        // What lies below the last of a list that could be longer is not known.
        let mut known_from = f64::NEG_INFINITY;
        for embedding in self.embeddings {
            let nearest = match way {
                Way::Exact => index.neighbours.nearest_among(embedding, wanted, passes),
                Way::Graph { ahead } => {
                    let ahead = ahead.min(index.neighbours.live());
                    let mut nearest = index.neighbours.nearest(embedding, ahead);
                    nearest.retain(|neighbour| passes(neighbour.index));
                    nearest
                }
            };
            let whole = matches!(way, Way::Exact) && nearest.len() < wanted;
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
        let matches = products(index, self.reader, &found[..known], options)?;
        Ok((matches, floor > known_from || known_from == f64::NEG_INFINITY))
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
