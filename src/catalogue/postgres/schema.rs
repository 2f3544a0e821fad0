//! The schema, by migrations: forward only, one server at a time, and only additions, so that servers of two versions can
//! work on one database while they are replaced one by one.

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{PgPool, SqlSafeStr};

use crate::catalogue::error::{CatalogueError, OpenError};

const MIGRATIONS: [(&str, &str); 4] = [
    (
        "catalogue",
        include_str!("../../../migrations/postgres/0001_catalogue.sql"),
    ),
    (
        "feeds",
        include_str!("../../../migrations/postgres/0002_feeds.sql"),
    ),
    (
        "product changes",
        include_str!("../../../migrations/postgres/0003_product_changes.sql"),
    ),
    ("hold", include_str!("../../../migrations/postgres/0004_hold.sql")),
];

/// The last migration that this version knows.
const KNOWN: u32 = MIGRATIONS.len() as u32;

/// Applies what is missing. The migrator holds an advisory lock: of servers that start together, one applies it.
pub async fn migrate(pool: &PgPool, store: &str) -> Result<(), CatalogueError> {
    let migrations = MIGRATIONS.iter().zip(1..).map(|((name, sql), version)| {
        Migration::new(
            version,
            (*name).into(),
            MigrationType::Simple,
            (*sql).into_sql_str(),
            false,
        )
    });
    let mut migrator = Migrator::with_migrations(migrations.collect());
    // Newer migrations only add: see below.
    migrator.set_ignore_missing(true);
    migrator.run(pool).await?;
    let least: i32 = sqlx::query_scalar("SELECT least_schema FROM catalogue")
        .fetch_one(pool)
        .await?;
    let found = u32::try_from(least).unwrap_or(u32::MAX);
    if found > KNOWN {
        return Err(CatalogueError::Open {
            store: store.to_owned(),
            reason: OpenError::NewerSchema { found, known: KNOWN },
        });
    }
    Ok(())
}
