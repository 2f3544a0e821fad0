//! The schema's migrations, applied at start, forward only.

use rusqlite::Connection;

use super::checksums;
use crate::catalogue::error::CatalogueError;
use crate::catalogue::error::OpenError;

const STEPS: &[&str] = &[
    include_str!("../../../migrations/sqlite/0001_products.sql"),
    include_str!("../../../migrations/sqlite/0002_prepare.sql"),
    include_str!("../../../migrations/sqlite/0003_imports.sql"),
    include_str!("../../../migrations/sqlite/0004_sums.sql"),
    include_str!("../../../migrations/sqlite/0005_reembedding.sql"),
    include_str!("../../../migrations/sqlite/0006_feeds.sql"),
];

/// The migration after which rows need checksums, which SQL alone cannot compute.
const SUMS: u32 = 4;

/// Whether a database has this version's schema.
pub fn is_current(connection: &Connection) -> rusqlite::Result<bool> {
    let found: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    Ok(usize::try_from(found).is_ok_and(|found| found == STEPS.len()))
}

/// Migrates a database to this version's schema; refuses one with a newer schema.
pub fn migrate(connection: &mut Connection) -> Result<Result<(), OpenError>, CatalogueError> {
    let found: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let known = u32::try_from(STEPS.len()).expect("a handful of steps");
    if found > known {
        return Ok(Err(OpenError::NewerSchema { found, known }));
    }
    let done = usize::try_from(found).expect("at most `known`");
    for (step, sql) in (found + 1..).zip(&STEPS[done..]) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(sql)?;
        if step == SUMS {
            checksums::sum_all(&transaction)?;
        }
        transaction.pragma_update(None, "user_version", step)?;
        transaction.commit()?;
    }
    Ok(Ok(()))
}
