//! Products, their pictures and the embeddings of these as rows, many at a time.

use std::collections::BTreeMap;

use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, PgConnection, Row};

use engine::picture::Mode;

use super::directions;
use super::error::{Failure, damaged};
use super::filter::facts;
use super::spaces::Space;
use super::text::{original, storable};
use crate::catalogue::attributes::Attributes;
use crate::catalogue::error::CatalogueError;
use crate::catalogue::packing::{json, packed, product_sum, sum, unpack};
use crate::catalogue::product::{NewPicture, NewProduct, PictureKey, Product, ProductPicture, StoredPicture};
use crate::catalogue::title::Title;

/// A time of a product, as every store gives it.
macro_rules! time {
    ($column:literal) => {
        concat!(
            "to_char(p.",
            $column,
            " AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"') AS ",
            $column
        )
    };
}

/// The columns of the times of products `p`.
pub const TIMES: &str = concat!(time!("created_at"), ", ", time!("updated_at"));

/// A product with the numbers of its pictures.
#[derive(Debug)]
pub struct Stored {
    pub seq: i64,
    pub product: Product,
    pub pictures: Vec<PictureKey>,
}

/// Refuses pictures whose embeddings are not of this space.
pub fn check_space(pictures: &[NewPicture], space: &Space) -> Result<(), CatalogueError> {
    for picture in pictures {
        if *picture.origin != *space.origin {
            return Err(CatalogueError::OtherOrigin);
        }
        if let Some(wanted) = space.dimensions
            && picture.embedding.len() != wanted
        {
            let given = picture.embedding.len();
            return Err(CatalogueError::Dimensions { given, wanted });
        }
    }
    Ok(())
}

/// Creates or replaces products with all their pictures; says of each its number and whether it is new. No id may come twice.
pub async fn put(
    connection: &mut PgConnection,
    space: &Space,
    products: &[&NewProduct],
) -> Result<Vec<(i64, bool)>, Failure> {
    let (mut titles, mut attributes) = (Vec::new(), Vec::new());
    let (mut all_facts, mut sums) = (Vec::new(), Vec::new());
    for product in products {
        let (title, text) = (product.title.as_str(), json(&product.attributes)?);
        sums.push(product_sum(product.id.as_str(), title, &text).to_vec());
        titles.push(storable(title));
        all_facts.push(facts(product.attributes.as_map()).to_string());
        attributes.push(text);
    }
    let ids: Vec<&str> = products.iter().map(|product| product.id.as_str()).collect();
    // Numbered as they come, and locked in the order of ids, as by every transaction.
    let rows = sqlx::query(
        "WITH new AS MATERIALIZED (
             SELECT nextval(pg_get_serial_sequence('products', 'seq')) AS seq, given.*
             FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bytea[])
                 AS given (id, title, attributes, facts, sum))
         INSERT INTO products AS p (seq, id, title, attributes, facts, sum)
         SELECT seq, id, title, attributes, facts::jsonb, sum FROM new ORDER BY id COLLATE \"C\"
         ON CONFLICT (id) DO UPDATE SET title = excluded.title, attributes = excluded.attributes,
             facts = excluded.facts, sum = excluded.sum, updated_at = clock_timestamp()
         RETURNING id, seq, xmax = 0 AS created",
    )
    .bind(&ids)
    .bind(&titles)
    .bind(&attributes)
    .bind(&all_facts)
    .bind(&sums)
    .fetch_all(&mut *connection)
    .await?;
    let mut numbers = BTreeMap::new();
    for row in &rows {
        let (seq, created): (i64, bool) = (row.try_get("seq")?, row.try_get("created")?);
        numbers.insert(row.try_get::<String, _>("id")?, (seq, created));
    }
    let number = |id: &str| {
        let found = numbers.get(id).copied();
        found.ok_or_else(|| damaged(format!("product {id:?} was not written")))
    };
    let keys: Vec<(i64, bool)> = ids.iter().map(|id| number(id)).collect::<Result<_, _>>()?;
    let replaced: Vec<i64> = keys
        .iter()
        .filter(|(_, created)| !created)
        .map(|(seq, _)| *seq)
        .collect();
    let dropped = match replaced.is_empty() {
        true => Vec::new(),
        false => drop_pictures(connection, space, "product", &replaced).await?,
    };
    let pictures: Vec<(i64, &NewPicture)> = products
        .iter()
        .zip(&keys)
        .flat_map(|(product, (seq, _))| product.pictures.iter().map(|picture| (*seq, picture)))
        .collect();
    add_pictures(connection, space, &pictures).await?;
    forget_vectors(connection, space, &dropped).await?;
    Ok(keys)
}

