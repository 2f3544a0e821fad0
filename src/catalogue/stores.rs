//! The one door to a catalogue, whatever store it is in.
//!
//! A store promises what its contract tests check, and nothing else. Every function forwards; what each does is said by
//! the store that does it ([`Sqlite`]). What is read for a request takes the [`Work`] of its admission.

use std::path::Path;
use std::sync::Arc;

use super::address::StoreAddress;
use super::error::CatalogueError;
use super::filter::Filter;
use super::options::{Room, StoreOptions};
use super::origin::Origin;
use super::postgres::Postgres;
use super::product::{Cursor, NewProduct, Page, PictureFile, PictureKey, Product};
use super::search::{CatalogueStats, Nearby, Nearest};
use super::sqlite::Sqlite;
use super::store_stats::{StoreKind, StoreStats};
use super::write::{Write, Written};
use crate::admission::Work;
use crate::progress::Progress;

/// A catalogue in one of the stores; its clones share it.
#[derive(Debug, Clone)]
pub enum Catalogue {
    /// In a data directory of this machine.
    Sqlite(Sqlite),
    /// In a PostgreSQL database, which other servers may share.
    Postgres(Postgres),
}

impl Catalogue {
    /// Opens or creates a data directory.
    ///
    /// # Errors
    /// If it is in use, damaged, of a newer version or cannot be written to.
    pub fn open(data_dir: &Path, room: Room) -> Result<Self, CatalogueError> {
        Sqlite::open(data_dir, room).map(Self::Sqlite)
    }

    /// Connects to a PostgreSQL database, which other servers may use at the same time, and brings its schema up to date.
    ///
    /// # Errors
    /// If it cannot be reached, lacks pgvector, or has a newer schema.
    pub async fn connect(address: &StoreAddress, options: StoreOptions) -> Result<Self, CatalogueError> {
        Postgres::connect(address, options).await.map(Self::Postgres)
    }

