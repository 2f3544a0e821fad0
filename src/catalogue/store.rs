//! The catalogue in SQLite: one file in the data directory, one process at a time.
//!
//! A write that has returned is durable: the journal is synced before (`synchronous=FULL`).

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension, Transaction};

use super::imports;
use super::write::{self, Write, Written};
use super::{
    Attributes, CatalogueError, NewProduct, Origin, PictureKey, Product, ProductKey, schema, settings,
};
use engine::picture::Mode;

const DATABASE: &str = "catalogue.sqlite3";
const LOCK: &str = "lock";
/// How long a connection waits for another one's moment of exclusive work, like starting the journal anew.
const BUSY: Duration = Duration::from_secs(5);
/// What a reader keeps of the database in memory: a search reads a few dozen pages all over it.
const READER_KIB: i64 = 32 << 10;

/// A stored picture, to be embedded anew.
#[derive(Debug)]
pub struct StoredPicture {
    pub key: PictureKey,
    /// The product's name, for people.
    pub product: String,
    pub prepare: Mode,
    pub bytes: Vec<u8>,
}

/// The open data directory; holds its lock.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    connection: Connection,
    _lock: File,
}

/// A connection that only reads; each worker has its own.
#[derive(Debug)]
pub struct Reader {
    connection: Connection,
}

impl Store {
    /// Opens or creates a data directory, takes its lock and brings its schema up to date.
    pub fn open(folder: &Path) -> Result<Self, CatalogueError> {
        let failed = |path: &Path, source| CatalogueError::Folder {
            path: path.display().to_string(),
            source,
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
            Err(TryLockError::WouldBlock) => {
                return Err(CatalogueError::InUse {
                    path: folder.display().to_string(),
                });
            }
            Err(TryLockError::Error(source)) => return Err(failed(&lock_path, source)),
        }
        let path = folder.join(DATABASE);
        let mut connection = Connection::open(&path)?;
        connection.busy_timeout(BUSY)?;
        // More statements than rusqlite keeps unasked are in turn.
        connection.set_prepared_statement_cache_capacity(64);
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        schema::migrate(&mut connection, &path.display().to_string())?;
        imports::drop_broken(&connection)?;
        Ok(Self {
            folder: folder.to_owned(),
            connection,
            _lock: lock,
        })
    }

    /// Whether a folder holds a catalogue.
    pub fn exists(folder: &Path) -> bool {
        folder.join(DATABASE).is_file()
    }

    /// Puts a backup into a data directory that holds no catalogue yet, whole or not at all, and opens it.
    pub fn restore(folder: &Path, backup: &Path, least_number: i64) -> Result<Self, CatalogueError> {
        let failed = |path: &Path, source| CatalogueError::Folder {
            path: path.display().to_string(),
            source,
        };
        let database = folder.join(DATABASE);
        if database.exists() {
            let source = std::io::Error::from(std::io::ErrorKind::AlreadyExists);
            return Err(failed(&database, source));
        }
        let read_only = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let version: u32 = Connection::open_with_flags(backup, read_only)?.pragma_query_value(
            None,
            "user_version",
            |row| row.get(0),
        )?;
        if version == 0 {
            return Err(damaged(format!("{} is no backup of one", backup.display())));
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
            // The refusal is what matters; what stays behind could only be refused again.
            let _ = std::fs::remove_file(&database);
        }
        restored
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(super) fn connection_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// The data directory.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A further connection that only reads.
    pub fn reader(&self) -> Result<Reader, CatalogueError> {
        Reader::open(&self.folder)
    }

    /// How many products there are.
    pub fn products(&self) -> Result<usize, CatalogueError> {
        let count: i64 = self
            .connection
            .query_row("SELECT count(*) FROM products", [], |row| row.get(0))?;
        usize::try_from(count).map_err(|_| damaged("a negative count"))
    }

    /// What made the stored embeddings; none before the first.
    pub fn origin(&self) -> Result<Option<Origin>, CatalogueError> {
        settings::read(&self.connection, settings::PRESENT)
    }

    /// Whether a product of this name is stored.
    pub fn holds(&self, id: &str) -> Result<bool, CatalogueError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT 1 FROM products WHERE id = ?1")?;
        Ok(statement.exists([id])?)
    }

