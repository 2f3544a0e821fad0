//! From embeddings to their neighbours, and from those to products.
//!
//! pgvector chooses candidates by their directions; scores come from the whole numbers, so that products, scores and order
//! are those of an exact search over the same candidates. A search is one statement for the candidates, which also says
//! whether the space is still present, and one for the products, which is believed if it fits the first.

use std::collections::HashSet;
use std::sync::Arc;

use engine::embedding::is_zero;
use engine::neighbours::EXACT_BELOW;
use engine::neighbours::exact::Vectors;
use sqlx::{PgConnection, Postgres as Database, QueryBuilder, Row};

use super::counting::facts_of;
use super::directions;
use super::error::is_missing_table;
use super::filter;
use super::measured::Kind;
use super::rows::{products, values};
use super::spaces::{MOST_INDEXED, Space};
use super::store::{Postgres, read};
use crate::admission::Work;
use crate::catalogue::error::CatalogueError;
use crate::catalogue::filter::Filter;
use crate::catalogue::product::{PictureKey, Product};
use crate::catalogue::ranking::{Candidate, Placed, Ranking, page};
use crate::catalogue::search::{Match, Nearby, Nearest, Shown};

/// If no more products than this pass, their pictures are compared; else the index is walked until enough pass.
const PASSING: i64 = 12_000;
/// Candidates for each product that is wanted, and some more: directions are rounded, and several pictures are of one
/// product.
const AHEAD: usize = 2;
const AHEAD_AT_LEAST: usize = 20;
/// More candidates each time that they were not enough.
const MORE: usize = 8;
/// With more candidates than this, comparing all is cheaper than walking the index.
const WALKED: usize = 10_000;
/// How often a search begins again because products changed under it.
const AGAIN: usize = 3;

impl Postgres {
    /// The products whose pictures are nearest to the embeddings of a search.
    pub async fn nearest(&self, search: Nearest, work: Work) -> Result<Nearby, CatalogueError> {
        if let [embedding] = &search.embeddings[..]
            && self.current_origin().as_ref() == Some(&search.origin)
        {
            self.0.recalls.asked.ask(embedding);
        }
        self.nearest_unasked(search, Kind::Search, work).await
    }

    /// The same, for the store's own ends.
    pub(super) async fn nearest_unasked(
        &self,
        search: Nearest,
        kind: Kind,
        work: Work,
    ) -> Result<Nearby, CatalogueError> {
        let space = self.space_of(&search.origin).await?;
        check(&search, space.dimensions)?;
        let few = self.pictures().is_none_or(|pictures| pictures < EXACT_BELOW);
        let round = Round {
            space: &space,
            search: &search,
            few,
        };
        read!(self, kind, work.clone(), |connection| {
            let matches = round.matches(connection, &work).await?;
            let options = &search.options;
            let counts = match &options.facets {
                Some(names) => Some(self.counts(connection, options.filter.as_ref(), names).await?),
                None => None,
            };
            Ok(Nearby { matches, counts })
        })
    }
}

fn check(search: &Nearest, wanted: Option<usize>) -> Result<(), CatalogueError> {
    for embedding in &search.embeddings {
        if let Some(wanted) = wanted
            && embedding.len() != wanted
        {
            let given = embedding.len();
            return Err(CatalogueError::Dimensions { given, wanted });
        }
        if is_zero(embedding) {
            return Err(CatalogueError::EmptyEmbedding);
        }
    }
    Ok(())
}

/// A distinct embedding near to a query, with the pictures that have it, in stored order.
struct Vector {
    vector: i64,
    /// The negative inner product of the directions.
    rough: f64,
    score: f64,
    values: Vec<i32>,
    pictures: Vec<(PictureKey, i64)>,
}

/// How candidates are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// By the index.
    Index,
    /// By comparing all that pass.
    Compare,
}

/// How many candidates are chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Cut {
    /// So many of the nearest.
    First(usize),
    /// All whose negative inner product is at most this; none by the index.
    Within(f64),
}

struct Round<'a> {
    space: &'a Space,
    search: &'a Nearest,
    few: bool,
}

