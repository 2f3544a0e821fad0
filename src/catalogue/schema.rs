//! The schema's steps, applied at start, forward only.

use rusqlite::Connection;

use super::{CatalogueError, check};

const STEPS: &[&str] = &[
    include_str!("../../migrations/0001_products.sql"),
    include_str!("../../migrations/0002_prepare.sql"),
    include_str!("../../migrations/0003_imports.sql"),
    include_str!("../../migrations/0004_sums.sql"),
    include_str!("../../migrations/0005_reembedding.sql"),
];

/// The step that gives rows their sums, which SQL alone cannot make.
const SUMS: u32 = 4;

/// Brings a database up to date; refuses one that is ahead.
pub fn migrate(connection: &mut Connection, path: &str) -> Result<(), CatalogueError> {
    let found: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let known = u32::try_from(STEPS.len()).expect("a handful of steps");
    if found > known {
        return Err(CatalogueError::NewerSchema {
            path: path.to_owned(),
            found,
            known,
        });
    }
    let done = usize::try_from(found).expect("at most `known`");
    for (step, sql) in (found + 1..).zip(&STEPS[done..]) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(sql)?;
        if step == SUMS {
            check::sum_all(&transaction)?;
        }
        transaction.pragma_update(None, "user_version", step)?;
        transaction.commit()?;
    }
    Ok(())
}
