//! From embeddings to their neighbours, and from those to products.
//!
//! The index is locked only while it is searched, never while products are read from the database: a slow disk must not
//! hold up writes.

use engine::embedding::is_zero;
use parking_lot::RwLock;

use super::index::{Entry, Index};
use super::keys::ProductKey;
use super::reader::Reader;
use crate::catalogue::error::CatalogueError;
use crate::catalogue::filter::Filter;
use crate::catalogue::search::{Match, Nearest};

/// If fewer than 1 in `RARE` entries pass a filter, those that pass are compared one by one: the graph would have to visit
/// as many to find them.
const RARE: usize = 8;
/// If at least this share passes, the graph is walked first, and only the entries that it visits are filtered.
const COMMON: f64 = 0.05;

/// The products whose pictures are nearest to one of the embeddings, each once, with its best picture.
pub fn nearest(
    index: &RwLock<Index>,
    reader: &Reader,
    search: &Nearest,
) -> Result<Vec<Match>, CatalogueError> {
    let without: Vec<ProductKey> = search
        .without
        .iter()
        .filter_map(|id| reader.key(id).transpose())
        .collect::<Result<_, _>>()?;
    let round = Round {
        index,
        reader,
        search,
        without,
    };
    let options = &search.options;
    let (entries, common) = {
        let index = index.read();
        check(search, index.neighbours.vectors().dimensions())?;
        let entries = index.neighbours.live();
        let graph = index.neighbours.has_graph() && !options.exact;
        let filter = options.filter.as_ref().filter(|_| graph);
        let share = filter.map(|filter| index.share(filter));
        (entries, share.filter(|share| *share >= COMMON))
    };
    if let Some(share) = common {
        // Slightly more than should be needed.
        let ahead = (options.k as f64 * 1.5 / share).ceil() as usize + 16;
        let look = round.look(Way::Visited { ahead }, options.k)?;
        if look.matches.len() == options.k || look.complete {
            return Ok(look.matches);
        }
    }
    let among = match &options.filter {
        Some(filter) => index.read().passing(filter).count,
        None => entries,
    };
    let mut exact = options.exact || among < entries / RARE;
    let mut wanted = options.k;
    loop {
        let way = if exact {
            Way::Exact
        } else {
            // So many neighbours that about as many as are wanted pass.
            let ahead = wanted.saturating_mul(entries.div_ceil(among.max(1)));
            Way::Graph { ahead }
        };
        let look = round.look(way, wanted)?;
        if look.matches.len() == options.k || look.complete || (exact && wanted >= among) {
            return Ok(look.matches);
        }
        // Several pictures of one product take several places: look further until k products are found. A graph need not
        // lead to every entry; comparing does.
        exact |= wanted >= among;
        wanted = wanted.saturating_mul(4).min(among.max(1));
    }
}

fn check(search: &Nearest, wanted: usize) -> Result<(), CatalogueError> {
    for embedding in &search.embeddings {
        if embedding.len() != wanted {
            let given = embedding.len();
            return Err(CatalogueError::Dimensions { given, wanted });
        }
        if is_zero(embedding) {
            return Err(CatalogueError::EmptyEmbedding);
        }
    }
    Ok(())
}

/// How the nearest rows are found.
#[derive(Debug, Clone, Copy)]
enum Way {
    /// The `ahead` nearest by the graph; those are kept whose products are known to pass.
    Graph { ahead: usize },
    /// As [`Way::Graph`], but only the entries that the graph visited are filtered.
    Visited { ahead: usize },
    /// Everything that passes is compared.
    Exact,
}

/// What one look found.
struct Look {
    matches: Vec<Match>,
    /// Whether there are no other matches, however far one looks.
    complete: bool,
}

/// One row that was found.
struct Found {
    row: usize,
    entry: Entry,
    score: f64,
    /// Empty where matches do not carry their embeddings.
    embedding: Vec<i32>,
}

/// What the looks of one search have in common.
struct Round<'a> {
    index: &'a RwLock<Index>,
    reader: &'a Reader,
    search: &'a Nearest,
    without: Vec<ProductKey>,
}

impl Round<'_> {
    /// The matches among the `wanted` nearest rows that pass.
    fn look(&self, way: Way, wanted: usize) -> Result<Look, CatalogueError> {
        let (found, known_from) = self.rows(way, wanted);
        let options = &self.search.options;
        let floor = known_from.max(options.min_score.unwrap_or(f64::NEG_INFINITY));
        let known = found.partition_point(|found| found.score >= floor);
        Ok(Look {
            matches: self.products(found.into_iter().take(known))?,
            complete: floor > known_from || known_from == f64::NEG_INFINITY,
        })
    }

    /// The rows that were found, best first, and the score below which there may be others.
    fn rows(&self, way: Way, wanted: usize) -> (Vec<Found>, f64) {
        let index = self.index.read();
        let filter = self.search.options.filter.as_ref();
        let passing = match way {
            Way::Visited { .. } => None,
            Way::Graph { .. } | Way::Exact => filter.map(|filter| index.passing(filter)),
        };
        let passes = |row: usize| {
            let passes = match (&passing, filter) {
                (Some(passing), _) => passing.has(row),
                (None, Some(filter)) => index.passes(row, filter),
                (None, None) => true,
            };
            passes && !self.without.contains(&index.entry(row).product)
        };
        let mut found = Vec::new();
        // What lies below the last one of a list that could be longer is not known.
        let mut known_from = f64::NEG_INFINITY;
        for embedding in &self.search.embeddings {
            let nearest = match way {
                Way::Exact => index.neighbours.nearest_among(embedding, wanted, passes),
                Way::Graph { ahead } | Way::Visited { ahead } => {
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
            found.extend(nearest.into_iter().map(|neighbour| Found {
                row: neighbour.index,
                entry: index.entry(neighbour.index),
                score: neighbour.similarity,
                embedding: match self.search.with_embeddings {
                    true => index.neighbours.vectors().row(neighbour.index),
                    false => Vec::new(),
                },
            }));
        }
        found.sort_unstable_by(|a, b| b.score.total_cmp(&a.score).then(a.row.cmp(&b.row)));
        (found, known_from)
    }

    /// The first `k` products of `found`, each with its best picture.
    fn products(&self, found: impl Iterator<Item = Found>) -> Result<Vec<Match>, CatalogueError> {
        let options = &self.search.options;
        let _moment = self.reader.moment()?;
        let mut matches: Vec<Match> = Vec::with_capacity(options.k);
        let mut seen = Vec::with_capacity(options.k);
        for found in found {
            if matches.len() == options.k {
                break;
            }
            let Entry { picture, product } = found.entry;
            if seen.contains(&product) {
                continue;
            }
            seen.push(product);
            let Some((product, pictures)) = self.reader.product(product)? else {
                continue;
            };
            // A write may be committed that the index does not have yet: the answer is as the database has it now.
            let passes = |filter: &Filter| filter.holds(product.attributes.as_map());
            if !options.filter.as_ref().is_none_or(passes) {
                continue;
            }
            if let Some(place) = pictures.iter().position(|key| *key == picture) {
                matches.push(Match {
                    picture_id: product.pictures[place].id.clone(),
                    product,
                    score: found.score,
                    embedding: found.embedding,
                });
            }
        }
        Ok(matches)
    }
}
