//! Imports as rows: their lines that wait, and their results.

use rusqlite::{Connection, OptionalExtension, params};

use super::change::{Applied, Change};
use super::error::damaged;
use super::keys::ProductKey;
use super::reader::Reader;
use super::rows::{check_origin, delete, described, find, key, merge, put};
use crate::catalogue::error::CatalogueError;
use crate::catalogue::import::{
    Counts, Import, ImportError, ImportState, ImportStep, Lease, MOST_ERRORS, Missing, OpenImport,
    not_merged, not_stored,
};
use crate::catalogue::origin::Origin;
use crate::catalogue::product::{Cursor, Product};
use crate::catalogue::scope::Scope;

/// Products that are looked at in one step of removing the missing ones: it takes a few milliseconds.
const LOOKED_AT: usize = 4096;

/// Does one step within the caller's transaction, in a catalogue whose embeddings are of `origin`.
pub fn apply(
    connection: &Connection,
    id: &str,
    step: ImportStep,
    origin: Option<&Origin>,
) -> Result<Applied, CatalogueError> {
    if let ImportStep::Begun { missing, scope } = &step {
        connection
            .prepare_cached(
                "INSERT INTO imports (id, state, missing, scope) VALUES (?1, 'receiving', ?2, ?3)",
            )?
            .execute(params![id, missing.as_str(), scope.text()])?;
        return Ok(Applied::NOTHING);
    }
    let found: Option<(i64, Option<String>)> = connection
        .prepare_cached("SELECT seq, scope FROM imports WHERE id = ?1")?
        .query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let (seq, scope) = found.ok_or_else(|| CatalogueError::NoImport { id: id.to_owned() })?;
    let scope = Scope::stored(scope.as_deref())?;
    match step {
        ImportStep::Begun { .. } => {}
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
        ImportStep::Done => {
            forget_ids(connection, seq)?;
            turn(connection, seq, ImportState::Done)?;
        }
        ImportStep::Broken => {
            connection
                .prepare_cached("DELETE FROM import_lines WHERE import = ?1")?
                .execute([seq])?;
            forget_ids(connection, seq)?;
            turn(connection, seq, ImportState::Failed)?;
        }
        ImportStep::Stored { line, product } => {
            check_origin(&product.pictures, origin)?;
            if !take(connection, seq, line)? {
                return Ok(Applied::NOTHING);
            }
            let id = product.id.as_str();
            let stored = in_the_way(connection, &scope, id)?;
            if let Err(error) = scope.permits(id, stored.as_ref(), &product.attributes) {
                refuse(connection, seq, line, Some(id), &not_stored(error)?)?;
                return Ok(Applied::NOTHING);
            }
            let (key, created, keys) = put(connection, &product)?;
            name(connection, product.id.as_str(), i64::MIN, seq)?;
            settle(connection, seq, "stored", 1)?;
            let embeddings = product.pictures.into_iter().map(|picture| picture.embedding);
            return Ok(Applied {
                created,
                change: Change::Put {
                    product: key,
                    attributes: product.attributes,
                    pictures: keys.into_iter().zip(embeddings).collect(),
                },
                ..Applied::NOTHING
            });
        }
        ImportStep::Merged {
            line,
            id,
            title,
            attributes,
        } => {
            if !take(connection, seq, line)? {
                return Ok(Applied::NOTHING);
            }
            match merge(connection, &scope, &id, title, attributes) {
                Ok((product, attributes)) => {
                    name(connection, &id, i64::MIN, seq)?;
                    settle(connection, seq, "merged", 1)?;
                    return Ok(Applied {
                        change: Change::Attributes { product, attributes },
                        ..Applied::NOTHING
                    });
                }
                Err(error) => {
                    let detail = not_merged(error)?;
                    refuse(connection, seq, line, Some(&id), &detail)?;
                }
            }
        }
        ImportStep::Deleted { line, id } => {
            if !take(connection, seq, line)? {
                return Ok(Applied::NOTHING);
            }
            name(connection, &id, seq, seq)?;
            let is_there = match in_the_way(connection, &scope, &id)? {
                Some(stored) => scope.has(&stored),
                None => scope.is_all(),
            };
            let product = key(connection, &id)?.filter(|_| is_there);
            settle(connection, seq, "deleted", i64::from(product.is_some()))?;
            if let Some(product) = product {
                delete(connection, product)?;
                return Ok(Applied::removed(vec![product], None));
            }
        }
        ImportStep::Refused {
            line,
            product,
            detail,
        } => {
            if take(connection, seq, line)? {
                refuse(connection, seq, line, product.as_deref(), &detail)?;
            }
        }
        ImportStep::RemoveMissing { after, most } => {
            return remove_missing(connection, seq, &scope, after.as_ref(), most);
        }
    }
    Ok(Applied::NOTHING)
}

