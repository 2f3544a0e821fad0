//! What SQLite refuses, in the catalogue's words.

use std::path::Path;

use crate::catalogue::error::{CatalogueError, OpenError};

impl From<rusqlite::Error> for CatalogueError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked, DiskFull};
        // A disk, a quota or a file-size limit that is reached: SQLite tells the first apart, the others are failed
        // writes to it. The journal's index is refused room by a code of its own.
        const NO_ROOM: [i32; 2] = [
            rusqlite::ffi::SQLITE_IOERR_WRITE,
            rusqlite::ffi::SQLITE_IOERR_SHMSIZE,
        ];
        match error.sqlite_error() {
            Some(code) if code.code == DiskFull || NO_ROOM.contains(&code.extended_code) => Self::Full {
                reason: error.to_string(),
            },
            Some(code) if matches!(code.code, DatabaseBusy | DatabaseLocked) => Self::Locked,
            _ => Self::Store(Box::new(error)),
        }
    }
}

impl CatalogueError {
    /// Whether what is stored is damaged; false where it could only not be read or written.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
        match self {
            Self::Damaged { .. } => true,
            Self::Store(source) => match source.downcast_ref::<rusqlite::Error>() {
                Some(error) => match error.sqlite_error_code() {
                    Some(code) => matches!(code, DatabaseCorrupt | NotADatabase),
                    // A value is not of the type that its column has.
                    None => true,
                },
                None => false,
            },
            _ => false,
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

#[cfg(test)]
mod tests {
    use rusqlite::{Connection, ffi};

    use super::*;

    fn of(code: i32) -> CatalogueError {
        rusqlite::Error::SqliteFailure(ffi::Error::new(code), None).into()
    }

    #[test]
    fn damage_is_told_from_what_cannot_be_read_or_written() {
        for code in [ffi::SQLITE_CORRUPT, ffi::SQLITE_NOTADB] {
            assert!(of(code).is_damage(), "{code}");
        }
        for code in [
            ffi::SQLITE_READONLY,
            ffi::SQLITE_CANTOPEN,
            ffi::SQLITE_IOERR_READ,
            ffi::SQLITE_PERM,
        ] {
            assert!(!of(code).is_damage(), "{code}");
        }
        assert!(damaged("a row").is_damage());
        let other = Connection::open_in_memory().unwrap();
        let wrong = other.query_row("SELECT 'text'", [], |row| row.get::<_, i64>(0));
        assert!(CatalogueError::from(wrong.unwrap_err()).is_damage());
    }

    #[test]
    fn what_passes_is_told_from_what_stays() {
        for code in [
            ffi::SQLITE_FULL,
            ffi::SQLITE_IOERR_WRITE,
            ffi::SQLITE_IOERR_SHMSIZE,
        ] {
            assert!(matches!(of(code), CatalogueError::Full { .. }), "{code}");
        }
        for code in [ffi::SQLITE_BUSY, ffi::SQLITE_BUSY_SNAPSHOT, ffi::SQLITE_LOCKED] {
            assert!(matches!(of(code), CatalogueError::Locked), "{code}");
        }
        assert!(of(ffi::SQLITE_FULL).passes() && of(ffi::SQLITE_BUSY).passes());
        assert!(!of(ffi::SQLITE_CORRUPT).passes());
    }
}
