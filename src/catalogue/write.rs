//! What one write does to the rows: put, merge, delete, add and delete pictures; and what the index has to hear of it.
//!
//! A picture's id is its number in the whole catalogue, which no other picture ever gets: whoever keeps a picture under
//! its address never keeps the wrong one.

use rusqlite::{Connection, OptionalExtension, params};

use super::check::sum;
use super::imports::{self, ImportStep};
use super::reembedding::add_next;
use super::store::{Table, damaged, packed};
use super::{
    Attributes, CatalogueError, NewPicture, NewProduct, Origin, PictureKey, Product, ProductKey,
    ProductPicture, check_attributes,
};

/// One thing to do, all of it or nothing.
#[derive(Debug, Clone)]
pub enum Write {
    /// Creates a product or replaces it; with `only_new`, one that is there is refused.
    Put {
        product: NewProduct,
        only_new: bool,
    },
    /// Changes a product's title and attributes; null removes an attribute.
    Merge {
        id: String,
        title: Option<String>,
        attributes: Attributes,
    },
    Delete {
        id: String,
    },
    AddPicture {
        id: String,
        picture: NewPicture,
    },
    DeletePicture {
        id: String,
        picture: String,
    },
    /// A step of the import of that name.
    Import {
        id: String,
        step: ImportStep,
    },
    /// Adds to the next embeddings, which nothing is searched by yet.
    Next {
        embeddings: Vec<(PictureKey, Vec<i32>)>,
    },
}

impl Write {
    /// About how many bytes of memory it holds: pictures and lines, the rest being bounded by the catalogue's rules.
    pub fn bytes(&self) -> usize {
        let pictures = |pictures: &[NewPicture]| pictures.iter().map(|picture| picture.bytes.len()).sum();
        match self {
            Self::Put { product, .. } => pictures(&product.pictures),
            Self::AddPicture { picture, .. } => picture.bytes.len(),
            Self::Import { step, .. } => match step {
                ImportStep::Received(lines) => lines.iter().map(|(_, line)| line.len()).sum(),
                ImportStep::Stored { product, .. } => pictures(&product.pictures),
                ImportStep::Begun
                | ImportStep::Whole
                | ImportStep::Broken
                | ImportStep::Refused { .. }
                | ImportStep::Done => 0,
            },
            Self::Next { embeddings } => embeddings
                .iter()
                .map(|(_, values)| size_of_val(&values[..]))
                .sum(),
            Self::Merge { .. } | Self::Delete { .. } | Self::DeletePicture { .. } => 0,
        }
    }
}

/// What a write left behind.
#[derive(Debug, Clone)]
pub struct Written {
    /// The product as it is now; none once it is deleted.
    pub product: Option<Product>,
    /// Whether it was not there before.
    pub created: bool,
    pub change: Change,
}

impl Written {
    /// Nothing that a search would notice.
    pub(super) const NOTHING: Self = Self {
        product: None,
        created: false,
        change: Change::Nothing,
    };
}

/// What of a write concerns searches.
#[derive(Debug, Clone)]
pub enum Change {
    Nothing,
    /// All that the product has.
    Put {
        product: ProductKey,
        attributes: Attributes,
        pictures: Vec<(PictureKey, Vec<i32>)>,
    },
    Attributes {
        product: ProductKey,
        attributes: Attributes,
    },
    Deleted {
        product: ProductKey,
    },
    PictureAdded {
        product: ProductKey,
        picture: PictureKey,
        embedding: Vec<i32>,
    },
    PictureDeleted {
        product: ProductKey,
        picture: PictureKey,
    },
}

