//! What SQLite refuses, in the catalogue's words.

use crate::catalogue::error::CatalogueError;

impl From<rusqlite::Error> for CatalogueError {
    fn from(error: rusqlite::Error) -> Self {
        // A disk, a quota or a file-size limit that is reached: SQLite tells the first apart, the others are failed
        // writes to it.
        const FAILED_WRITE: i32 = rusqlite::ffi::SQLITE_IOERR_WRITE;
        match error.sqlite_error() {
            Some(code)
                if code.code == rusqlite::ErrorCode::DiskFull || code.extended_code == FAILED_WRITE =>
            {
                Self::Full {
                    reason: error.to_string(),
                }
            }
            _ => Self::Store(Box::new(error)),
        }
    }
}

/// What the database holds breaks its own rules.
pub fn damaged(what: impl Into<String>) -> CatalogueError {
    CatalogueError::Damaged { what: what.into() }
}
