//! Embeddings as the database keeps them: whole numbers in the narrowest of 1, 2 or 4 bytes a value that holds them all.

use rusqlite::{Connection, params};

use super::error::damaged;
use super::keys::ProductKey;
use crate::catalogue::error::CatalogueError;
use crate::catalogue::packing::{packed, sum, unpack};
use crate::catalogue::product::PictureKey;

/// The embeddings that are searched, or those being made to replace them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    Present,
    Next,
}

impl Table {
    pub fn name(self) -> &'static str {
        match self {
            Self::Present => "embeddings",
            Self::Next => "next_embeddings",
        }
    }
}

/// Every embedding of a table in stored order.
pub fn each_embedding(
    connection: &Connection,
    table: Table,
    dimensions: usize,
    mut each: impl FnMut(PictureKey, ProductKey, &[i32]),
) -> Result<(), CatalogueError> {
    let mut statement = connection.prepare(&format!(
        "SELECT pictures.seq, pictures.product, made.width, made.data
         FROM {} AS made JOIN pictures ON pictures.seq = made.picture ORDER BY pictures.seq",
        table.name()
    ))?;
    let mut rows = statement.query([])?;
    let mut values = Vec::with_capacity(dimensions);
    while let Some(row) = rows.next()? {
        let picture: i64 = row.get(0)?;
        let data = row.get_ref(3)?.as_blob().map_err(rusqlite::Error::from)?;
        unpack(row.get(2)?, data, &mut values);
        if values.len() != dimensions {
            return Err(damaged(format!(
                "the embedding of picture {picture} has {} values, the network gives {dimensions}",
                values.len()
            )));
        }
        each(PictureKey(picture), ProductKey(row.get(1)?), &values);
    }
    Ok(())
}

/// Stores the embedding of a picture.
pub fn add_embedding(
    connection: &Connection,
    table: Table,
    picture: PictureKey,
    embedding: &[i32],
) -> Result<(), CatalogueError> {
    let (width, data) = packed(embedding);
    let sql = match table {
        Table::Present => "INSERT INTO embeddings (picture, width, data, sum) VALUES (?1, ?2, ?3, ?4)",
        Table::Next => "INSERT INTO next_embeddings (picture, width, data, sum) VALUES (?1, ?2, ?3, ?4)",
    };
    connection
        .prepare_cached(sql)?
        .execute(params![picture.0, width, data, sum(&[&data])])?;
    Ok(())
}
