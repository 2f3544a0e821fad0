//! The part of the one door to a catalogue that is about many products: imports, exports, removals by a filter.

use std::fs::File;
use std::sync::Arc;

use super::error::CatalogueError;
use super::exporting::{Export, ExportPage};
use super::filter::Filter;
use super::import::{Import, Lease, OpenImport};
use super::product::{Cursor, PassingProducts};
use super::stores::Catalogue;
use super::write::{Write, Written};
use crate::admission::Work;

impl Catalogue {
    /// Up to `most` products behind `after` that pass, in the order in which they were first stored.
    ///
    /// # Errors
    /// Of the request, or of the store.
    pub async fn passing(
        &self,
        after: Option<Cursor>,
        filter: Arc<Filter>,
        most: usize,
        work: Work,
    ) -> Result<PassingProducts, CatalogueError> {
        match self {
            Self::Sqlite(store) => store.passing(after, filter, most, work).await,
            Self::Postgres(store) => store.bounded(store.passing(after, filter, most, work)).await,
        }
    }

    /// The next whole products of an export. Nothing of the store is held once they are read.
    ///
    /// # Errors
    /// [`CatalogueError::OtherOrigin`] if other embeddings were adopted meanwhile; else of the request, or of the store.
    pub async fn export(
        &self,
        after: Option<Cursor>,
        export: Arc<Export>,
        work: Work,
    ) -> Result<ExportPage, CatalogueError> {
        match self {
            Self::Sqlite(store) => store.export(after, export, work).await,
            Self::Postgres(store) => store.bounded(store.export(after, export, work)).await,
        }
    }

    /// The whole catalogue as of this moment, in a file of its own that is gone once it is closed: `serve --restore` takes it.
    ///
    /// # Errors
    /// [`CatalogueError::NoBackup`] of a database, which has its own programs for that; if the disk is full; else of the store.
    pub async fn back_up(&self) -> Result<File, CatalogueError> {
        match self {
            Self::Sqlite(store) => store.back_up().await,
            Self::Postgres(_) => Err(CatalogueError::NoBackup),
        }
    }

    /// Does writes in their order in a catalogue that is not loaded.
    ///
    /// # Errors
    /// Of the request, or of the store.
    pub async fn change(
        &self,
        writes: Vec<Write>,
    ) -> Result<Vec<Result<Written, CatalogueError>>, CatalogueError> {
        match self {
            Self::Sqlite(store) => store.change(writes).await,
            Self::Postgres(store) => store.bounded(store.change(writes)).await,
        }
    }

    /// The import of this id.
    ///
    /// # Errors
    /// Of the request, or of the store.
    pub async fn import(&self, id: String, work: Work) -> Result<Import, CatalogueError> {
        match self {
            Self::Sqlite(store) => store.import(id, work).await,
            Self::Postgres(store) => store.bounded(store.import(id, work)).await,
        }
    }

    /// The imports that are not done, the oldest first: at most `count`.
    ///
    /// # Errors
    /// Of the request, or of the store.
    pub async fn open_imports(&self, count: usize, work: Work) -> Result<Vec<OpenImport>, CatalogueError> {
        match self {
            Self::Sqlite(store) => store.open_imports(count, work).await,
            Self::Postgres(store) => store.bounded(store.open_imports(count, work)).await,
        }
    }

    /// The next lines of the oldest import that has been received: at most `count`, and about `bytes`. None where nothing
    /// waits. Lines stay with the import until a write settles them; this store has one process, which claims one lease at
    /// a time.
    ///
    /// # Errors
    /// Of the request, or of the store.
    pub async fn claim(&self, count: usize, bytes: usize) -> Result<Option<Lease>, CatalogueError> {
        match self {
            Self::Sqlite(store) => store.claim(count, bytes).await,
            Self::Postgres(store) => store.bounded(store.claim(count, bytes)).await,
        }
    }
}