    /// Stores products, all or none; one whose name is taken replaces its predecessor.
    pub fn put_all(&mut self, products: &[NewProduct]) -> Result<(), CatalogueError> {
        let transaction = self.connection.transaction()?;
        let origin = settings::read(&transaction, settings::PRESENT)?;
        for product in products {
            write::check_origin(&product.pictures, origin.as_ref())?;
            write::put(&transaction, product)?;
        }
        Ok(transaction.commit()?)
    }

    /// Commits a group of writes at once, or none of them; one that the catalogue's rules refuse leaves the others be.
    /// Once this has returned, what was written is durable.
    pub fn write(
        &mut self,
        writes: Vec<Write>,
    ) -> Result<Vec<Result<Written, CatalogueError>>, CatalogueError> {
        let transaction = self.connection.transaction()?;
        let origin = settings::read(&transaction, settings::PRESENT)?;
        let mut results = Vec::with_capacity(writes.len());
        for one in writes {
            let result = write::apply(&transaction, one, origin.as_ref());
            match result {
                Err(error @ (CatalogueError::Database(_) | CatalogueError::Full { .. })) => {
                    return Err(error);
                }
                result => results.push(result),
            }
        }
        transaction.commit()?;
        Ok(results)
    }

    /// Every embedding in stored order.
    pub fn embeddings(
        &self,
        dimensions: usize,
        each: impl FnMut(PictureKey, ProductKey, &[i32]),
    ) -> Result<(), CatalogueError> {
        each_embedding(&self.connection, Table::Present, dimensions, each)
    }

    /// Every product's attributes, in stored order.
    pub fn attributes(&self, mut each: impl FnMut(ProductKey, Attributes)) -> Result<(), CatalogueError> {
        let mut statement = self
            .connection
            .prepare("SELECT seq, attributes FROM products ORDER BY seq")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let key: i64 = row.get(0)?;
            let text = row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?;
            let attributes = serde_json::from_str(text)
                .map_err(|error| damaged(format!("attributes of product number {key}: {error}")))?;
            each(ProductKey(key), attributes);
        }
        Ok(())
    }

    /// The pictures whose number is above `after`, in stored order: at most `count`, and about `bytes`.
    pub fn pictures_after(
        &self,
        after: Option<PictureKey>,
        count: usize,
        bytes: usize,
    ) -> Result<Vec<StoredPicture>, CatalogueError> {
        pictures_after(&self.connection, after, count, bytes)
    }
}

/// One moment of the catalogue, for as long as it lives.
#[derive(Debug)]
pub struct Moment<'a> {
    _transaction: Transaction<'a>,
}

impl Reader {
    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// What made the stored embeddings; none before the first.
    pub fn origin(&self) -> Result<Option<Origin>, CatalogueError> {
        settings::read(&self.connection, settings::PRESENT)
    }

    /// The pictures whose number is above `after`, in stored order: at most `count`, and about `bytes`.
    pub fn pictures_after(
        &self,
        after: Option<PictureKey>,
        count: usize,
        bytes: usize,
    ) -> Result<Vec<StoredPicture>, CatalogueError> {
        pictures_after(&self.connection, after, count, bytes)
    }

    /// How many pictures there are.
    pub fn count_pictures(&self) -> Result<usize, CatalogueError> {
        let count: i64 = self
            .connection
            .query_row("SELECT count(*) FROM pictures", [], |row| row.get(0))?;
        usize::try_from(count).map_err(|_| damaged("a negative count"))
    }

    /// Opens one over a data directory whose [`Store`] is open.
    pub fn open(folder: &Path) -> Result<Self, CatalogueError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(folder.join(DATABASE), flags)?;
        connection.busy_timeout(BUSY)?;
        connection.pragma_update(None, "cache_size", -READER_KIB)?;
        Ok(Self { connection })
    }

    /// While the answer lives, everything is read as of one moment; several reads are then also quicker.
    pub fn moment(&self) -> Result<Moment<'_>, CatalogueError> {
        Ok(Moment {
            _transaction: self.connection.unchecked_transaction()?,
        })
    }

    /// Which product has this name.
    pub fn key(&self, id: &str) -> Result<Option<ProductKey>, CatalogueError> {
        write::key(&self.connection, id)
    }

    /// A stored product with the keys of its pictures, in their order; none once it is gone.
    pub fn product(&self, key: ProductKey) -> Result<Option<(Product, Vec<PictureKey>)>, CatalogueError> {
        write::product(&self.connection, key)
    }

    /// The file of one of a product's pictures, and its content type.
    pub fn picture(&self, product: &str, picture: &str) -> Result<Option<(String, Vec<u8>)>, CatalogueError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT pictures.content_type, pictures.bytes FROM pictures
             JOIN products ON products.seq = pictures.product WHERE products.id = ?1 AND pictures.id = ?2",
        )?;
        let row = statement.query_row([product, picture], |row| Ok((row.get(0)?, row.get(1)?)));
        Ok(row.optional()?)
    }
}

