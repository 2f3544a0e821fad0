//! Opening a catalogue: what made its embeddings, its model's file, and the index.

use std::sync::Arc;
use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};

use super::error::{Failure, damaged};
use super::measured::Kind;
use super::spaces::{MOST_INDEXED, Space, Spaces};
use super::store::{BUILDING, Postgres, read, stop_writes, transact};
use crate::admission::Work;
use crate::catalogue::error::CatalogueError;
use crate::catalogue::origin::Origin;
use crate::progress::{Progress, Stage};

/// Memory for building an index: at least PostgreSQL's own default, at most this.
const MEMORY_KIB: [usize; 2] = [64 << 10, 2 << 20];
/// Bytes of one row in an index that is built, besides its direction: 690 were measured.
const LINKS: usize = 750;
/// How often the progress of a build is asked for.
const ASK: Duration = Duration::from_millis(250);

/// Keeps the file of a model, and no files of models that made nothing.
pub(super) async fn keep_model(
    connection: &mut PgConnection,
    origin: &Origin,
    model: &[u8],
) -> Result<(), Failure> {
    sqlx::query("INSERT INTO models (id, data) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING")
        .bind(&origin.model_id)
        .bind(model)
        .execute(&mut *connection)
        .await?;
    forget_models(connection).await
}

pub(super) async fn forget_models(connection: &mut PgConnection) -> Result<(), Failure> {
    sqlx::query(
        "DELETE FROM models WHERE id NOT IN
         (SELECT s.model_id FROM spaces s JOIN catalogue c ON s.number IN (c.present, c.next))",
    )
    .execute(connection)
    .await?;
    Ok(())
}

impl Postgres {
    /// What made the stored embeddings; none before the first.
    pub async fn origin(&self) -> Result<Option<Origin>, CatalogueError> {
        let spaces = self.spaces().await?;
        Ok(spaces.present.map(|space| (*space.origin).clone()))
    }

    /// Records what makes the embeddings of an empty catalogue, with its model's file.
    pub async fn set_origin(&self, origin: Origin, model: Vec<u8>) -> Result<(), CatalogueError> {
        transact!(self, Kind::Background, |connection| {
            let spaces = stop_writes(connection).await?;
            if spaces.present.is_some_and(|space| *space.origin == origin) {
                // Another server was first.
                return Ok(());
            }
            let space = Space::create(connection, &origin).await?;
            sqlx::query("UPDATE catalogue SET present = $1, next = NULL")
                .bind(space.number)
                .execute(&mut *connection)
                .await?;
            for space in Spaces::left_over(connection).await? {
                space.drop(connection).await?;
            }
            keep_model(connection, &origin, &model).await
        })
    }

    /// The file of a model that the catalogue keeps.
    pub async fn model(&self, id: String) -> Result<Option<Vec<u8>>, CatalogueError> {
        read!(self, Kind::Look, Work::OWN, |connection| {
            let file = sqlx::query_scalar("SELECT data FROM models WHERE id = $1");
            Ok(file.bind(&id).fetch_optional(connection).await?)
        })
    }

    /// Keeps the file of the present embeddings' model.
    pub async fn keep_model(&self, origin: Origin, model: Vec<u8>) -> Result<(), CatalogueError> {
        if self.model(origin.model_id.clone()).await?.is_some() {
            return Ok(());
        }
        transact!(self, Kind::Background, |connection| {
            keep_model(connection, &origin, &model).await
        })
    }

    /// Builds the index if there is none, and lets searches and writes begin.
    pub async fn load(
        &self,
        origin: Origin,
        dimensions: usize,
        progress: Arc<Progress>,
    ) -> Result<(), CatalogueError> {
        let spaces = self.spaces().await?;
        let space = spaces.present.filter(|space| *space.origin == origin);
        let space = space.ok_or(CatalogueError::OtherOrigin)?;
        let space = self.prepare(space, dimensions, &progress).await?;
        *self.0.loaded.write() = Some(space);
        match self.beat().await {
            // On a full disk it reads; the heart goes on to try.
            Err(error) if error.passes() => {
                tracing::warn!(%error, "the database does not hear of this server")
            }
            beat => beat?,
        }
        self.start_heart();
        self.start_recall();
        Ok(())
    }

    /// Records how wide the embeddings of a space are, and builds its index if there is none.
    pub(super) async fn prepare(
        &self,
        mut space: Space,
        dimensions: usize,
        progress: &Arc<Progress>,
    ) -> Result<Space, CatalogueError> {
        match space.dimensions {
            Some(known) if known != dimensions => {
                return Err(damaged(format!(
                    "the embeddings have {known} values, the network gives {dimensions}"
                )));
            }
            Some(_) => {}
            None => {
                let wide = i32::try_from(dimensions).unwrap_or(i32::MAX);
                transact!(self, Kind::Background, |connection| {
                    sqlx::query("UPDATE spaces SET dimensions = $2 WHERE number = $1")
                        .bind(space.number)
                        .bind(wide)
                        .execute(connection)
                        .await?;
                    Ok(())
                })?;
                space.dimensions = Some(dimensions);
            }
        }
        if dimensions <= MOST_INDEXED && !self.is_indexed(&space).await? {
            self.build_index(&space, dimensions, progress).await?;
        }
        Ok(space)
    }

