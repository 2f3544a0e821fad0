//! Imports as rows: their lines that wait, their results, and the server that works on each.
//!
//! One server at a time works on an import, so that of two lines with one id the later one stays; several imports are worked
//! on by several servers. The lease ends with the server's row in `servers`.

use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::error::{Failure, damaged};
use super::measured::Kind;
use super::servers;
use super::store::{Postgres, read, transact};
use super::text::{original, storable};
use crate::admission::Work;
use crate::catalogue::error::CatalogueError;
use crate::catalogue::import::{
    Import, ImportError, ImportState, ImportStep, Lease, MOST_ERRORS, OpenImport,
};

/// Does one step within the caller's transaction; [`ImportStep::Stored`] is done by the writes.
pub async fn apply(
    connection: &mut PgConnection,
    id: &str,
    step: &ImportStep,
    server: Uuid,
) -> Result<(), Failure> {
    match step {
        ImportStep::Begun => {
            servers::seen(connection, server).await?;
            sqlx::query("INSERT INTO imports (id, state, server) VALUES ($1, 'receiving', $2)")
                .bind(id)
                .bind(server)
                .execute(connection)
                .await?;
        }
        ImportStep::Received(lines) => {
            let seq: Option<i64> = sqlx::query_scalar(
                "UPDATE imports SET received = received + $2 WHERE id = $1 AND state = 'receiving' RETURNING seq",
            )
            .bind(id)
            .bind(whole(lines.len() as u64)?)
            .fetch_optional(&mut *connection)
            .await?;
            let Some(seq) = seq else {
                return Err(ended(connection, id).await?.into());
            };
            let numbers = lines.iter().map(|(line, _)| whole(*line));
            sqlx::query(
                "INSERT INTO import_lines (import, line, data)
                 SELECT $1, line, data FROM unnest($2::bigint[], $3::bytea[]) AS new (line, data)",
            )
            .bind(seq)
            .bind(numbers.collect::<Result<Vec<_>, _>>()?)
            .bind(lines.iter().map(|(_, data)| data.as_slice()).collect::<Vec<_>>())
            .execute(connection)
            .await?;
        }
        ImportStep::Whole => {
            // From now on any server may work on it.
            let whole = sqlx::query(
                "UPDATE imports SET state = 'running', server = NULL WHERE id = $1 AND state = 'receiving'",
            )
            .bind(id)
            .execute(&mut *connection)
            .await?;
            if whole.rows_affected() == 0 {
                return Err(ended(connection, id).await?.into());
            }
        }
        ImportStep::Done => {
            sqlx::query(
                "UPDATE imports SET state = 'done', server = NULL WHERE id = $1 AND state = 'running'",
            )
            .bind(id)
            .execute(connection)
            .await?;
        }
        ImportStep::Broken => {
            let seq: Option<i64> = sqlx::query_scalar(
                "UPDATE imports SET state = 'failed', server = NULL WHERE id = $1 RETURNING seq",
            )
            .bind(id)
            .fetch_optional(&mut *connection)
            .await?;
            sqlx::query("DELETE FROM import_lines WHERE import = $1")
                .bind(seq)
                .execute(connection)
                .await?;
        }
        ImportStep::Refused {
            line,
            product,
            detail,
        } => {
            if take(connection, id, *line).await? {
                sqlx::query(
                    "WITH counted AS (UPDATE imports SET failed = failed + 1 WHERE id = $1 RETURNING seq, failed)
                     INSERT INTO import_errors (import, line, product, detail)
                     SELECT seq, $2, $3, $4 FROM counted WHERE failed <= $5",
                )
                .bind(id)
                .bind(whole(*line)?)
                .bind(product.as_deref().map(storable))
                .bind(storable(detail))
                .bind(i64::from(MOST_ERRORS))
                .execute(connection)
                .await?;
            }
        }
        ImportStep::Stored { .. } => {}
    }
    Ok(())
}

/// Takes a line out of those that wait; false where it is gone already.
pub async fn take(connection: &mut PgConnection, id: &str, line: u64) -> Result<bool, Failure> {
    let gone = sqlx::query(
        "DELETE FROM import_lines WHERE import = (SELECT seq FROM imports WHERE id = $1) AND line = $2",
    )
    .bind(id)
    .bind(whole(line)?)
    .execute(connection)
    .await?;
    Ok(gone.rows_affected() == 1)
}

/// Counts a line that became a product.
pub async fn count_stored(connection: &mut PgConnection, id: &str) -> Result<(), Failure> {
    sqlx::query("UPDATE imports SET stored = stored + 1 WHERE id = $1")
        .bind(id)
        .execute(connection)
        .await?;
    Ok(())
}

/// Why an import takes no more lines.
async fn ended(connection: &mut PgConnection, id: &str) -> Result<CatalogueError, Failure> {
    let state: Option<String> = sqlx::query_scalar("SELECT state FROM imports WHERE id = $1")
        .bind(id)
        .fetch_optional(connection)
        .await?;
    Ok(match state {
        None => CatalogueError::NoImport { id: id.to_owned() },
        Some(state) => CatalogueError::NotStored {
            reason: format!(
                "the import {id} is {state}: its server was not seen by the others for too long; send it again"
            ),
        },
    })
}