/// The product of this id, where not all that is stored is part of a scope.
fn in_the_way(connection: &Connection, scope: &Scope, id: &str) -> Result<Option<Product>, CatalogueError> {
    match scope.is_all() {
        true => Ok(None),
        false => Ok(find(connection, id)?.map(|(_, stored)| stored)),
    }
}

/// Counts a line as done, and its result in this column.
fn settle(connection: &Connection, seq: i64, result: &'static str, by: i64) -> Result<(), CatalogueError> {
    let sql = format!("UPDATE imports SET settled = settled + 1, {result} = {result} + ?2 WHERE seq = ?1");
    connection.prepare_cached(&sql)?.execute([seq, by])?;
    Ok(())
}

fn refuse(
    connection: &Connection,
    seq: i64,
    line: u64,
    product: Option<&str>,
    detail: &str,
) -> Result<(), CatalogueError> {
    settle(connection, seq, "failed", 1)?;
    connection
        .prepare_cached(
            "INSERT INTO import_errors (import, line, product, detail) SELECT ?1, ?2, ?3, ?4
             WHERE (SELECT failed FROM imports WHERE seq = ?1) <= ?5",
        )?
        .execute(params![seq, whole(line)?, product, detail, MOST_ERRORS])?;
    if let Some(id) = product {
        name(connection, id, seq, seq)?;
    }
    Ok(())
}

/// Keeps a product from being removed as missing by the unfinished imports with these numbers.
fn name(connection: &Connection, id: &str, first: i64, last: i64) -> Result<(), CatalogueError> {
    connection
        .prepare_cached(
            "INSERT OR IGNORE INTO import_ids (import, id) SELECT seq, ?1 FROM imports
             WHERE state IN ('receiving', 'running') AND missing = 'delete' AND seq BETWEEN ?2 AND ?3",
        )?
        .execute(params![id, first, last])?;
    Ok(())
}

/// Keeps a product from being removed as missing: it was written since the unfinished imports began.
pub fn named_by_others(connection: &Connection, id: &str) -> Result<(), CatalogueError> {
    name(connection, id, i64::MIN, i64::MAX)
}

fn forget_ids(connection: &Connection, seq: i64) -> Result<(), CatalogueError> {
    connection
        .prepare_cached("DELETE FROM import_ids WHERE import = ?1")?
        .execute([seq])?;
    Ok(())
}