impl Round<'_> {
    async fn matches(
        &self,
        connection: &mut PgConnection,
        work: &Work,
    ) -> Result<Vec<Match>, CatalogueError> {
        let options = &self.search.options;
        let mut again = 0;
        loop {
            let (ranking, mut page) = self.page(connection, work).await?;
            if options.group.is_none() {
                page.truncate(options.k);
            }
            let wanted = page.len();
            let matches = self.shown(connection, &ranking, page).await?;
            if matches.len() == wanted || again == AGAIN {
                return Ok(matches);
            }
            again += 1;
        }
    }

    /// The ranking as far as the page needs it, and the page.
    async fn page(
        &self,
        connection: &mut PgConnection,
        work: &Work,
    ) -> Result<(Ranking, Vec<Placed>), CatalogueError> {
        let options = &self.search.options;
        let compare = options.exact
            || self.few
            || match &options.filter {
                Some(filter) => self.is_rare(connection, filter).await?,
                None => false,
            };
        let way = if compare { Way::Compare } else { Way::Index };
        let mut ranking = Ranking::new(options);
        let mut facts = Vec::new();
        loop {
            if let Some(wanted) = ranking.next() {
                let mut all = Vec::new();
                for embedding in &self.search.embeddings {
                    all.extend(self.nearest_to(connection, embedding, way, wanted, work).await?);
                }
                let floor = options.min_score.unwrap_or(f64::NEG_INFINITY);
                all.retain(|found| found.score >= floor);
                ranking.extend(best_of_each(all, wanted));
            }
            if options.wants_facts() {
                let fresh = &ranking.ranked()[facts.len()..];
                facts.extend(facts_of(connection, fresh, options).await?);
            }
            if let Some(page) = page(&ranking, &facts, options) {
                return Ok((ranking, page));
            }
        }
    }

    /// Whether so few products pass that comparing them is fast.
    async fn is_rare(&self, connection: &mut PgConnection, filter: &Filter) -> Result<bool, CatalogueError> {
        let mut sql = QueryBuilder::<Database>::new("SELECT count(*) FROM (SELECT 1 FROM products p WHERE ");
        filter::push(&mut sql, filter);
        sql.push(format!(" LIMIT {}) AS passing", PASSING + 1));
        let counting = sql.build_query_scalar().persistent(false);
        let count: i64 = counting.fetch_one(connection).await?;
        Ok(count <= PASSING)
    }

    async fn nearest_to(
        &self,
        connection: &mut PgConnection,
        embedding: &[i32],
        mut way: Way,
        wanted: usize,
        work: &Work,
    ) -> Result<Vec<Candidate>, CatalogueError> {
        let options = &self.search.options;
        if embedding.len() > MOST_INDEXED {
            way = Way::Compare;
        }
        let error = directions::error(embedding.len());
        let mut ahead = AHEAD * wanted + AHEAD_AT_LEAST;
        loop {
            work.check()?;
            let candidates = self
                .vectors(connection, embedding, way, Cut::First(ahead), wanted)
                .await?;
            let whole = candidates.len() < ahead;
            let rough = candidates.iter().map(|candidate| candidate.rough);
            let rough = rough.fold(f64::NEG_INFINITY, f64::max);
            let found = best_of_each(self.flattened(candidates), wanted);
            let enough = found.len() == wanted;
            match way {
                // The walk may have ended before all was seen.
                Way::Index if enough => return Ok(found),
                Way::Index if whole || ahead >= WALKED => way = Way::Compare,
                Way::Index => ahead *= MORE,
                Way::Compare if whole => return Ok(found),
                Way::Compare => {
                    let last = found.last().filter(|_| enough).map(|found| found.score);
                    let floor = options.min_score.into_iter().chain(last).reduce(f64::max);
                    // Whatever is at least as near has a direction within this.
                    let within = floor.map_or(f64::INFINITY, |floor| error - floor);
                    if within < rough {
                        return Ok(found);
                    }
                    if !enough {
                        ahead *= MORE;
                        continue;
                    }
                    let near = self
                        .vectors(connection, embedding, way, Cut::Within(within), wanted)
                        .await?;
                    return Ok(best_of_each(self.flattened(near), wanted));
                }
            }
        }
    }

    /// The nearest distinct embeddings by direction, with exact scores.
    async fn vectors(
        &self,
        connection: &mut PgConnection,
        embedding: &[i32],
        way: Way,
        cut: Cut,
        wanted: usize,
    ) -> Result<Vec<Vector>, CatalogueError> {
        let mut sql = self.statement(embedding, way, cut, wanted);
        // A filter is planned for its values: how many products pass decides how to look for them.
        let kept = self.search.options.filter.is_none();
        let rows = match sql.build().persistent(kept).fetch_all(connection).await {
            Err(error) if is_missing_table(&error) => return Err(CatalogueError::OtherOrigin),
            rows => rows?,
        };
        let mut vectors = Vectors::new(embedding.len());
        let mut candidates: Vec<Vector> = Vec::new();
        for row in &rows {
            if !row.try_get::<Option<bool>, _>("present")?.unwrap_or(false) {
                return Err(CatalogueError::OtherOrigin);
            }
            let Some(vector) = row.try_get::<Option<i64>, _>("id")? else {
                continue;
            };
            if candidates.last().is_none_or(|last| last.vector != vector) {
                let of_row = values(row.try_get("width")?, row.try_get("data")?);
                if of_row.len() != embedding.len() {
                    let (given, wanted) = (embedding.len(), of_row.len());
                    return Err(CatalogueError::Dimensions { given, wanted });
                }
                vectors.push(&of_row);
                candidates.push(Vector {
                    vector,
                    rough: row.try_get("rough")?,
                    score: 0.0,
                    values: of_row,
                    pictures: Vec::new(),
                });
            }
            if let (Some(last), Some(picture)) = (candidates.last_mut(), row.try_get("picture")?) {
                last.pictures.push((PictureKey(picture), row.try_get("product")?));
            }
        }
        let query = vectors.query(embedding);
        for (place, candidate) in candidates.iter_mut().enumerate() {
            candidate.score = vectors.cosine(&query, place);
        }
        Ok(candidates)
    }

    fn statement(&self, embedding: &[i32], way: Way, cut: Cut, wanted: usize) -> QueryBuilder<Database> {
        let Self { space, search, .. } = self;
        let options = &search.options;
        let (vectors, embeddings, width) = (space.vectors(), space.embeddings(), embedding.len());
        // Read once, whatever the plan: a text of many numbers takes longer to read than to compare.
        let rough = format!("v.direction::halfvec({width}) <#> (SELECT direction FROM query)");
        let mut sql = QueryBuilder::new("WITH query AS MATERIALIZED (SELECT ");
        sql.push_bind(directions::text(embedding));
        sql.push(format!(
            "::text::halfvec({width}) AS direction), here AS (SELECT {} IN (present, next) AS present FROM catalogue)",
            space.number
        ));
        let filter = options.filter.as_ref();
        if let (Some(filter), Way::Compare) = (filter, way) {
            sql.push(", passing AS MATERIALIZED (SELECT p.seq FROM products p WHERE ");
            filter::push(&mut sql, filter);
            sql.push(")");
        }
        sql.push(format!(
            ", near AS MATERIALIZED (SELECT v.id, v.width, v.data, {rough} AS rough FROM "
        ));
        match (filter, way) {
            (Some(_), Way::Compare) => sql.push(format!(
                "(SELECT DISTINCT e.vector FROM passing JOIN {embeddings} e ON e.product = passing.seq) AS c
                 JOIN {vectors} v ON v.id = c.vector"
            )),
            (Some(filter), Way::Index) => {
                // The offset keeps it a condition of each row that the index leads to.
                sql.push(format!(
                    "{vectors} v WHERE EXISTS (SELECT 1 FROM {embeddings} e JOIN products p ON p.seq = e.product
                     WHERE e.vector = v.id AND "
                ));
                filter::push(&mut sql, filter);
                sql.push(" OFFSET 0)")
            }
            (None, _) => sql.push(format!("{vectors} v")),
        };
        match (way, cut) {
            (_, Cut::Within(within)) => {
                sql.push(format!(" WHERE {rough} <= "));
                sql.push_bind(within);
            }
            // A sum, which no index is of.
            (Way::Compare, Cut::First(ahead)) => {
                sql.push(format!(" ORDER BY 0 + ({rough}), v.id LIMIT {ahead}"));
            }
            (Way::Index, Cut::First(ahead)) => {
                sql.push(format!(" ORDER BY {rough} LIMIT {ahead}"));
            }
        }
        sql.push(format!(
            ") SELECT here.present, near.id, near.width, near.data, near.rough, e.picture, e.product
             FROM here LEFT JOIN near ON here.present LEFT JOIN LATERAL (
                 SELECT e.picture, e.product FROM {embeddings} e"
        ));
        match (filter, way) {
            (Some(filter), Way::Index) => {
                sql.push(" JOIN products p ON p.seq = e.product WHERE e.vector = near.id AND ");
                filter::push(&mut sql, filter);
            }
            (Some(_), Way::Compare) => {
                sql.push(" WHERE e.vector = near.id AND e.product IN (SELECT seq FROM passing)");
            }
            (None, _) => {
                sql.push(" WHERE e.vector = near.id");
            }
        }
        if !search.without.is_empty() {
            let without: Vec<&str> = search
                .without
                .iter()
                .map(String::as_str)
                .filter(|id| !id.contains('\0'))
                .collect();
            sql.push(" AND e.product <> ALL (ARRAY(SELECT seq FROM products WHERE id = ANY(");
            sql.push_bind(without.into_iter().map(str::to_owned).collect::<Vec<_>>());
            sql.push(")))");
        }
        // Each product may have all its pictures among the first.
        let most = wanted.saturating_mul(Product::MOST_PICTURES);
        sql.push(format!(" ORDER BY e.picture LIMIT {most}) AS e ON true"));
        sql
    }

    /// The products as they are now; one that does not fit what was found is left out.
    async fn shown(
        &self,
        connection: &mut PgConnection,
        ranking: &Ranking,
        page: Vec<Placed>,
    ) -> Result<Vec<Match>, CatalogueError> {
        let found = |placed: &Placed| &ranking.ranked()[placed.place];
        let numbers: Vec<i64> = page.iter().map(|placed| found(placed).product).collect();
        let stored = products(connection, &numbers).await?;
        let options = &self.search.options;
        let mut matches = Vec::with_capacity(page.len());
        for placed in page {
            let found = found(&placed);
            let Ok(at) = stored.binary_search_by_key(&found.product, |stored| stored.seq) else {
                continue;
            };
            let stored = &stored[at];
            let product = &stored.product;
            let passes = |filter: &Filter| filter.holds(&product.id, product.attributes.as_map());
            if !options.filter.as_ref().is_none_or(passes) {
                continue;
            }
            let Some(place) = stored.pictures.iter().position(|key| *key == found.picture) else {
                continue;
            };
            matches.push(Match {
                picture_id: stored.product.pictures[place].id.clone(),
                product: Arc::new(Shown::new(stored.product.clone())?),
                score: found.score,
                rank_score: placed.rank_score,
                group: placed.group,
                embedding: found.embedding.clone(),
            });
        }
        Ok(matches)
    }

    fn flattened(&self, vectors: Vec<Vector>) -> Vec<Candidate> {
        let pictures = vectors.into_iter().flat_map(|vector| {
            let Vector {
                score,
                values,
                pictures,
                ..
            } = vector;
            let with_embedding = self.search.with_embeddings;
            pictures.into_iter().map(move |(picture, product)| Candidate {
                product,
                picture,
                score,
                embedding: match with_embedding {
                    true => values.clone(),
                    false => Vec::new(),
                },
            })
        });
        pictures.collect()
    }
}

/// The best picture of each product, best first, equals in stored order: at most `count`.
fn best_of_each(mut found: Vec<Candidate>, count: usize) -> Vec<Candidate> {
    found.sort_unstable_by(|a, b| b.score.total_cmp(&a.score).then(a.picture.cmp(&b.picture)));
    let mut products = HashSet::with_capacity(count);
    found.retain(|found| products.len() < count && products.insert(found.product));
    found
}
