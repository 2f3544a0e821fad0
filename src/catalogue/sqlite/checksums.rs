//! SHA-256 of what rows hold, stored beside it: a flipped bit is found by it.

use rusqlite::{Connection, Row, params};

use crate::catalogue::error::CatalogueError;
use crate::catalogue::packing::sum;

/// Adds the missing checksums: catalogues older than the checksums have none.
pub fn sum_all(connection: &Connection) -> Result<(), CatalogueError> {
    let each = |select: &str, update: &str, columns: usize| -> Result<(), CatalogueError> {
        let mut statement = connection.prepare(select)?;
        let mut update = connection.prepare(update)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let parts = (1..=columns).map(|column| bytes(row, column));
            let parts: Vec<&[u8]> = parts.collect::<Result<_, _>>()?;
            let key: i64 = row.get(0)?;
            update.execute(params![key, sum(&parts)])?;
        }
        Ok(())
    };
    each(
        "SELECT seq, id, title, attributes FROM products WHERE sum IS NULL",
        "UPDATE products SET sum = ?2 WHERE seq = ?1",
        3,
    )?;
    each(
        "SELECT seq, bytes FROM pictures WHERE sum IS NULL",
        "UPDATE pictures SET sum = ?2 WHERE seq = ?1",
        1,
    )?;
    each(
        "SELECT picture, data FROM embeddings WHERE sum IS NULL",
        "UPDATE embeddings SET sum = ?2 WHERE picture = ?1",
        1,
    )
}

/// A column of text or bytes as it is stored.
pub fn bytes<'a>(row: &'a Row<'_>, column: usize) -> Result<&'a [u8], CatalogueError> {
    let value = row.get_ref(column)?;
    Ok(value.as_bytes().map_err(rusqlite::Error::from)?)
}
