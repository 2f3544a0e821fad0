//! Counts, the state of the index, and how much of the exact answer it finds.

use std::sync::Arc;
use std::time::{Duration, Instant};

use engine::neighbours::EXACT_BELOW;
use sqlx::{AssertSqlSafe, Row};

use super::error::damaged;
use super::measured::Kind;
use super::rows::embedding;
use super::spaces::Space;
use super::store::{Postgres, read};
use crate::admission::Work;
use crate::catalogue::error::CatalogueError;
use crate::catalogue::recall::{APART, K, OF_EACH, between, recall_of};
use crate::catalogue::search::{CatalogueStats, IndexStats, Nearest, Recall, SearchOptions, ShownStats};
use crate::catalogue::store_stats::{StoreKind, StoreName, StoreStats};

/// How often the recall is measured anew, if the catalogue has changed.
const AGAIN: Duration = Duration::from_secs(600);
/// How often it is asked whether it has.
const LOOK: Duration = Duration::from_millis(500);

/// Pauses for each part of work: the database has other work meanwhile, and comparing all takes it long.
const PAUSES: u32 = 3;

impl Postgres {
    /// Counts, and the state of the index.
    pub async fn stats(&self, work: Work) -> Result<CatalogueStats, CatalogueError> {
        let space = self.loaded()?;
        let (vectors, embeddings) = (space.vectors(), space.embeddings());
        let indexed = self.is_indexed(&space).await?;
        let counts = read!(self, Kind::Look, work, |connection| {
            let sql = format!(
                    "SELECT (SELECT count(*) FROM products) AS products, (SELECT count(*) FROM {embeddings}) AS pictures,
                     (SELECT count(*) FROM {vectors}) AS embeddings, (SELECT count(*) FROM servers) AS servers"
                );
            let row = sqlx::query(AssertSqlSafe(sql)).fetch_one(connection).await?;
            let count = |column: &str| -> Result<usize, CatalogueError> {
                let count: i64 = row.try_get(column)?;
                usize::try_from(count).map_err(|_| damaged("a negative count"))
            };
            Ok([
                count("products")?,
                count("pictures")?,
                count("embeddings")?,
                count("servers")?,
            ])
        })?;
        let [products, pictures, embeddings, servers] = counts;
        let recall = self.0.recalls.known(&space.origin);
        Ok(CatalogueStats {
            products,
            pictures,
            index: IndexStats {
                search: if indexed && pictures >= EXACT_BELOW {
                    "graph"
                } else {
                    "exact"
                },
                dimensions: space.dimensions.unwrap_or_default(),
                embeddings,
                removed: 0,
                unlinked: 0,
                kept: true,
            },
            origin: space.origin,
            store: StoreName {
                kind: StoreKind::Postgresql,
                place: Some(self.0.place.clone()),
                servers,
            },
            shown: ShownStats {
                hits: 0,
                misses: 0,
                bytes: 0,
            },
            recall,
        })
    }

    /// The connections, and what was done on them.
    #[must_use]
    pub fn store_stats(&self) -> StoreStats {
        let (pool, measured) = (&self.0.pool, &self.0.measured);
        let idle = pool.num_idle();
        StoreStats {
            used: (pool.size() as usize).saturating_sub(idle),
            idle,
            limit: self.0.options.connections,
            waits: measured.waits(),
            kinds: measured.kinds(),
            retries: measured.retries(),
        }
    }

    /// Begins to measure the recall, until the catalogue is closed.
    pub(super) fn start_recall(&self) {
        let store = self.clone();
        self.0.runtime.spawn(async move {
            let mut measured: Option<(i64, i64, Instant)> = None;
            while !store.0.pool.is_closed() {
                tokio::time::sleep(LOOK).await;
                // What cannot be measured now is measured later.
                let Ok(space) = store.loaded() else { continue };
                if let Some((_, _, at)) = measured.filter(|(of, ..)| *of == space.number)
                    && at.elapsed() < AGAIN
                {
                    continue;
                }
                let Ok(changes) = store.changes(&space).await else {
                    continue;
                };
                if measured.is_some_and(|(of, before, _)| (of, before) == (space.number, changes)) {
                    continue;
                }
                if let Ok(recall) = store.measure(&space).await {
                    store.0.recalls.measured(&space.origin, recall);
                    measured = Some((space.number, changes, Instant::now()));
                }
            }
        });
    }

    /// How often rows of its embeddings were written, by PostgreSQL's own count.
    async fn changes(&self, space: &Space) -> Result<i64, CatalogueError> {
        let table = space.vectors();
        read!(self, Kind::Background, Work::OWN, |connection| {
            let changes = sqlx::query_scalar(
                "SELECT pg_stat_get_tuples_inserted(to_regclass($1)) + pg_stat_get_tuples_deleted(to_regclass($1))",
            );
            Ok(changes
                .bind(&table)
                .fetch_one(connection)
                .await
                .map(|changes: Option<i64>| changes.unwrap_or_default())?)
        })
    }

    async fn measure(&self, space: &Space) -> Result<Recall, CatalogueError> {
        let stored = self.sample(space).await?;
        let mut queries = self
            .0
            .recalls
            .asked
            .of_width(space.dimensions.unwrap_or_default());
        let between_them = stored.len().saturating_sub(queries.len());
        for stored in stored.iter().take(between_them) {
            let near = self.look(space, stored, false, APART).await?;
            let other = near.last().map_or(stored, |(_, other)| other);
            queries.push(between(stored, other));
        }
        let mut shares = Vec::with_capacity(2 * stored.len());
        for query in stored.iter().chain(&queries) {
            let begun = Instant::now();
            let exact = self.look(space, query, true, K).await?;
            let found = self.look(space, query, false, K).await?;
            shares.push(exact.last().map_or(1.0, |(least, _)| {
                found.iter().filter(|(score, _)| score >= least).count() as f64 / exact.len() as f64
            }));
            tokio::time::sleep(begun.elapsed() * PAUSES).await;
        }
        Ok(recall_of(&shares))
    }

    async fn look(
        &self,
        space: &Space,
        query: &[i32],
        exact: bool,
        k: usize,
    ) -> Result<Vec<(f64, Vec<i32>)>, CatalogueError> {
        if query.iter().all(|value| *value == 0) {
            return Ok(Vec::new());
        }
        let search = Nearest {
            origin: Arc::clone(&space.origin),
            embeddings: vec![query.to_vec()],
            without: Vec::new(),
            options: SearchOptions {
                k,
                exact,
                ..SearchOptions::default()
            },
            with_embeddings: true,
        };
        let found = self.nearest_unasked(search, Kind::Background, Work::OWN).await?;
        Ok(found
            .matches
            .into_iter()
            .map(|found| (found.score, found.embedding))
            .collect())
    }

    /// Some stored embeddings.
    async fn sample(&self, space: &Space) -> Result<Vec<Vec<i32>>, CatalogueError> {
        let sql = format!(
            "SELECT width, data FROM {} ORDER BY random() LIMIT {OF_EACH}",
            space.vectors()
        );
        read!(self, Kind::Background, Work::OWN, |connection| {
            let rows = sqlx::query(AssertSqlSafe(sql.as_str()))
                .fetch_all(connection)
                .await?;
            let sample = rows.iter().filter_map(|row| embedding(row).transpose());
            Ok(sample.collect::<Result<_, _>>()?)
        })
    }
}
