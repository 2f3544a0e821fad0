//! Imports as rows: their lines that wait, and their results.

use rusqlite::{Connection, OptionalExtension, params};

use super::change::{Applied, Change};
use super::error::damaged;
use super::reader::Reader;
use super::rows::{check_origin, put};
use crate::catalogue::error::CatalogueError;
use crate::catalogue::import::{
    Import, ImportError, ImportState, ImportStep, Lease, MOST_ERRORS, OpenImport,
};
use crate::catalogue::origin::Origin;

/// Does one step within the caller's transaction, in a catalogue whose embeddings are of `origin`.
pub fn apply(
    connection: &Connection,
    id: &str,
    step: ImportStep,
    origin: Option<&Origin>,
) -> Result<Applied, CatalogueError> {
    if matches!(step, ImportStep::Begun) {
        connection
            .prepare_cached("INSERT INTO imports (id, state) VALUES (?1, 'receiving')")?
            .execute([id])?;
        return Ok(Applied::NOTHING);
    }
    let seq: Option<i64> = connection
        .prepare_cached("SELECT seq FROM imports WHERE id = ?1")?
        .query_row([id], |row| row.get(0))
        .optional()?;
    let seq = seq.ok_or_else(|| CatalogueError::NoImport { id: id.to_owned() })?;
    match step {
        ImportStep::Begun => {}
        ImportStep::Received(lines) => {
            let mut row = connection
                .prepare_cached("INSERT INTO import_lines (import, line, data) VALUES (?1, ?2, ?3)")?;
            for (line, data) in &lines {
                row.execute(params![seq, whole(*line)?, data])?;
            }
            let count = i64::try_from(lines.len()).map_err(|_| damaged("too many lines"))?;
            connection
                .prepare_cached("UPDATE imports SET received = received + ?2 WHERE seq = ?1")?
                .execute([seq, count])?;
        }
        ImportStep::Whole => turn(connection, seq, ImportState::Running)?,
        ImportStep::Done => turn(connection, seq, ImportState::Done)?,
        ImportStep::Broken => {
            connection
                .prepare_cached("DELETE FROM import_lines WHERE import = ?1")?
                .execute([seq])?;
            turn(connection, seq, ImportState::Failed)?;
        }
        ImportStep::Stored { line, product } => {
            check_origin(&product.pictures, origin)?;
            if !take(connection, seq, line)? {
                return Ok(Applied::NOTHING);
            }
            let (key, created, keys) = put(connection, &product)?;
            connection
                .prepare_cached("UPDATE imports SET stored = stored + 1 WHERE seq = ?1")?
                .execute([seq])?;
            let embeddings = product.pictures.into_iter().map(|picture| picture.embedding);
            return Ok(Applied {
                product: None,
                created,
                change: Change::Put {
                    product: key,
                    attributes: product.attributes,
                    pictures: keys.into_iter().zip(embeddings).collect(),
                },
            });
        }
        ImportStep::Refused {
            line,
            product,
            detail,
        } => {
            if !take(connection, seq, line)? {
                return Ok(Applied::NOTHING);
            }
            connection
                .prepare_cached("UPDATE imports SET failed = failed + 1 WHERE seq = ?1")?
                .execute([seq])?;
            connection
                .prepare_cached(
                    "INSERT INTO import_errors (import, line, product, detail) SELECT ?1, ?2, ?3, ?4
                     WHERE (SELECT failed FROM imports WHERE seq = ?1) <= ?5",
                )?
                .execute(params![seq, whole(line)?, product, detail, MOST_ERRORS])?;
        }
    }
    Ok(Applied::NOTHING)
}

/// The last of the imports whose lines were still coming when the server ended: they have no client any more.
pub fn last_broken(connection: &Connection) -> Result<Option<i64>, CatalogueError> {
    let sql = "SELECT max(seq) FROM imports WHERE state = 'receiving'";
    Ok(connection.query_row(sql, [], |row| row.get(0))?)
}

/// Ends these imports, up to the last of them.
pub fn drop_broken(connection: &Connection, last: i64) -> Result<(), CatalogueError> {
    connection.execute(
        "DELETE FROM import_lines WHERE import IN (SELECT seq FROM imports WHERE state = 'receiving' AND seq <= ?1)",
        [last],
    )?;
    connection.execute(
        "UPDATE imports SET state = 'failed' WHERE state = 'receiving' AND seq <= ?1",
        [last],
    )?;
    Ok(())
}

