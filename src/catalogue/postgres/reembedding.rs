//! Re-embedding by all servers together: each claims pictures, the next space gathers their embeddings, and whoever finds it
//! complete builds its index and makes it the present one, between two writes.

use std::collections::HashMap;
use std::time::Duration;

use sqlx::{AssertSqlSafe, PgConnection, Row};

use super::error::{Failure, damaged};
use super::measured::Kind;
use super::opening::{forget_models, keep_model};
use super::rows::{Embedded, add_embeddings, stored_picture, values};
use super::servers;
use super::spaces::{Space, Spaces};
use super::store::{Postgres, read, stop_writes, transact};
use crate::admission::Work;
use crate::catalogue::error::CatalogueError;
use crate::catalogue::origin::Origin;
use crate::catalogue::product::{PictureKey, StoredPicture};
use crate::catalogue::reembedding::{Background, EmbedLast, OfBoth};

/// Pictures that may lack an embedding when the change is made: writes wait while they are embedded.
const AT_ADOPTION: i64 = 16;
/// How long other servers are given that still embed.
const OTHERS: Duration = Duration::from_millis(200);
/// The longest that dropping replaced embeddings keeps others waiting; it is tried again.
const DROP_WAITS: &str = "200ms";

impl Postgres {
    /// What makes the next embeddings, where re-embedding has begun.
    pub async fn next_origin(&self) -> Result<Option<Origin>, CatalogueError> {
        let spaces = self.spaces().await?;
        Ok(spaces.next.map(|space| (*space.origin).clone()))
    }

    /// Begins re-embedding, or joins it if it was begun for the same origin.
    pub async fn begin_reembedding(
        &self,
        origin: Origin,
        model: Vec<u8>,
        hold: bool,
    ) -> Result<(), CatalogueError> {
        transact!(self, Kind::Background, |connection| {
            let Spaces { present, next, .. } = stop_writes(connection).await?;
            let same = |space: &Space| *space.origin == origin;
            if !next.as_ref().is_some_and(same) && !present.as_ref().is_some_and(same) {
                let space = Space::create(connection, &origin).await?;
                sqlx::query("UPDATE catalogue SET next = $1, hold = $2")
                    .bind(space.number)
                    .bind(hold)
                    .execute(&mut *connection)
                    .await?;
                forget_claims(connection).await?;
            } else if hold {
                sqlx::query("UPDATE catalogue SET hold = next IS NOT NULL")
                    .execute(&mut *connection)
                    .await?;
            }
            keep_model(connection, &origin, &model).await
        })?;
        self.sweep().await;
        Ok(())
    }

    /// Whether the next embeddings wait to be released.
    pub async fn is_held(&self) -> Result<bool, CatalogueError> {
        read!(self, Kind::Background, Work::OWN, |connection| {
            let held = sqlx::query_scalar("SELECT hold FROM catalogue");
            Ok(held.fetch_one(connection).await?)
        })
    }

    /// Lets the next embeddings be adopted.
    pub async fn release(&self) -> Result<(), CatalogueError> {
        transact!(self, Kind::Background, |connection| {
            sqlx::query("UPDATE catalogue SET hold = false")
                .execute(connection)
                .await?;
            Ok(())
        })
    }

    /// Builds the index over the next embeddings, if there is none.
    pub async fn prepare_next(
        &self,
        origin: &Origin,
        dimensions: usize,
        background: Background,
    ) -> Result<(), CatalogueError> {
        let next = self.next_of(origin).await?;
        self.prepare(next, dimensions, &background.progress)
            .await
            .map(drop)
    }

    /// The space of the next embeddings, if they are of this origin.
    pub(super) async fn next_of(&self, origin: &Origin) -> Result<Space, CatalogueError> {
        let next = self.spaces().await?.next;
        next.filter(|next| *next.origin == *origin)
            .ok_or(CatalogueError::OtherOrigin)
    }

