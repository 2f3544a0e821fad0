//! A catalogue looked at from outside: for `check` and `backup`, whether a server runs over it or not.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::checksums::bytes;
use super::embeddings::Table;
use super::error::damaged;
use super::kept::{self, Kept, RowHash, row_hash};
use super::reader::{Moment, Reader};
use super::store::Store;
use crate::catalogue::attributes::Attributes;
use crate::catalogue::checking::{Batch, Checked, Which};
use crate::catalogue::comparing::ComparedPicture;
use crate::catalogue::copying::{CopiedProduct, Fingerprint, LastNumbers};
use crate::catalogue::error::{CatalogueError, OpenError};
use crate::catalogue::origin::Origin;
use crate::catalogue::packing::unpack;
use crate::catalogue::product::{PictureKey, StoredPicture};

/// The most pictures of a batch, and about the most bytes of them.
const PICTURES: usize = 64;
const BYTES: usize = 32 << 20;

/// A data directory that is read, while others may write.
#[derive(Debug)]
pub struct Survey {
    data_dir: PathBuf,
    reader: Reader,
    /// Holds the lock, where no server has it.
    _store: Option<Store>,
}

impl Survey {
    /// Opens a data directory; takes its lock unless a server has it, or nothing can be written there.
    pub fn open(data_dir: &Path) -> Result<Self, CatalogueError> {
        let (reader, store) = match Store::open(data_dir) {
            Ok(store) => (Reader::open(data_dir)?, Some(store)),
            Err(CatalogueError::Open {
                reason: OpenError::InUse,
                ..
            }) => (Reader::open(data_dir)?, None),
            Err(CatalogueError::Open {
                reason: OpenError::File { source, .. },
                ..
            }) if matches!(
                source.kind(),
                ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied
            ) =>
            {
                (Reader::open_fixed(data_dir)?, None)
            }
            Err(error) => return Err(error),
        };
        Ok(Self {
            data_dir: data_dir.to_owned(),
            reader,
            _store: store,
        })
    }

    /// What made the stored embeddings; none before the first.
    pub fn origin(&self) -> Result<Option<Origin>, CatalogueError> {
        self.reader.origin()
    }

    /// What makes the next embeddings, where re-embedding has begun.
    pub fn next_origin(&self) -> Result<Option<Origin>, CatalogueError> {
        self.reader.next_origin()
    }

    /// The file of a model that the catalogue keeps.
    pub fn model(&self, id: &str) -> Result<Option<Vec<u8>>, CatalogueError> {
        self.reader.model(id)
    }

    /// Checks every row; `wrong` is called with each that is not what was written.
    pub fn check_rows(
        &self,
        dimensions: Option<usize>,
        wrong: impl FnMut(String),
    ) -> Result<Checked, CatalogueError> {
        self.reader.check(dimensions, wrong)
    }

    /// Checks the kept index against the stored embeddings; gives the number of its entries, none where none is kept.
    pub fn check_index(
        &self,
        origin: &Origin,
        mut wrong: impl FnMut(String),
    ) -> Result<Option<usize>, CatalogueError> {
        let kept = match kept::read(&kept::file(&self.data_dir), origin) {
            Kept::None | Kept::Other => return Ok(None),
            Kept::Damaged { why } => {
                wrong(format!("index: {why}; the next start rebuilds it"));
                return Ok(None);
            }
            Kept::Whole(kept) => kept,
        };
        let mut known: HashSet<RowHash> = kept.hashes.iter().copied().collect();
        if known.len() < kept.hashes.len() {
            wrong(format!(
                "index: {} entries are of an embedding that another one has; the next start links them anew",
                kept.hashes.len() - known.len()
            ));
        }
        self.reader.each_embedding(Table::Present, |_, values| {
            known.remove(&row_hash(values));
        })?;
        // Embeddings that are gone leave gaps; the next start knows them. Where most are, the index is of another catalogue.
        if known.len() > kept.hashes.len() / 2 {
            wrong(format!(
                "index: {} of {} entries are of embeddings that are not stored; the next start rebuilds it",
                known.len(),
                kept.hashes.len()
            ));
        }
        Ok(Some(kept.hashes.len()))
    }

    /// Pictures behind `after` with their stored embeddings, in stored order: at most `count`, and about `bytes`.
    /// Pictures without one are left out.
    pub fn embedded_after(
        &self,
        which: Which,
        after: Option<PictureKey>,
        count: usize,
        bytes: usize,
    ) -> Result<Batch, CatalogueError> {
        let table = match which {
            Which::Present => Table::Present,
            Which::Next => Table::Next,
        };
        let pictures = self.reader.pictures_after(after, count, bytes)?;
        let last = pictures.last().map(|picture| picture.key);
        let mut found = Vec::with_capacity(pictures.len());
        for picture in pictures {
            if let Some(values) = self.reader.embedding(table, picture.key)? {
                found.push((picture, values));
            }
        }
        Ok(Batch { found, last })
    }

    /// How many products there are.
    pub fn products(&self) -> Result<usize, CatalogueError> {
        self.reader.products()
    }

    /// How many imports are not at their end.
    pub fn open_imports(&self) -> Result<usize, CatalogueError> {
        self.reader.count_open_imports()
    }

