//! A catalogue that is looked at from outside, for `check`, `copy` and `duplicates`, whether servers run over it or not.
//!
//! Each function blocks its thread, and forwards to the store's own survey.

use super::address::StoreAddress;
use super::checking::{Batch, Checked, Which};
use super::comparing::ComparedPicture;
use super::copying::{CopiedProduct, Fingerprint, LastNumbers};
use super::error::CatalogueError;
use super::origin::Origin;
use super::product::PictureKey;
use super::{postgres, sqlite};

/// A catalogue in one of the stores, read while others may write.
#[derive(Debug)]
pub enum Survey {
    /// In a data directory of this machine.
    Sqlite(Box<sqlite::Survey>),
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

    /// All that `read` reads is of one moment, though others write.
    ///
    /// # Errors
    /// Of the store.
    pub fn at_one_moment<T>(&self, read: impl FnOnce(&Self) -> T) -> Result<T, CatalogueError> {
        match self {
            Self::Sqlite(survey) => {
                let _moment = survey.moment()?;
                Ok(read(self))
            }
            Self::Postgres(survey) => survey.at_one_moment(|| read(self)),
        }
    }

    /// The pictures behind `after`, at most `count`, in stored order.
    ///
    /// # Errors
    /// Of the store.
    pub fn compared(
        &self,
        after: Option<PictureKey>,
        count: usize,
    ) -> Result<Vec<ComparedPicture>, CatalogueError> {
        match self {
            Self::Sqlite(survey) => survey.compared(after, count),
            Self::Postgres(survey) => survey.compared(after, count),
        }
    }

    /// How many pictures there are.
    ///
    /// # Errors
    /// Of the store.
    pub fn pictures(&self) -> Result<usize, CatalogueError> {
        match self {
            Self::Sqlite(survey) => survey.pictures(),
            Self::Postgres(survey) => survey.pictures(),
        }
    }

    /// How many products there are.
    ///
    /// # Errors
    /// Of the store.
    pub fn products(&self) -> Result<usize, CatalogueError> {
        match self {
            Self::Sqlite(survey) => survey.products(),
            Self::Postgres(survey) => survey.products(),
        }
    }

    /// How many imports are not at their end.
    ///
    /// # Errors
    /// Of the store.
    pub fn open_imports(&self) -> Result<usize, CatalogueError> {
        match self {
            Self::Sqlite(survey) => survey.open_imports(),
            Self::Postgres(survey) => survey.open_imports(),
        }
    }

    /// The products behind number `after`, at most `count`, in order.
    ///
    /// # Errors
    /// Of the store.
    pub fn fingerprints(&self, after: i64, count: usize) -> Result<Vec<Fingerprint>, CatalogueError> {
        match self {
            Self::Sqlite(survey) => survey.fingerprints(after, count),
            Self::Postgres(survey) => survey.fingerprints(after, count),
        }
    }

    /// The products with these numbers, in their order, as long as about `bytes` of them are read: at least one. Each is
    /// compared with its checksums.
    ///
    /// # Errors
    /// Of the store, or if a product is damaged.
    pub fn copied(&self, numbers: &[i64], bytes: usize) -> Result<Vec<CopiedProduct>, CatalogueError> {
        match self {
            Self::Sqlite(survey) => survey.copied(numbers, bytes),
            Self::Postgres(survey) => survey.copied(numbers, bytes),
        }
    }

    /// The last numbers that the store has given.
    ///
    /// # Errors
    /// Of the store.
    pub fn last_numbers(&self) -> Result<LastNumbers, CatalogueError> {
        match self {
            Self::Sqlite(survey) => survey.last_numbers(),
            Self::Postgres(survey) => survey.last_numbers(),
        }
    }
}
