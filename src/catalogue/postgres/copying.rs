//! Whole products by their numbers, to be copied from this store.

use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, PgConnection, Row};

use super::error::{damaged, is_missing_table};
use super::rows::{TIMES, prepare, values};
use super::spaces::{Space, Spaces};
use super::text::original;
use crate::catalogue::copying::{CopiedPicture, CopiedProduct, Fingerprint, Fingerprinting, PictureRow};
use crate::catalogue::error::CatalogueError;
use crate::catalogue::packing::{product_sum, sum};

/// The joins from pictures `i` to their embeddings `v` in a space.
pub fn joins(space: Option<&Space>) -> String {
    match space {
        Some(space) => format!(
            "LEFT JOIN {} e ON e.picture = i.seq LEFT JOIN {} v ON v.id = e.vector",
            space.embeddings(),
            space.vectors()
        ),
        None => {
            "LEFT JOIN (SELECT NULL::bytea AS sum, NULL::bytea AS data, NULL::smallint AS width) v ON false"
                .to_owned()
        }
    }
}

/// The products behind number `after`, at most `count`, in order.
pub async fn fingerprints(
    connection: &mut PgConnection,
    after: i64,
    count: usize,
) -> Result<Vec<Fingerprint>, CatalogueError> {
    let joined = joins(Spaces::read(connection).await?.present.as_ref());
    let sql = format!(
        "SELECT p.seq, p.sum, {TIMES}, i.seq AS picture, i.id AS picture_id, i.content_type, i.width, i.height, i.prepare,
             i.sum AS file_sum, v.sum AS embedding_sum
         FROM (SELECT * FROM products WHERE seq > $1 ORDER BY seq LIMIT $2) AS p
         LEFT JOIN pictures i ON i.product = p.seq {joined} ORDER BY p.seq, i.seq"
    );
    let rows = sqlx::query(AssertSqlSafe(sql))
        .bind(after)
        .bind(i64::try_from(count).unwrap_or(i64::MAX))
        .fetch_all(connection)
        .await?;
    let mut found = Vec::new();
    let mut current: Option<Fingerprinting> = None;
    for row in &rows {
        let number: i64 = row.try_get("seq")?;
        if current.as_ref().is_some_and(|made| made.number() != number) {
            found.extend(current.take().map(Fingerprinting::done));
        }
        let made = match &mut current {
            Some(made) => made,
            None => {
                let (sum, created): (&[u8], &str) = (row.try_get("sum")?, row.try_get("created_at")?);
                current.insert(Fingerprinting::of_product(
                    number,
                    sum,
                    created,
                    row.try_get("updated_at")?,
                ))
            }
        };
        let Some(picture) = row.try_get("picture")? else {
            continue;
        };
        made.add(PictureRow {
            number: picture,
            id: row.try_get("picture_id")?,
            content_type: row.try_get("content_type")?,
            width: row.try_get::<i32, _>("width")?.cast_unsigned(),
            height: row.try_get::<i32, _>("height")?.cast_unsigned(),
            prepare: row.try_get("prepare")?,
            file_sum: row.try_get("file_sum")?,
            embedding_sum: row
                .try_get::<Option<&[u8]>, _>("embedding_sum")?
                .unwrap_or_default(),
        });
    }
    found.extend(current.map(Fingerprinting::done));
    Ok(found)
}

/// The products with these numbers, as long as about `bytes` of them are read: at least one. Each is what was written.
pub async fn copied(
    connection: &mut PgConnection,
    numbers: &[i64],
    bytes: usize,
) -> Result<Vec<CopiedProduct>, CatalogueError> {
    let space = Spaces::read(connection).await?.present;
    let (_, found) = whole(connection, space.as_ref(), numbers, bytes, true).await?;
    Ok(found)
}

