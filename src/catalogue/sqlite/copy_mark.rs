//! Whether a catalogue is a copy.
//!
//! Two settings tell: of what it is a copy, and whether it is unfinished. Any other write to the catalogue removes them, so
//! that another copy does not overwrite what was changed here.

use rusqlite::{Connection, OptionalExtension};

use super::reader::Reader;
use crate::catalogue::error::CatalogueError;

/// Of what the catalogue is a copy; set while nothing else has changed it.
const SOURCE: &str = "copied_from";
/// Set until the copy is finished.
const UNFINISHED: &str = "copy_unfinished";

impl Reader {
    /// Of what this is a copy, if nothing else has changed it.
    pub fn copied_from(&self) -> Result<Option<String>, CatalogueError> {
        setting(self.connection(), SOURCE)
    }

    /// Of what this is a copy that is not finished.
    pub fn unfinished_copy_of(&self) -> Result<Option<String>, CatalogueError> {
        Ok(match setting(self.connection(), UNFINISHED)? {
            Some(_) => self.copied_from()?,
            None => None,
        })
    }

    /// Whether it holds no product and no import.
    pub fn is_untouched(&self) -> Result<bool, CatalogueError> {
        let sql = "SELECT NOT EXISTS (SELECT 1 FROM products) AND NOT EXISTS (SELECT 1 FROM imports)";
        Ok(self.connection().query_row(sql, [], |row| row.get(0))?)
    }
}

/// Marks a copy of `source` that is not finished.
pub fn begun(connection: &Connection, source: &str) -> Result<(), CatalogueError> {
    set(connection, SOURCE, source)?;
    set(connection, UNFINISHED, "yes")
}

/// The copy is finished.
pub fn ended(connection: &Connection) -> Result<(), CatalogueError> {
    connection.execute("DELETE FROM settings WHERE key = ?1", [UNFINISHED])?;
    Ok(())
}

/// It is no copy any more: what is written now is its own.
pub fn forgotten(connection: &Connection) -> Result<(), CatalogueError> {
    connection
        .prepare_cached("DELETE FROM settings WHERE key IN (?1, ?2)")?
        .execute([SOURCE, UNFINISHED])?;
    Ok(())
}

fn setting(connection: &Connection, key: &str) -> Result<Option<String>, CatalogueError> {
    let mut statement = connection.prepare_cached("SELECT value FROM settings WHERE key = ?1")?;
    Ok(statement.query_row([key], |row| row.get(0)).optional()?)
}

fn set(connection: &Connection, key: &str, value: &str) -> Result<(), CatalogueError> {
    let sql = "INSERT INTO settings (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value";
    connection.execute(sql, [key, value])?;
    Ok(())
}
