//! Reading products, pictures, lists and embeddings.

use std::collections::HashMap;
use std::sync::Arc;

use sqlx::{AssertSqlSafe, Postgres as Database, QueryBuilder, Row};

use super::error::{damaged, is_missing_table};
use super::filter;
use super::measured::Kind;
use super::rows::{embedding, number, product_of, products};
use super::store::{Postgres, read};
use crate::admission::Work;
use crate::catalogue::error::CatalogueError;
use crate::catalogue::filter::Filter;
use crate::catalogue::origin::Origin;
use crate::catalogue::product::{Cursor, Page, PictureFile, PictureKey, Product};

impl Postgres {
    /// How many products are stored.
    pub async fn count(&self) -> Result<usize, CatalogueError> {
        let count: i64 = read!(self, Kind::Look, Work::OWN, |connection| {
            Ok(sqlx::query_scalar("SELECT count(*) FROM products")
                .fetch_one(connection)
                .await?)
        })?;
        usize::try_from(count).map_err(|_| damaged("a negative count"))
    }

    /// Whether there is a product of this id.
    pub async fn holds(&self, id: String, work: Work) -> Result<bool, CatalogueError> {
        read!(self, Kind::Look, work, |connection| {
            Ok(number(connection, &id, false).await?.is_some())
        })
    }

    /// The product of this id.
    pub async fn product(&self, id: String, work: Work) -> Result<Product, CatalogueError> {
        read!(self, Kind::Look, work, |connection| {
            let stored = match number(connection, &id, false).await? {
                Some(number) => product_of(connection, number).await?,
                None => None,
            };
            let stored = stored.ok_or_else(|| CatalogueError::NoProduct { id: id.clone() })?;
            Ok(stored.product)
        })
    }

    /// Up to `limit` products behind `after` that pass, in the order in which they were first stored.
    pub async fn page(
        &self,
        after: Option<Cursor>,
        limit: usize,
        filter: Option<Filter>,
        work: Work,
    ) -> Result<Page, CatalogueError> {
        let after = match after {
            None => i64::MIN,
            Some(cursor) => number_of(&cursor)?,
        };
        read!(self, Kind::Look, work, |connection| {
            let mut sql = QueryBuilder::<Database>::new("SELECT p.seq FROM products p WHERE p.seq > ");
            sql.push_bind(after);
            if let Some(filter) = &filter {
                sql.push(" AND ");
                filter::push(&mut sql, filter);
            }
            // One more than the page has: whether another page follows.
            sql.push(format!(" ORDER BY p.seq LIMIT {}", limit.saturating_add(1)));
            let asking = sql.build_query_scalar().persistent(filter.is_none());
            let numbers: Vec<i64> = asking.fetch_all(&mut *connection).await?;
            let next = (numbers.len() > limit).then(|| cursor_of(numbers[limit - 1]));
            let shown = &numbers[..numbers.len().min(limit)];
            // One that was deleted or changed a moment ago is left out.
            let passes = |product: &Product| {
                let attributes = product.attributes.as_map();
                filter
                    .as_ref()
                    .is_none_or(|filter| filter.holds(&product.id, attributes))
            };
            let products = products(connection, shown).await?;
            let products = products.into_iter().map(|stored| stored.product).filter(passes);
            Ok(Page {
                products: products.collect(),
                next,
            })
        })
    }

