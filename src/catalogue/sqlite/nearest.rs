//! From embeddings to the nearest pictures and their products.
//!
//! The index is locked for a few milliseconds at a time, to walk the graph or to compare some of the rows, never while
//! products are filtered or read from the database: neither a large catalogue nor a slow disk holds up writes.

use std::collections::HashSet;
use std::sync::Arc;

use engine::neighbours::exact::{Neighbour, nearest_first};
use parking_lot::RwLock;

use super::index::{Index, Version};
use super::judge::{Judge, Keyed};
use super::keys::ProductKey;
use super::listing::Listing;
use super::passing::Passing;
use super::pictures::NOWHERE;
use super::reader::Reader;
use crate::admission::Work;
use crate::catalogue::error::CatalogueError;
use crate::catalogue::filter::Filter;
use crate::catalogue::ranking::Candidate;
use crate::catalogue::search::Nearest;

/// If fewer than 1 in `RARE` pictures pass a filter, those that pass are compared one by one: the graph would have to visit
/// as many to find them. So are those that are few: that takes no longer than a walk.
const RARE: usize = 8;
/// If at least this share passes a filter that is asked for the first time since a write, the graph is walked first, and only
/// the pictures that it visits are filtered.
const COMMON: f64 = 0.05;
/// Rows that are compared during one lock of the index.
const ROWS_AT_ONCE: usize = 16_384;

/// How the nearest rows are found.
#[derive(Debug, Clone, Copy)]
enum Way<'a> {
    /// The `ahead` nearest by the graph; those are kept whose products are known to pass.
    Graph { ahead: usize },
    /// As [`Way::Graph`], but only the pictures that the graph visited are filtered.
    Visited {
        ahead: usize,
        listing: &'a Listing,
        filter: &'a Keyed<'a>,
        version: Version,
    },
    /// Everything that passes is compared.
    Exact,
}

/// What one look found.
struct Look {
    /// Each product once.
    candidates: Vec<Candidate>,
    /// Whether there are no others, however far one looks.
    complete: bool,
}

/// The pictures that were found, best first, and the score below which there may be others.
struct Pictures {
    found: Vec<Candidate>,
    known_from: f64,
}

/// What the looks of one search have in common.
pub struct Round<'a> {
    pub index: &'a RwLock<Index>,
    pub reader: &'a Reader,
    pub search: &'a Nearest,
    pub work: &'a Work,
    /// Products that are left out.
    pub without: Vec<ProductKey>,
}

