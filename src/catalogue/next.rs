//! The part of the one door to a catalogue that is about its next embeddings.

use super::error::CatalogueError;
use super::origin::Origin;
use super::product::{PictureKey, StoredPicture};
use super::reembedding::{Background, EmbedLast, OfBoth};
use super::stores::Catalogue;

impl Catalogue {
    /// What makes the next embeddings, where re-embedding has begun.
    ///
    /// # Errors
    /// Of the request, or of the store.
    pub async fn next_origin(&self) -> Result<Option<Origin>, CatalogueError> {
        match self {
            Self::Sqlite(store) => store.next_origin().await,
            Self::Postgres(store) => store.bounded(store.next_origin()).await,
        }
    }

    /// Begins re-embedding, or resumes it if it was begun for the same origin. With `hold`, the new embeddings wait until they
    /// are [released](Self::release).
    ///
    /// # Errors
    /// Of the request, or of the store.
    pub async fn begin_reembedding(
        &self,
        origin: Origin,
        model: Vec<u8>,
        hold: bool,
    ) -> Result<(), CatalogueError> {
        match self {
            Self::Sqlite(store) => store.begin_reembedding(origin, model, hold).await,
            Self::Postgres(store) => store.bounded(store.begin_reembedding(origin, model, hold)).await,
        }
    }

    /// Whether the next embeddings wait to be released.
    ///
    /// # Errors
    /// Of the request, or of the store.
    pub async fn is_held(&self) -> Result<bool, CatalogueError> {
        match self {
            Self::Sqlite(store) => Ok(store.is_held()),
            Self::Postgres(store) => store.bounded(store.is_held()).await,
        }
    }

    /// Lets the next embeddings be adopted.
    ///
    /// # Errors
    /// Of the request, or of the store.
    pub async fn release(&self) -> Result<(), CatalogueError> {
        match self {
            Self::Sqlite(store) => {
                store.release();
                Ok(())
            }
            Self::Postgres(store) => store.bounded(store.release()).await,
        }
    }

    /// Builds what searches by the next embeddings need: from then on they may be of this origin.
    ///
    /// # Errors
    /// [`CatalogueError::OtherOrigin`] if the next embeddings are not of `origin`; else of the store.
    pub async fn prepare_next(
        &self,
        origin: &Origin,
        dimensions: usize,
        background: Background,
    ) -> Result<(), CatalogueError> {
        match self {
            Self::Sqlite(store) => store.prepare_next(origin, dimensions, background).await,
            Self::Postgres(store) => store.prepare_next(origin, dimensions, background).await,
        }
    }

    /// Up to `count` pictures with both embeddings, chosen at random.
    ///
    /// # Errors
    /// Of the store.
    pub async fn sample_of_both(&self, count: usize) -> Result<Vec<OfBoth>, CatalogueError> {
        match self {
            Self::Sqlite(store) => store.sample_of_both(count).await,
            Self::Postgres(store) => store.bounded(store.sample_of_both(count)).await,
        }
    }

    /// Drops what re-embedding has made so far.
    ///
    /// # Errors
    /// Of the request, or of the store.
    pub async fn cancel_reembedding(&self) -> Result<(), CatalogueError> {
        match self {
            Self::Sqlite(store) => store.cancel_reembedding().await,
            Self::Postgres(store) => store.bounded(store.cancel_reembedding()).await,
        }
    }

    /// How many pictures have a next embedding, and how many there are.
    ///
    /// # Errors
    /// Of the request, or of the store.
    pub async fn reembedded(&self) -> Result<(usize, usize), CatalogueError> {
        match self {
            Self::Sqlite(store) => store.reembedded().await,
            Self::Postgres(store) => store.bounded(store.reembedded()).await,
        }
    }

    /// Up to `count` pictures, and about `bytes` of them, that have no next embedding. On a shared catalogue no other server
    /// is given the same.
    ///
    /// # Errors
    /// [`CatalogueError::OtherOrigin`] if the next embeddings are not of `origin`; else of the store.
    pub async fn without_embedding(
        &self,
        origin: &Origin,
        count: usize,
        bytes: usize,
    ) -> Result<Vec<StoredPicture>, CatalogueError> {
        match self {
            Self::Sqlite(store) => store.without_embedding(origin, count, bytes).await,
            Self::Postgres(store) => store.bounded(store.without_embedding(origin, count, bytes)).await,
        }
    }

    /// Adds next embeddings, durably; those of pictures that are gone are left out.
    ///
    /// # Errors
    /// [`CatalogueError::OtherOrigin`] if the next embeddings are not of `origin`; else of the store.
    pub async fn add_embeddings(
        &self,
        origin: &Origin,
        made: Vec<(PictureKey, Vec<i32>)>,
    ) -> Result<(), CatalogueError> {
        match self {
            Self::Sqlite(store) => store.add_embeddings(origin, made).await,
            Self::Postgres(store) => store.bounded(store.add_embeddings(origin, made)).await,
        }
    }

    /// Makes the next embeddings the catalogue's, at one moment between two writes; `embed` makes the few that were
    /// written last. False where too many have none yet. Before the catalogue is loaded, all must have one.
    ///
    /// # Errors
    /// [`CatalogueError::OtherOrigin`] if they are not of `origin`; else of the store.
    pub async fn adopt(
        &self,
        origin: &Origin,
        dimensions: usize,
        embed: EmbedLast,
        background: Background,
    ) -> Result<bool, CatalogueError> {
        match self {
            Self::Sqlite(store) => store.adopt(origin, dimensions, embed, background).await,
            Self::Postgres(store) => store.adopt(origin, dimensions, embed, background).await,
        }
    }
}