/// Does one write within the caller's transaction, in a catalogue whose embeddings are of `origin`; what the
/// catalogue's rules refuse changes nothing.
pub(super) fn apply(
    connection: &Connection,
    write: Write,
    origin: Option<&Origin>,
) -> Result<Written, CatalogueError> {
    match write {
        Write::Put { product, only_new } => {
            check_origin(&product.pictures, origin)?;
            if only_new && key(connection, product.id.as_str())?.is_some() {
                return Err(CatalogueError::Exists {
                    id: product.id.as_str().to_owned(),
                });
            }
            let (number, created, keys) = put(connection, &product)?;
            let embeddings = product.pictures.into_iter().map(|picture| picture.embedding);
            let change = Change::Put {
                product: number,
                attributes: product.attributes,
                pictures: keys.into_iter().zip(embeddings).collect(),
            };
            written(connection, number, created, change)
        }
        Write::Merge {
            id,
            title,
            attributes,
        } => {
            let (product, stored) = known(connection, id)?;
            let mut merged = stored.attributes;
            for (name, value) in attributes {
                if value.is_null() {
                    merged.remove(&name);
                } else {
                    merged.insert(name, value);
                }
            }
            check_attributes(&merged)?;
            let (title, attributes) = (title.unwrap_or(stored.title), json(&merged)?);
            let sum = product_sum(&stored.id, &title, &attributes);
            connection
                .prepare_cached("UPDATE products SET title = ?2, attributes = ?3, sum = ?4 WHERE seq = ?1")?
                .execute(params![product.0, title, attributes, sum])?;
            touch(connection, product)?;
            let change = Change::Attributes {
                product,
                attributes: merged,
            };
            written(connection, product, false, change)
        }
        Write::Delete { id } => {
            let product = key(connection, &id)?.ok_or(CatalogueError::NoProduct { id })?;
            connection
                .prepare_cached("DELETE FROM products WHERE seq = ?1")?
                .execute([product.0])?;
            Ok(Written {
                product: None,
                created: false,
                change: Change::Deleted { product },
            })
        }
        Write::AddPicture { id, picture } => {
            check_origin(std::slice::from_ref(&picture), origin)?;
            let (product, stored) = known(connection, id)?;
            if stored.pictures.len() >= Product::MOST_PICTURES {
                return Err(CatalogueError::PicturesFull { id: stored.id });
            }
            let key = add_picture(connection, product, &picture)?;
            touch(connection, product)?;
            let change = Change::PictureAdded {
                product,
                picture: key,
                embedding: picture.embedding,
            };
            written(connection, product, false, change)
        }
        Write::DeletePicture { id, picture } => {
            let (product, stored) = known(connection, id)?;
            let seq = connection
                .prepare_cached("SELECT seq FROM pictures WHERE product = ?1 AND id = ?2")?
                .query_row(params![product.0, picture], |row| row.get(0))
                .optional()?;
            let Some(seq) = seq else {
                return Err(CatalogueError::NoPicture {
                    product: stored.id,
                    picture,
                });
            };
            if stored.pictures.len() == 1 {
                return Err(CatalogueError::LastPicture { id: stored.id });
            }
            connection
                .prepare_cached("DELETE FROM pictures WHERE seq = ?1")?
                .execute([seq])?;
            touch(connection, product)?;
            let change = Change::PictureDeleted {
                product,
                picture: PictureKey(seq),
            };
            written(connection, product, false, change)
        }
        Write::Import { id, step } => imports::apply(connection, &id, step, origin),
        Write::Next { embeddings } => {
            add_next(connection, &embeddings)?;
            Ok(Written::NOTHING)
        }
    }
}

/// Refuses embeddings that are not of the catalogue's origin: they could not be compared with its others.
pub(super) fn check_origin(pictures: &[NewPicture], origin: Option<&Origin>) -> Result<(), CatalogueError> {
    let others = |picture: &NewPicture| Some(&*picture.origin) != origin;
    if pictures.iter().any(others) {
        return Err(CatalogueError::OtherEmbeddings);
    }
    Ok(())
}

/// Stores a product with its pictures in place of what was there under its name; says whether nothing was.
pub(super) fn put(
    connection: &Connection,
    product: &NewProduct,
) -> Result<(ProductKey, bool, Vec<PictureKey>), CatalogueError> {
    let before = key(connection, product.id.as_str())?;
    let attributes = json(&product.attributes)?;
    let mut row = connection.prepare_cached(
        "INSERT INTO products (id, title, attributes, sum) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (id) DO UPDATE SET title = excluded.title, attributes = excluded.attributes,
         sum = excluded.sum, updated_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now') RETURNING seq",
    )?;
    let sum = product_sum(product.id.as_str(), &product.title, &attributes);
    let parameters = params![product.id.as_str(), product.title, attributes, sum];
    let key = ProductKey(row.query_row(parameters, |row| row.get(0))?);
    if before.is_some() {
        connection
            .prepare_cached("DELETE FROM pictures WHERE product = ?1")?
            .execute([key.0])?;
    }
    let pictures = product.pictures.iter();
    let keys = pictures.map(|picture| add_picture(connection, key, picture));
    Ok((key, before.is_none(), keys.collect::<Result<_, _>>()?))
}