    /// The space of an origin: the present or the next one.
    pub(super) async fn space_of(&self, origin: &Origin) -> Result<Space, CatalogueError> {
        let present = self.loaded()?;
        match *present.origin == *origin {
            true => Ok(present),
            false => self.next_of(origin).await,
        }
    }

    /// Up to `count` pictures with both embeddings, chosen at random.
    pub async fn sample_of_both(&self, count: usize) -> Result<Vec<OfBoth>, CatalogueError> {
        let Spaces { present, next, .. } = self.spaces().await?;
        let (Some(present), Some(next)) = (present, next) else {
            return Ok(Vec::new());
        };
        let sql = format!(
            "SELECT p.id, v.width, v.data, w.width AS next_width, w.data AS next_data
             FROM (SELECT picture, vector FROM {} ORDER BY random() LIMIT $1) n
             JOIN {} w ON w.id = n.vector JOIN {} e ON e.picture = n.picture JOIN {} v ON v.id = e.vector
             JOIN products p ON p.seq = e.product",
            next.embeddings(),
            next.vectors(),
            present.embeddings(),
            present.vectors()
        );
        read!(self, Kind::Background, Work::OWN, |connection| {
            let rows = sqlx::query(AssertSqlSafe(sql.as_str()))
                .bind(i64::try_from(count).unwrap_or(i64::MAX))
                .fetch_all(connection)
                .await?;
            let sample = rows.iter().map(|row| {
                Ok(OfBoth {
                    product: row.try_get("id")?,
                    present: values(row.try_get("width")?, row.try_get("data")?),
                    next: values(row.try_get("next_width")?, row.try_get("next_data")?),
                })
            });
            sample.collect()
        })
    }

    /// Drops what re-embedding has made so far.
    pub async fn cancel_reembedding(&self) -> Result<(), CatalogueError> {
        if self.spaces().await?.next.is_none() {
            return Ok(());
        }
        transact!(self, Kind::Background, |connection| {
            stop_writes(connection).await?;
            sqlx::query("UPDATE catalogue SET next = NULL, hold = false")
                .execute(&mut *connection)
                .await?;
            forget_claims(connection).await?;
            forget_models(connection).await
        })?;
        self.sweep().await;
        Ok(())
    }

    /// How many pictures have a next embedding, and how many there are.
    pub async fn reembedded(&self) -> Result<(usize, usize), CatalogueError> {
        let next = self.spaces().await?.next;
        let (done, total): (i64, i64) = read!(self, Kind::Background, Work::OWN, |connection| {
            let total = sqlx::query_scalar("SELECT count(*) FROM pictures")
                .fetch_one(&mut *connection)
                .await?;
            let Some(next) = &next else { return Ok((0, total)) };
            let count = format!("SELECT count(*) FROM {}", next.embeddings());
            Ok((
                sqlx::query_scalar(AssertSqlSafe(count))
                    .fetch_one(connection)
                    .await?,
                total,
            ))
        })?;
        let counts = usize::try_from(done).ok().zip(usize::try_from(total).ok());
        counts.ok_or_else(|| damaged("a negative count"))
    }

    /// Up to `count` pictures, and about `bytes` of them, that have no next embedding; no other server is given them while
    /// this one works.
    pub async fn without_embedding(
        &self,
        origin: &Origin,
        count: usize,
        bytes: usize,
    ) -> Result<Vec<StoredPicture>, CatalogueError> {
        let next = self.next_of(origin).await?;
        // Pictures are embedded in stored order: most of those before the last ones are done.
        let after = match *self.0.embedded_to.lock() {
            (space, to) if space == next.number => to,
            _ => 0,
        };
        let mut claimed = self.claim_pictures(&next, after, count, bytes).await?;
        if claimed.is_empty() && after > 0 {
            claimed = self.claim_pictures(&next, 0, count, bytes).await?;
        }
        let to = claimed.last().map_or(0, |picture| picture.key.0);
        *self.0.embedded_to.lock() = (next.number, to);
        Ok(claimed)
    }

