//! Embeddings by another model, probe or T: they gather beside the present ones, then take their place at once.
//!
//! What was gathered outlives the process and belongs to one origin: with the same one gathering goes on, with another
//! it begins anew. The catalogue keeps the files of the present and of the next model, no others.

use rusqlite::{Connection, OptionalExtension};

use super::store::{self, Reader, Store, Table, damaged};
use super::write::add_embedding;
use super::{CatalogueError, Origin, PictureKey, ProductKey, settings};

impl Store {
    /// Records what makes the embeddings of an empty catalogue, with its model's file.
    pub fn set_origin(&mut self, origin: &Origin, model: &[u8]) -> Result<(), CatalogueError> {
        let transaction = self.connection_mut().transaction()?;
        settings::write(&transaction, settings::PRESENT, origin)?;
        settings::forget(&transaction, settings::NEXT)?;
        transaction.execute("DELETE FROM next_embeddings", [])?;
        keep_model(&transaction, origin, model)?;
        Ok(transaction.commit()?)
    }

    /// The file of a model that the catalogue keeps.
    pub fn model(&self, id: &str) -> Result<Option<Vec<u8>>, CatalogueError> {
        model(self.connection(), id)
    }

    /// What makes the next embeddings, where some are on their way.
    pub fn next_origin(&self) -> Result<Option<Origin>, CatalogueError> {
        settings::read(self.connection(), settings::NEXT)
    }

    /// From now on embeddings of `origin` gather; those that have gathered already stay if they are of the same.
    pub fn begin_next(&mut self, origin: &Origin, model: &[u8]) -> Result<(), CatalogueError> {
        let same = self.next_origin()?.as_ref() == Some(origin);
        let transaction = self.connection_mut().transaction()?;
        if !same {
            transaction.execute("DELETE FROM next_embeddings", [])?;
            settings::write(&transaction, settings::NEXT, origin)?;
        }
        keep_model(&transaction, origin, model)?;
        Ok(transaction.commit()?)
    }

    /// The present embeddings stay; what gathered of others is dropped.
    pub fn drop_next(&mut self) -> Result<(), CatalogueError> {
        let transaction = self.connection_mut().transaction()?;
        settings::forget(&transaction, settings::NEXT)?;
        transaction.execute("DELETE FROM next_embeddings", [])?;
        forget_models(&transaction)?;
        Ok(transaction.commit()?)
    }

    /// Adds to the next embeddings, durably; those of pictures that are gone are left out.
    pub fn add_next(&mut self, embeddings: &[(PictureKey, Vec<i32>)]) -> Result<(), CatalogueError> {
        let transaction = self.connection_mut().transaction()?;
        add_next(&transaction, embeddings)?;
        Ok(transaction.commit()?)
    }

    /// Makes the next embeddings, with `rest` behind them, the catalogue's, all at once. A picture without one is
    /// refused, and nothing is changed.
    pub fn adopt_next(&mut self, rest: &[(PictureKey, Vec<i32>)]) -> Result<Origin, CatalogueError> {
        let origin = self.next_origin()?;
        let origin = origin.ok_or_else(|| damaged("there are no next embeddings to adopt"))?;
        let transaction = self.connection_mut().transaction()?;
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

    /// Keeps the file of the present embeddings' model: catalogues that are older than that have none.
    pub fn keep_model(&mut self, origin: &Origin, model: &[u8]) -> Result<(), CatalogueError> {
        if self.model(&origin.model_id)?.is_some() {
            return Ok(());
        }
        let transaction = self.connection_mut().transaction()?;
        keep_model(&transaction, origin, model)?;
        Ok(transaction.commit()?)
    }
}

impl Reader {
    /// The file of a model that the catalogue keeps.
    pub fn model(&self, id: &str) -> Result<Option<Vec<u8>>, CatalogueError> {
        model(self.connection(), id)
    }

    /// What makes the next embeddings, where some are on their way.
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

    /// How many pictures have a next embedding.
    pub fn count_next(&self) -> Result<usize, CatalogueError> {
        let mut statement = self
            .connection()
            .prepare_cached("SELECT count(*) FROM next_embeddings")?;
        let count: i64 = statement.query_row([], |row| row.get(0))?;
        usize::try_from(count).map_err(|_| damaged("a negative count"))
    }

    /// Every next embedding in stored order.
    pub fn next_embeddings(
        &self,
        dimensions: usize,
        each: impl FnMut(PictureKey, ProductKey, &[i32]),
    ) -> Result<(), CatalogueError> {
        store::each_embedding(self.connection(), Table::Next, dimensions, each)
    }
}

/// Adds to the next embeddings within the caller's transaction.
pub(super) fn add_next(
    connection: &Connection,
    embeddings: &[(PictureKey, Vec<i32>)],
) -> Result<(), CatalogueError> {
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

fn keep_model(connection: &Connection, origin: &Origin, model: &[u8]) -> Result<(), CatalogueError> {
    connection
        .prepare_cached("INSERT INTO models (id, data) VALUES (?1, ?2) ON CONFLICT (id) DO NOTHING")?
        .execute(rusqlite::params![origin.model_id, model])?;
    forget_models(connection)
}

/// Drops the files of models that no embedding is of.
fn forget_models(connection: &Connection) -> Result<(), CatalogueError> {
    connection.execute(
        "DELETE FROM models WHERE id NOT IN
         (SELECT value FROM settings WHERE key IN ('model_id', 'next_model_id'))",
        [],
    )?;
    Ok(())
}
