//! A database that a copy is written to. Its functions block their thread.

use sqlx::PgConnection;
use tokio::runtime::Runtime;

use super::connecting::runtime;
use super::copying::fingerprints;
use super::error::{Failure, damaged};
use super::filter::facts;
use super::measured::Kind;
use super::opening::{forget_models, keep_model};
use super::rows::{Embedded, add_embeddings, drop_pictures, forget_vectors};
use super::spaces::{Space, Spaces};
use super::store::{Postgres, read, stop_writes, transact};
use super::text::storable;
use crate::admission::Work;
use crate::catalogue::address::StoreAddress;
use crate::catalogue::copying::{CopiedPicture, CopiedProduct, Fingerprint, LastNumbers};
use crate::catalogue::error::CatalogueError;
use crate::catalogue::options::StoreOptions;
use crate::catalogue::origin::Origin;
use crate::catalogue::packing::{product_sum, sum};

/// A database that a copy is written to.
#[derive(Debug)]
pub struct Target {
    runtime: Runtime,
    store: Postgres,
    /// What is copied, once it is begun.
    source: String,
}

impl Target {
    /// Connects to a database. Must not be called on an async runtime.
    ///
    /// # Errors
    /// If it cannot be reached, or is of another version.
    pub fn connect(address: &StoreAddress) -> Result<Self, CatalogueError> {
        let runtime = runtime(address)?;
        let store = runtime.block_on(Postgres::connect_to_any(address, StoreOptions::ONE))?;
        Ok(Self {
            runtime,
            store,
            source: String::new(),
        })
    }

    /// Begins the copy of `source`, or goes on with it.
    pub fn begin(
        &mut self,
        source: &str,
        origin: &Origin,
        model: Option<&[u8]>,
    ) -> Result<(), CatalogueError> {
        source.clone_into(&mut self.source);
        self.runtime.block_on(async {
            transact!(self.store, Kind::Background, |connection| {
                let Spaces { present, .. } = stop_writes(connection).await?;
                let before: Option<String> = sqlx::query_scalar("SELECT copy_of FROM catalogue")
                    .fetch_one(&mut *connection)
                    .await?;
                let reason = match before {
                    Some(before) if before != source => {
                        Some(format!("is a copy of {before}; copy {source} into a new one"))
                    }
                    None if !is_untouched(connection).await? => Some(
                        "holds a catalogue that is not a copy, or was changed since; copy into a new one"
                            .to_owned(),
                    ),
                    Some(_) | None => None,
                };
                if let Some(reason) = reason {
                    return Err(CatalogueError::NotACopy { reason }.into());
                }
                if present.is_none_or(|space| *space.origin != *origin) {
                    sqlx::query("DELETE FROM products")
                        .execute(&mut *connection)
                        .await?;
                    let space = Space::create(connection, origin).await?;
                    sqlx::query("UPDATE catalogue SET present = $1")
                        .bind(space.number)
                        .execute(&mut *connection)
                        .await?;
                }
                sqlx::query("UPDATE catalogue SET next = NULL, copy_of = $1, copying = true")
                    .bind(source)
                    .execute(&mut *connection)
                    .await?;
                match model {
                    Some(model) => keep_model(connection, origin, model).await,
                    None => forget_models(connection).await,
                }
            })?;
            self.store.sweep().await;
            Ok(())
        })
    }

    /// The products behind number `after`, at most `count`, in order.
    pub fn fingerprints(&self, after: i64, count: usize) -> Result<Vec<Fingerprint>, CatalogueError> {
        self.runtime.block_on(async {
            read!(self.store, Kind::Background, Work::OWN, |connection| {
                fingerprints(connection, after, count).await
            })
        })
    }

    /// Removes the products `gone`, then writes `products`.
    pub fn write(&mut self, products: &[CopiedProduct], gone: &[i64]) -> Result<(), CatalogueError> {
        self.runtime.block_on(async {
            transact!(self.store, Kind::Background, |connection| {
                let space = stop_writes(connection).await?.present;
                let space = space.ok_or(CatalogueError::NotLoaded)?;
                let of: Option<String> = sqlx::query_scalar("SELECT copy_of FROM catalogue")
                    .fetch_one(&mut *connection)
                    .await?;
                if of.as_ref() != Some(&self.source) {
                    let reason = "was changed while it was copied to; copy into a new one".to_owned();
                    return Err(CatalogueError::NotACopy { reason }.into());
                }
                write(connection, &space, products, gone).await
            })
        })
    }

    /// What made its embeddings.
    pub fn origin(&self) -> Result<Option<Origin>, CatalogueError> {
        self.runtime.block_on(self.store.origin())
    }

    /// The file of a model that it keeps.
    pub fn model(&self, id: &str) -> Result<Option<Vec<u8>>, CatalogueError> {
        self.runtime.block_on(self.store.model(id.to_owned()))
    }

