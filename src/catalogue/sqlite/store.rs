//! The database of a data directory: one file, opened by one process at a time.
//!
//! A write that has returned is durable: the journal is synced before (`synchronous=FULL`).

use std::fs::{File, TryLockError};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::apply::{apply, removal};
use super::change::Applied;
use super::copy_mark;
use super::error::{failed, refused};
use super::place::Place;
use super::reader::{BUSY, DATABASE, JOURNAL, Reader};
use super::reserve::Reserve;
use super::{import_rows, kept, restore, rows, schema, settings};
use crate::catalogue::error::{CatalogueError, OpenError};
use crate::catalogue::product::NewProduct;
use crate::catalogue::write::Write;

const LOCK: &str = "lock";
/// How long a write waits for another program that writes to the database.
pub const LOCKED: Duration = Duration::from_secs(1);

/// The open data directory; holds its lock, and reads as any [`Reader`] does.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    reader: Reader,
    /// For deletes on a full disk.
    pub(super) reserve: Reserve,
    /// Whether the database may not grow, because the disk is full.
    pub(super) held: bool,
    /// The last of the imports that were cut off and are not ended yet.
    pub(super) broken: Option<i64>,
    /// Whether it is a copy; the first other write ends that.
    copied: bool,
    place: Place,
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
        kept::drop_halves(folder);
        let mut reserve = Reserve::find(folder);
        let connection = match connect(folder) {
            // The journal needs some room to be read at all.
            Err(error) if error.passes() && reserve.give_up() => connect(folder)?,
            connection => connection?,
        };
        let broken = import_rows::last_broken(&connection)?;
        let database = folder.join(DATABASE);
        let journal = folder.join(JOURNAL);
        let reader = Reader::over(connection);
        let copied = reader.copied_from()?.is_some();
        let place = Place::of(vec![folder.join(LOCK), database, journal]);
        let mut store = Self {
            folder: folder.to_owned(),
            reader,
            reserve,
            held: false,
            broken,
            copied,
            place: place.map_err(|source| failed(folder, folder, source))?,
            _lock: lock,
        };
        if !store.reserve.is_there() {
            store.keep_room()?;
        }
        store.end_broken();
        Ok(store)
    }

    /// Whether a folder holds a catalogue.
    pub fn exists(folder: &Path) -> bool {
        folder.join(DATABASE).is_file()
    }

    /// Begins to write what `adds` to the database or only removes. Refused where the files are gone, or another program
    /// writes.
    pub(super) fn begin(&mut self, adds: bool) -> Result<Transaction<'_>, CatalogueError> {
        let copied = self.copied;
        let transaction = self.begin_any(adds)?;
        if copied {
            copy_mark::forgotten(&transaction)?;
        }
        Ok(transaction)
    }

    /// Begins to write what is copied.
    pub(super) fn begin_copying(&mut self) -> Result<Transaction<'_>, CatalogueError> {
        self.begin_any(true)
    }

    fn begin_any(&mut self, adds: bool) -> Result<Transaction<'_>, CatalogueError> {
        if let Some(what) = self.lost() {
            return Err(CatalogueError::Lost { what });
        }
        self.before_write(adds)?;
        Ok(self.reader.connection_mut().transaction()?)
    }

    /// Which of the files is no longer where it was opened; none where all are.
    pub fn lost(&self) -> Option<String> {
        self.place.lost()
    }

    /// The data directory.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Stores products, all or none; one whose name is taken replaces its predecessor. Returns how many are new.
    pub fn put_all(&mut self, products: &[NewProduct]) -> Result<usize, CatalogueError> {
        let transaction = self.begin(true)?;
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
    /// Once this has returned, what was written is durable. On a full disk those that only remove are done all the same,
    /// if the reserve has room for them.
    pub fn write(
        &mut self,
        writes: Vec<Write>,
    ) -> Result<Vec<Result<Applied, CatalogueError>>, CatalogueError> {
        let mut removals = Vec::new();
        for (place, write) in writes.iter().enumerate() {
            removals.extend(removal(write).map(|write| (place, write)));
        }
        let count = writes.len();
        let full = match self.group(writes, removals.len() < count) {
            Err(CatalogueError::Full { reason }) if !removals.is_empty() => reason,
            done => {
                if matches!(done, Err(CatalogueError::Full { .. })) {
                    // The next write finds the pages that are free, and the journal the reserve's room.
                    self.hold()?;
                }
                self.after_write();
                return done;
            }
        };
        self.lend();
        let refusal = || {
            let reason = full.clone();
            Err(CatalogueError::Full { reason })
        };
        let mut results: Vec<_> = (0..count).map(|_| refusal()).collect();
        for (place, write) in removals {
            // One at a time: the reserve is small.
            results[place] = match self.group(vec![write], false) {
                Ok(mut applied) => applied.pop().unwrap_or_else(refusal),
                Err(error) => Err(error),
            };
            self.after_write();
        }
        Ok(results)
    }

    fn group(
        &mut self,
        writes: Vec<Write>,
        adds: bool,
    ) -> Result<Vec<Result<Applied, CatalogueError>>, CatalogueError> {
        let transaction = self.begin(adds)?;
        let origin = settings::read(&transaction, settings::PRESENT)?;
        let mut results = Vec::with_capacity(writes.len());
        for one in writes {
            let result = apply(&transaction, one, origin.as_ref());
            match result {
                Err(
                    error @ (CatalogueError::Store(_) | CatalogueError::Full { .. } | CatalogueError::Locked),
                ) => {
                    return Err(error);
                }
                result => results.push(result),
            }
        }
        transaction.commit()?;
        Ok(results)
    }
}

/// Opens the database and brings its schema up to date.
fn connect(folder: &Path) -> Result<Connection, CatalogueError> {
    let mut connection = Connection::open(folder.join(DATABASE))?;
    connection.busy_timeout(BUSY)?;
    // rusqlite keeps 16 prepared statements by default; more are in use here.
    connection.set_prepared_statement_cache_capacity(64);
    // A transaction that reads first could not go on once another program has written.
    connection.set_transaction_behavior(TransactionBehavior::Immediate);
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    schema::migrate(&mut connection)?.map_err(|reason| refused(folder, reason))?;
    connection.busy_timeout(LOCKED)?;
    Ok(connection)
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
