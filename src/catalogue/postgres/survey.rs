//! A database looked at for `check`, whether servers run over it or not: each row, and each entry of the index.

use engine::network::hex;
use futures_util::TryStreamExt;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use sqlx::pool::PoolConnection;
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};
use tokio::runtime::Runtime;

use super::comparing;
use super::connecting::runtime;
use super::copying;
use super::directions;
use super::error::damaged;
use super::filter::facts;
use super::measured::Kind;
use super::rows::{embedding, stored_picture};
use super::spaces::{Space, Spaces};
use super::store::{Postgres, read};
use super::text::original;
use crate::admission::Work;
use crate::catalogue::address::StoreAddress;
use crate::catalogue::attributes::Attributes;
use crate::catalogue::checking::{Batch, Checked, Which};
use crate::catalogue::comparing::ComparedPicture;
use crate::catalogue::copying::{CopiedProduct, Fingerprint, LastNumbers};
use crate::catalogue::error::CatalogueError;
use crate::catalogue::options::StoreOptions;
use crate::catalogue::origin::Origin;
use crate::catalogue::packing::{product_sum, sum};
use crate::catalogue::product::PictureKey;

/// Rows that are compared with what they should be at a time.
const AT_ONCE: usize = 1_000;

/// A catalogue in a database; its functions block their thread.
#[derive(Debug)]
pub struct Survey {
    runtime: Runtime,
    store: Postgres,
    /// The connection of a moment, while one is held.
    moment: Mutex<Option<PoolConnection<sqlx::Postgres>>>,
}

impl Survey {
    /// Connects to a database. Must not be called on an async runtime.
    ///
    /// # Errors
    /// If it cannot be reached, or is of another version.
    pub fn connect(address: &StoreAddress) -> Result<Self, CatalogueError> {
        let runtime = runtime(address)?;
        let store = runtime.block_on(Postgres::connect(address, StoreOptions::ONE))?;
        Ok(Self {
            runtime,
            store,
            moment: Mutex::default(),
        })
    }

    /// Reads on the connection of the moment, where one is held.
    fn on<T>(
        &self,
        read: impl AsyncFnOnce(&mut PgConnection) -> Result<T, CatalogueError>,
    ) -> Result<T, CatalogueError> {
        let mut moment = self.moment.lock();
        self.runtime.block_on(async {
            match &mut *moment {
                Some(connection) => read(connection).await,
                None => {
                    let mut reading = self.store.connection(Kind::Background, &Work::OWN).await?;
                    let read = read(&mut reading).await;
                    // A command ends at the first connection that breaks.
                    reading
                        .end(read, &mut 1)
                        .await
                        .unwrap_or(Err(CatalogueError::Panicked))
                }
            }
        })
    }

