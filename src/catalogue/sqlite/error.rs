//! What SQLite refuses, in the catalogue's words.

use std::path::Path;

use crate::catalogue::error::{CatalogueError, OpenError};

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

/// A data directory that cannot be opened.
pub fn refused(folder: &Path, reason: OpenError) -> CatalogueError {
    CatalogueError::Open {
        store: folder.display().to_string(),
        reason,
    }
}

/// A data directory that cannot be opened because of a file.
pub fn failed(folder: &Path, path: &Path, source: std::io::Error) -> CatalogueError {
    let path = path.display().to_string();
    refused(folder, OpenError::File { path, source })
}
