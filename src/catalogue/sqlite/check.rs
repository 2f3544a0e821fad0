//! Whether every row is still what was written: the database's own structure, every checksum, every rule.

use engine::network::hex;
use sha2::{Digest, Sha256};

use super::checksums::bytes;
use super::error::damaged;
use super::reader::Reader;
use crate::catalogue::attributes::Attributes;
use crate::catalogue::checking::Checked;
use crate::catalogue::error::CatalogueError;
use crate::catalogue::packing::{sum, unpack};

impl Reader {
    /// Checks every row; calls `wrong` for each that is damaged.
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
            wrong(format!(
                "database: a row of {table} refers to a missing row of {parent}"
            ));
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
                let attributes = serde_json::from_slice(parts[2]);
                let attributes = attributes.map_err(|error| damaged(error.to_string()));
                if let Err(error) = attributes.and_then(Attributes::new) {
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
}