    async fn claim_pictures(
        &self,
        next: &Space,
        after: i64,
        count: usize,
        bytes: usize,
    ) -> Result<Vec<StoredPicture>, CatalogueError> {
        let sql = format!(
            "WITH free AS (
                 SELECT i.seq, octet_length(i.bytes) AS length FROM pictures i
                 WHERE i.seq > $2 AND NOT EXISTS (SELECT 1 FROM {embeddings} e WHERE e.picture = i.seq)
                 AND NOT EXISTS (SELECT 1 FROM claimed_pictures c WHERE c.picture = i.seq AND c.server <> $1)
                 ORDER BY i.seq LIMIT $3),
             first AS (SELECT seq, sum(length) OVER (ORDER BY seq) - length AS before FROM free),
             claimed AS (
                 INSERT INTO claimed_pictures (picture, server) SELECT seq, $1 FROM first WHERE before < $4
                 ON CONFLICT (picture) DO UPDATE SET server = excluded.server
                     WHERE claimed_pictures.server = excluded.server
                 RETURNING picture)
             SELECT i.seq, p.id, i.prepare, i.bytes FROM claimed JOIN pictures i ON i.seq = claimed.picture
             JOIN products p ON p.seq = i.product ORDER BY i.seq",
            embeddings = next.embeddings()
        );
        let server = self.0.server;
        transact!(self, Kind::Background, |connection| {
            servers::seen(connection, server).await?;
            let rows = sqlx::query(AssertSqlSafe(sql.clone()))
                .bind(server)
                .bind(after)
                .bind(i64::try_from(count).unwrap_or(i64::MAX))
                .bind(i64::try_from(bytes).unwrap_or(i64::MAX))
                .fetch_all(connection)
                .await?;
            Ok(rows
                .iter()
                .map(stored_picture)
                .collect::<Result<_, CatalogueError>>()?)
        })
    }

    /// Adds next embeddings, durably; those of pictures that are gone are left out.
    pub async fn add_embeddings(
        &self,
        origin: &Origin,
        made: Vec<(PictureKey, Vec<i32>)>,
    ) -> Result<(), CatalogueError> {
        transact!(self, Kind::Background, |connection| {
            let next = Spaces::read(connection).await?.next;
            // Another server may have adopted or dropped them.
            match next.filter(|next| *next.origin == *origin) {
                Some(next) => add(connection, &next, &made).await,
                None => Err(CatalogueError::OtherOrigin.into()),
            }
        })
    }

    /// Makes the next embeddings the catalogue's, at one moment between two writes; `embed` makes the few that were
    /// written last. False where too many have none yet. True too where another server has done it.
    pub async fn adopt(
        &self,
        origin: &Origin,
        dimensions: usize,
        embed: EmbedLast,
        background: Background,
    ) -> Result<bool, CatalogueError> {
        let is_begun = |space: &Space| *space.origin == *origin;
        let Spaces { present, next, .. } = self.spaces().await?;
        let next = match next {
            Some(next) if is_begun(&next) => next,
            // Another server has adopted them.
            None if present.as_ref().is_some_and(is_begun) => return Ok(true),
            _ => return Err(CatalogueError::OtherOrigin),
        };
        let missing = read!(self, Kind::Background, Work::OWN, |connection| {
            Ok(count_missing(connection, &next).await?)
        })?;
        if missing > AT_ADOPTION {
            tokio::time::sleep(OTHERS).await;
            return Ok(false);
        }
        let next = self.prepare(next, dimensions, &background.progress).await?;
        let embed = parking_lot::Mutex::new(embed);
        let adopted = transact!(self, Kind::Background, |connection| {
            let now = stop_writes(connection).await?;
            if now.next.as_ref().is_none_or(|now| now.number != next.number) {
                return match now.present.as_ref().is_some_and(is_begun) {
                    true => Ok(true),
                    false => Err(CatalogueError::OtherOrigin.into()),
                };
            }
            if count_missing(connection, &next).await? > AT_ADOPTION {
                return Ok(false);
            }
            let missing = missing_pictures(connection, &next).await?;
            let made: Vec<_> = missing
                .iter()
                .map(|picture| (picture.key, (embed.lock())(picture)))
                .collect();
            add(connection, &next, &made).await?;
            sqlx::query("UPDATE catalogue SET present = next, next = NULL, hold = false")
                .execute(&mut *connection)
                .await?;
            forget_claims(connection).await?;
            forget_models(connection).await?;
            Ok(true)
        })?;
        if adopted {
            self.spaces().await?;
            self.sweep().await;
        }
        Ok(adopted)
    }

    /// Drops the tables of embeddings that are neither present nor next; what is in use is left for the next time.
    pub(super) async fn sweep(&self) {
        if let Err(error) = self.try_sweep().await {
            tracing::debug!(%error, "embeddings that were replaced are not dropped yet");
        }
    }

    async fn try_sweep(&self) -> Result<(), CatalogueError> {
        transact!(self, Kind::Background, |connection| {
            sqlx::query(AssertSqlSafe(format!("SET LOCAL lock_timeout = '{DROP_WAITS}'")))
                .execute(&mut *connection)
                .await?;
            let here: bool = sqlx::query_scalar("SELECT pg_try_advisory_xact_lock($1)")
                .bind(super::store::SWEEPING)
                .fetch_one(&mut *connection)
                .await?;
            if here {
                for space in Spaces::left_over(connection).await? {
                    space.drop(connection).await?;
                }
            }
            Ok(())
        })
    }
}

