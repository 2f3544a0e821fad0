//! Reading the database: one connection, as of the moment of each read or of a [`Moment`].

use std::path::Path;
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use rusqlite::blob::Blob;
use rusqlite::{Connection, ErrorCode, MAIN_DB, OpenFlags, OptionalExtension, Row, Transaction};

use super::embeddings::{Table, each_embedding};
use super::error::{damaged, refused};
use super::judge::Keyed;
use super::keys::ProductKey;
use super::{rows, schema, settings};
use crate::catalogue::attributes::Attributes;
use crate::catalogue::error::{CatalogueError, OpenError};
use crate::catalogue::filter::Filter;
use crate::catalogue::origin::Origin;
use crate::catalogue::product::{PictureFile, PictureKey, Product};

/// The database's file in a data directory.
pub const DATABASE: &str = "catalogue.sqlite3";
/// What SQLite keeps beside it: the journal of what is not in the database's file yet.
pub const JOURNAL: &str = "catalogue.sqlite3-wal";
/// How long a connection waits while another one has the database to itself, such as to restart the journal.
pub const BUSY: Duration = Duration::from_secs(5);
/// A reader's page cache, for the upper pages of the trees: the system caches the database's file. Ten products of 60,000
/// are read in 54 us with 2 MiB, 51 with 32, 57 with half a MiB.
const READER_KIB: i64 = 2 << 10;

/// A connection that reads. Each worker has its own.
#[derive(Debug)]
pub struct Reader {
    connection: Connection,
}

/// While it lives, its reader sees the database as of one moment.
#[derive(Debug)]
pub struct Moment<'a> {
    _transaction: Transaction<'a>,
}

impl Reader {
    /// Reads through a connection that may also write: the store's own.
    pub fn over(connection: Connection) -> Self {
        Self { connection }
    }

    /// The connection, to begin a transaction.
    pub fn connection_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// For the statements of this folder.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// What made the stored embeddings; none before the first.
    pub fn origin(&self) -> Result<Option<Origin>, CatalogueError> {
        settings::read(&self.connection, settings::PRESENT)
    }

    /// How many pictures there are.
    pub fn count_pictures(&self) -> Result<usize, CatalogueError> {
        let count: i64 = self
            .connection
            .query_row("SELECT count(*) FROM pictures", [], |row| row.get(0))?;
        usize::try_from(count).map_err(|_| damaged("a negative count"))
    }

    /// Opens one over a data directory whose database has been opened, by this process or another.
    pub fn open(folder: &Path) -> Result<Self, CatalogueError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(folder.join(DATABASE), flags)?;
        connection.busy_timeout(BUSY)?;
        connection.pragma_update(None, "cache_size", -READER_KIB)?;
        Ok(Self { connection })
    }

    /// Opens one where nothing can be written: not even the files that SQLite shares between those who read.
    pub fn open_fixed(folder: &Path) -> Result<Self, CatalogueError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let database = folder.join(DATABASE);
        // Whoever has the database open for writing has a journal. Without one it does not change.
        let opened = if folder.join(JOURNAL).exists() {
            Connection::open_with_flags(database, flags)
        } else {
            let path = percent_encode(database.as_os_str().as_encoded_bytes(), NON_ALPHANUMERIC);
            let flags = flags | OpenFlags::SQLITE_OPEN_URI;
            Connection::open_with_flags(format!("file:{path}?immutable=1"), flags)
        };
        let current = opened.and_then(|connection| Ok((schema::is_current(&connection)?, connection)));
        let why = match current {
            Ok((true, connection)) => return Ok(Self { connection }),
            Ok((false, _)) => "its schema is of another version",
            Err(rusqlite::Error::SqliteFailure(error, _))
                if matches!(error.code, ErrorCode::CannotOpen | ErrorCode::ReadOnly) =>
            {
                "it was not closed: what its journal holds must be put into the database"
            }
            Err(error) => return Err(error.into()),
        };
        let why = why.to_owned();
        Err(refused(folder, OpenError::ReadOnly { why }))
    }

    /// Reads see the database as of one moment until the answer is dropped; several reads are then also quicker.
    pub fn moment(&self) -> Result<Moment<'_>, CatalogueError> {
        Ok(Moment {
            _transaction: self.connection.unchecked_transaction()?,
        })
    }

    /// Which product has this name.
    pub fn key(&self, id: &str) -> Result<Option<ProductKey>, CatalogueError> {
        rows::key(&self.connection, id)
    }

    /// A filter with the keys of the products that it names, as of one moment after the listing that it is for was taken.
    pub fn keyed<'a>(&self, filter: &'a Filter) -> Result<Keyed<'a>, CatalogueError> {
        let _moment = (!filter.ids().is_empty()).then(|| self.moment()).transpose()?;
        Keyed::new(filter, |id| self.key(id))
    }

    /// A stored product with the keys of its pictures, in their order; none once it is gone.
    pub fn product(&self, key: ProductKey) -> Result<Option<(Product, Vec<PictureKey>)>, CatalogueError> {
        rows::product(&self.connection, key)
    }

    /// The file of one of a product's pictures.
    pub fn picture(&self, product: &str, picture: &str) -> Result<Option<PictureFile>, CatalogueError> {
        let _moment = self.moment()?;
        let mut statement = self.connection.prepare_cached(
            "SELECT pictures.seq, pictures.content_type, coalesce(pictures.sum, '') FROM pictures
             JOIN products ON products.seq = pictures.product WHERE products.id = ?1 AND pictures.id = ?2",
        )?;
        let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get_ref(2)?.as_bytes()?.to_vec()));
        let row = statement.query_row([product, picture], read);
        let Some((number, content_type, sum)) = row.optional()? else {
            return Ok(None);
        };
        let blob = self.picture_bytes(number)?;
        let first = piece(&blob, 0)?;
        Ok(Some(PictureFile {
            key: PictureKey(number),
            content_type,
            length: blob.len() as u64,
            sum,
            first,
        }))
    }

    /// The piece of a picture's file that begins at `offset`; empty at its end.
    pub fn picture_piece(&self, key: PictureKey, offset: u64) -> Result<Vec<u8>, CatalogueError> {
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        piece(&self.picture_bytes(key.0)?, offset)
    }

    fn picture_bytes(&self, number: i64) -> Result<Blob<'_>, CatalogueError> {
        Ok(self
            .connection
            .blob_open(MAIN_DB, "pictures", "bytes", number, true)?)
    }

    /// How many products there are.
    pub fn products(&self) -> Result<usize, CatalogueError> {
        let count: i64 = self
            .connection
            .query_row("SELECT count(*) FROM products", [], |row| row.get(0))?;
        usize::try_from(count).map_err(|_| damaged("a negative count"))
    }

    /// Whether a product of this name is stored.
    pub fn holds(&self, id: &str) -> Result<bool, CatalogueError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT 1 FROM products WHERE id = ?1")?;
        Ok(statement.exists([id])?)
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
            each(ProductKey(key), Attributes::stored(attributes));
        }
        Ok(())
    }

    /// Every embedding in stored order.
    pub fn embeddings(
        &self,
        table: Table,
        dimensions: usize,
        each: impl FnMut(PictureKey, ProductKey, &[i32]),
    ) -> Result<(), CatalogueError> {
        each_embedding(&self.connection, table, dimensions, each)
    }
}

fn piece(blob: &Blob<'_>, offset: usize) -> Result<Vec<u8>, CatalogueError> {
    let length = blob.len().saturating_sub(offset).min(PictureFile::PIECE);
    let mut bytes = vec![0; length];
    blob.read_at_exact(&mut bytes, offset)?;
    Ok(bytes)
}