impl Round<'_> {
    /// The nearest products that pass, best first: `count` of them, or all.
    pub fn candidates(&self, count: usize) -> Result<Vec<Candidate>, CatalogueError> {
        let options = &self.search.options;
        let (pictures, listing) = {
            let index = self.index.read();
            let graph = index.has_graph() && !options.exact;
            let is_new =
                |filter: &Filter| index.known_passing(filter).is_none() && !index.asked_before(filter);
            let listing = graph && options.filter.as_ref().is_some_and(is_new);
            let listing = listing.then(|| (index.listing(), index.version()));
            (index.pictures.len(), listing)
        };
        if let (Some((listing, version)), Some(filter)) = (&listing, &options.filter)
            && filter.only().is_none()
        {
            let filter = self.reader.keyed(filter)?;
            let share = listing.share(&filter);
            if share >= COMMON {
                // Slightly more than should be needed.
                let ahead = (count as f64 * 1.5 / share).ceil() as usize + 16;
                let visited = Way::Visited {
                    ahead,
                    listing,
                    filter: &filter,
                    version: *version,
                };
                let look = self.look(visited, count, count)?;
                if look.candidates.len() == count || look.complete {
                    return Ok(look.candidates);
                }
            }
        }
        let (among, few) = match &options.filter {
            Some(filter) => {
                let (passing, _) = self.passing(filter)?;
                (passing.count, passing.few().is_some())
            }
            None => (pictures, false),
        };
        let mut exact = options.exact || few || among < pictures / RARE;
        let mut wanted = count;
        loop {
            let way = if exact {
                Way::Exact
            } else {
                // So many neighbours that about as many as are wanted pass.
                let ahead = wanted.saturating_mul(pictures.div_ceil(among.max(1)));
                Way::Graph { ahead }
            };
            let look = self.look(way, wanted, count)?;
            if look.candidates.len() == count || look.complete || (exact && wanted >= among) {
                return Ok(look.candidates);
            }
            // Several pictures of one product take several places: look further until enough products are found. A graph
            // need not lead to every entry; comparing does.
            exact |= wanted >= among;
            wanted = wanted.saturating_mul(4).min(among.max(1));
        }
    }

    /// The best `count` products among the nearest pictures that pass, those of `wanted` products at least.
    fn look(&self, way: Way<'_>, wanted: usize, count: usize) -> Result<Look, CatalogueError> {
        let Pictures { found, known_from } = loop {
            self.work.check()?;
            let found = match way {
                Way::Exact => self.compared(wanted)?,
                Way::Graph { ahead } => self.walked(ahead, wanted)?,
                Way::Visited {
                    ahead,
                    listing,
                    filter,
                    version,
                } => Some(self.visited(ahead, wanted, (listing, filter), version)),
            };
            // Rows that were given other numbers meanwhile are looked for again.
            if let Some(found) = found {
                break found;
            }
        };
        let options = &self.search.options;
        let floor = known_from.max(options.min_score.unwrap_or(f64::NEG_INFINITY));
        let known = found.partition_point(|found| found.score >= floor);
        let mut products = HashSet::with_capacity(count);
        let mut candidates: Vec<Candidate> = Vec::with_capacity(count.min(known));
        for candidate in found.into_iter().take(known) {
            if candidates.len() == count {
                break;
            }
            if products.insert(candidate.product) {
                candidates.push(candidate);
            }
        }
        Ok(Look {
            candidates,
            complete: floor > known_from || known_from == f64::NEG_INFINITY,
        })
    }

    /// The pictures that pass a filter, as of a version of the index.
    pub fn passing(&self, filter: &Filter) -> Result<(Arc<Passing>, Version), CatalogueError> {
        let (listing, version) = {
            let index = self.index.read();
            if let Some(known) = index.known_passing(filter) {
                return Ok((known, index.version()));
            }
            (index.listing(), index.version())
        };
        let passing = Arc::new(listing.passing(&self.reader.keyed(filter)?, self.work)?);
        self.index.read().keep_passing(filter, &passing, version);
        Ok((passing, version))
    }

    /// The pictures that pass the search's filter; `None` without one.
    fn filtered(&self) -> Result<Option<(Arc<Passing>, Version)>, CatalogueError> {
        let filter = self.search.options.filter.as_ref();
        filter.map(|filter| self.passing(filter)).transpose()
    }

    /// Compares every row with a picture that passes, some of them during each lock.
    fn compared(&self, wanted: usize) -> Result<Option<Pictures>, CatalogueError> {
        let passing = self.filtered()?;
        let begun = match &passing {
            Some((_, version)) => *version,
            None => self.index.read().version(),
        };
        if let Some((passing, _)) = &passing
            && let Some(few) = passing.few()
        {
            return Ok(self.compared_to_few(few, passing, begun, wanted));
        }
        let mut nearest = vec![Vec::new(); self.search.embeddings.len()];
        let mut first = 0;
        loop {
            self.work.check()?;
            let index = self.index.read();
            if index.version().renumbered != begun.renumbered {
                return Ok(None);
            }
            let rows = first..index.neighbours.rows().min(first + ROWS_AT_ONCE);
            let passes = |place: u32| {
                passing.as_ref().is_none_or(|(passing, _)| passing.has(place))
                    && self.is_wanted(&index, place)
            };
            let has_some = |row: usize| match passing {
                None if self.without.is_empty() => true,
                _ => index.pictures.of_row(row).iter().any(|place| passes(*place)),
            };
            for (embedding, nearest) in self.search.embeddings.iter().zip(&mut nearest) {
                nearest.extend(
                    index
                        .neighbours
                        .nearest_among(embedding, wanted, rows.clone(), has_some),
                );
            }
            if rows.end == index.neighbours.rows() {
                let nearest = nearest.into_iter().map(|found| {
                    let found = nearest_first(found, wanted);
                    let whole = found.len() < wanted;
                    (found, whole)
                });
                return Ok(Some(self.pictures(&index, nearest.collect(), wanted, passes)));
            }
            first = rows.end;
        }
    }

    /// Compares the rows of the pictures at these places, which are all that pass.
    fn compared_to_few(
        &self,
        few: &[u32],
        passing: &Passing,
        begun: Version,
        wanted: usize,
    ) -> Option<Pictures> {
        let index = self.index.read();
        if index.version().renumbered != begun.renumbered {
            return None;
        }
        let passes = |place: u32| passing.has(place) && self.is_wanted(&index, place);
        let there = few.iter().map(|place| (*place, index.pictures.at(*place)));
        let there = there.filter(|(place, entry)| entry.product != NOWHERE && passes(*place));
        let mut rows: Vec<usize> = there.map(|(_, entry)| entry.row as usize).collect();
        rows.sort_unstable();
        rows.dedup();
        let nearest = self.search.embeddings.iter().map(|embedding| {
            let rows = rows.iter().copied();
            let found = index.neighbours.nearest_among(embedding, wanted, rows, |_| true);
            let whole = found.len() < wanted;
            (found, whole)
        });
        Some(self.pictures(&index, nearest.collect(), wanted, passes))
    }

    /// Walks the graph and keeps the pictures that are known to pass.
    fn walked(&self, ahead: usize, wanted: usize) -> Result<Option<Pictures>, CatalogueError> {
        let passing = self.filtered()?;
        let index = self.index.read();
        if let Some((_, version)) = &passing
            && version.renumbered != index.version().renumbered
        {
            return Ok(None);
        }
        let passes = |place: u32| passing.as_ref().is_none_or(|(passing, _)| passing.has(place));
        Ok(Some(self.by_graph(&index, ahead, wanted, passes)))
    }

    /// Walks the graph and filters the pictures that it visits.
    fn visited(
        &self,
        ahead: usize,
        wanted: usize,
        (listing, filter): (&Listing, &Keyed<'_>),
        version: Version,
    ) -> Pictures {
        let index = self.index.read();
        // The places of products follow the numbers of pictures.
        let now = (version.renumbered != index.version().renumbered).then(|| index.listing());
        let mut judge = Judge::new(now.as_ref().unwrap_or(listing), filter);
        self.by_graph(&index, ahead, wanted, |place| {
            judge.passes_at(index.pictures.at(place).product as usize)
        })
    }

    fn by_graph(
        &self,
        index: &Index,
        ahead: usize,
        wanted: usize,
        mut passes: impl FnMut(u32) -> bool,
    ) -> Pictures {
        let ahead = ahead.min(index.neighbours.live());
        let nearest = self.search.embeddings.iter();
        let nearest = nearest.map(|embedding| (index.neighbours.nearest(embedding, ahead), false));
        self.pictures(index, nearest.collect(), wanted, |place| {
            passes(place) && self.is_wanted(index, place)
        })
    }

    fn is_wanted(&self, index: &Index, place: u32) -> bool {
        self.without.is_empty() || !self.without.contains(&index.product(index.pictures.at(place)))
    }

    /// The pictures that pass of the rows that were found for all embeddings, best first, equals in stored order. Each list of
    /// rows is whole, or there may be more below its last. Of each list, pictures of `wanted` products are enough.
    fn pictures(
        &self,
        index: &Index,
        lists: Vec<(Vec<Neighbour>, bool)>,
        wanted: usize,
        mut passes: impl FnMut(u32) -> bool,
    ) -> Pictures {
        let mut found = Vec::new();
        // What lies below the last one of a list that could be longer is not known.
        let mut known_from = f64::NEG_INFINITY;
        for (nearest, whole) in lists {
            match nearest.last() {
                Some(last) if !whole => known_from = known_from.max(last.similarity),
                None if !whole => known_from = f64::INFINITY,
                _ => {}
            }
            let mut products = HashSet::with_capacity(wanted.min(nearest.len()));
            for equals in nearest.chunk_by(|a, b| a.similarity == b.similarity) {
                let score = equals[0].similarity;
                if products.len() >= wanted {
                    known_from = known_from.max(score.next_up());
                    break;
                }
                for row in equals {
                    // Of each row those first in stored order, so that the first of all equals are among them.
                    let mut products_of_row = HashSet::new();
                    for &place in index.pictures.of_row(row.index) {
                        if products_of_row.len() >= wanted {
                            known_from = known_from.max(score);
                            break;
                        }
                        if !passes(place) {
                            continue;
                        }
                        let entry = index.pictures.at(place);
                        products_of_row.insert(entry.product);
                        found.push(Candidate {
                            picture: entry.picture,
                            product: index.product(entry).0,
                            score,
                            embedding: match self.search.with_embeddings {
                                true => index.neighbours.vectors().row(row.index),
                                false => Vec::new(),
                            },
                        });
                    }
                    products.extend(products_of_row);
                }
            }
        }
        found.sort_unstable_by(|a, b| b.score.total_cmp(&a.score).then(a.picture.cmp(&b.picture)));
        Pictures { found, known_from }
    }
}
