//! Every picture with what tells it from others, without its file.

use sqlx::{AssertSqlSafe, PgConnection, Row};

use super::copying::joins;
use super::rows::embedding;
use super::spaces::Spaces;
use super::text::original;
use crate::catalogue::comparing::ComparedPicture;
use crate::catalogue::error::CatalogueError;
use crate::catalogue::product::PictureKey;

/// The pictures behind `after`, at most `count`, in stored order.
pub async fn compared(
    connection: &mut PgConnection,
    after: Option<PictureKey>,
    count: usize,
) -> Result<Vec<ComparedPicture>, CatalogueError> {
    let joined = joins(Spaces::read(connection).await?.present.as_ref());
    let sql = format!(
        "SELECT i.seq, i.id, i.sum AS file_sum, p.id AS product_id, p.title, v.width, v.data
         FROM (SELECT seq, id, sum, product FROM pictures WHERE seq > $1 ORDER BY seq LIMIT $2) AS i
         JOIN products p ON p.seq = i.product {joined} ORDER BY i.seq"
    );
    let rows = sqlx::query(AssertSqlSafe(sql))
        .bind(after.map_or(i64::MIN, |key| key.0))
        .bind(i64::try_from(count).unwrap_or(i64::MAX))
        .fetch_all(connection)
        .await?;
    let compared = rows.iter().map(|row| {
        Ok(ComparedPicture {
            key: PictureKey(row.try_get("seq")?),
            id: row.try_get("id")?,
            product: row.try_get("product_id")?,
            title: original(row.try_get("title")?),
            file: row.try_get("file_sum")?,
            embedding: embedding(row)?,
        })
    });
    compared.collect()
}
