//! The database of a data directory: one file, opened by one process at a time.
//!
//! A write that has returned is durable: the journal is synced before (`synchronous=FULL`).

use std::fs::{File, TryLockError};
use std::ops::Deref;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::apply::apply;
use super::change::Applied;
use super::error::{failed, refused};
use super::reader::{BUSY, DATABASE, Reader};
use super::{import_rows, restore, rows, schema, settings};
use crate::catalogue::error::{CatalogueError, OpenError};
use crate::catalogue::product::NewProduct;
use crate::catalogue::write::Write;

const LOCK: &str = "lock";

/// The open data directory; holds its lock, and reads as any [`Reader`] does.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    reader: Reader,
    _lock: File,
}

impl Deref for Store {
    type Target = Reader;

    fn deref(&self) -> &Reader {
        &self.reader
    }
}

impl Store {
    /// Opens or creates a data directory, takes its lock and brings its schema up to date.
    pub fn open(folder: &Path) -> Result<Self, CatalogueError> {
        let lock = lock(folder)?;
        Self::locked(folder, lock)
    }

    /// Puts a backup into a data directory that holds no catalogue yet, whole or not at all, and opens it. Pictures get
    /// numbers above `least_number`, which must be larger at each restore.
    pub fn restore(folder: &Path, backup: &Path, least_number: i64) -> Result<Self, CatalogueError> {
        let lock = lock(folder)?;
        restore::put(folder, backup, least_number)?;
        Self::locked(folder, lock)
    }

    fn locked(folder: &Path, lock: File) -> Result<Self, CatalogueError> {
        let mut connection = Connection::open(folder.join(DATABASE))?;
        connection.busy_timeout(BUSY)?;
        // rusqlite keeps 16 prepared statements by default; more are in use here.
        connection.set_prepared_statement_cache_capacity(64);
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        schema::migrate(&mut connection)?.map_err(|reason| refused(folder, reason))?;
        import_rows::drop_broken(&connection)?;
        Ok(Self {
            folder: folder.to_owned(),
            reader: Reader::over(connection),
            _lock: lock,
        })
    }

    /// Whether a folder holds a catalogue.
    pub fn exists(folder: &Path) -> bool {
        folder.join(DATABASE).is_file()
    }

    /// The connection, to begin a transaction.
    pub fn connection_mut(&mut self) -> &mut Connection {
        self.reader.connection_mut()
    }

    /// The data directory.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Stores products, all or none; one whose name is taken replaces its predecessor. Returns how many are new.
    pub fn put_all(&mut self, products: &[NewProduct]) -> Result<usize, CatalogueError> {
        let transaction = self.connection_mut().transaction()?;
        let origin = settings::read(&transaction, settings::PRESENT)?;
        let mut new = 0;
        for product in products {
            rows::check_origin(&product.pictures, origin.as_ref())?;
            let (_, created, _) = rows::put(&transaction, product)?;
            new += usize::from(created);
        }
        transaction.commit()?;
        Ok(new)
    }

    /// Commits a group of writes at once, or none of them; one that the catalogue's rules refuse leaves the others be.
    /// Once this has returned, what was written is durable.
    pub fn write(
        &mut self,
        writes: Vec<Write>,
    ) -> Result<Vec<Result<Applied, CatalogueError>>, CatalogueError> {
        let transaction = self.connection_mut().transaction()?;
        let origin = settings::read(&transaction, settings::PRESENT)?;
        let mut results = Vec::with_capacity(writes.len());
        for one in writes {
            let result = apply(&transaction, one, origin.as_ref());
            match result {
                Err(error @ (CatalogueError::Store(_) | CatalogueError::Full { .. })) => {
                    return Err(error);
                }
                result => results.push(result),
            }
        }
        transaction.commit()?;
        Ok(results)
    }
}

/// Takes the lock of a data directory, which is created if it is missing.
fn lock(folder: &Path) -> Result<File, CatalogueError> {
    std::fs::create_dir_all(folder).map_err(|source| failed(folder, folder, source))?;
    let path = folder.join(LOCK);
    let lock = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|source| failed(folder, &path, source))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(refused(folder, OpenError::InUse)),
        Err(TryLockError::Error(source)) => Err(failed(folder, &path, source)),
    }
}

#[cfg(test)]
mod tests;