    /// All that `read` reads is of one moment, though others write.
    pub fn at_one_moment<T>(&self, read: impl FnOnce() -> T) -> Result<T, CatalogueError> {
        let begun = self.runtime.block_on(async {
            let mut connection = self.store.0.pool.acquire().await?;
            sqlx::raw_sql("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                .execute(&mut *connection)
                .await?;
            Ok::<_, CatalogueError>(connection)
        })?;
        *self.moment.lock() = Some(begun);
        let done = read();
        let ended = self.moment.lock().take();
        if let Some(mut connection) = ended {
            // It goes back to the pool on the runtime.
            self.runtime.block_on(async move {
                // Nothing was written.
                let _ = sqlx::raw_sql("ROLLBACK").execute(&mut *connection).await;
            });
        }
        Ok(done)
    }

    /// How many products there are.
    pub fn products(&self) -> Result<usize, CatalogueError> {
        self.on(async |connection| count(connection, "products").await)
    }

    /// How many imports are not at their end.
    pub fn open_imports(&self) -> Result<usize, CatalogueError> {
        self.on(async |connection| count(connection, "imports WHERE state IN ('receiving', 'running')").await)
    }

    /// The products behind number `after`, at most `count`, in order.
    pub fn fingerprints(&self, after: i64, count: usize) -> Result<Vec<Fingerprint>, CatalogueError> {
        self.on(async |connection| copying::fingerprints(connection, after, count).await)
    }

    /// The products with these numbers, as long as about `bytes` of them are read: at least one. Each is what was written.
    pub fn copied(&self, numbers: &[i64], bytes: usize) -> Result<Vec<CopiedProduct>, CatalogueError> {
        self.on(async |connection| copying::copied(connection, numbers, bytes).await)
    }

    /// The pictures behind `after`, at most `count`, in stored order.
    pub fn compared(
        &self,
        after: Option<PictureKey>,
        count: usize,
    ) -> Result<Vec<ComparedPicture>, CatalogueError> {
        self.on(async |connection| comparing::compared(connection, after, count).await)
    }

    /// How many pictures there are.
    pub fn pictures(&self) -> Result<usize, CatalogueError> {
        self.on(async |connection| count(connection, "pictures").await)
    }

    /// The last numbers that were given.
    pub fn last_numbers(&self) -> Result<LastNumbers, CatalogueError> {
        self.on(async |connection| {
            let row = sqlx::query(
                "SELECT (SELECT last_value FROM products_seq_seq) AS product, (SELECT last_value FROM pictures_seq_seq) AS picture",
            )
            .fetch_one(connection)
            .await?;
            Ok(LastNumbers {
                product: row.try_get("product")?,
                picture: row.try_get("picture")?,
            })
        })
    }

    /// What made the stored embeddings; none before the first.
    pub fn origin(&self) -> Result<Option<Origin>, CatalogueError> {
        let present = self.on(async |connection| Ok(Spaces::read(connection).await?.present))?;
        Ok(present.map(|space| (*space.origin).clone()))
    }

    /// What makes the next embeddings, where re-embedding has begun.
    pub fn next_origin(&self) -> Result<Option<Origin>, CatalogueError> {
        self.runtime.block_on(self.store.next_origin())
    }

    /// The file of a model that the catalogue keeps.
    pub fn model(&self, id: &str) -> Result<Option<Vec<u8>>, CatalogueError> {
        self.runtime.block_on(self.store.model(id.to_owned()))
    }

    /// Checks every row; `wrong` is called with each that is not what was written.
    pub fn check_rows(
        &self,
        dimensions: Option<usize>,
        mut wrong: impl FnMut(String),
    ) -> Result<Checked, CatalogueError> {
        self.on(async |connection| {
            // One moment for all of it, though others write.
            let mut moment = connection.begin().await?;
            sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                .execute(&mut *moment)
                .await?;
            let spaces = Spaces::read(&mut moment).await?;
            let mut checked = Checked {
                products: check_products(&mut moment, &mut wrong).await?,
                ..Checked::default()
            };
            (checked.pictures, checked.embeddings) =
                check_pictures(&mut moment, spaces.present.as_ref(), dimensions, &mut wrong).await?;
            if let Some(next) = &spaces.next {
                checked.next = count(&mut moment, &next.embeddings()).await?;
            }
            for space in [&spaces.present, &spaces.next].into_iter().flatten() {
                check_vectors(&mut moment, space, &mut wrong).await?;
            }
            let mut models = sqlx::query("SELECT id, data FROM models ORDER BY id").fetch(&mut *moment);
            while let Some(row) = models.try_next().await? {
                let id: String = row.try_get("id")?;
                if hex(&Sha256::digest(row.try_get::<&[u8], _>("data")?)) != id {
                    wrong(format!("the file of model {id} is not what was written"));
                }
            }
            Ok(checked)
        })
    }

    /// How many entries the index of the present embeddings has; none where there is none.
    pub fn indexed(&self) -> Result<Option<usize>, CatalogueError> {
        self.runtime.block_on(async {
            let Some(space) = self.store.spaces().await?.present else {
                return Ok(None);
            };
            if !self.store.is_indexed(&space).await? {
                return Ok(None);
            }
            read!(self.store, Kind::Background, Work::OWN, |connection| {
                Ok(Some(count(connection, &space.vectors()).await?))
            })
        })
    }

    /// Pictures behind `after` with their stored embeddings, in stored order: at most `count`, and about `bytes`.
    pub fn embedded_after(
        &self,
        which: Which,
        after: Option<PictureKey>,
        count: usize,
        bytes: usize,
    ) -> Result<Batch, CatalogueError> {
        self.runtime.block_on(async {
            read!(self.store, Kind::Background, Work::OWN, |connection| {
                let spaces = Spaces::read(connection).await?;
                let space = match which {
                    Which::Present => spaces.present,
                    Which::Next => spaces.next,
                };
                let mut batch = Batch {
                    found: Vec::new(),
                    last: None,
                };
                let Some(space) = space else { return Ok(batch) };
                let sql = format!(
                    "SELECT i.seq, p.id, i.prepare, i.bytes, v.width, v.data FROM (
                         SELECT seq, sum(octet_length(bytes)) OVER (ORDER BY seq) - octet_length(bytes) AS before
                         FROM (SELECT seq, bytes FROM pictures WHERE seq > $1 ORDER BY seq LIMIT $2) AS first
                     ) AS first JOIN pictures i ON i.seq = first.seq JOIN products p ON p.seq = i.product
                     LEFT JOIN {} e ON e.picture = i.seq LEFT JOIN {} v ON v.id = e.vector
                     WHERE before < $3 ORDER BY i.seq",
                    space.embeddings(),
                    space.vectors()
                );
                let rows = sqlx::query(AssertSqlSafe(sql))
                    .bind(after.map_or(0, |key| key.0))
                    .bind(i64::try_from(count).unwrap_or(i64::MAX))
                    .bind(i64::try_from(bytes).unwrap_or(i64::MAX))
                    .fetch_all(connection)
                    .await?;
                for row in &rows {
                    batch.last = Some(PictureKey(row.try_get("seq")?));
                    let Some(values) = embedding(row)? else { continue };
                    let picture = stored_picture(row)?;
                    batch.found.push((picture, values));
                }
                Ok(batch)
            })
        })
    }
}

