//! A catalogue that is looked at from outside, for `check`, whether servers run over it or not.
//!
//! Each function blocks its thread, and forwards to the store's own survey.

use super::address::StoreAddress;
use super::checking::{Batch, Checked, Which};
use super::error::CatalogueError;
use super::origin::Origin;
use super::product::PictureKey;
use super::{postgres, sqlite};

/// A catalogue in one of the stores, read while others may write.
#[derive(Debug)]
pub enum Survey {
    /// In a data directory of this machine.
    Sqlite(sqlite::Survey),
    /// In a PostgreSQL database.
    Postgres(postgres::Survey),
}

impl Survey {
    /// Opens a database on the network. Must not be called on an async runtime.
    ///
    /// # Errors
    /// If it refuses, or what it holds is of another version.
    pub fn connect(address: &StoreAddress) -> Result<Self, CatalogueError> {
        postgres::Survey::connect(address).map(Self::Postgres)
    }

    /// What made the stored embeddings; none before the first.
    ///
    /// # Errors
    /// Of the store.
    pub fn origin(&self) -> Result<Option<Origin>, CatalogueError> {
        match self {
            Self::Sqlite(survey) => survey.origin(),
            Self::Postgres(survey) => survey.origin(),
        }
    }

    /// What makes the next embeddings, where re-embedding has begun.
    ///
    /// # Errors
    /// Of the store.
    pub fn next_origin(&self) -> Result<Option<Origin>, CatalogueError> {
        match self {
            Self::Sqlite(survey) => survey.next_origin(),
            Self::Postgres(survey) => survey.next_origin(),
        }
    }

    /// The file of a model that the catalogue keeps.
    ///
    /// # Errors
    /// Of the store.
    pub fn model(&self, id: &str) -> Result<Option<Vec<u8>>, CatalogueError> {
        match self {
            Self::Sqlite(survey) => survey.model(id),
            Self::Postgres(survey) => survey.model(id),
        }
    }

    /// Checks every row; `wrong` is called with each that is not what was written.
    ///
    /// # Errors
    /// Of the store.
    pub fn check_rows(
        &self,
        dimensions: Option<usize>,
        wrong: impl FnMut(String),
    ) -> Result<Checked, CatalogueError> {
        match self {
            Self::Sqlite(survey) => survey.check_rows(dimensions, wrong),
            Self::Postgres(survey) => survey.check_rows(dimensions, wrong),
        }
    }

    /// Checks an index that the store keeps beside its rows; gives the number of its entries, none where none is kept.
    ///
    /// # Errors
    /// Of the store.
    pub fn check_index(
        &self,
        origin: &Origin,
        wrong: impl FnMut(String),
    ) -> Result<Option<usize>, CatalogueError> {
        match self {
            Self::Sqlite(survey) => survey.check_index(origin, wrong),
            // Each was compared with its row.
            Self::Postgres(survey) => survey.indexed(),
        }
    }

    /// Pictures behind `after` with their stored embeddings, in stored order: at most `count`, and about `bytes`.
    /// Pictures without one are left out.
    ///
    /// # Errors
    /// Of the store.
    pub fn embedded_after(
        &self,
        which: Which,
        after: Option<PictureKey>,
        count: usize,
        bytes: usize,
    ) -> Result<Batch, CatalogueError> {
        match self {
            Self::Sqlite(survey) => survey.embedded_after(which, after, count, bytes),
            Self::Postgres(survey) => survey.embedded_after(which, after, count, bytes),
        }
    }
}
