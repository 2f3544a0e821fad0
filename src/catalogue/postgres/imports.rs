//! Imports as rows: their lines that wait, their results, and the server that works on each.
//!
//! One server at a time works on an import, so that of two lines with one id the later one stays; several imports are worked
//! on by several servers. The lease ends with the server's row in `servers`.

use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, PgConnection, Postgres as Database, QueryBuilder, Row};
use uuid::Uuid;

use super::error::{Failure, damaged};
use super::filter;
use super::measured::Kind;
use super::servers;
use super::store::{Postgres, read, stop_writes, transact};
use super::text::{original, storable};
use crate::admission::Work;
use crate::catalogue::error::CatalogueError;
use crate::catalogue::import::{
    Counts, Import, ImportError, ImportState, ImportStep, Lease, MOST_ERRORS, Missing, OpenImport,
};
use crate::catalogue::scope::Scope;

/// Products that are looked at in one step of removing the missing ones.
const LOOKED_AT: i64 = 4096;

/// Does one step within the caller's transaction; those that change products are done by the writes.
pub async fn apply(
    connection: &mut PgConnection,
    id: &str,
    step: &ImportStep,
    server: Uuid,
) -> Result<(), Failure> {
    match step {
        ImportStep::Begun { missing, scope } => {
            servers::seen(connection, server).await?;
            if *missing == Missing::Delete {
                // Whatever is being written is either stored before, or finds this import and is kept by it.
                stop_writes(connection).await?;
            }
            let sql = "INSERT INTO imports (id, state, server, missing, scope) VALUES ($1, 'receiving', $2, $3, $4)";
            sqlx::query(sql)
                .bind(id)
                .bind(server)
                .bind(missing.as_str())
                .bind(scope.text().map(storable))
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
            // Another server works on it where this one was not seen for too long.
            let done: Option<i64> = sqlx::query_scalar(
                "UPDATE imports SET state = 'done', server = NULL
                 WHERE id = $1 AND state = 'running' AND server = $2 RETURNING seq",
            )
            .bind(id)
            .bind(server)
            .fetch_optional(&mut *connection)
            .await?;
            forget_ids(connection, done).await?;
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
                .execute(&mut *connection)
                .await?;
            forget_ids(connection, seq).await?;
        }
        ImportStep::Refused {
            line,
            product,
            detail,
        } => {
            if take(connection, id, *line).await?.is_some() {
                refuse(connection, id, *line, product.as_deref(), detail).await?;
            }
        }
        ImportStep::Stored { .. }
        | ImportStep::Merged { .. }
        | ImportStep::Deleted { .. }
        | ImportStep::RemoveMissing { .. } => {}
    }
    Ok(())
}

async fn forget_ids(connection: &mut PgConnection, seq: Option<i64>) -> Result<(), Failure> {
    sqlx::query("DELETE FROM import_ids WHERE import = $1")
        .bind(seq)
        .execute(connection)
        .await?;
    Ok(())
}

/// Counts a line as an error.
pub async fn refuse(
    connection: &mut PgConnection,
    id: &str,
    line: u64,
    product: Option<&str>,
    detail: &str,
) -> Result<(), Failure> {
    sqlx::query(
        "WITH counted AS (
             UPDATE imports SET settled = settled + 1, failed = failed + 1 WHERE id = $1 RETURNING seq, failed)
         INSERT INTO import_errors (import, line, product, detail)
         SELECT seq, $2, $3, $4 FROM counted WHERE failed <= $5",
    )
    .bind(id)
    .bind(whole(line)?)
    .bind(product.map(storable))
    .bind(storable(detail))
    .bind(i64::from(MOST_ERRORS))
    .execute(&mut *connection)
    .await?;
    if let Some(product) = product {
        name(connection, &[product], Named::By(id)).await?;
    }
    Ok(())
}