    /// Whether the directions of a space are indexed.
    pub(super) async fn is_indexed(&self, space: &Space) -> Result<bool, CatalogueError> {
        let index = space.index();
        read!(self, Kind::Background, Work::OWN, |connection| {
            let valid =
                sqlx::query_scalar("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass($1)");
            let valid: Option<bool> = valid.bind(&index).fetch_optional(connection).await?;
            Ok(valid.unwrap_or(false))
        })
    }

    async fn build_index(
        &self,
        space: &Space,
        dimensions: usize,
        progress: &Arc<Progress>,
    ) -> Result<(), CatalogueError> {
        let asking = {
            let (store, progress, table) = (self.clone(), Arc::clone(progress), space.vectors());
            self.0.runtime.spawn(async move {
                let mut before = None;
                loop {
                    tokio::time::sleep(ASK).await;
                    if let Ok(Some((done, total))) = store.built(&table).await {
                        match before {
                            None => progress.resume(Stage::Indexing, done, total),
                            Some(before) => progress.advance(done.saturating_sub(before)),
                        }
                        before = Some(done);
                    }
                }
            })
        };
        let mut built = self.try_build(space, dimensions, None).await;
        if let Err(CatalogueError::Full { reason } | CatalogueError::Unavailable { reason }) = &built
            && reason.contains("shared memory")
        {
            // A container has little of it unless it is given more; one process needs none.
            tracing::warn!(reason, "the index is built by one process of the database");
            built = self.try_build(space, dimensions, Some(0)).await;
        }
        asking.abort();
        built
    }

    async fn try_build(
        &self,
        space: &Space,
        dimensions: usize,
        workers: Option<u32>,
    ) -> Result<(), CatalogueError> {
        let (vectors, index) = (space.vectors(), space.index());
        // Not one of the pool's: it takes long, and has other limits.
        let mut connection =
            sqlx::postgres::PgConnection::connect_with(&self.0.pool.connect_options()).await?;
        let build = async |connection: &mut PgConnection| -> Result<(), CatalogueError> {
            let mut transaction = connection.begin().await?;
            // Of servers that start together one builds; the others find it built.
            sqlx::query("SELECT pg_advisory_xact_lock($1)")
                .bind(BUILDING)
                .execute(&mut *transaction)
                .await?;
            let rows: i64 = sqlx::query_scalar(AssertSqlSafe(format!("SELECT count(*) FROM {vectors}")))
                .fetch_one(&mut *transaction)
                .await?;
            let rows = usize::try_from(rows).unwrap_or_default();
            let memory =
                (rows.saturating_mul(2 * dimensions + LINKS) / 1024).clamp(MEMORY_KIB[0], MEMORY_KIB[1]);
            // More, if the database was given more: beyond it, a build takes many times as long.
            let mut sql = format!(
                "SET LOCAL statement_timeout = 0;
                 SELECT set_config('maintenance_work_mem', greatest(
                     {memory}, pg_size_bytes(current_setting('maintenance_work_mem')) / 1024) || 'kB', true);"
            );
            if let Some(workers) = workers {
                sql.push_str(&format!(
                    "SET LOCAL max_parallel_maintenance_workers = {workers};"
                ));
            }
            sql.push_str(&format!(
                "CREATE INDEX IF NOT EXISTS {index} ON {vectors}
                 USING hnsw ((direction::halfvec({dimensions})) halfvec_ip_ops) WITH (m = 16, ef_construction = 120);
                 ANALYZE {vectors};"
            ));
            sqlx::raw_sql(AssertSqlSafe(sql))
                .execute(&mut *transaction)
                .await?;
            Ok(transaction.commit().await?)
        };
        let built = build(&mut connection).await;
        // The error that is answered is the first.
        let _ = connection.close().await;
        built
    }

    /// How many rows of an index that is being built are in it, and of how many.
    async fn built(&self, table: &str) -> Result<Option<(usize, usize)>, CatalogueError> {
        read!(self, Kind::Background, Work::OWN, |connection| {
            let row = sqlx::query(
                "SELECT tuples_done, c.reltuples::bigint AS total FROM pg_stat_progress_create_index b
                 JOIN pg_class c ON c.oid = b.relid WHERE b.relid = to_regclass($1) AND tuples_done > 0",
            )
            .bind(table)
            .fetch_optional(connection)
            .await?;
            let Some(row) = row else { return Ok(None) };
            let (done, total): (i64, i64) = (row.try_get("tuples_done")?, row.try_get("total")?);
            let (done, total) = (usize::try_from(done), usize::try_from(total.max(done)));
            Ok(done.ok().zip(total.ok()))
        })
    }
}