fn add_picture(
    connection: &Connection,
    product: ProductKey,
    picture: &NewPicture,
) -> Result<PictureKey, CatalogueError> {
    let NewPicture {
        content_type,
        width,
        height,
        bytes,
        prepare,
        embedding,
        origin: _,
    } = picture;
    let seq: i64 = connection
        .prepare_cached(
            "INSERT INTO pictures (seq, product, id, content_type, width, height, prepare, bytes, sum)
             SELECT number, ?1, number, ?2, ?3, ?4, ?5, ?6, ?7
             FROM (SELECT 1 + coalesce(max(seq), 0) AS number FROM sqlite_sequence WHERE name = 'pictures')
             RETURNING seq",
        )?
        .query_row(
            params![
                product.0,
                content_type,
                width,
                height,
                prepare.as_str(),
                bytes,
                sum(&[bytes])
            ],
            |row| row.get(0),
        )?;
    add_embedding(connection, Table::Present, PictureKey(seq), embedding)?;
    Ok(PictureKey(seq))
}

/// Stores what the network made of a picture.
pub(super) fn add_embedding(
    connection: &Connection,
    table: Table,
    picture: PictureKey,
    embedding: &[i32],
) -> Result<(), CatalogueError> {
    let (width, data) = packed(embedding);
    let sql = match table {
        Table::Present => "INSERT INTO embeddings (picture, width, data, sum) VALUES (?1, ?2, ?3, ?4)",
        Table::Next => "INSERT INTO next_embeddings (picture, width, data, sum) VALUES (?1, ?2, ?3, ?4)",
    };
    connection
        .prepare_cached(sql)?
        .execute(params![picture.0, width, data, sum(&[&data])])?;
    Ok(())
}

fn product_sum(id: &str, title: &str, attributes: &str) -> [u8; 32] {
    sum(&[id.as_bytes(), title.as_bytes(), attributes.as_bytes()])
}

/// Which product has this name.
pub(super) fn key(connection: &Connection, id: &str) -> Result<Option<ProductKey>, CatalogueError> {
    let mut statement = connection.prepare_cached("SELECT seq FROM products WHERE id = ?1")?;
    let found = statement.query_row([id], |row| row.get(0).map(ProductKey));
    Ok(found.optional()?)
}

/// A stored product with the keys of its pictures, in their order, as of one moment; none once it is gone.
pub(super) fn product(
    connection: &Connection,
    key: ProductKey,
) -> Result<Option<(Product, Vec<PictureKey>)>, CatalogueError> {
    let mut statement = connection.prepare_cached(
        "SELECT products.id, title, attributes, created_at, updated_at,
         pictures.seq, pictures.id, content_type, width, height, length(bytes)
         FROM products JOIN pictures ON pictures.product = products.seq
         WHERE products.seq = ?1 ORDER BY pictures.seq",
    )?;
    let mut rows = statement.query([key.0])?;
    let mut found: Option<(Product, Vec<PictureKey>)> = None;
    while let Some(row) = rows.next()? {
        let (product, keys) = match &mut found {
            Some(found) => found,
            None => {
                let id: String = row.get(0)?;
                let attributes = row.get_ref(2)?.as_str().map_err(rusqlite::Error::from)?;
                let attributes = serde_json::from_str(attributes)
                    .map_err(|error| damaged(format!("attributes of product {id}: {error}")))?;
                found.insert((
                    Product {
                        id,
                        title: row.get(1)?,
                        attributes,
                        pictures: Vec::new(),
                        created_at: row.get(3)?,
                        updated_at: row.get(4)?,
                    },
                    Vec::new(),
                ))
            }
        };
        let bytes: i64 = row.get(10)?;
        keys.push(PictureKey(row.get(5)?));
        product.pictures.push(ProductPicture {
            id: row.get(6)?,
            content_type: row.get(7)?,
            width: row.get(8)?,
            height: row.get(9)?,
            bytes: u64::try_from(bytes).map_err(|_| damaged("a negative length"))?,
        });
    }
    Ok(found)
}

fn known(connection: &Connection, id: String) -> Result<(ProductKey, Product), CatalogueError> {
    let found = match key(connection, &id)? {
        Some(key) => product(connection, key)?.map(|(product, _)| (key, product)),
        None => None,
    };
    found.ok_or(CatalogueError::NoProduct { id })
}

fn touch(connection: &Connection, product: ProductKey) -> Result<(), CatalogueError> {
    connection
        .prepare_cached(
            "UPDATE products SET updated_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now') WHERE seq = ?1",
        )?
        .execute([product.0])?;
    Ok(())
}

fn written(
    connection: &Connection,
    key: ProductKey,
    created: bool,
    change: Change,
) -> Result<Written, CatalogueError> {
    let product = product(connection, key)?.map(|(product, _)| product);
    Ok(Written {
        product,
        created,
        change,
    })
}

fn json(attributes: &Attributes) -> Result<String, CatalogueError> {
    serde_json::to_string(attributes).map_err(|error| damaged(error.to_string()))
}
