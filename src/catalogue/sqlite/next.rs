//! Embeddings by another model, probe or T: they gather beside the present ones, then replace them all at once.
//!
//! What was gathered outlives the process and belongs to one origin: with the same one gathering continues, with another
//! it starts over. The database keeps the files of the present and of the next model, no others.

use rusqlite::{Connection, OptionalExtension, Rows};

use super::checksums::bytes;
use super::embeddings::{Table, add_embedding};
use super::error::damaged;
use super::reader::Reader;
use super::settings;
use super::store::Store;
use crate::catalogue::error::CatalogueError;
use crate::catalogue::origin::Origin;
use crate::catalogue::packing::unpack;
use crate::catalogue::product::{PictureKey, StoredPicture};
use crate::catalogue::reembedding::OfBoth;

impl Store {
    /// Records what makes the embeddings of an empty catalogue, with its model's file.
    pub fn set_origin(&mut self, origin: &Origin, model: &[u8]) -> Result<(), CatalogueError> {
        let transaction = self.begin(true)?;
        settings::write(&transaction, settings::PRESENT, origin)?;
        settings::forget(&transaction, settings::NEXT)?;
        transaction.execute("DELETE FROM next_embeddings", [])?;
        keep_model(&transaction, origin, model)?;
        Ok(transaction.commit()?)
    }

    /// Begins to gather embeddings of `origin`; those gathered before are kept if they are of the same origin.
    pub fn begin_next(&mut self, origin: &Origin, model: &[u8]) -> Result<(), CatalogueError> {
        let same = self.next_origin()?.as_ref() == Some(origin);
        let transaction = self.begin(true)?;
        if !same {
            transaction.execute("DELETE FROM next_embeddings", [])?;
            settings::write(&transaction, settings::NEXT, origin)?;
        }
        keep_model(&transaction, origin, model)?;
        Ok(transaction.commit()?)
    }

    /// Drops the next embeddings.
    pub fn drop_next(&mut self) -> Result<(), CatalogueError> {
        if self.next_origin()?.is_none() {
            return Ok(());
        }
        self.with_reserve(|store| {
            let transaction = store.begin(false)?;
            settings::forget(&transaction, settings::NEXT)?;
            transaction.execute("DELETE FROM next_embeddings", [])?;
            forget_models(&transaction)?;
            Ok(transaction.commit()?)
        })
    }

    /// Adds to the next embeddings, durably; those of pictures that are gone are left out.
    pub fn add_next(&mut self, embeddings: &[(PictureKey, Vec<i32>)]) -> Result<(), CatalogueError> {
        let transaction = self.begin(true)?;
        add_next(&transaction, embeddings)?;
        Ok(transaction.commit()?)
    }

    /// Replaces the present embeddings by the next ones, with `rest` added to them, in one transaction.
    ///
    /// # Errors
    /// If a picture has no next embedding; nothing is changed then.
    pub fn adopt_next(&mut self, rest: &[(PictureKey, Vec<i32>)]) -> Result<Origin, CatalogueError> {
        let origin = self.next_origin()?;
        let origin = origin.ok_or_else(|| damaged("there are no next embeddings to adopt"))?;
        let transaction = self.begin(true)?;
        add_next(&transaction, rest)?;
        let missing: Option<i64> = transaction
            .query_row(
                "SELECT seq FROM pictures WHERE seq NOT IN (SELECT picture FROM next_embeddings) LIMIT 1",
                [],
                |row| row.get(0),
            )
            .optional()?;
        if let Some(picture) = missing {
            return Err(damaged(format!("picture number {picture} has no next embedding")));
        }
        transaction.execute_batch(
            "DELETE FROM embeddings;
             INSERT INTO embeddings (picture, width, data, sum)
             SELECT picture, width, data, sum FROM next_embeddings ORDER BY picture;
             DELETE FROM next_embeddings;",
        )?;
        settings::write(&transaction, settings::PRESENT, &origin)?;
        settings::forget(&transaction, settings::NEXT)?;
        forget_models(&transaction)?;
        transaction.commit()?;
        Ok(origin)
    }

    /// Keeps the file of the present embeddings' model. Catalogues of older versions lack it.
    pub fn keep_model(&mut self, origin: &Origin, model: &[u8]) -> Result<(), CatalogueError> {
        if self.model(&origin.model_id)?.is_some() {
            return Ok(());
        }
        let transaction = self.begin(true)?;
        keep_model(&transaction, origin, model)?;
        Ok(transaction.commit()?)
    }
}

impl Reader {
    /// The file of a model that the catalogue keeps.
    pub fn model(&self, id: &str) -> Result<Option<Vec<u8>>, CatalogueError> {
        model(self.connection(), id)
    }

    /// What makes the next embeddings, while pictures are re-embedded.
    pub fn next_origin(&self) -> Result<Option<Origin>, CatalogueError> {
        settings::read(self.connection(), settings::NEXT)
    }

    /// The last picture that has a next embedding: pictures are embedded in stored order.
    pub fn last_next(&self) -> Result<Option<PictureKey>, CatalogueError> {
        let mut statement = self
            .connection()
            .prepare_cached("SELECT max(picture) FROM next_embeddings")?;
        let last: Option<i64> = statement.query_row([], |row| row.get(0))?;
        Ok(last.map(PictureKey))
    }

