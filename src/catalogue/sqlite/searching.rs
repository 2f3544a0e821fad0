//! A search: the ranking of its query as far as the page needs it, and the products of that page.

use std::sync::Arc;
use std::time::{Duration, Instant};

use engine::embedding::is_zero;
use parking_lot::RwLock;

use super::index::{Index, Version};
use super::keys::ProductKey;
use super::nearest::Round;
use super::reader::Reader;
use super::shown::{ShownProduct, ShownProducts};
use crate::admission::Work;
use crate::catalogue::counts::Counts;
use crate::catalogue::error::CatalogueError;
use crate::catalogue::filter::Filter;
use crate::catalogue::ranking::{Facts, Placed, Ranking, page};
use crate::catalogue::search::{Match, Nearby, Nearest};

/// The products whose pictures are nearest to one of the embeddings, each once, with its best picture.
pub fn nearest(
    index: &RwLock<Index>,
    reader: &Reader,
    shown: &ShownProducts,
    search: &Nearest,
    work: &Work,
) -> Result<Nearby, CatalogueError> {
    let without: Vec<ProductKey> = search
        .without
        .iter()
        .filter_map(|id| reader.key(id).transpose())
        .collect::<Result<_, _>>()?;
    check(search, index.read().neighbours.vectors().dimensions())?;
    let round = Round {
        index,
        reader,
        search,
        work,
        without,
    };
    let options = &search.options;
    let names = options.facets.as_ref();
    let counts = names.map(|names| round.counts(names)).transpose()?;
    let mut again = 0;
    loop {
        let begun = index.read().version();
        let Page { matches, replaced } = round.page(shown)?;
        if !replaced || again == AGAIN || !round.catches_up(begun)? {
            return Ok(Nearby { matches, counts });
        }
        again += 1;
    }
}

/// How often a search begins again because pictures were replaced under it.
const AGAIN: u32 = 8;
/// How long a write that is committed may take to reach the index.
const LAG: Duration = Duration::from_millis(50);
const LOOK: Duration = Duration::from_micros(200);

/// The products of a page.
struct Page {
    matches: Vec<Match>,
    /// Whether one is missing whose pictures are others by now, which the index has not yet.
    replaced: bool,
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

impl Round<'_> {
    /// How many products pass, and how many of them have each value of these attributes.
    fn counts(&self, names: &[String]) -> Result<Arc<Counts>, CatalogueError> {
        let counted = (self.search.options.filter.clone(), names.to_vec());
        let (listing, version) = {
            let index = self.index.read();
            if let Some(known) = index.known_counts(&counted) {
                return Ok(known);
            }
            (index.listing(), index.version())
        };
        let filter = counted
            .0
            .as_ref()
            .map(|filter| self.reader.keyed(filter))
            .transpose()?;
        let counts = Arc::new(listing.counts(filter.as_ref(), names, self.work)?);
        drop(filter);
        if let Some(filter) = &counted.0 {
            // The search is among these, too.
            self.passing(filter)?;
        }
        self.index.read().keep_counts(counted, &counts, version);
        Ok(counts)
    }

    /// The ranking as far as the page needs it, and the products of the page.
    fn page(&self, shown: &ShownProducts) -> Result<Page, CatalogueError> {
        let options = &self.search.options;
        let mut ranking = Ranking::new(options);
        loop {
            if let Some(wanted) = ranking.next() {
                ranking.extend(self.candidates(wanted)?);
            }
            if let Some(placed) = page(&ranking, &self.facts(&ranking)?, options) {
                let page = self.shown(shown, &ranking, placed)?;
                // Where products went meanwhile, others may take their places.
                if page.matches.len() >= options.k || options.group.is_some() || ranking.next().is_none() {
                    return Ok(page);
                }
            }
        }
    }

    /// Waits until the index is another than that of a version; false where it stays so.
    fn catches_up(&self, version: Version) -> Result<bool, CatalogueError> {
        let end = Instant::now() + LAG;
        while self.index.read().version() == version {
            if Instant::now() >= end {
                return Ok(false);
            }
            self.work.check()?;
            std::thread::sleep(LOOK);
        }
        Ok(true)
    }

    /// What grouping and boosts need to know of the candidates; nothing where there are none.
    fn facts(&self, ranking: &Ranking) -> Result<Vec<Option<Facts>>, CatalogueError> {
        if !self.search.options.wants_facts() {
            return Ok(Vec::new());
        }
        let listing = self.index.read().listing();
        let products = ranking.ranked().iter();
        let products = products.map(|candidate| ProductKey(candidate.product));
        listing.facts(self.reader, products, &self.search.options)
    }

    /// The products of a page as they are now: `k` of them, or all of its groups.
    fn shown(
        &self,
        shown: &ShownProducts,
        ranking: &Ranking,
        page: Vec<Placed>,
    ) -> Result<Page, CatalogueError> {
        let options = &self.search.options;
        let most = match options.group {
            Some(_) => page.len(),
            None => options.k,
        };
        let before = shown.before();
        let _moment = self.reader.moment()?;
        let mut matches: Vec<Match> = Vec::with_capacity(most);
        let mut replaced = false;
        for placed in page {
            if matches.len() == most {
                break;
            }
            self.work.check()?;
            let found = &ranking.ranked()[placed.place];
            let key = ProductKey(found.product);
            let read = || self.reader.product(key);
            let Some(ShownProduct { product, pictures }) = shown.get(key, before, read)? else {
                continue;
            };
            // A write may be committed that the index does not have yet: the answer is as the database has it now.
            let passes = |filter: &Filter| filter.holds(&product.id, product.attributes.as_map());
            if !options.filter.as_ref().is_none_or(passes) {
                continue;
            }
            let Some(place) = pictures.iter().position(|key| *key == found.picture) else {
                replaced = true;
                continue;
            };
            matches.push(Match {
                picture_id: product.pictures[place].id.clone(),
                product,
                score: found.score,
                rank_score: placed.rank_score,
                group: placed.group,
                embedding: found.embedding.clone(),
            });
        }
        Ok(Page { matches, replaced })
    }
}