/// Removes some of the products that an import did not name, once all its lines are done.
fn remove_missing(
    connection: &Connection,
    seq: i64,
    scope: &Scope,
    after: Option<&Cursor>,
    most: usize,
) -> Result<Applied, CatalogueError> {
    let counts = connection
        .prepare_cached(&format!(
            "SELECT {COUNTS} FROM imports WHERE seq = ?1 AND state = 'running' AND missing = 'delete'
             AND NOT EXISTS (SELECT 1 FROM import_lines WHERE import = ?1)"
        ))?
        .query_row([seq], |row| counts(row, 0))
        .optional()?;
    let Some(counts) = counts else {
        return Ok(Applied::NOTHING);
    };
    if let Some(note) = counts.keeps_missing() {
        connection
            .prepare_cached("UPDATE imports SET note = ?2 WHERE seq = ?1")?
            .execute(params![seq, note])?;
        return Ok(Applied::NOTHING);
    }
    let after = after.and_then(ProductKey::of_cursor);
    let (mut gone, mut looked_at, mut last) = (Vec::new(), 0, None);
    {
        let mut statement = connection.prepare_cached(
            "SELECT seq, EXISTS (SELECT 1 FROM import_ids WHERE import = ?1 AND import_ids.id = products.id)
             FROM products WHERE seq > ?2 ORDER BY seq",
        )?;
        let mut rows = statement.query([seq, after.map_or(i64::MIN, |key| key.0)])?;
        while looked_at < LOOKED_AT
            && gone.len() < most
            && let Some(row) = rows.next()?
        {
            let product = ProductKey(row.get(0)?);
            (looked_at, last) = (looked_at + 1, Some(product));
            let is_seen = || -> Result<bool, CatalogueError> {
                let described = match scope.is_all() {
                    true => return Ok(true),
                    false => described(connection, product)?,
                };
                Ok(described.is_some_and(|(id, attributes)| scope.takes(&id, &attributes)))
            };
            if !row.get::<_, bool>(1)? && is_seen()? {
                gone.push(product);
            }
        }
    }
    for product in &gone {
        delete(connection, *product)?;
    }
    let number = i64::try_from(gone.len()).map_err(|_| damaged("too many products"))?;
    if number > 0 {
        connection
            .prepare_cached("UPDATE imports SET deleted = deleted + ?2 WHERE seq = ?1")?
            .execute([seq, number])?;
    }
    let more = looked_at == LOOKED_AT || gone.len() == most;
    Ok(Applied::removed(gone, last.filter(|_| more)))
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
        "DELETE FROM import_ids WHERE import IN (SELECT seq FROM imports WHERE state = 'receiving' AND seq <= ?1)",
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

/// Takes a line out of those that wait; false where it is gone already, or one before it waits: lines are done in order.
fn take(connection: &Connection, seq: i64, line: u64) -> Result<bool, CatalogueError> {
    let gone = connection
        .prepare_cached(
            "DELETE FROM import_lines WHERE import = ?1 AND line = ?2
             AND NOT EXISTS (SELECT 1 FROM import_lines AS before WHERE before.import = ?1 AND before.line < ?2)",
        )?
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

/// The columns of [`counts`].
const COUNTS: &str = "received, stored, merged, deleted, failed, settled";

fn counts(row: &rusqlite::Row<'_>, first: usize) -> rusqlite::Result<Counts> {
    Ok(Counts {
        received: counted(row, first)?,
        stored: counted(row, first + 1)?,
        merged: counted(row, first + 2)?,
        deleted: counted(row, first + 3)?,
        failed: counted(row, first + 4)?,
        settled: counted(row, first + 5)?,
    })
}

fn missing_of(stored: &str) -> Result<Missing, CatalogueError> {
    Missing::from_name(stored).ok_or_else(|| damaged(format!("imports.missing is {stored:?}")))
}

impl Reader {
    /// The import of that name.
    pub fn import(&self, id: &str) -> Result<Option<Import>, CatalogueError> {
        let mut statement = self.connection().prepare_cached(&format!(
            "SELECT seq, state, missing, note, scope, {COUNTS} FROM imports WHERE id = ?1"
        ))?;
        let found = statement.query_row([id], |row| {
            let texts: (String, String) = (row.get(1)?, row.get(2)?);
            let scope: Option<String> = row.get(4)?;
            Ok((row.get::<_, i64>(0)?, texts, row.get(3)?, scope, counts(row, 5)?))
        });
        let Some((seq, (state, missing), note, scope, counts)) = found.optional()? else {
            return Ok(None);
        };
        let (state, missing) = (state_of(&state)?, missing_of(&missing)?);
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
            scope: Scope::stored(scope.as_deref())?,
            counts,
            missing,
            note,
            errors: errors.collect::<Result<_, _>>()?,
        }))
    }

    /// Imports that are not at their end, the oldest first: at most `count`.
    pub fn open_imports(&self, count: usize) -> Result<Vec<OpenImport>, CatalogueError> {
        let mut statement = self.connection().prepare_cached(&format!(
            "SELECT id, state, scope, {COUNTS} FROM imports WHERE state IN ('receiving', 'running') ORDER BY seq LIMIT ?1"
        ))?;
        let rows = statement.query_map([i64::try_from(count).unwrap_or(i64::MAX)], |row| {
            Ok((
                row.get::<_, String>(0)?,
                row.get::<_, String>(1)?,
                row.get::<_, Option<String>>(2)?,
                counts(row, 3)?,
            ))
        })?;
        rows.map(|row| {
            let (id, state, scope, counts) = row?;
            let (state, scope) = (state_of(&state)?, Scope::stored(scope.as_deref())?);
            Ok(OpenImport {
                id,
                scope,
                state,
                counts,
            })
        })
        .collect()
    }

    /// The next lines of the oldest import that has all its lines: at most `count`, and about `bytes`.
    pub fn claim(&self, count: usize, bytes: usize) -> Result<Option<Lease>, CatalogueError> {
        let mut statement = self.connection().prepare_cached(
            "SELECT seq, id, missing FROM imports WHERE state = 'running' ORDER BY seq LIMIT 1",
        )?;
        let oldest = statement.query_row([], |row| {
            Ok((row.get::<_, i64>(0)?, row.get(1)?, row.get::<_, String>(2)?))
        });
        let Some((seq, import, missing)) = oldest.optional()? else {
            return Ok(None);
        };
        let missing = missing_of(&missing)?;
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
        Ok(Some(Lease {
            import,
            lines,
            missing,
        }))
    }
}
