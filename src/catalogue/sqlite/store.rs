//! The database of a data directory: one file, opened by one process at a time.
//!
//! A write that has returned is durable: the journal is synced before (`synchronous=FULL`).

use std::fs::{File, TryLockError};
use std::ops::Deref;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::apply::apply;
use super::change::Applied;
use super::reader::{BUSY, DATABASE, Reader};
use super::{import_rows, rows, schema, settings};
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
        let refuse = |reason| CatalogueError::Open {
            store: folder.display().to_string(),
            reason,
        };
        let failed = |path: &Path, source| {
            refuse(OpenError::File {
                path: path.display().to_string(),
                source,
            })
        };
        std::fs::create_dir_all(folder).map_err(|source| failed(folder, source))?;
        let lock_path = folder.join(LOCK);
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock_path)
            .map_err(|source| failed(&lock_path, source))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(refuse(OpenError::InUse)),
            Err(TryLockError::Error(source)) => return Err(failed(&lock_path, source)),
        }
        let mut connection = Connection::open(folder.join(DATABASE))?;
        connection.busy_timeout(BUSY)?;
        // rusqlite keeps 16 prepared statements by default; more are in use here.
        connection.set_prepared_statement_cache_capacity(64);
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        schema::migrate(&mut connection)?.map_err(refuse)?;
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

    /// Puts a backup into a data directory that holds no catalogue yet, whole or not at all, and opens it. Pictures get
    /// numbers above `least_number`, which must be larger at each restore.
    pub fn restore(folder: &Path, backup: &Path, least_number: i64) -> Result<Self, CatalogueError> {
        let refuse = |reason| CatalogueError::Open {
            store: folder.display().to_string(),
            reason,
        };
        let failed = |path: &Path, source| {
            refuse(OpenError::File {
                path: path.display().to_string(),
                source,
            })
        };
        let database = folder.join(DATABASE);
        if database.exists() {
            return Err(refuse(OpenError::Exists));
        }
        let read_only = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let version: u32 = Connection::open_with_flags(backup, read_only)?.pragma_query_value(
            None,
            "user_version",
            |row| row.get(0),
        )?;
        if version == 0 {
            let path = backup.display().to_string();
            return Err(refuse(OpenError::NotABackup { path }));
        }
        std::fs::create_dir_all(folder).map_err(|source| failed(folder, source))?;
        let fresh = database.with_extension("new");
        std::fs::copy(backup, &fresh).map_err(|source| failed(backup, source))?;
        let synced = File::open(&fresh).and_then(|file| file.sync_all());
        synced.map_err(|source| failed(&fresh, source))?;
        std::fs::rename(&fresh, &database).map_err(|source| failed(&database, source))?;
        let restored = Self::open(folder).and_then(|mut store| {
            store.number_pictures_from(least_number)?;
            Ok(store)
        });
        if restored.is_err() {
            // The error is what matters; a file that stays behind can only be refused again.
            let _ = std::fs::remove_file(&database);
        }
        restored
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

    /// Pictures get numbers above `least` from now on: a catalogue restored from a backup must not reuse the numbers that
    /// were given after the backup was taken.
    pub fn number_pictures_from(&mut self, least: i64) -> Result<(), CatalogueError> {
        let connection = self.connection_mut();
        connection.execute(
            "INSERT INTO sqlite_sequence (name, seq) SELECT 'pictures', 0
             WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'pictures')",
            [],
        )?;
        connection.execute(
            "UPDATE sqlite_sequence SET seq = max(seq, ?1) WHERE name = 'pictures'",
            [least],
        )?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
