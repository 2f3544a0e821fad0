//! The servers of one catalogue: each says once a second that it works, and what a server held that is not seen any more
//! is free for the others. Time is the database's.

use std::sync::atomic::Ordering;
use std::time::Duration;

use sqlx::{AssertSqlSafe, PgConnection};
use uuid::Uuid;

use super::error::{Failure, is_missing_table};
use super::measured::Kind;
use super::store::{Postgres, read, transact};
use crate::admission::Work;
use crate::catalogue::error::CatalogueError;

/// How often a server looks at the database.
const BEAT: Duration = Duration::from_secs(1);
/// A server that was not seen for so long holds nothing any more.
const GONE: &str = "10 seconds";
/// Up to so many pictures are counted; beyond, PostgreSQL's own estimate will do.
const COUNTED: i64 = 200_000;

/// Says that a server works.
pub async fn seen(connection: &mut PgConnection, server: Uuid) -> Result<(), Failure> {
    sqlx::query(
        "INSERT INTO servers (id) VALUES ($1) ON CONFLICT (id) DO UPDATE SET seen_at = clock_timestamp()",
    )
    .bind(server)
    .execute(connection)
    .await?;
    Ok(())
}

/// Frees what servers held that are not seen any more.
async fn free(connection: &mut PgConnection) -> Result<(), Failure> {
    sqlx::query(AssertSqlSafe(format!(
        "DELETE FROM servers WHERE id IN (SELECT id FROM servers WHERE seen_at < clock_timestamp() - interval '{GONE}'
         FOR UPDATE SKIP LOCKED)"
    )))
    .execute(&mut *connection)
    .await?;
    // Nobody sends the rest of their lines.
    sqlx::query(
        "WITH broken AS (UPDATE imports SET state = 'failed' WHERE state = 'receiving' AND server IS NULL RETURNING seq),
         forgotten AS (DELETE FROM import_ids WHERE import IN (SELECT seq FROM broken))
         DELETE FROM import_lines WHERE import IN (SELECT seq FROM broken)",
    )
    .execute(connection)
    .await?;
    Ok(())
}

impl Postgres {
    /// Begins to say that this server works, until the catalogue is closed.
    pub(super) fn start_heart(&self) {
        let store = self.clone();
        let beating = self.0.runtime.spawn(async move {
            let mut said = None;
            loop {
                tokio::time::sleep(BEAT).await;
                let failed = store.bounded(store.beat()).await.err();
                if store.0.closed.load(Ordering::Acquire) {
                    return;
                }
                // That it cannot be reached is said by the watch; all else is no reason to answer nobody.
                let failed = failed.filter(|_| store.lost().is_none());
                let failed = failed.map(|error| error.to_string());
                if failed != said
                    && let Some(error) = &failed
                {
                    tracing::warn!(
                        store = store.0.place,
                        error,
                        "the database does not hear of this server"
                    );
                }
                said = failed;
            }
        });
        *self.0.heart.lock() = Some(beating);
    }

    pub(super) async fn beat(&self) -> Result<(), CatalogueError> {
        let server = self.0.server;
        transact!(self, Kind::Background, |connection| {
            seen(connection, server).await?;
            free(connection).await
        })?;
        self.spaces().await?;
        self.count_pictures().await
    }

    pub(super) async fn count_pictures(&self) -> Result<(), CatalogueError> {
        let Ok(space) = self.loaded() else { return Ok(()) };
        let table = space.embeddings();
        let pictures: i64 = read!(self, Kind::Background, Work::OWN, |connection| {
            let about: f32 = sqlx::query_scalar("SELECT reltuples FROM pg_class WHERE oid = to_regclass($1)")
                .bind(&table)
                .fetch_optional(&mut *connection)
                .await?
                .unwrap_or(0.0);
            if about as i64 > COUNTED {
                return Ok(about as i64);
            }
            let count = AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
            match sqlx::query_scalar(count).fetch_one(connection).await {
                // The space was replaced a moment ago.
                Err(error) if is_missing_table(&error) => Ok(0),
                count => Ok(count?),
            }
        })?;
        self.0
            .pictures
            .store(usize::try_from(pictures).unwrap_or_default(), Ordering::Relaxed);
        Ok(())
    }

    /// Gives up what this server holds, and ends. What comes later is refused.
    pub async fn close(&self) {
        if self.0.closed.swap(true, Ordering::AcqRel) {
            return;
        }
        self.0.watch.look_now();
        if let Some(beating) = self.0.heart.lock().take() {
            beating.abort();
        }
        let gone = sqlx::query("DELETE FROM servers WHERE id = $1").bind(self.0.server);
        let ended = async {
            // Without the database, others find out by themselves.
            let _ = gone.execute(&self.0.pool).await;
            self.0.pool.close().await;
        };
        let _ = tokio::time::timeout(self.0.options.wait, ended).await;
    }
}