/// Adds pictures to products, in their order.
pub async fn add_pictures(
    connection: &mut PgConnection,
    space: &Space,
    pictures: &[(i64, &NewPicture)],
) -> Result<(), Failure> {
    let count = i64::try_from(pictures.len()).map_err(|_| damaged("too many pictures"))?;
    // A picture's id is its number, which no other picture ever gets.
    let numbers: Vec<i64> = sqlx::query_scalar(
        "SELECT nextval(pg_get_serial_sequence('pictures', 'seq')) FROM generate_series(1, $1)",
    )
    .bind(count)
    .fetch_all(&mut *connection)
    .await?;
    let products: Vec<i64> = pictures.iter().map(|(product, _)| *product).collect();
    let each = |of: fn(&NewPicture) -> &str| -> Vec<&str> {
        pictures.iter().map(|(_, picture)| of(picture)).collect()
    };
    let size = |of: fn(&NewPicture) -> u32| -> Vec<i32> {
        let sizes = pictures.iter().map(|(_, picture)| of(picture).cast_signed());
        sizes.collect()
    };
    let files: Vec<&[u8]> = pictures
        .iter()
        .map(|(_, picture)| picture.bytes.as_slice())
        .collect();
    let sums: Vec<Vec<u8>> = files.iter().map(|file| sum(&[file]).to_vec()).collect();
    sqlx::query(
        "INSERT INTO pictures (seq, product, id, content_type, width, height, prepare, bytes, sum)
         SELECT seq, product, seq::text, content_type, width, height, prepare, bytes, sum
         FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::integer[], $5::integer[], $6::text[], $7::bytea[],
             $8::bytea[]) AS new (seq, product, content_type, width, height, prepare, bytes, sum)",
    )
    .bind(&numbers)
    .bind(&products)
    .bind(each(|picture| &picture.content_type))
    .bind(size(|picture| picture.width))
    .bind(size(|picture| picture.height))
    .bind(each(|picture| picture.prepare.as_str()))
    .bind(&files)
    .bind(&sums)
    .execute(&mut *connection)
    .await?;
    let embeddings = pictures
        .iter()
        .zip(&numbers)
        .map(|((product, picture), number)| Embedded {
            picture: *number,
            product: *product,
            values: &picture.embedding,
        });
    add_embeddings(connection, space, &embeddings.collect::<Vec<_>>()).await
}

/// A picture's embedding.
#[derive(Debug, Clone, Copy)]
pub struct Embedded<'a> {
    pub picture: i64,
    pub product: i64,
    pub values: &'a [i32],
}