    /// The products behind number `after`, at most `count`, in order.
    pub fn fingerprints(&self, after: i64, count: usize) -> Result<Vec<Fingerprint>, CatalogueError> {
        self.reader.fingerprints(after, count)
    }

    /// The products with these numbers, as long as about `bytes` of them are read: at least one. Each is what was written.
    pub fn copied(&self, numbers: &[i64], bytes: usize) -> Result<Vec<CopiedProduct>, CatalogueError> {
        self.reader.copied(numbers, bytes)
    }

    /// The pictures behind `after`, at most `count`, in stored order.
    pub fn compared(
        &self,
        after: Option<PictureKey>,
        count: usize,
    ) -> Result<Vec<ComparedPicture>, CatalogueError> {
        let mut statement = self.reader.connection().prepare_cached(
            "SELECT pictures.seq, pictures.id, pictures.sum, products.id, products.title, made.width, made.data
             FROM pictures JOIN products ON products.seq = pictures.product
             LEFT JOIN embeddings AS made ON made.picture = pictures.seq
             WHERE pictures.seq > ?1 ORDER BY pictures.seq LIMIT ?2",
        )?;
        let after = after.map_or(i64::MIN, |key| key.0);
        let mut rows = statement.query((after, i64::try_from(count).unwrap_or(i64::MAX)))?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let embedding = match row.get(5)? {
                Some(width) => {
                    let mut values = Vec::new();
                    unpack(width, bytes(row, 6)?, &mut values);
                    Some(values)
                }
                None => None,
            };
            found.push(ComparedPicture {
                key: PictureKey(row.get(0)?),
                id: row.get(1)?,
                file: bytes(row, 2)?.to_vec(),
                product: row.get(3)?,
                title: row.get(4)?,
                embedding,
            });
        }
        Ok(found)
    }

    /// How many pictures there are.
    pub fn pictures(&self) -> Result<usize, CatalogueError> {
        let sql = "SELECT count(*) FROM pictures";
        let count: i64 = self.reader.connection().query_row(sql, [], |row| row.get(0))?;
        usize::try_from(count).map_err(|_| damaged("a negative count"))
    }

    /// The last numbers that were given.
    pub fn last_numbers(&self) -> Result<LastNumbers, CatalogueError> {
        self.reader.last_numbers()
    }

    /// Reads see the catalogue as of one moment until the answer is dropped.
    pub fn moment(&self) -> Result<Moment<'_>, CatalogueError> {
        self.reader.moment()
    }

    /// Every product in stored order: its id, its attributes and the number of its pictures.
    pub fn each_product(
        &self,
        mut each: impl FnMut(String, Attributes, usize),
    ) -> Result<(), CatalogueError> {
        let mut statement = self.reader.connection().prepare(
            "SELECT id, attributes, (SELECT count(*) FROM pictures WHERE product = products.seq)
             FROM products ORDER BY seq",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let id: String = row.get(0)?;
            let text = row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?;
            let attributes = serde_json::from_str(text)
                .map_err(|error| damaged(format!("attributes of product {id}: {error}")))?;
            let pictures = usize::try_from(row.get::<_, i64>(2)?).map_err(|_| damaged("a negative count"))?;
            each(id, Attributes::stored(attributes), pictures);
        }
        Ok(())
    }

    /// Calls `each` with all pictures in stored order, at most 64 and about 32 MiB at a time.
    pub fn each_batch<E: From<CatalogueError>>(
        &self,
        mut each: impl FnMut(&[StoredPicture]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut after = None;
        loop {
            let batch = self.reader.pictures_after(after, PICTURES, BYTES)?;
            let Some(last) = batch.last() else { return Ok(()) };
            after = Some(last.key);
            each(&batch)?;
        }
    }

    /// Writes the catalogue as of this moment into one new file, while others read and write.
    pub fn back_up(&self, out: &Path) -> Result<(), CatalogueError> {
        self.reader.back_up(out)
    }
}

impl Reader {
    /// Every embedding of a table, in stored order, whatever its width.
    fn each_embedding(
        &self,
        table: Table,
        mut each: impl FnMut(PictureKey, &[i32]),
    ) -> Result<(), CatalogueError> {
        let name = table.name();
        let mut statement = self.connection().prepare(&format!(
            "SELECT picture, width, data FROM {name} ORDER BY picture"
        ))?;
        let mut rows = statement.query([])?;
        let mut values = Vec::new();
        while let Some(row) = rows.next()? {
            unpack(row.get(1)?, bytes(row, 2)?, &mut values);
            each(PictureKey(row.get(0)?), &values);
        }
        Ok(())
    }

    /// The embedding of a picture, if it has one.
    fn embedding(&self, table: Table, picture: PictureKey) -> Result<Option<Vec<i32>>, CatalogueError> {
        let name = table.name();
        let mut statement = self
            .connection()
            .prepare_cached(&format!("SELECT width, data FROM {name} WHERE picture = ?1"))?;
        let mut rows = statement.query([picture.0])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        let mut values = Vec::new();
        unpack(row.get(0)?, bytes(row, 1)?, &mut values);
        Ok(Some(values))
    }
}