    /// The file of one of a product's pictures.
    pub async fn picture(
        &self,
        product: String,
        picture: String,
        work: Work,
    ) -> Result<PictureFile, CatalogueError> {
        read!(self, Kind::Look, work, |connection| {
            if product.contains('\0') {
                return Err(CatalogueError::NoProduct { id: product.clone() });
            }
            let row = sqlx::query(
                "SELECT i.seq, i.content_type, octet_length(i.bytes) AS length, i.sum, substring(i.bytes FOR $3) AS first
                 FROM products p JOIN pictures i ON i.product = p.seq WHERE p.id = $1 AND i.id = $2",
            )
            .bind(&product)
            .bind(picture.replace('\0', "\u{1}"))
            .bind(piece())
            .fetch_optional(&mut *connection)
            .await?;
            let Some(row) = row else {
                return Err(match number(connection, &product, false).await? {
                    None => CatalogueError::NoProduct { id: product.clone() },
                    Some(_) => CatalogueError::NoPicture {
                        product: product.clone(),
                        picture: picture.clone(),
                    },
                });
            };
            let length: i32 = row.try_get("length")?;
            Ok(PictureFile {
                key: PictureKey(row.try_get("seq")?),
                content_type: row.try_get("content_type")?,
                length: u64::try_from(length).map_err(|_| damaged("a negative length"))?,
                sum: row.try_get("sum")?,
                first: row.try_get("first")?,
            })
        })
    }

    /// The piece of a picture's file that begins at `offset`.
    pub async fn picture_piece(&self, key: PictureKey, offset: u64) -> Result<Vec<u8>, CatalogueError> {
        let from = i32::try_from(offset.saturating_add(1)).map_err(|_| damaged("an offset beyond 2 GiB"))?;
        read!(self, Kind::Look, Work::OWN, |connection| {
            let piece =
                sqlx::query_scalar("SELECT substring(bytes FROM $2 FOR $3) FROM pictures WHERE seq = $1")
                    .bind(key.0)
                    .bind(from)
                    .bind(piece())
                    .fetch_optional(connection)
                    .await?;
            piece.ok_or_else(|| damaged("the picture was removed while it was read"))
        })
    }

    /// For each product of `ids` the embeddings of its pictures by this origin.
    pub async fn embeddings_of(
        &self,
        origin: Arc<Origin>,
        ids: Vec<String>,
        work: Work,
    ) -> Result<Vec<Vec<Vec<i32>>>, CatalogueError> {
        let space = self.space_of(&origin).await?;
        let (vectors, embeddings) = (space.vectors(), space.embeddings());
        let sql = format!(
            "SELECT p.id, v.width, v.data, {number} IN (c.present, c.next) AS present FROM catalogue c CROSS JOIN products p
             LEFT JOIN {embeddings} e ON e.product = p.seq LEFT JOIN {vectors} v ON v.id = e.vector
             WHERE p.id = ANY($1) ORDER BY e.picture",
            number = space.number
        );
        read!(self, Kind::Look, work, |connection| {
            let asked: Vec<&str> = ids
                .iter()
                .map(String::as_str)
                .filter(|id| !id.contains('\0'))
                .collect();
            let rows = match sqlx::query(AssertSqlSafe(sql.as_str()))
                .bind(&asked)
                .fetch_all(connection)
                .await
            {
                Err(error) if is_missing_table(&error) => return Err(CatalogueError::OtherOrigin),
                rows => rows?,
            };
            let mut found: HashMap<String, Vec<Vec<i32>>> = HashMap::new();
            for row in &rows {
                if !row.try_get::<Option<bool>, _>("present")?.unwrap_or(false) {
                    return Err(CatalogueError::OtherOrigin);
                }
                let of_product = found.entry(row.try_get("id")?).or_default();
                of_product.extend(embedding(row)?);
            }
            let of_each = ids.iter().map(|id| {
                let embeddings = found.get(id).cloned();
                embeddings.ok_or_else(|| CatalogueError::NoProduct { id: id.clone() })
            });
            of_each.collect()
        })
    }
}

fn piece() -> i32 {
    i32::try_from(PictureFile::PIECE).unwrap_or(i32::MAX)
}

pub(super) fn cursor_of(number: i64) -> Cursor {
    Cursor(number.to_be_bytes().to_vec())
}

pub(super) fn number_of(cursor: &Cursor) -> Result<i64, CatalogueError> {
    let bytes: Result<[u8; 8], _> = cursor.0.as_slice().try_into();
    bytes
        .map(i64::from_be_bytes)
        .map_err(|_| CatalogueError::Invalid {
            field: "after".to_owned(),
            reason: Cursor::INVALID.to_owned(),
        })
}