/// Adds embeddings to a space; equal ones share a vector.
pub async fn add_embeddings(
    connection: &mut PgConnection,
    space: &Space,
    embeddings: &[Embedded<'_>],
) -> Result<(), Failure> {
    if let Some(wide) = embeddings
        .iter()
        .find(|made| made.values.len() > directions::MOST)
    {
        return Err(Failure::Refused(CatalogueError::Dimensions {
            given: wide.values.len(),
            wanted: directions::MOST,
        }));
    }
    let (vectors, table) = (space.vectors(), space.embeddings());
    let packings: Vec<(u8, Vec<u8>)> = embeddings.iter().map(|made| packed(made.values)).collect();
    let sums: Vec<[u8; 32]> = packings.iter().map(|(_, data)| sum(&[data])).collect();
    // Each once, in the order of sums, in which every transaction locks them.
    let distinct: BTreeMap<&[u8; 32], usize> = sums.iter().zip(0..).collect();
    let places: Vec<usize> = distinct.values().copied().collect();
    let rows = sqlx::query(AssertSqlSafe(format!(
        "INSERT INTO {vectors} AS v (sum, width, data, direction)
         SELECT sum, width, data, direction::halfvec
         FROM unnest($1::bytea[], $2::smallint[], $3::bytea[], $4::text[]) AS new (sum, width, data, direction)
         ON CONFLICT (sum) DO UPDATE SET sum = excluded.sum RETURNING id, sum"
    )))
    .bind(places.iter().map(|&at| sums[at].to_vec()).collect::<Vec<_>>())
    .bind(places.iter().map(|&at| i16::from(packings[at].0)).collect::<Vec<_>>())
    .bind(places.iter().map(|&at| packings[at].1.as_slice()).collect::<Vec<_>>())
    .bind(places.iter().map(|&at| directions::text(embeddings[at].values)).collect::<Vec<_>>())
    .fetch_all(&mut *connection)
    .await?;
    let mut ids = BTreeMap::new();
    for row in &rows {
        ids.insert(row.try_get::<Vec<u8>, _>("sum")?, row.try_get::<i64, _>("id")?);
    }
    let vector = |sum: &[u8; 32]| ids.get(sum.as_slice()).copied();
    let known: Option<Vec<i64>> = sums.iter().map(vector).collect();
    let known = known.ok_or_else(|| damaged("an embedding was not written"))?;
    sqlx::query(AssertSqlSafe(format!(
        "INSERT INTO {table} (picture, product, vector)
         SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[])
         ON CONFLICT (picture) DO NOTHING"
    )))
    .bind(embeddings.iter().map(|made| made.picture).collect::<Vec<_>>())
    .bind(embeddings.iter().map(|made| made.product).collect::<Vec<_>>())
    .bind(known)
    .execute(connection)
    .await?;
    Ok(())
}

/// Deletes pictures by their number or their product's (`column`); what is returned is for [`forget_vectors`].
pub async fn drop_pictures(
    connection: &mut PgConnection,
    space: &Space,
    column: &'static str,
    numbers: &[i64],
) -> Result<Vec<i64>, Failure> {
    let table = space.embeddings();
    let key = if column == "product" { "product" } else { "picture" };
    let vectors = sqlx::query_scalar(AssertSqlSafe(format!(
        "DELETE FROM {table} WHERE {key} = ANY($1) RETURNING vector"
    )))
    .bind(numbers)
    .fetch_all(&mut *connection)
    .await?;
    sqlx::query(AssertSqlSafe(format!(
        "DELETE FROM pictures WHERE {column} = ANY($1)"
    )))
    .bind(numbers)
    .execute(connection)
    .await?;
    Ok(vectors)
}

/// Deletes those of these vectors that no picture has any more.
pub async fn forget_vectors(
    connection: &mut PgConnection,
    space: &Space,
    vectors: &[i64],
) -> Result<(), Failure> {
    if vectors.is_empty() {
        return Ok(());
    }
    let (table, embeddings) = (space.vectors(), space.embeddings());
    // Another transaction may begin to use one meanwhile: its reference is kept by the foreign key, and this transaction is
    // done again.
    sqlx::query(AssertSqlSafe(format!(
        "DELETE FROM {table} v WHERE id = ANY($1) AND NOT EXISTS (SELECT 1 FROM {embeddings} e WHERE e.vector = v.id)"
    )))
    .bind(vectors)
    .execute(connection)
    .await?;
    Ok(())
}