    /// Ends the copy.
    pub fn end(&mut self, last: LastNumbers) -> Result<(), CatalogueError> {
        self.runtime.block_on(async {
            transact!(self.store, Kind::Background, |connection| {
                sqlx::query(
                    "SELECT setval('products_seq_seq', greatest($1, (SELECT last_value FROM products_seq_seq))),
                         setval('pictures_seq_seq', greatest($2, (SELECT last_value FROM pictures_seq_seq)))",
                )
                .bind(last.product)
                .bind(last.picture)
                .execute(&mut *connection)
                .await?;
                sqlx::query("UPDATE catalogue SET copying = false")
                    .execute(connection)
                    .await?;
                Ok(())
            })
        })
    }
}

async fn is_untouched(connection: &mut PgConnection) -> Result<bool, Failure> {
    let touched = "SELECT EXISTS (SELECT 1 FROM products) OR EXISTS (SELECT 1 FROM imports)";
    let touched: bool = sqlx::query_scalar(touched).fetch_one(connection).await?;
    Ok(!touched)
}

/// Stores products under their numbers, in place of what has their numbers or their ids.
async fn write(
    connection: &mut PgConnection,
    space: &Space,
    products: &[CopiedProduct],
    gone: &[i64],
) -> Result<(), Failure> {
    let ids: Vec<&str> = products.iter().map(|product| product.id.as_str()).collect();
    let numbers: Vec<i64> = products.iter().map(|product| product.number).collect();
    let mut replaced: Vec<i64> =
        sqlx::query_scalar("SELECT seq FROM products WHERE id = ANY($1) OR seq = ANY($2)")
            .bind(&ids)
            .bind(&numbers)
            .fetch_all(&mut *connection)
            .await?;
    // Those of products that are behind these, and are written after them.
    let pictures: Vec<(&CopiedProduct, &CopiedPicture)> = products
        .iter()
        .flat_map(|product| product.pictures.iter().map(move |picture| (product, picture)))
        .collect();
    let keys: Vec<i64> = pictures.iter().map(|(_, picture)| picture.number).collect();
    let mut vectors = drop_pictures(connection, space, "seq", &keys).await?;
    replaced.extend(gone);
    vectors.extend(drop_pictures(connection, space, "product", &replaced).await?);
    sqlx::query("DELETE FROM products WHERE seq = ANY($1)")
        .bind(&replaced)
        .execute(&mut *connection)
        .await?;
    let all_facts = products.iter().map(|product| {
        let attributes = serde_json::from_str(&product.attributes);
        let attributes = attributes.map_err(|error| damaged(format!("product {:?}: {error}", product.id)));
        Ok(facts(&attributes?).to_string())
    });
    let column = |of: fn(&CopiedProduct) -> &str| -> Vec<&str> { products.iter().map(of).collect() };
    let sums = products
        .iter()
        .map(|product| product_sum(&product.id, &product.title, &product.attributes).to_vec());
    sqlx::query(
        "INSERT INTO products (seq, id, title, attributes, facts, created_at, updated_at, sum)
         SELECT seq, id, title, attributes, facts::jsonb, created_at::timestamptz, updated_at::timestamptz, sum
         FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bytea[])
             AS new (seq, id, title, attributes, facts, created_at, updated_at, sum)",
    )
    .bind(&numbers)
    .bind(&ids)
    .bind(products.iter().map(|product| storable(&product.title)).collect::<Vec<_>>())
    .bind(column(|product| &product.attributes))
    .bind(all_facts.collect::<Result<Vec<_>, CatalogueError>>()?)
    .bind(column(|product| &product.created_at))
    .bind(column(|product| &product.updated_at))
    .bind(sums.collect::<Vec<_>>())
    .execute(&mut *connection)
    .await?;
    let texts = |of: fn(&CopiedPicture) -> &str| -> Vec<&str> {
        pictures.iter().map(|(_, picture)| of(picture)).collect()
    };
    let sizes = |of: fn(&CopiedPicture) -> u32| -> Vec<i32> {
        let sizes = pictures.iter().map(|(_, picture)| of(picture).cast_signed());
        sizes.collect()
    };
    sqlx::query(
        "INSERT INTO pictures (seq, product, id, content_type, width, height, prepare, bytes, sum)
         SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::integer[], $6::integer[],
             $7::text[], $8::bytea[], $9::bytea[])",
    )
    .bind(&keys)
    .bind(pictures.iter().map(|(product, _)| product.number).collect::<Vec<_>>())
    .bind(texts(|picture| &picture.id))
    .bind(texts(|picture| &picture.content_type))
    .bind(sizes(|picture| picture.width))
    .bind(sizes(|picture| picture.height))
    .bind(texts(|picture| picture.prepare.as_str()))
    .bind(pictures.iter().map(|(_, picture)| picture.bytes.as_slice()).collect::<Vec<_>>())
    .bind(pictures.iter().map(|(_, picture)| sum(&[&picture.bytes]).to_vec()).collect::<Vec<_>>())
    .execute(&mut *connection)
    .await?;
    let embeddings = pictures.iter().map(|(product, picture)| Embedded {
        picture: picture.number,
        product: product.number,
        values: &picture.embedding,
    });
    add_embeddings(connection, space, &embeddings.collect::<Vec<_>>()).await?;
    forget_vectors(connection, space, &vectors).await
}
