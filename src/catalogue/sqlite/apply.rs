//! What one write does to the rows, and what the index has to do after it.

use rusqlite::{Connection, OptionalExtension, params};

use super::change::{Applied, Change};
use super::import_rows;
use super::keys::ProductKey;
use super::rows::{
    add_picture, check_origin, delete, described, find, key, known, merge, product, put, touch,
};
use crate::catalogue::attributes::Attributes;
use crate::catalogue::error::CatalogueError;
use crate::catalogue::import::ImportStep;
use crate::catalogue::origin::Origin;
use crate::catalogue::product::{PictureKey, Product};
use crate::catalogue::scope::Scope;
use crate::catalogue::write::Write;

/// Does one write within the caller's transaction, in a catalogue whose embeddings are of `origin`; what the
/// catalogue's rules refuse changes nothing.
pub fn apply(
    connection: &Connection,
    write: Write,
    origin: Option<&Origin>,
) -> Result<Applied, CatalogueError> {
    match write {
        Write::Put { product, only_new } => {
            check_origin(&product.pictures, origin)?;
            if only_new && key(connection, product.id.as_str())?.is_some() {
                return Err(CatalogueError::Exists {
                    id: product.id.as_str().to_owned(),
                });
            }
            let (number, created, keys) = put(connection, &product)?;
            import_rows::named_by_others(connection, product.id.as_str())?;
            let embeddings = product.pictures.into_iter().map(|picture| picture.embedding);
            let change = Change::Put {
                product: number,
                attributes: product.attributes,
                pictures: keys.into_iter().zip(embeddings).collect(),
            };
            applied(connection, number, created, change)
        }
        Write::Merge {
            id,
            title,
            attributes,
        } => {
            let (product, attributes) = merge(connection, &Scope::ALL, &id, title, attributes)?;
            import_rows::named_by_others(connection, &id)?;
            let change = Change::Attributes { product, attributes };
            applied(connection, product, false, change)
        }
        Write::Delete { id } => {
            let product = key(connection, &id)?.ok_or(CatalogueError::NoProduct { id })?;
            delete(connection, product)?;
            Ok(Applied {
                change: Change::Deleted {
                    products: vec![product],
                },
                ..Applied::NOTHING
            })
        }
        Write::DeletePassing { products, filter } => {
            let mut gone = Vec::new();
            for product in products.0.into_iter().map(ProductKey) {
                let passes = |id: &str, attributes: &Attributes| filter.holds(id, attributes.as_map());
                if described(connection, product)?.is_some_and(|(id, attributes)| passes(&id, &attributes)) {
                    delete(connection, product)?;
                    gone.push(product);
                }
            }
            Ok(Applied::removed(gone, None))
        }
        Write::AddPicture { id, picture } => {
            check_origin(std::slice::from_ref(&picture), origin)?;
            let (product, stored) = known(connection, id)?;
            if stored.pictures.len() >= Product::MOST_PICTURES {
                return Err(CatalogueError::PicturesFull {
                    id: stored.id,
                    most: Product::MOST_PICTURES,
                });
            }
            let key = add_picture(connection, product, &picture)?;
            touch(connection, product)?;
            import_rows::named_by_others(connection, &stored.id)?;
            let change = Change::PictureAdded {
                product,
                picture: key,
                embedding: picture.embedding,
            };
            applied(connection, product, false, change)
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
            import_rows::named_by_others(connection, &stored.id)?;
            let change = Change::PictureDeleted {
                product,
                picture: PictureKey(seq),
            };
            applied(connection, product, false, change)
        }
        Write::Import { id, step } => import_rows::apply(connection, &id, step, origin),
        Write::Within { scope, write } => within(connection, &scope, *write, origin),
    }
}

/// Does a write of a product that must be part of a scope, before and after.
fn within(
    connection: &Connection,
    scope: &Scope,
    write: Write,
    origin: Option<&Origin>,
) -> Result<Applied, CatalogueError> {
    let stored = find(connection, write.product().unwrap_or_default())?;
    let stored = stored.map(|(_, stored)| stored);
    write.is_within(scope, stored.as_ref())?;
    apply(connection, write, origin)
}

/// The same write again, if all that it does is to remove.
pub fn removal(write: &Write) -> Option<Write> {
    match write {
        Write::Delete { .. }
        | Write::DeletePassing { .. }
        | Write::DeletePicture { .. }
        | Write::Import {
            step: ImportStep::Broken | ImportStep::RemoveMissing { .. },
            ..
        } => Some(write.clone()),
        Write::Within { scope, write } => removal(write).map(|write| write.within(scope)),
        Write::Put { .. } | Write::Merge { .. } | Write::AddPicture { .. } | Write::Import { .. } => None,
    }
}

fn applied(
    connection: &Connection,
    key: ProductKey,
    created: bool,
    change: Change,
) -> Result<Applied, CatalogueError> {
    let product = product(connection, key)?.map(|(product, _)| product);
    Ok(Applied {
        product,
        created,
        change,
        ..Applied::NOTHING
    })
}