/// The products with these numbers, in stored order; those that are gone are left out.
pub async fn products(connection: &mut PgConnection, numbers: &[i64]) -> Result<Vec<Stored>, CatalogueError> {
    let rows = sqlx::query(AssertSqlSafe(format!(
        "SELECT p.seq, p.id, p.title, p.attributes, {TIMES},
             i.seq AS picture, i.id AS picture_id, i.content_type, i.width, i.height, octet_length(i.bytes) AS length
         FROM products p JOIN pictures i ON i.product = p.seq WHERE p.seq = ANY($1) ORDER BY p.seq, i.seq"
    )))
    .bind(numbers)
    .fetch_all(connection)
    .await?;
    let mut found: Vec<Stored> = Vec::with_capacity(numbers.len());
    for row in &rows {
        let seq = row.try_get("seq")?;
        if found.last().is_none_or(|last| last.seq != seq) {
            found.push(Stored {
                seq,
                product: product(row)?,
                pictures: Vec::new(),
            });
        }
        let Some(last) = found.last_mut() else { continue };
        last.pictures.push(PictureKey(row.try_get("picture")?));
        last.product.pictures.push(ProductPicture {
            id: row.try_get("picture_id")?,
            content_type: row.try_get("content_type")?,
            width: row.try_get::<i32, _>("width")?.cast_unsigned(),
            height: row.try_get::<i32, _>("height")?.cast_unsigned(),
            bytes: u64::try_from(row.try_get::<i32, _>("length")?)
                .map_err(|_| damaged("a negative length"))?,
        });
    }
    Ok(found)
}

fn product(row: &PgRow) -> Result<Product, CatalogueError> {
    let id: String = row.try_get("id")?;
    let attributes: &str = row.try_get("attributes")?;
    let attributes = serde_json::from_str(attributes)
        .map_err(|error| damaged(format!("attributes of product {id}: {error}")))?;
    Ok(Product {
        id,
        title: Title::stored(original(row.try_get("title")?)),
        attributes: Attributes::stored(attributes),
        pictures: Vec::new(),
        created_at: row.try_get("created_at")?,
        updated_at: row.try_get("updated_at")?,
    })
}

/// The number of the product of this id; with `lock`, nobody else changes it until the transaction ends.
pub async fn number(connection: &mut PgConnection, id: &str, lock: bool) -> Result<Option<i64>, sqlx::Error> {
    let sql = match lock {
        true => "SELECT seq FROM products WHERE id = $1 FOR UPDATE",
        false => "SELECT seq FROM products WHERE id = $1",
    };
    // PostgreSQL refuses a text with this character; there is no product of such an id.
    if id.contains('\0') {
        return Ok(None);
    }
    sqlx::query_scalar(sql).bind(id).fetch_optional(connection).await
}

/// The product with this number.
pub async fn product_of(
    connection: &mut PgConnection,
    number: i64,
) -> Result<Option<Stored>, CatalogueError> {
    Ok(products(connection, &[number]).await?.pop())
}

/// The values of an embedding as it is stored.
pub fn values(width: i16, data: &[u8]) -> Vec<i32> {
    let mut values = Vec::new();
    unpack(u8::try_from(width).unwrap_or(4), data, &mut values);
    values
}

/// The embedding of a row with `width` and `data`, if there is one.
pub fn embedding(row: &PgRow) -> Result<Option<Vec<i32>>, sqlx::Error> {
    Ok(match row.try_get("data")? {
        Some(data) => Some(values(row.try_get("width")?, data)),
        None => None,
    })
}

/// How the picture of a row is prepared.
pub fn prepare(row: &PgRow) -> Result<Mode, CatalogueError> {
    let prepare: &str = row.try_get("prepare")?;
    prepare
        .parse()
        .map_err(|error| damaged(format!("pictures.prepare: {error}")))
}

/// A picture to be embedded: `seq`, the product's `id`, `prepare` and `bytes`.
pub fn stored_picture(row: &PgRow) -> Result<StoredPicture, CatalogueError> {
    Ok(StoredPicture {
        key: PictureKey(row.try_get("seq")?),
        product: row.try_get("id")?,
        prepare: prepare(row)?,
        bytes: row.try_get("bytes")?,
    })
}