fn whole(number: u64) -> Result<i64, CatalogueError> {
    i64::try_from(number).map_err(|_| damaged("a number beyond 63 bits"))
}

fn counted(row: &PgRow, column: &str) -> Result<u64, CatalogueError> {
    let count: i64 = row.try_get(column)?;
    u64::try_from(count).map_err(|_| damaged(format!("imports.{column} is negative")))
}

fn state_of(row: &PgRow) -> Result<ImportState, CatalogueError> {
    let stored: String = row.try_get("state")?;
    ImportState::from_name(&stored).ok_or_else(|| damaged(format!("imports.state is {stored:?}")))
}

impl Postgres {
    /// The import of this id.
    pub async fn import(&self, id: String, work: Work) -> Result<Import, CatalogueError> {
        read!(self, Kind::Look, work, |connection| {
            let found = match id.contains('\0') {
                true => None,
                false => {
                    sqlx::query("SELECT * FROM imports WHERE id = $1")
                        .bind(&id)
                        .fetch_optional(&mut *connection)
                        .await?
                }
            };
            let Some(row) = found else {
                return Err(CatalogueError::NoImport { id: id.clone() });
            };
            let errors = sqlx::query(
                "SELECT line, product, detail FROM import_errors WHERE import = $1 ORDER BY line",
            )
            .bind(row.try_get::<i64, _>("seq")?)
            .fetch_all(connection)
            .await?;
            let errors = errors.iter().map(|row| {
                Ok(ImportError {
                    line: counted(row, "line")?,
                    id: row.try_get::<Option<String>, _>("product")?.map(original),
                    detail: original(row.try_get("detail")?),
                })
            });
            Ok(Import {
                state: state_of(&row)?,
                received: counted(&row, "received")?,
                stored: counted(&row, "stored")?,
                failed: counted(&row, "failed")?,
                errors: errors.collect::<Result<_, CatalogueError>>()?,
            })
        })
    }

    /// The imports that are not done, the oldest first: at most `count`.
    pub async fn open_imports(&self, count: usize, work: Work) -> Result<Vec<OpenImport>, CatalogueError> {
        read!(self, Kind::Look, work, |connection| {
            let rows = sqlx::query(
                "SELECT * FROM imports WHERE state IN ('receiving', 'running') ORDER BY seq LIMIT $1",
            )
            .bind(i64::try_from(count).unwrap_or(i64::MAX))
            .fetch_all(connection)
            .await?;
            let imports = rows.iter().map(|row| {
                Ok(OpenImport {
                    id: row.try_get("id")?,
                    state: state_of(row)?,
                    received: counted(row, "received")?,
                    stored: counted(row, "stored")?,
                    failed: counted(row, "failed")?,
                })
            });
            imports.collect()
        })
    }

    /// The next lines of the oldest import that has been received and that no other server works on: at most `count`, and
    /// about `bytes`. None where nothing waits. Lines stay with the import until a write settles them.
    pub async fn claim(&self, count: usize, bytes: usize) -> Result<Option<Lease>, CatalogueError> {
        let server = self.0.server;
        transact!(self, Kind::Background, |connection| {
            let waits: bool = sqlx::query_scalar(
                "SELECT EXISTS (SELECT 1 FROM imports WHERE state = 'running' AND (server IS NULL OR server = $1))",
            )
            .bind(server)
            .fetch_one(&mut *connection)
            .await?;
            if !waits {
                return Ok(None);
            }
            servers::seen(connection, server).await?;
            let claimed = sqlx::query(
                "UPDATE imports SET server = $1 WHERE seq = (
                     SELECT seq FROM imports WHERE state = 'running' AND (server IS NULL OR server = $1)
                     ORDER BY seq LIMIT 1 FOR UPDATE SKIP LOCKED)
                 RETURNING seq, id",
            )
            .bind(server)
            .fetch_optional(&mut *connection)
            .await?;
            let Some(import) = claimed else { return Ok(None) };
            let rows = sqlx::query(
                "SELECT line, data FROM (
                     SELECT line, data,
                         sum(octet_length(data)) OVER (ORDER BY line) - octet_length(data) AS before
                     FROM (SELECT * FROM import_lines WHERE import = $1 ORDER BY line LIMIT $2) AS first
                 ) AS counted WHERE before < $3 ORDER BY line",
            )
            .bind(import.try_get::<i64, _>("seq")?)
            .bind(i64::try_from(count).unwrap_or(i64::MAX))
            .bind(i64::try_from(bytes).unwrap_or(i64::MAX))
            .fetch_all(connection)
            .await?;
            let lines = rows
                .iter()
                .map(|row| Ok((counted(row, "line")?, row.try_get("data")?)));
            Ok(Some(Lease {
                import: import.try_get("id")?,
                lines: lines.collect::<Result<_, CatalogueError>>()?,
            }))
        })
    }
}