/// For which unfinished imports a product is kept from being removed as missing.
#[derive(Debug, Clone, Copy)]
pub enum Named<'a> {
    /// All: it was written since they began.
    ByAll,
    /// This import, which has a line about it.
    By(&'a str),
    /// This import, which has written it, and those that began before.
    Written(&'a str),
}

/// Keeps products from being removed as missing.
pub async fn name(connection: &mut PgConnection, ids: &[&str], named: Named<'_>) -> Result<(), Failure> {
    // No product has an id with this character, and PostgreSQL refuses it.
    let ids: Vec<&str> = ids.iter().copied().filter(|id| !id.contains('\0')).collect();
    let (condition, import) = match named {
        Named::ByAll => ("", None),
        Named::By(import) => ("AND i.id = $2", Some(import)),
        Named::Written(import) => (
            "AND i.seq <= (SELECT seq FROM imports WHERE id = $2)",
            Some(import),
        ),
    };
    let sql = format!(
        "INSERT INTO import_ids (import, id) SELECT i.seq, new.id FROM imports i CROSS JOIN unnest($1::text[]) AS new (id)
         WHERE i.state IN ('receiving', 'running') AND i.missing = 'delete' {condition} ON CONFLICT DO NOTHING"
    );
    let mut naming = sqlx::query(AssertSqlSafe(sql)).bind(ids);
    if let Some(import) = import {
        naming = naming.bind(import);
    }
    naming.execute(connection).await?;
    Ok(())
}

/// Which of the next products an import did not name, once all its lines are done, and whether more follow: those stay
/// locked until the transaction ends. Nothing if another server works on the import.
pub async fn missing(
    connection: &mut PgConnection,
    id: &str,
    server: Uuid,
    after: i64,
    most: usize,
) -> Result<(Vec<i64>, Option<i64>), Failure> {
    let held = sqlx::query(
        "SELECT * FROM imports WHERE id = $1 AND state = 'running' AND missing = 'delete' AND server = $2
         AND NOT EXISTS (SELECT 1 FROM import_lines l WHERE l.import = imports.seq) FOR UPDATE",
    )
    .bind(id)
    .bind(server)
    .fetch_optional(&mut *connection)
    .await?;
    let Some(import) = held else {
        return Ok((Vec::new(), None));
    };
    let seq: i64 = import.try_get("seq")?;
    if let Some(note) = counts(&import)?.keeps_missing() {
        sqlx::query("UPDATE imports SET note = $2 WHERE seq = $1")
            .bind(seq)
            .bind(note)
            .execute(connection)
            .await?;
        return Ok((Vec::new(), None));
    }
    let scope = scope_of(&import)?;
    let mut looking = QueryBuilder::<Database>::new(
        "SELECT p.seq, EXISTS (SELECT 1 FROM import_ids n WHERE n.id = p.id AND n.import = ",
    );
    looking.push_bind(seq).push(") OR NOT ");
    push_seen(&mut looking, &scope);
    looking.push(" AS kept FROM (SELECT seq, id, facts FROM products WHERE seq > ");
    looking
        .push_bind(after)
        .push(" ORDER BY seq LIMIT ")
        .push_bind(LOOKED_AT);
    looking.push(") p ORDER BY p.seq");
    let rows = looking
        .build()
        .persistent(scope.is_all())
        .fetch_all(&mut *connection)
        .await?;
    let (mut found, mut looked_at, mut last) = (Vec::new(), 0, None);
    for row in &rows {
        if found.len() == most {
            break;
        }
        let product: i64 = row.try_get("seq")?;
        (looked_at, last) = (looked_at + 1, Some(product));
        if !row.try_get::<bool, _>("kept")? {
            found.push(product);
        }
    }
    // Whoever writes to one of them is waited for: only a statement after that sees whether it was named meanwhile.
    sqlx::query("SELECT FROM products WHERE seq = ANY($1) ORDER BY id FOR UPDATE")
        .bind(&found)
        .execute(&mut *connection)
        .await?;
    let mut asking = QueryBuilder::<Database>::new("SELECT p.seq FROM products p WHERE p.seq = ANY(");
    asking.push_bind(&found).push(") AND ");
    push_seen(&mut asking, &scope);
    asking.push(" AND NOT EXISTS (SELECT 1 FROM import_ids n WHERE n.id = p.id AND n.import = ");
    asking.push_bind(seq).push(") ORDER BY p.seq");
    let asking = asking.build_query_scalar().persistent(scope.is_all());
    let gone: Vec<i64> = asking.fetch_all(&mut *connection).await?;
    if !gone.is_empty() {
        sqlx::query("UPDATE imports SET deleted = deleted + $2 WHERE seq = $1")
            .bind(seq)
            .bind(whole(gone.len() as u64)?)
            .execute(connection)
            .await?;
    }
    let more = looked_at == LOOKED_AT || found.len() == most;
    Ok((gone, last.filter(|_| more)))
}

/// Adds the condition that the products `p` are part of a scope.
fn push_seen(sql: &mut QueryBuilder<Database>, scope: &Scope) {
    match scope.own() {
        Some(filter) => filter::push(sql, filter),
        None => drop(sql.push("true")),
    }
}

/// Takes a line out of those that wait, and says what its import sees and changes; none where it is gone already.
pub async fn take(connection: &mut PgConnection, id: &str, line: u64) -> Result<Option<Scope>, Failure> {
    let gone = sqlx::query(
        "DELETE FROM import_lines USING imports WHERE import = imports.seq AND imports.id = $1 AND line = $2 RETURNING scope",
    )
    .bind(id)
    .bind(whole(line)?)
    .fetch_optional(connection)
    .await?;
    Ok(match gone {
        Some(row) => Some(scope_of(&row)?),
        None => None,
    })
}

fn scope_of(row: &PgRow) -> Result<Scope, CatalogueError> {
    let text: Option<String> = row.try_get("scope")?;
    Scope::stored(text.map(original).as_deref())
}

/// What a line did.
#[derive(Debug, Clone, Copy)]
pub enum Did {
    Store,
    Merge,
    /// Whether there was a product to delete.
    Delete(bool),
}

/// Counts a line that was done.
pub async fn count(connection: &mut PgConnection, id: &str, did: Did) -> Result<(), Failure> {
    let sql = match did {
        Did::Store => "UPDATE imports SET settled = settled + 1, stored = stored + 1 WHERE id = $1",
        Did::Merge => "UPDATE imports SET settled = settled + 1, merged = merged + 1 WHERE id = $1",
        Did::Delete(true) => "UPDATE imports SET settled = settled + 1, deleted = deleted + 1 WHERE id = $1",
        Did::Delete(false) => "UPDATE imports SET settled = settled + 1 WHERE id = $1",
    };
    sqlx::query(sql).bind(id).execute(connection).await?;
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

fn counts(row: &PgRow) -> Result<Counts, CatalogueError> {
    Ok(Counts {
        received: counted(row, "received")?,
        stored: counted(row, "stored")?,
        merged: counted(row, "merged")?,
        deleted: counted(row, "deleted")?,
        failed: counted(row, "failed")?,
        settled: counted(row, "settled")?,
    })
}

fn missing_of(row: &PgRow) -> Result<Missing, CatalogueError> {
    let stored: String = row.try_get("missing")?;
    Missing::from_name(&stored).ok_or_else(|| damaged(format!("imports.missing is {stored:?}")))
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
                scope: scope_of(&row)?,
                counts: counts(&row)?,
                missing: missing_of(&row)?,
                note: row.try_get("note")?,
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
                    scope: scope_of(row)?,
                    state: state_of(row)?,
                    counts: counts(row)?,
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
                 RETURNING seq, id, missing",
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
                missing: missing_of(&import)?,
            }))
        })
    }
}
