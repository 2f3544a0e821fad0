//! The catalogue that a copy is written to. Each function blocks its thread, and forwards to the store's own target.

use std::path::Path;

use super::address::StoreAddress;
use super::copying::{CopiedProduct, Fingerprint, LastNumbers};
use super::error::CatalogueError;
use super::origin::Origin;
use super::{postgres, sqlite};

/// A catalogue in one of the stores, which nothing but this copy writes to.
#[derive(Debug)]
pub enum Target {
    /// In a data directory of this machine.
    Sqlite(sqlite::Target),
    /// In a PostgreSQL database.
    Postgres(postgres::Target),
}

impl Target {
    /// Opens or creates a data directory.
    ///
    /// # Errors
    /// If it is in use, damaged, of a newer version or cannot be written to.
    pub fn open(data_dir: &Path) -> Result<Self, CatalogueError> {
        sqlite::Target::open(data_dir).map(Self::Sqlite)
    }

    /// Opens a database on the network. Must not be called on an async runtime.
    ///
    /// # Errors
    /// If it refuses, or what it holds is of another version.
    pub fn connect(address: &StoreAddress) -> Result<Self, CatalogueError> {
        postgres::Target::connect(address).map(Self::Postgres)
    }

    /// Begins the copy of `source`, whose embeddings are by `origin`, or goes on with it. The target is unfinished from now
    /// on: nothing else opens it. What it holds of another origin is dropped.
    ///
    /// # Errors
    /// If it holds products or imports that are not of a copy of `source`, or were changed by anything but a copy.
    pub fn begin(
        &mut self,
        source: &str,
        origin: &Origin,
        model: Option<&[u8]>,
    ) -> Result<(), CatalogueError> {
        match self {
            Self::Sqlite(target) => target.begin(source, origin, model),
            Self::Postgres(target) => target.begin(source, origin, model),
        }
    }

    /// The products behind number `after`, at most `count`, in order.
    ///
    /// # Errors
    /// Of the store.
    pub fn fingerprints(&self, after: i64, count: usize) -> Result<Vec<Fingerprint>, CatalogueError> {
        match self {
            Self::Sqlite(target) => target.fingerprints(after, count),
            Self::Postgres(target) => target.fingerprints(after, count),
        }
    }

    /// Removes the products `gone`, then writes `products` under their numbers, in place of what has their number or their
    /// id: in one transaction.
    ///
    /// # Errors
    /// Of the store; nothing is changed then.
    pub fn write(&mut self, products: &[CopiedProduct], gone: &[i64]) -> Result<(), CatalogueError> {
        match self {
            Self::Sqlite(target) => target.write(products, gone),
            Self::Postgres(target) => target.write(products, gone),
        }
    }

    /// What made its embeddings.
    ///
    /// # Errors
    /// Of the store.
    pub fn origin(&self) -> Result<Option<Origin>, CatalogueError> {
        match self {
            Self::Sqlite(target) => target.origin(),
            Self::Postgres(target) => target.origin(),
        }
    }

    /// The file of a model that it keeps.
    ///
    /// # Errors
    /// Of the store.
    pub fn model(&self, id: &str) -> Result<Option<Vec<u8>>, CatalogueError> {
        match self {
            Self::Sqlite(target) => target.model(id),
            Self::Postgres(target) => target.model(id),
        }
    }

    /// Ends the copy: from now on it may be opened, and its next products and pictures get numbers above `last`.
    ///
    /// # Errors
    /// Of the store; it stays unfinished then.
    pub fn end(&mut self, last: LastNumbers) -> Result<(), CatalogueError> {
        match self {
            Self::Sqlite(target) => target.end(last),
            Self::Postgres(target) => target.end(last),
        }
    }
}