async fn count(connection: &mut PgConnection, table: &str) -> Result<usize, CatalogueError> {
    let sql = AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
    let count: i64 = sqlx::query_scalar(sql).fetch_one(connection).await?;
    usize::try_from(count).map_err(|_| damaged("a negative count"))
}

async fn check_products(
    connection: &mut PgConnection,
    wrong: &mut impl FnMut(String),
) -> Result<usize, CatalogueError> {
    let (mut checked, mut after) = (0, i64::MIN);
    loop {
        let rows = sqlx::query(
            "SELECT seq, id, title, attributes, sum,
                 EXISTS (SELECT 1 FROM pictures i WHERE i.product = p.seq) AS shown
             FROM products p WHERE seq > $1 ORDER BY seq LIMIT $2",
        )
        .bind(after)
        .bind(AT_ONCE as i64)
        .fetch_all(&mut *connection)
        .await?;
        let (mut numbers, mut all_facts) = (Vec::new(), Vec::new());
        for row in &rows {
            after = row.try_get("seq")?;
            let (id, attributes): (String, String) = (row.try_get("id")?, row.try_get("attributes")?);
            let title = original(row.try_get("title")?);
            if product_sum(&id, &title, &attributes) != row.try_get::<&[u8], _>("sum")? {
                wrong(format!(
                    "product {id:?}: id, title or attributes are not what was written"
                ));
            } else {
                let parsed = serde_json::from_str(&attributes).map_err(|error| damaged(error.to_string()));
                match parsed.and_then(Attributes::new) {
                    Ok(attributes) => {
                        numbers.push(after);
                        all_facts.push(facts(attributes.as_map()).to_string());
                    }
                    Err(error) => wrong(format!("product {id:?}: {error}")),
                }
            }
            if !row.try_get::<bool, _>("shown")? {
                wrong(format!("product {id:?} has no picture"));
            }
            checked += 1;
        }
        let other: Vec<String> = sqlx::query_scalar(
            "SELECT p.id FROM unnest($1::bigint[], $2::text[]) AS right_ones (seq, facts)
             JOIN products p ON p.seq = right_ones.seq WHERE p.facts <> right_ones.facts::jsonb ORDER BY p.seq",
        )
        .bind(&numbers)
        .bind(&all_facts)
        .fetch_all(&mut *connection)
        .await?;
        for id in other {
            wrong(format!(
                "product {id:?}: filters see other attributes than it has"
            ));
        }
        if rows.is_empty() {
            return Ok(checked);
        }
    }
}