fn turn(connection: &Connection, seq: i64, state: ImportState) -> Result<(), CatalogueError> {
    connection
        .prepare_cached("UPDATE imports SET state = ?2 WHERE seq = ?1")?
        .execute(params![seq, state.as_str()])?;
    Ok(())
}

/// Takes a line out of those that wait; false where it is gone already.
fn take(connection: &Connection, seq: i64, line: u64) -> Result<bool, CatalogueError> {
    let gone = connection
        .prepare_cached("DELETE FROM import_lines WHERE import = ?1 AND line = ?2")?
        .execute([seq, whole(line)?])?;
    Ok(gone == 1)
}

fn whole(number: u64) -> Result<i64, CatalogueError> {
    i64::try_from(number).map_err(|_| damaged("a line number beyond 63 bits"))
}

fn state_of(stored: &str) -> Result<ImportState, CatalogueError> {
    ImportState::from_name(stored).ok_or_else(|| damaged(format!("imports.state is {stored:?}")))
}

fn counted(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let count: i64 = row.get(column)?;
    u64::try_from(count).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, count))
}

impl Reader {
    /// The import of that name.
    pub fn import(&self, id: &str) -> Result<Option<Import>, CatalogueError> {
        let mut statement = self
            .connection()
            .prepare_cached("SELECT seq, state, received, stored, failed FROM imports WHERE id = ?1")?;
        let found = statement.query_row([id], |row| {
            let state: String = row.get(1)?;
            Ok((
                row.get::<_, i64>(0)?,
                state,
                counted(row, 2)?,
                counted(row, 3)?,
                counted(row, 4)?,
            ))
        });
        let Some((seq, state, received, stored, failed)) = found.optional()? else {
            return Ok(None);
        };
        let state = state_of(&state)?;
        let mut statement = self.connection().prepare_cached(
            "SELECT line, product, detail FROM import_errors WHERE import = ?1 ORDER BY line",
        )?;
        let errors = statement.query_map([seq], |row| {
            Ok(ImportError {
                line: counted(row, 0)?,
                id: row.get(1)?,
                detail: row.get(2)?,
            })
        })?;
        Ok(Some(Import {
            state,
            received,
            stored,
            failed,
            errors: errors.collect::<Result<_, _>>()?,
        }))
    }

    /// Imports that are not at their end, the oldest first: at most `count`.
    pub fn open_imports(&self, count: usize) -> Result<Vec<OpenImport>, CatalogueError> {
        let mut statement = self.connection().prepare_cached(
            "SELECT id, state, received, stored, failed FROM imports WHERE state IN ('receiving', 'running')
             ORDER BY seq LIMIT ?1",
        )?;
        let rows = statement.query_map([i64::try_from(count).unwrap_or(i64::MAX)], |row| {
            Ok((
                row.get::<_, String>(0)?,
                row.get::<_, String>(1)?,
                counted(row, 2)?,
                counted(row, 3)?,
                counted(row, 4)?,
            ))
        })?;
        rows.map(|row| {
            let (id, state, received, stored, failed) = row?;
            Ok(OpenImport {
                id,
                state: state_of(&state)?,
                received,
                stored,
                failed,
            })
        })
        .collect()
    }

    /// The next lines of the oldest import that has all its lines: at most `count`, and about `bytes`.
    pub fn claim(&self, count: usize, bytes: usize) -> Result<Option<Lease>, CatalogueError> {
        let mut statement = self
            .connection()
            .prepare_cached("SELECT seq, id FROM imports WHERE state = 'running' ORDER BY seq LIMIT 1")?;
        let oldest = statement.query_row([], |row| Ok((row.get::<_, i64>(0)?, row.get(1)?)));
        let Some((seq, import)) = oldest.optional()? else {
            return Ok(None);
        };
        let mut statement = self
            .connection()
            .prepare_cached("SELECT line, data FROM import_lines WHERE import = ?1 ORDER BY line")?;
        let mut rows = statement.query([seq])?;
        let mut lines = Vec::new();
        let mut taken = 0;
        while lines.len() < count && taken < bytes {
            let Some(row) = rows.next()? else { break };
            let data: Vec<u8> = row.get(1)?;
            taken += data.len();
            lines.push((counted(row, 0)?, data));
        }
        Ok(Some(Lease { import, lines }))
    }
}