/// The pictures whose number is above `after`, in stored order: at most `count`, and about `bytes`.
fn pictures_after(
    connection: &Connection,
    after: Option<PictureKey>,
    count: usize,
    bytes: usize,
) -> Result<Vec<StoredPicture>, CatalogueError> {
    let mut statement = connection.prepare_cached(
        "SELECT pictures.seq, products.id, prepare, bytes
         FROM pictures JOIN products ON products.seq = pictures.product
         WHERE pictures.seq > ?1 ORDER BY pictures.seq",
    )?;
    let mut rows = statement.query([after.map_or(0, |key| key.0)])?;
    let mut found = Vec::new();
    let mut taken = 0;
    while found.len() < count && taken < bytes {
        let Some(row) = rows.next()? else { break };
        let prepare: String = row.get(2)?;
        let picture = StoredPicture {
            key: PictureKey(row.get(0)?),
            product: row.get(1)?,
            prepare: prepare
                .parse()
                .map_err(|error| damaged(format!("pictures.prepare: {error}")))?,
            bytes: row.get(3)?,
        };
        taken += picture.bytes.len();
        found.push(picture);
    }
    Ok(found)
}

/// Embeddings as they are, or those that are to take their place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Table {
    Present,
    Next,
}

impl Table {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Present => "embeddings",
            Self::Next => "next_embeddings",
        }
    }
}

/// Every embedding of a table in stored order.
pub(super) fn each_embedding(
    connection: &Connection,
    table: Table,
    dimensions: usize,
    mut each: impl FnMut(PictureKey, ProductKey, &[i32]),
) -> Result<(), CatalogueError> {
    let mut statement = connection.prepare(&format!(
        "SELECT pictures.seq, pictures.product, made.width, made.data
         FROM {} AS made JOIN pictures ON pictures.seq = made.picture ORDER BY pictures.seq",
        table.name()
    ))?;
    let mut rows = statement.query([])?;
    let mut values = Vec::with_capacity(dimensions);
    while let Some(row) = rows.next()? {
        let picture: i64 = row.get(0)?;
        let data = row.get_ref(3)?.as_blob().map_err(rusqlite::Error::from)?;
        unpack(row.get(2)?, data, &mut values);
        if values.len() != dimensions {
            return Err(damaged(format!(
                "the embedding of picture {picture} has {} values, the network gives {dimensions}",
                values.len()
            )));
        }
        each(PictureKey(picture), ProductKey(row.get(1)?), &values);
    }
    Ok(())
}

pub(super) fn damaged(what: impl Into<String>) -> CatalogueError {
    CatalogueError::Damaged { what: what.into() }
}

/// The narrowest width that holds every value, and the values in it, little-endian.
pub(super) fn packed(values: &[i32]) -> (u8, Vec<u8>) {
    fn all<T: TryFrom<i32>>(values: &[i32]) -> Option<Vec<T>> {
        let narrowed = values.iter().map(|&value| T::try_from(value).ok());
        narrowed.collect()
    }
    if let Some(narrow) = all::<i8>(values) {
        (1, narrow.into_iter().flat_map(i8::to_le_bytes).collect())
    } else if let Some(narrow) = all::<i16>(values) {
        (2, narrow.into_iter().flat_map(i16::to_le_bytes).collect())
    } else {
        (4, values.iter().flat_map(|value| value.to_le_bytes()).collect())
    }
}

pub(super) fn unpack(width: u8, data: &[u8], values: &mut Vec<i32>) {
    values.clear();
    match width {
        1 => values.extend(data.iter().map(|&byte| i32::from(byte.cast_signed()))),
        2 => values.extend(
            data.as_chunks()
                .0
                .iter()
                .map(|&b| i32::from(i16::from_le_bytes(b))),
        ),
        _ => values.extend(data.as_chunks().0.iter().map(|&b| i32::from_le_bytes(b))),
    }
}

#[cfg(test)]
mod tests;
