//! A data directory that a copy is written to.

use std::path::Path;

use rusqlite::{Connection, params};

use super::copy_mark::{begun, ended};
use super::embeddings::{Table, add_embedding};
use super::next::{forget_models, keep_model};
use super::settings;
use super::store::Store;
use crate::catalogue::copying::{CopiedProduct, Fingerprint, LastNumbers};
use crate::catalogue::error::CatalogueError;
use crate::catalogue::origin::Origin;
use crate::catalogue::packing::{product_sum, sum};
use crate::catalogue::product::PictureKey;

/// A data directory that is locked for a copy.
#[derive(Debug)]
pub struct Target(Store);

impl Target {
    /// Opens or creates a data directory.
    pub fn open(data_dir: &Path) -> Result<Self, CatalogueError> {
        Store::open(data_dir).map(Self)
    }

    /// Begins the copy of `source`, or goes on with it.
    pub fn begin(
        &mut self,
        source: &str,
        origin: &Origin,
        model: Option<&[u8]>,
    ) -> Result<(), CatalogueError> {
        match self.0.copied_from()? {
            Some(before) if before != source => {
                let reason = format!("is a copy of {before}; copy {source} into a new one");
                return Err(CatalogueError::NotACopy { reason });
            }
            None if !self.0.is_untouched()? => {
                let reason =
                    "holds a catalogue that is not a copy, or was changed since; copy into a new one";
                let reason = reason.to_owned();
                return Err(CatalogueError::NotACopy { reason });
            }
            Some(_) | None => {}
        }
        let other = self.0.origin()?.as_ref() != Some(origin);
        let transaction = self.0.begin_copying()?;
        if other {
            transaction.execute("DELETE FROM products", [])?;
            settings::write(&transaction, settings::PRESENT, origin)?;
        }
        settings::forget(&transaction, settings::NEXT)?;
        transaction.execute("DELETE FROM next_embeddings", [])?;
        match model {
            Some(model) => keep_model(&transaction, origin, model)?,
            None => forget_models(&transaction)?,
        }
        begun(&transaction, source)?;
        Ok(transaction.commit()?)
    }

    /// The products behind number `after`, at most `count`, in order.
    pub fn fingerprints(&self, after: i64, count: usize) -> Result<Vec<Fingerprint>, CatalogueError> {
        self.0.fingerprints(after, count)
    }

    /// Removes the products `gone`, then writes `products`.
    pub fn write(&mut self, products: &[CopiedProduct], gone: &[i64]) -> Result<(), CatalogueError> {
        let transaction = self.0.begin_copying()?;
        {
            let mut remove = transaction.prepare_cached("DELETE FROM products WHERE seq = ?1")?;
            for number in gone {
                remove.execute([number])?;
            }
        }
        for product in products {
            put(&transaction, product)?;
        }
        Ok(transaction.commit()?)
    }

    /// What made its embeddings.
    pub fn origin(&self) -> Result<Option<Origin>, CatalogueError> {
        self.0.origin()
    }

    /// The file of a model that it keeps.
    pub fn model(&self, id: &str) -> Result<Option<Vec<u8>>, CatalogueError> {
        self.0.model(id)
    }

    /// Ends the copy.
    pub fn end(&mut self, last: LastNumbers) -> Result<(), CatalogueError> {
        let transaction = self.0.begin_copying()?;
        for (table, last) in [("products", last.product), ("pictures", last.picture)] {
            transaction.execute(
                "INSERT INTO sqlite_sequence (name, seq) SELECT ?1, 0
                 WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = ?1)",
                [table],
            )?;
            transaction.execute(
                "UPDATE sqlite_sequence SET seq = max(seq, ?2) WHERE name = ?1",
                params![table, last],
            )?;
        }
        ended(&transaction)?;
        Ok(transaction.commit()?)
    }
}

/// Stores a product under its number, in place of what has its number or its id.
fn put(connection: &Connection, product: &CopiedProduct) -> Result<(), CatalogueError> {
    let CopiedProduct {
        number,
        id,
        title,
        attributes,
        created_at,
        updated_at,
        pictures,
    } = product;
    connection
        .prepare_cached("DELETE FROM products WHERE seq = ?1 OR id = ?2")?
        .execute(params![number, id])?;
    connection
        .prepare_cached(
            "INSERT INTO products (seq, id, title, attributes, created_at, updated_at, sum)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            number,
            id,
            title,
            attributes,
            created_at,
            updated_at,
            product_sum(id, title, attributes)
        ])?;
    for picture in pictures {
        // One of a product that is behind this one, and is written after it.
        connection
            .prepare_cached("DELETE FROM pictures WHERE seq = ?1")?
            .execute([picture.number])?;
        connection
            .prepare_cached(
                "INSERT INTO pictures (seq, product, id, content_type, width, height, prepare, bytes, sum)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?
            .execute(params![
                picture.number,
                number,
                picture.id,
                picture.content_type,
                picture.width,
                picture.height,
                picture.prepare.as_str(),
                picture.bytes,
                sum(&[&picture.bytes])
            ])?;
        add_embedding(
            connection,
            Table::Present,
            PictureKey(picture.number),
            &picture.embedding,
        )?;
    }
    Ok(())
}
