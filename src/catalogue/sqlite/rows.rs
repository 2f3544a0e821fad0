//! Products and their pictures as rows.
//!
//! A picture's id is its number in the whole catalogue, which no other picture ever gets: a client that caches a picture
//! by its address never shows the wrong one.

use rusqlite::{Connection, OptionalExtension, params};

use super::embeddings::{Table, add_embedding};
use super::error::damaged;
use super::keys::ProductKey;
use crate::catalogue::attributes::{AttributeChanges, Attributes};
use crate::catalogue::error::CatalogueError;
use crate::catalogue::origin::Origin;
use crate::catalogue::packing::{json, product_sum, sum};
use crate::catalogue::product::{NewPicture, NewProduct, PictureKey, Product, ProductPicture};
use crate::catalogue::scope::Scope;
use crate::catalogue::title::Title;

/// Refuses embeddings that are not of the catalogue's origin: they could not be compared with its others.
pub fn check_origin(pictures: &[NewPicture], origin: Option<&Origin>) -> Result<(), CatalogueError> {
    let others = |picture: &NewPicture| Some(&*picture.origin) != origin;
    if pictures.iter().any(others) {
        return Err(CatalogueError::OtherOrigin);
    }
    Ok(())
}

/// Stores a product with its pictures in place of what was there under its name; says whether nothing was.
pub fn put(
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
    let sum = product_sum(product.id.as_str(), product.title.as_str(), &attributes);
    let parameters = params![product.id.as_str(), product.title.as_str(), attributes, sum];
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

pub fn add_picture(
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

/// Which product has this name.
pub fn key(connection: &Connection, id: &str) -> Result<Option<ProductKey>, CatalogueError> {
    let mut statement = connection.prepare_cached("SELECT seq FROM products WHERE id = ?1")?;
    let found = statement.query_row([id], |row| row.get(0).map(ProductKey));
    Ok(found.optional()?)
}

/// A stored product with the keys of its pictures, in their order, as of one moment; none once it is gone.
pub fn product(
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
                        title: Title::stored(row.get(1)?),
                        attributes: Attributes::stored(attributes),
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

pub fn known(connection: &Connection, id: String) -> Result<(ProductKey, Product), CatalogueError> {
    find(connection, &id)?.ok_or(CatalogueError::NoProduct { id })
}

/// The product of this id, if there is one.
pub fn find(connection: &Connection, id: &str) -> Result<Option<(ProductKey, Product)>, CatalogueError> {
    Ok(match key(connection, id)? {
        Some(key) => product(connection, key)?.map(|(product, _)| (key, product)),
        None => None,
    })
}

/// Changes a product's title and attributes; returns these as they are now.
pub fn merge(
    connection: &Connection,
    scope: &Scope,
    id: &str,
    title: Option<Title>,
    changes: AttributeChanges,
) -> Result<(ProductKey, Attributes), CatalogueError> {
    let (key, stored) = known(connection, id.to_owned())?;
    let merged = stored.attributes.clone().changed(changes)?;
    scope.permits(id, Some(&stored), &merged)?;
    let (title, attributes) = (title.unwrap_or(stored.title), json(&merged)?);
    let title = title.as_str();
    let sum = product_sum(&stored.id, title, &attributes);
    connection
        .prepare_cached("UPDATE products SET title = ?2, attributes = ?3, sum = ?4 WHERE seq = ?1")?
        .execute(params![key.0, title, attributes, sum])?;
    touch(connection, key)?;
    Ok((key, merged))
}

/// Deletes a product with its pictures.
pub fn delete(connection: &Connection, product: ProductKey) -> Result<(), CatalogueError> {
    connection
        .prepare_cached("DELETE FROM products WHERE seq = ?1")?
        .execute([product.0])?;
    Ok(())
}

/// What a filter judges a product by; none once it is gone.
pub fn described(
    connection: &Connection,
    product: ProductKey,
) -> Result<Option<(String, Attributes)>, CatalogueError> {
    let row = connection
        .prepare_cached("SELECT id, attributes FROM products WHERE seq = ?1")?
        .query_row([product.0], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
        })
        .optional()?;
    let Some((id, text)) = row else { return Ok(None) };
    let attributes = serde_json::from_str(&text)
        .map_err(|error| damaged(format!("attributes of product {id}: {error}")))?;
    Ok(Some((id, Attributes::stored(attributes))))
}

pub fn touch(connection: &Connection, product: ProductKey) -> Result<(), CatalogueError> {
    connection
        .prepare_cached(
            "UPDATE products SET updated_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now') WHERE seq = ?1",
        )?
        .execute([product.0])?;
    Ok(())
}