    /// Whether other servers may use it at the same time.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        match self {
            Self::Sqlite(_) => false,
            Self::Postgres(_) => true,
        }
    }

    /// What of the store was lost while it was open, or why it cannot be reached, as a sentence; none while all is there.
    #[must_use]
    pub fn lost(&self) -> Option<String> {
        match self {
            Self::Sqlite(store) => store.lost(),
            Self::Postgres(store) => store.lost(),
        }
    }

    /// What made the embeddings that are searched; none before they are loaded.
    #[must_use]
    pub fn current_origin(&self) -> Option<Arc<Origin>> {
        match self {
            Self::Sqlite(store) => store.current_origin(),
            Self::Postgres(store) => store.current_origin(),
        }
    }

    /// How many pictures are searched; none before they are loaded.
    #[must_use]
    pub fn pictures(&self) -> Option<usize> {
        match self {
            Self::Sqlite(store) => store.pictures(),
            Self::Postgres(store) => store.pictures(),
        }
    }

    /// As [`Catalogue::nearest`], on this thread, by a store that searches in this process; `None` by one that must be
    /// waited for. A chip that goes on to search saves the way to another thread.
    #[must_use]
    pub fn nearest_here(&self, search: &Nearest, work: &Work) -> Option<Result<Nearby, CatalogueError>> {
        match self {
            Self::Sqlite(store) => Some(store.nearest_here(search, work)),
            Self::Postgres(_) => None,
        }
    }

    /// Queues a write without waiting for its result; it may be dropped.
    pub fn write_unobserved(&self, write: Write) {
        match self {
            Self::Sqlite(store) => store.write_unobserved(write),
            Self::Postgres(store) => store.write_unobserved(write),
        }
    }

    /// Loads the index, or builds it, and lets searches and writes begin.
    ///
    /// # Errors
    /// Of the request, or of the store.
    pub async fn load(
        &self,
        origin: Origin,
        dimensions: usize,
        threads: usize,
        progress: Arc<Progress>,
    ) -> Result<(), CatalogueError> {
        match self {
            Self::Sqlite(store) => store.load(origin, dimensions, threads, progress).await,
            Self::Postgres(store) => store.load(origin, dimensions, progress).await,
        }
    }

    /// What made the stored embeddings; none before the first.
    ///
    /// # Errors
    /// Of the request, or of the store.
    pub async fn origin(&self) -> Result<Option<Origin>, CatalogueError> {
        match self {
            Self::Sqlite(store) => store.origin().await,
            Self::Postgres(store) => store.bounded(store.origin()).await,
        }
    }

    /// Records what makes the embeddings of an empty catalogue, with its model's file.
    ///
    /// # Errors
    /// Of the request, or of the store.
    pub async fn set_origin(&self, origin: Origin, model: Vec<u8>) -> Result<(), CatalogueError> {
        match self {
            Self::Sqlite(store) => store.set_origin(origin, model).await,
            Self::Postgres(store) => store.bounded(store.set_origin(origin, model)).await,
        }
    }

    /// The file of a model that the catalogue keeps.
    ///
    /// # Errors
    /// Of the request, or of the store.
    pub async fn model(&self, id: String) -> Result<Option<Vec<u8>>, CatalogueError> {
        match self {
            Self::Sqlite(store) => store.model(id).await,
            Self::Postgres(store) => store.bounded(store.model(id)).await,
        }
    }

    /// Keeps the file of the present embeddings' model, where an older version has not.
    ///
    /// # Errors
    /// Of the request, or of the store.
    pub async fn keep_model(&self, origin: Origin, model: Vec<u8>) -> Result<(), CatalogueError> {
        match self {
            Self::Sqlite(store) => store.keep_model(origin, model).await,
            Self::Postgres(store) => store.bounded(store.keep_model(origin, model)).await,
        }
    }

    /// How many products are stored.
    ///
    /// # Errors
    /// Of the request, or of the store.
    pub async fn count(&self) -> Result<usize, CatalogueError> {
        match self {
            Self::Sqlite(store) => store.count().await,
            Self::Postgres(store) => store.bounded(store.count()).await,
        }
    }

    /// Whether there is a product of this id.
    ///
    /// # Errors
    /// Of the request, or of the store.
    pub async fn holds(&self, id: String, work: Work) -> Result<bool, CatalogueError> {
        match self {
            Self::Sqlite(store) => store.holds(id, work).await,
            Self::Postgres(store) => store.bounded(store.holds(id, work)).await,
        }
    }

    /// The product of this id.
    ///
    /// # Errors
    /// Of the request, or of the store.
    pub async fn product(&self, id: String, work: Work) -> Result<Product, CatalogueError> {
        match self {
            Self::Sqlite(store) => store.product(id, work).await,
            Self::Postgres(store) => store.bounded(store.product(id, work)).await,
        }
    }

    /// Up to `limit` products behind `after` that pass, in the order in which they were first stored.
    ///
    /// # Errors
    /// Of the request, or of the store.
    pub async fn page(
        &self,
        after: Option<Cursor>,
        limit: usize,
        filter: Option<Filter>,
        work: Work,
    ) -> Result<Page, CatalogueError> {
        match self {
            Self::Sqlite(store) => store.page(after, limit, filter, work).await,
            Self::Postgres(store) => store.bounded(store.page(after, limit, filter, work)).await,
        }
    }

    /// The file of one of a product's pictures.
    ///
    /// # Errors
    /// Of the request, or of the store.
    pub async fn picture(
        &self,
        product: String,
        picture: String,
        work: Work,
    ) -> Result<PictureFile, CatalogueError> {
        match self {
            Self::Sqlite(store) => store.picture(product, picture, work).await,
            Self::Postgres(store) => store.bounded(store.picture(product, picture, work)).await,
        }
    }

    /// The piece of a picture's file that begins at `offset`.
    ///
    /// # Errors
    /// If the picture was removed, or the database cannot be read.
    pub async fn picture_piece(&self, key: PictureKey, offset: u64) -> Result<Vec<u8>, CatalogueError> {
        match self {
            Self::Sqlite(store) => store.picture_piece(key, offset).await,
            Self::Postgres(store) => store.bounded(store.picture_piece(key, offset)).await,
        }
    }

    /// The products whose pictures are nearest to the embeddings of a search.
    ///
    /// # Errors
    /// Of the request, or of the store.
    pub async fn nearest(&self, search: Nearest, work: Work) -> Result<Nearby, CatalogueError> {
        match self {
            Self::Sqlite(store) => store.nearest(search, work).await,
            Self::Postgres(store) => store.bounded(store.nearest(search, work)).await,
        }
    }

    /// For each product of `ids` the embeddings of its pictures by this origin: the present one, or the next one where its
    /// embeddings can be searched.
    ///
    /// # Errors
    /// [`CatalogueError::OtherOrigin`] if it is neither; else of the request, or of the store.
    pub async fn embeddings_of(
        &self,
        origin: Arc<Origin>,
        ids: Vec<String>,
        work: Work,
    ) -> Result<Vec<Vec<Vec<i32>>>, CatalogueError> {
        match self {
            Self::Sqlite(store) => store.embeddings_of(origin, ids, work).await,
            Self::Postgres(store) => store.bounded(store.embeddings_of(origin, ids, work)).await,
        }
    }

    /// Does a write; once it is answered it is durable and searchable. Refused where too many wait; dropped before its
    /// turn, it is not done.
    ///
    /// # Errors
    /// Of the request, or of the store.
    pub async fn write(&self, write: Write) -> Result<Written, CatalogueError> {
        match self {
            Self::Sqlite(store) => store.write(write).await,
            Self::Postgres(store) => store.bounded(store.write(write)).await,
        }
    }

    /// Does writes in their order; waits where too many wait.
    ///
    /// # Errors
    /// Of the request, or of the store.
    pub async fn write_many(
        &self,
        writes: Vec<Write>,
    ) -> Result<Vec<Result<Written, CatalogueError>>, CatalogueError> {
        match self {
            Self::Sqlite(store) => store.write_many(writes).await,
            Self::Postgres(store) => store.write_many(writes).await,
        }
    }

    /// Stores products into a catalogue that is not loaded, all or none.
    ///
    /// # Errors
    /// Of the request, or of the store.
    pub async fn store_all(&self, products: Vec<NewProduct>) -> Result<usize, CatalogueError> {
        match self {
            Self::Sqlite(store) => store.store_all(products).await,
            Self::Postgres(store) => store.store_all(products).await,
        }
    }

    /// Counts, and the state of the index.
    ///
    /// # Errors
    /// Of the request, or of the store.
    pub async fn stats(&self, work: Work) -> Result<CatalogueStats, CatalogueError> {
        match self {
            Self::Sqlite(store) => store.stats(work).await,
            Self::Postgres(store) => store.bounded(store.stats(work)).await,
        }
    }

    /// How many products pass a filter, and how many pictures they have.
    ///
    /// # Errors
    /// Of the request, or of the store.
    pub async fn count_passing(&self, filter: Filter, work: Work) -> Result<[usize; 2], CatalogueError> {
        match self {
            Self::Sqlite(store) => store.count_passing(filter, work).await,
            Self::Postgres(store) => store.bounded(store.count_passing(filter, work)).await,
        }
    }

    /// Which store this is.
    #[must_use]
    pub fn kind(&self) -> StoreKind {
        match self {
            Self::Sqlite(_) => StoreKind::Sqlite,
            Self::Postgres(_) => StoreKind::Postgresql,
        }
    }

    /// The connections to a database, and what was done on them; none of a store in this process. It asks nothing of the
    /// database.
    #[must_use]
    pub fn store_stats(&self) -> Option<StoreStats> {
        match self {
            Self::Sqlite(_) => None,
            Self::Postgres(store) => Some(store.store_stats()),
        }
    }

    /// Does the writes that wait, keeps the index for the next start, and ends. What comes later is refused.
    pub async fn close(&self) {
        match self {
            Self::Sqlite(store) => store.close().await,
            Self::Postgres(store) => store.close().await,
        }
    }
}