async fn forget_claims(connection: &mut PgConnection) -> Result<(), Failure> {
    sqlx::query("DELETE FROM claimed_pictures")
        .execute(connection)
        .await?;
    Ok(())
}

/// Adds embeddings of those pictures that are still there.
async fn add(
    connection: &mut PgConnection,
    next: &Space,
    made: &[(PictureKey, Vec<i32>)],
) -> Result<(), Failure> {
    let of_picture: HashMap<i64, &Vec<i32>> =
        made.iter().map(|(picture, values)| (picture.0, values)).collect();
    let numbers: Vec<i64> = made.iter().map(|(picture, _)| picture.0).collect();
    let rows =
        sqlx::query("SELECT seq, product FROM pictures WHERE seq = ANY($1) ORDER BY seq FOR KEY SHARE")
            .bind(&numbers)
            .fetch_all(&mut *connection)
            .await?;
    let mut embeddings = Vec::with_capacity(rows.len());
    for row in &rows {
        let (picture, product): (i64, i64) = (row.try_get("seq")?, row.try_get("product")?);
        embeddings.extend(of_picture.get(&picture).map(|values| Embedded {
            picture,
            product,
            values,
        }));
    }
    add_embeddings(connection, next, &embeddings).await?;
    sqlx::query("DELETE FROM claimed_pictures WHERE picture = ANY($1)")
        .bind(&numbers)
        .execute(connection)
        .await?;
    Ok(())
}

fn missing(next: &Space) -> String {
    format!(
        "pictures i WHERE NOT EXISTS (SELECT 1 FROM {} e WHERE e.picture = i.seq)",
        next.embeddings()
    )
}

/// How many pictures have no next embedding, counted no further than matters.
async fn count_missing(connection: &mut PgConnection, next: &Space) -> Result<i64, sqlx::Error> {
    let sql = format!(
        "SELECT count(*) FROM (SELECT 1 FROM {} LIMIT {}) AS missing",
        missing(next),
        AT_ADOPTION + 1
    );
    sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(connection).await
}

async fn missing_pictures(
    connection: &mut PgConnection,
    next: &Space,
) -> Result<Vec<StoredPicture>, Failure> {
    let sql = format!(
        "SELECT i.seq, (SELECT id FROM products p WHERE p.seq = i.product) AS id, i.prepare, i.bytes FROM {} ORDER BY i.seq",
        missing(next)
    );
    let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(connection).await?;
    Ok(rows
        .iter()
        .map(stored_picture)
        .collect::<Result<_, CatalogueError>>()?)
}
