//! Whole products by their numbers, to be copied from this store.

use rusqlite::{OptionalExtension, Row};

use super::error::damaged;
use super::reader::Reader;
use crate::catalogue::copying::{
    CopiedPicture, CopiedProduct, Fingerprint, Fingerprinting, LastNumbers, PictureRow,
};
use crate::catalogue::error::CatalogueError;
use crate::catalogue::packing::{product_sum, sum, unpack};

impl Reader {
    /// The products behind number `after`, at most `count`, in order.
    pub fn fingerprints(&self, after: i64, count: usize) -> Result<Vec<Fingerprint>, CatalogueError> {
        let mut statement = self.connection().prepare_cached(
            "SELECT products.seq, products.sum, created_at, updated_at, pictures.seq, pictures.id, content_type,
             pictures.width, height, prepare, pictures.sum, embeddings.sum
             FROM (SELECT * FROM products WHERE seq > ?1 ORDER BY seq LIMIT ?2) AS products
             LEFT JOIN pictures ON pictures.product = products.seq
             LEFT JOIN embeddings ON embeddings.picture = pictures.seq
             ORDER BY products.seq, pictures.seq",
        )?;
        let mut rows = statement.query((after, i64::try_from(count).unwrap_or(i64::MAX)))?;
        let mut found = Vec::new();
        let mut current: Option<Fingerprinting> = None;
        while let Some(row) = rows.next()? {
            let number: i64 = row.get(0)?;
            if current.as_ref().is_some_and(|made| made.number() != number) {
                found.extend(current.take().map(Fingerprinting::done));
            }
            let made = match &mut current {
                Some(made) => made,
                None => {
                    let made =
                        Fingerprinting::of_product(number, stored(row, 1)?, text(row, 2)?, text(row, 3)?);
                    current.insert(made)
                }
            };
            let Some(picture) = row.get(4)? else {
                continue;
            };
            made.add(PictureRow {
                number: picture,
                id: text(row, 5)?,
                content_type: text(row, 6)?,
                width: row.get(7)?,
                height: row.get(8)?,
                prepare: text(row, 9)?,
                file_sum: stored(row, 10)?,
                embedding_sum: stored(row, 11)?,
            });
        }
        found.extend(current.map(Fingerprinting::done));
        Ok(found)
    }

    /// The products with these numbers, as long as about `bytes` of them are read: at least one. Each is what was written.
    pub fn copied(&self, numbers: &[i64], bytes: usize) -> Result<Vec<CopiedProduct>, CatalogueError> {
        let (mut found, mut taken) = (Vec::new(), 0);
        for number in numbers {
            if taken >= bytes {
                break;
            }
            let product = self.copied_product(*number, true)?;
            let product = product.ok_or_else(|| damaged(format!("there is no product number {number}")))?;
            taken += product.bytes();
            found.push(product);
        }
        Ok(found)
    }

    /// The product with this number, with the files of its pictures or without; none once it is gone.
    pub fn copied_product(&self, number: i64, files: bool) -> Result<Option<CopiedProduct>, CatalogueError> {
        let mut statement = self.connection().prepare_cached(
            "SELECT id, title, attributes, created_at, updated_at, sum FROM products WHERE seq = ?1",
        )?;
        let product = statement.query_row([number], |row| {
            let sum: Vec<u8> = row.get(5)?;
            let product = CopiedProduct {
                number,
                id: row.get(0)?,
                title: row.get(1)?,
                attributes: row.get(2)?,
                created_at: row.get(3)?,
                updated_at: row.get(4)?,
                pictures: Vec::new(),
            };
            Ok((product, sum))
        });
        let Some((mut product, written)) = product.optional()? else {
            return Ok(None);
        };
        let shown = product.id.clone();
        if product_sum(&product.id, &product.title, &product.attributes)[..] != written[..] {
            return Err(damaged(format!("product {shown:?} is not what was written")));
        }
        let file = if files { "bytes" } else { "x''" };
        let mut statement = self.connection().prepare_cached(&format!(
            "SELECT pictures.seq, pictures.id, content_type, pictures.width, height, prepare, {file}, pictures.sum,
             embeddings.width, data, embeddings.sum
             FROM pictures LEFT JOIN embeddings ON embeddings.picture = pictures.seq
             WHERE pictures.product = ?1 ORDER BY pictures.seq"
        ))?;
        let mut rows = statement.query([number])?;
        while let Some(row) = rows.next()? {
            let picture: i64 = row.get(0)?;
            let what = |what: &str| damaged(format!("picture number {picture} of product {shown:?}: {what}"));
            let bytes: Vec<u8> = row.get(6)?;
            let data: Option<Vec<u8>> = row.get(9)?;
            let data = data.ok_or_else(|| what("has no embedding"))?;
            let is_file = !files || sum(&[&bytes])[..] == *stored(row, 7)?;
            if !is_file || sum(&[&data])[..] != *stored(row, 10)? {
                return Err(what("its file or its embedding is not what was written"));
            }
            let mut embedding = Vec::new();
            unpack(row.get(8)?, &data, &mut embedding);
            product.pictures.push(CopiedPicture {
                number: picture,
                id: row.get(1)?,
                content_type: row.get(2)?,
                width: row.get(3)?,
                height: row.get(4)?,
                prepare: text(row, 5)?
                    .parse()
                    .map_err(|error| damaged(format!("pictures.prepare: {error}")))?,
                bytes,
                embedding,
            });
        }
        if product.pictures.is_empty() {
            return Err(damaged(format!("product {shown:?} has no picture")));
        }
        Ok(Some(product))
    }

    /// The last numbers that were given.
    pub fn last_numbers(&self) -> Result<LastNumbers, CatalogueError> {
        let mut statement = self
            .connection()
            .prepare_cached("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = ?1")?;
        let mut last = |table: &str| statement.query_row([table], |row| row.get(0));
        Ok(LastNumbers {
            product: last("products")?,
            picture: last("pictures")?,
        })
    }

    /// How many imports are not at their end.
    pub fn count_open_imports(&self) -> Result<usize, CatalogueError> {
        let sql = "SELECT count(*) FROM imports WHERE state IN ('receiving', 'running')";
        let count: i64 = self.connection().query_row(sql, [], |row| row.get(0))?;
        usize::try_from(count).map_err(|_| damaged("a negative count"))
    }
}

/// A checksum; empty where there is none.
fn stored<'a>(row: &'a Row<'_>, column: usize) -> Result<&'a [u8], CatalogueError> {
    let value = row.get_ref(column)?.as_bytes_or_null();
    Ok(value.map_err(rusqlite::Error::from)?.unwrap_or_default())
}

fn text<'a>(row: &'a Row<'_>, column: usize) -> Result<&'a str, CatalogueError> {
    Ok(row.get_ref(column)?.as_str().map_err(rusqlite::Error::from)?)
}