/// As [`copied`], with their embeddings in this space, and with the files of their pictures or without. Also says how many
/// of the numbers were read: those of products that are gone give nothing.
///
/// # Errors
/// [`CatalogueError::OtherOrigin`] if the space is not the present one any more.
pub async fn whole(
    connection: &mut PgConnection,
    space: Option<&Space>,
    numbers: &[i64],
    bytes: usize,
    files: bool,
) -> Result<(usize, Vec<CopiedProduct>), CatalogueError> {
    let wanted = match files {
        true => &numbers[..that_fit(connection, numbers, bytes).await?],
        false => numbers,
    };
    let (joined, file) = (joins(space), if files { "i.bytes" } else { "''::bytea" });
    let number = space.map_or(0, |space| space.number);
    let sql = format!(
        "SELECT p.seq, p.id, p.title, p.attributes, p.sum, {TIMES}, i.seq AS picture, i.id AS picture_id,
             i.content_type, i.width, i.height, i.prepare, {file} AS bytes, i.sum AS file_sum,
             v.width AS embedding_width, v.data, v.sum AS embedding_sum,
             (SELECT coalesce(present, 0) = {number} FROM catalogue) AS is_present
         FROM products p LEFT JOIN pictures i ON i.product = p.seq {joined}
         WHERE p.seq = ANY($1) ORDER BY p.seq, i.seq"
    );
    let rows = match sqlx::query(AssertSqlSafe(sql))
        .bind(wanted)
        .fetch_all(connection)
        .await
    {
        Err(error) if is_missing_table(&error) => return Err(CatalogueError::OtherOrigin),
        rows => rows?,
    };
    let mut found: Vec<CopiedProduct> = Vec::with_capacity(wanted.len());
    for row in &rows {
        if !row.try_get::<bool, _>("is_present")? {
            return Err(CatalogueError::OtherOrigin);
        }
        let number = row.try_get("seq")?;
        if found.last().is_none_or(|last| last.number != number) {
            found.push(product(row, number)?);
        }
        let Some(last) = found.last_mut() else { continue };
        let picture = picture(row, &last.id, files)?;
        last.pictures.push(picture);
    }
    Ok((wanted.len(), found))
}

/// How many of these products have about so many bytes of pictures: at least one.
async fn that_fit(
    connection: &mut PgConnection,
    numbers: &[i64],
    bytes: usize,
) -> Result<usize, CatalogueError> {
    let sizes: Vec<i64> = sqlx::query_scalar(
        "SELECT coalesce((SELECT sum(octet_length(bytes)) FROM pictures WHERE product = number), 0)::bigint
         FROM unnest($1::bigint[]) WITH ORDINALITY AS wanted (number, place) ORDER BY place",
    )
    .bind(numbers)
    .fetch_all(connection)
    .await?;
    let mut taken = 0;
    let fits = sizes.iter().take_while(|size| {
        let before = taken;
        taken += usize::try_from(**size).unwrap_or_default();
        before < bytes
    });
    Ok(fits.count())
}

fn product(row: &PgRow, number: i64) -> Result<CopiedProduct, CatalogueError> {
    let product = CopiedProduct {
        number,
        id: row.try_get("id")?,
        title: original(row.try_get("title")?),
        attributes: row.try_get("attributes")?,
        created_at: row.try_get("created_at")?,
        updated_at: row.try_get("updated_at")?,
        pictures: Vec::new(),
    };
    if product_sum(&product.id, &product.title, &product.attributes) != row.try_get::<&[u8], _>("sum")? {
        return Err(damaged(format!(
            "product {:?} is not what was written",
            product.id
        )));
    }
    Ok(product)
}

fn picture(row: &PgRow, product: &str, files: bool) -> Result<CopiedPicture, CatalogueError> {
    let number: Option<i64> = row.try_get("picture")?;
    let number = number.ok_or_else(|| damaged(format!("product {product:?} has no picture")))?;
    let what = |what: &str| damaged(format!("picture number {number} of product {product:?}: {what}"));
    let bytes: Vec<u8> = row.try_get("bytes")?;
    let data: Option<&[u8]> = row.try_get("data")?;
    let data = data.ok_or_else(|| what("has no embedding"))?;
    let (file_sum, embedding_sum): (&[u8], &[u8]) = (row.try_get("file_sum")?, row.try_get("embedding_sum")?);
    let is_file = !files || sum(&[&bytes])[..] == *file_sum;
    if !is_file || sum(&[data])[..] != *embedding_sum {
        return Err(what("its file or its embedding is not what was written"));
    }
    let embedding = values(row.try_get("embedding_width")?, data);
    Ok(CopiedPicture {
        number,
        id: row.try_get("picture_id")?,
        content_type: row.try_get("content_type")?,
        width: row.try_get::<i32, _>("width")?.cast_unsigned(),
        height: row.try_get::<i32, _>("height")?.cast_unsigned(),
        prepare: prepare(row)?,
        bytes,
        embedding,
    })
}