/// How many pictures there are, and how many have an embedding.
async fn check_pictures(
    connection: &mut PgConnection,
    space: Option<&Space>,
    dimensions: Option<usize>,
    wrong: &mut impl FnMut(String),
) -> Result<(usize, usize), CatalogueError> {
    let joined = match space {
        Some(space) => format!(
            "LEFT JOIN {} e ON e.picture = i.seq LEFT JOIN {} v ON v.id = e.vector",
            space.embeddings(),
            space.vectors()
        ),
        None => "CROSS JOIN (SELECT NULL::bigint AS product) e
                 CROSS JOIN (SELECT NULL::bytea AS data, NULL::smallint AS width) v"
            .to_owned(),
    };
    let sql = format!(
        "SELECT p.id AS product_id, i.id, i.bytes, i.sum, v.width, v.data, e.product = i.product AS fits
         FROM pictures i JOIN products p ON p.seq = i.product {joined} ORDER BY i.seq"
    );
    let mut rows = sqlx::query(AssertSqlSafe(sql)).fetch(connection);
    let (mut pictures, mut embeddings) = (0, 0);
    while let Some(row) = rows.try_next().await? {
        let (product, id): (String, String) = (row.try_get("product_id")?, row.try_get("id")?);
        let shown = format!("picture {id:?} of product {product:?}");
        if sum(&[row.try_get("bytes")?]) != row.try_get::<&[u8], _>("sum")? {
            wrong(format!("{shown}: the file is not what was written"));
        }
        pictures += 1;
        let Some(values) = embedding(&row)? else {
            wrong(format!("{shown}: has no embedding"));
            continue;
        };
        embeddings += 1;
        if !row.try_get::<bool, _>("fits")? {
            wrong(format!("{shown}: its embedding is said to be of another product"));
        }
        if dimensions.is_some_and(|dimensions| dimensions != values.len()) {
            wrong(format!(
                "{shown}: the embedding has {} values, the network gives {}",
                values.len(),
                dimensions.unwrap_or_default()
            ));
        }
    }
    Ok((pictures, embeddings))
}

/// The distinct embeddings of a space: their checksums, and that the index compares what they are.
async fn check_vectors(
    connection: &mut PgConnection,
    space: &Space,
    wrong: &mut impl FnMut(String),
) -> Result<(), CatalogueError> {
    let table = space.vectors();
    let mut after = i64::MIN;
    loop {
        let sql = format!("SELECT id, width, data, sum FROM {table} WHERE id > $1 ORDER BY id LIMIT $2");
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(after)
            .bind(AT_ONCE as i64)
            .fetch_all(&mut *connection)
            .await?;
        let (mut ids, mut texts) = (Vec::new(), Vec::new());
        for row in &rows {
            after = row.try_get("id")?;
            if sum(&[row.try_get("data")?]) != row.try_get::<&[u8], _>("sum")? {
                wrong(format!("embedding {after} of {table} is not what was written"));
            } else if let Some(values) = embedding(row)? {
                ids.push(after);
                texts.push(directions::text(&values));
            }
        }
        let sql = format!(
            "SELECT v.id FROM unnest($1::bigint[], $2::text[]) AS right_ones (id, direction)
             JOIN {table} v ON v.id = right_ones.id WHERE v.direction <> right_ones.direction::halfvec ORDER BY v.id"
        );
        let other: Vec<i64> = sqlx::query_scalar(AssertSqlSafe(sql))
            .bind(&ids)
            .bind(&texts)
            .fetch_all(&mut *connection)
            .await?;
        for id in other {
            wrong(format!(
                "the index compares embedding {id} of {table} as another one"
            ));
        }
        if rows.is_empty() {
            return Ok(());
        }
    }
}
