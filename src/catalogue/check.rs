//! Whether everything is still as it was written: the database's own structure, every sum, every rule.

use std::path::Path;

use rusqlite::{Connection, params};
use sha2::{Digest, Sha256};

use super::store::{Reader, Store, Table, damaged, unpack};
use super::{Attributes, CatalogueError, PictureKey, check_attributes};
use engine::network::hex;

/// SHA-256 over parts, each with its length before it.
pub(super) fn sum(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// Gives rows without a sum theirs: those of a catalogue that is older than the sums.
pub(super) fn sum_all(connection: &Connection) -> Result<(), CatalogueError> {
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
fn bytes<'a>(row: &'a rusqlite::Row<'_>, column: usize) -> Result<&'a [u8], CatalogueError> {
    let value = row.get_ref(column)?;
    Ok(value.as_bytes().map_err(rusqlite::Error::from)?)
}

/// What was looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Checked {
    pub products: usize,
    pub pictures: usize,
    pub embeddings: usize,
    /// Those of the next model, probe or T that have gathered so far.
    pub next: usize,
}

impl Reader {
    /// Looks at every row; tells `wrong` of each that is not as it was written.
    pub fn check(
        &self,
        dimensions: Option<usize>,
        mut wrong: impl FnMut(String),
    ) -> Result<Checked, CatalogueError> {
        let mut checked = Checked::default();
        let connection = self.connection();
        // One moment for all of it, though others write.
        let moment = connection.unchecked_transaction()?;
        let mut statement = moment.prepare("PRAGMA integrity_check(20)")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let said: String = row.get(0)?;
            if said != "ok" {
                wrong(format!("database: {said}"));
            }
        }
        let mut statement = moment.prepare("PRAGMA foreign_key_check")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (table, parent): (String, String) = (row.get(0)?, row.get(2)?);
            wrong(format!("database: a row of {table} belongs to none of {parent}"));
        }
        let mut statement = moment.prepare(
            "SELECT id, title, attributes, sum, (SELECT count(*) FROM pictures WHERE product = products.seq)
             FROM products ORDER BY seq",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let shown = String::from_utf8_lossy(bytes(row, 0)?).into_owned();
            let parts = [bytes(row, 0)?, bytes(row, 1)?, bytes(row, 2)?];
            if sum(&parts) != *bytes(row, 3)? {
                wrong(format!(
                    "product {shown:?}: id, title or attributes are not what was written"
                ));
            } else {
                let attributes: Result<Attributes, _> = serde_json::from_slice(parts[2]);
                let attributes = attributes.map_err(|error| damaged(error.to_string()));
                if let Err(error) = attributes.and_then(|attributes| check_attributes(&attributes)) {
                    wrong(format!("product {shown:?}: {error}"));
                }
            }
            if row.get::<_, i64>(4)? == 0 {
                wrong(format!("product {shown:?} has no picture"));
            }
            checked.products += 1;
        }
        let mut statement = moment.prepare(
            "SELECT products.id, pictures.id, pictures.bytes, pictures.sum, embeddings.data, embeddings.sum,
             embeddings.width
             FROM pictures LEFT JOIN products ON products.seq = pictures.product
             LEFT JOIN embeddings ON embeddings.picture = pictures.seq ORDER BY pictures.seq",
        )?;
        let mut rows = statement.query([])?;
        let mut values = Vec::new();
        while let Some(row) = rows.next()? {
            let name = |column| bytes(row, column).map(String::from_utf8_lossy);
            let shown = format!("picture {:?} of product {:?}", name(1)?, name(0)?);
            if sum(&[bytes(row, 2)?]) != *bytes(row, 3)? {
                wrong(format!("{shown}: the file is not what was written"));
            }
            checked.pictures += 1;
            let Ok(data) = bytes(row, 4) else {
                wrong(format!("{shown}: has no embedding"));
                continue;
            };
            checked.embeddings += 1;
            if sum(&[data]) != *bytes(row, 5)? {
                wrong(format!("{shown}: the embedding is not what was written"));
                continue;
            }
            unpack(row.get(6)?, data, &mut values);
            if dimensions.is_some_and(|dimensions| dimensions != values.len()) {
                wrong(format!(
                    "{shown}: the embedding has {} values, the network gives {}",
                    values.len(),
                    dimensions.unwrap_or_default()
                ));
            }
        }
        let mut statement =
            moment.prepare("SELECT picture, data, sum FROM next_embeddings ORDER BY picture")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            if sum(&[bytes(row, 1)?]) != *bytes(row, 2)? {
                let number: i64 = row.get(0)?;
                wrong(format!(
                    "picture number {number}: the next embedding is not what was written"
                ));
            }
            checked.next += 1;
        }
        let mut statement = moment.prepare("SELECT id, data FROM models ORDER BY id")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let id: String = row.get(0)?;
            if hex(&Sha256::digest(bytes(row, 1)?)) != id {
                wrong(format!("the file of model {id} is not what was written"));
            }
        }
        Ok(checked)
    }

    /// The embedding of every picture, in stored order; for comparing them with others.
    pub fn each_embedding(&self, each: impl FnMut(PictureKey, &[i32])) -> Result<(), CatalogueError> {
        self.each_of(Table::Present, each)
    }

    /// Every next embedding, in stored order; for comparing them with others.
    pub fn each_next_embedding(&self, each: impl FnMut(PictureKey, &[i32])) -> Result<(), CatalogueError> {
        self.each_of(Table::Next, each)
    }

    fn each_of(&self, table: Table, mut each: impl FnMut(PictureKey, &[i32])) -> Result<(), CatalogueError> {
        let name = table.name();
        let mut statement = self.connection().prepare(&format!(
            "SELECT picture, width, data FROM {name} ORDER BY picture"
        ))?;
        let mut rows = statement.query([])?;
        let mut values = Vec::new();
        while let Some(row) = rows.next()? {
            unpack(row.get(1)?, bytes(row, 2)?, &mut values);
            each(PictureKey(row.get(0)?), &values);
        }
        Ok(())
    }

    /// Writes the catalogue as of this moment into one new file, while others read and write.
    pub fn back_up(&self, out: &Path) -> Result<(), CatalogueError> {
        let path = out.to_str().ok_or_else(|| CatalogueError::Invalid {
            field: "out".to_owned(),
            reason: "must be a path in UTF-8".to_owned(),
        })?;
        self.connection().execute("VACUUM INTO ?1", [path])?;
        let synced = std::fs::File::open(out).and_then(|file| file.sync_all());
        synced.map_err(|source| CatalogueError::Folder {
            path: path.to_owned(),
            source,
        })
    }
}

impl Store {
    /// From now on pictures get numbers that none had before: a catalogue that was taken up from a backup must not give
    /// the numbers anew that the one before gave after the backup. `least` grows from one such moment to the next.
    pub fn number_pictures_from(&mut self, least: i64) -> Result<(), CatalogueError> {
        let connection = self.connection_mut();
        connection.execute(
            "INSERT INTO sqlite_sequence (name, seq) SELECT 'pictures', 0
             WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'pictures')",
            [],
        )?;
        connection.execute(
            "UPDATE sqlite_sequence SET seq = max(seq, ?1) WHERE name = 'pictures'",
            [least],
        )?;
        Ok(())
    }
}