    /// Up to `count` pictures with both embeddings, chosen at random.
    pub fn sample_of_both(&self, count: usize) -> Result<Vec<OfBoth>, CatalogueError> {
        let mut statement = self.connection().prepare_cached(
            "SELECT products.id, embeddings.width, embeddings.data, next_embeddings.width, next_embeddings.data
             FROM (SELECT picture FROM next_embeddings ORDER BY random() LIMIT ?1) AS sample
             JOIN next_embeddings ON next_embeddings.picture = sample.picture
             JOIN embeddings ON embeddings.picture = sample.picture
             JOIN pictures ON pictures.seq = sample.picture JOIN products ON products.seq = pictures.product",
        )?;
        let mut rows = statement.query([i64::try_from(count).unwrap_or(i64::MAX)])?;
        let mut sample = Vec::with_capacity(count);
        while let Some(row) = rows.next()? {
            let (mut present, mut next) = (Vec::new(), Vec::new());
            unpack(row.get(1)?, bytes(row, 2)?, &mut present);
            unpack(row.get(3)?, bytes(row, 4)?, &mut next);
            sample.push(OfBoth {
                product: row.get(0)?,
                present,
                next,
            });
        }
        Ok(sample)
    }

    /// How many pictures have a next embedding.
    pub fn count_next(&self) -> Result<usize, CatalogueError> {
        let mut statement = self
            .connection()
            .prepare_cached("SELECT count(*) FROM next_embeddings")?;
        let count: i64 = statement.query_row([], |row| row.get(0))?;
        usize::try_from(count).map_err(|_| damaged("a negative count"))
    }

    /// Every next embedding behind `after`, in stored order.
    pub fn next_embeddings_after(
        &self,
        after: Option<PictureKey>,
        dimensions: usize,
        mut each: impl FnMut(PictureKey, &[i32]),
    ) -> Result<(), CatalogueError> {
        let mut statement = self.connection().prepare_cached(
            "SELECT picture, width, data FROM next_embeddings WHERE picture > ?1 ORDER BY picture",
        )?;
        let mut rows = statement.query([after.map_or(0, |key| key.0)])?;
        let mut values = Vec::with_capacity(dimensions);
        while let Some(row) = rows.next()? {
            let picture: i64 = row.get(0)?;
            unpack(row.get(1)?, bytes(row, 2)?, &mut values);
            if values.len() != dimensions {
                return Err(damaged(format!(
                    "the next embedding of picture {picture} has {} values, the network gives {dimensions}",
                    values.len()
                )));
            }
            each(PictureKey(picture), &values);
        }
        Ok(())
    }

    /// Up to `count` pictures, and about `bytes` of them, that have no next embedding, in stored order.
    pub fn without_next(&self, count: usize, bytes: usize) -> Result<Vec<StoredPicture>, CatalogueError> {
        // Pictures are embedded in stored order: the missing ones are behind the last one that is there.
        let behind = self.pictures_after(self.last_next()?, count, bytes)?;
        if !behind.is_empty() {
            return Ok(behind);
        }
        let mut statement = self.connection().prepare_cached(
            "SELECT pictures.seq, products.id, prepare, bytes
             FROM pictures JOIN products ON products.seq = pictures.product
             WHERE pictures.seq NOT IN (SELECT picture FROM next_embeddings) ORDER BY pictures.seq",
        )?;
        stored_pictures(statement.query([])?, count, bytes)
    }

    /// The pictures whose number is above `after`, in stored order: at most `count`, and about `bytes`.
    pub fn pictures_after(
        &self,
        after: Option<PictureKey>,
        count: usize,
        bytes: usize,
    ) -> Result<Vec<StoredPicture>, CatalogueError> {
        let mut statement = self.connection().prepare_cached(
            "SELECT pictures.seq, products.id, prepare, bytes
             FROM pictures JOIN products ON products.seq = pictures.product
             WHERE pictures.seq > ?1 ORDER BY pictures.seq",
        )?;
        stored_pictures(statement.query([after.map_or(0, |key| key.0)])?, count, bytes)
    }
}

fn stored_pictures(
    mut rows: Rows<'_>,
    count: usize,
    bytes: usize,
) -> Result<Vec<StoredPicture>, CatalogueError> {
    let mut found = Vec::new();
    let mut taken = 0;
    while found.len() < count && taken < bytes {
        let Some(row) = rows.next()? else { break };
        let prepare: String = row.get(2)?;
        let picture = StoredPicture {
            key: PictureKey(row.get(0)?),
            product: row.get(1)?,
            prepare: prepare
                .parse()
                .map_err(|error| damaged(format!("pictures.prepare: {error}")))?,
            bytes: row.get(3)?,
        };
        taken += picture.bytes.len();
        found.push(picture);
    }
    Ok(found)
}

/// Adds to the next embeddings within the caller's transaction.
fn add_next(connection: &Connection, embeddings: &[(PictureKey, Vec<i32>)]) -> Result<(), CatalogueError> {
    let mut there = connection.prepare_cached("SELECT 1 FROM pictures WHERE seq = ?1")?;
    for (picture, values) in embeddings {
        if there.exists([picture.0])? {
            add_embedding(connection, Table::Next, *picture, values)?;
        }
    }
    Ok(())
}

fn model(connection: &Connection, id: &str) -> Result<Option<Vec<u8>>, CatalogueError> {
    let mut statement = connection.prepare_cached("SELECT data FROM models WHERE id = ?1")?;
    Ok(statement.query_row([id], |row| row.get(0)).optional()?)
}

pub fn keep_model(connection: &Connection, origin: &Origin, model: &[u8]) -> Result<(), CatalogueError> {
    connection
        .prepare_cached("INSERT INTO models (id, data) VALUES (?1, ?2) ON CONFLICT (id) DO NOTHING")?
        .execute(rusqlite::params![origin.model_id, model])?;
    forget_models(connection)
}

/// Drops the files of models that no embedding was made by.
pub fn forget_models(connection: &Connection) -> Result<(), CatalogueError> {
    connection.execute(
        "DELETE FROM models WHERE id NOT IN
         (SELECT value FROM settings WHERE key IN ('model_id', 'next_model_id'))",
        [],
    )?;
    Ok(())
}
