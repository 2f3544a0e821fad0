//! Spaces: embeddings of one origin, in two tables of their own.
//!
//! `vectors_N` has each distinct embedding once, as whole numbers and as a direction for the index; `embeddings_N` says which
//! picture has which. Embeddings of another origin gather in another space, and answer by a change of one number.

use std::sync::Arc;

use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, PgConnection, Row};

use super::error::damaged;
use crate::catalogue::error::CatalogueError;
use crate::catalogue::origin::Origin;
use engine::network::TimeSteps;

/// Embeddings of one origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Space {
    pub number: i64,
    pub origin: Arc<Origin>,
    /// Values of an embedding; none before the first server of its network was ready.
    pub dimensions: Option<usize>,
}

/// Which embeddings answer, and which take their place when they are complete.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Spaces {
    pub present: Option<Space>,
    pub next: Option<Space>,
    /// Whether nothing but a copy has written to this catalogue.
    pub is_copy: bool,
    /// Whether an unfinished import removes what it does not name: what is written is kept from it.
    pub has_feeds: bool,
}

/// The most values of an embedding that the index takes; wider ones are compared one by one.
pub const MOST_INDEXED: usize = 4_000;

impl Space {
    /// The table of its distinct embeddings.
    pub fn vectors(&self) -> String {
        format!("vectors_{}", self.number)
    }

    /// The table of its pictures.
    pub fn embeddings(&self) -> String {
        format!("embeddings_{}", self.number)
    }

    /// The index over the directions.
    pub fn index(&self) -> String {
        format!("vectors_{}_direction", self.number)
    }

    /// Makes a new one with its tables, within the caller's transaction.
    pub async fn create(connection: &mut PgConnection, origin: &Origin) -> Result<Self, CatalogueError> {
        let number = sqlx::query_scalar(
            "INSERT INTO spaces (model_id, probe, time_steps) VALUES ($1, $2, $3) RETURNING number",
        )
        .bind(&origin.model_id)
        .bind(origin.probe.as_str())
        .bind(origin.time_steps.to_string())
        .fetch_one(&mut *connection)
        .await?;
        let space = Self {
            number,
            origin: Arc::new(origin.clone()),
            dimensions: None,
        };
        let (vectors, embeddings) = (space.vectors(), space.embeddings());
        // What is deleted stays in an index until it is vacuumed, and takes places in its answers.
        let sql = format!(
            "CREATE TABLE {vectors} (
                 id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
                 sum       bytea NOT NULL UNIQUE,
                 width     smallint NOT NULL CHECK (width IN (1, 2, 4)),
                 data      bytea NOT NULL,
                 direction halfvec NOT NULL
             ) WITH (autovacuum_vacuum_scale_factor = 0.05);
             CREATE TABLE {embeddings} (
                 picture bigint PRIMARY KEY REFERENCES pictures (seq) ON DELETE CASCADE,
                 product bigint NOT NULL,
                 vector  bigint NOT NULL REFERENCES {vectors} (id)
             );
             CREATE INDEX ON {embeddings} (product);
             CREATE INDEX ON {embeddings} (vector, picture);"
        );
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await?;
        Ok(space)
    }

    /// Drops one that is neither present nor next, with its tables.
    pub async fn drop(&self, connection: &mut PgConnection) -> Result<(), CatalogueError> {
        let (vectors, embeddings, number) = (self.vectors(), self.embeddings(), self.number);
        let sql = format!(
            "DROP TABLE IF EXISTS {embeddings}, {vectors}; DELETE FROM spaces WHERE number = {number};"
        );
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await?;
        Ok(())
    }

    fn of(row: &PgRow) -> Result<Self, CatalogueError> {
        let (probe, time_steps): (String, String) = (row.try_get("probe")?, row.try_get("time_steps")?);
        let dimensions: Option<i32> = row.try_get("dimensions")?;
        Ok(Self {
            number: row.try_get("number")?,
            origin: Arc::new(Origin {
                model_id: row.try_get("model_id")?,
                probe: probe
                    .parse()
                    .map_err(|error| damaged(format!("spaces.probe: {error}")))?,
                time_steps: time_steps
                    .parse::<TimeSteps>()
                    .map_err(|error| damaged(format!("spaces.time_steps: {error}")))?,
            }),
            dimensions: dimensions.and_then(|dimensions| usize::try_from(dimensions).ok()),
        })
    }
}

impl Spaces {
    /// As they are now.
    pub async fn read(connection: &mut PgConnection) -> Result<Self, CatalogueError> {
        let rows = sqlx::query(
            "SELECT s.*, s.number = c.present AS is_present, c.copy_of IS NOT NULL AS is_copy,
                 EXISTS (SELECT 1 FROM imports WHERE state IN ('receiving', 'running') AND missing = 'delete') AS has_feeds
             FROM catalogue c JOIN spaces s ON s.number IN (c.present, c.next)",
        )
        .fetch_all(connection)
        .await?;
        let mut spaces = Self::default();
        for row in &rows {
            let space = Some(Space::of(row)?);
            spaces.is_copy = row.try_get("is_copy")?;
            spaces.has_feeds = row.try_get("has_feeds")?;
            match row.try_get::<Option<bool>, _>("is_present")? {
                Some(true) => spaces.present = space,
                _ => spaces.next = space,
            }
        }
        Ok(spaces)
    }

    /// Those that are neither: of changes that were broken off.
    pub async fn left_over(connection: &mut PgConnection) -> Result<Vec<Space>, CatalogueError> {
        let rows = sqlx::query(
            "SELECT s.* FROM spaces s, catalogue c
             WHERE s.number IS DISTINCT FROM c.present AND s.number IS DISTINCT FROM c.next",
        )
        .fetch_all(connection)
        .await?;
        rows.iter().map(Space::of).collect()
    }
}
