//! Backups: the whole catalogue as of one moment in one new file, while others read and write.

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::reader::Reader;
use crate::catalogue::error::CatalogueError;

/// Where a backup is written that is to be sent. One at a time.
const SENT: &str = "backup.tmp";

impl Reader {
    /// Writes the catalogue into one new file.
    pub fn back_up(&self, out: &Path) -> Result<(), CatalogueError> {
        let path = out.to_str().ok_or_else(|| CatalogueError::Invalid {
            field: "out".to_owned(),
            reason: "must be a path in UTF-8".to_owned(),
        })?;
        self.connection().execute("VACUUM INTO ?1", [path])?;
        let synced = File::open(out).and_then(|file| file.sync_all());
        synced.map_err(|source| CatalogueError::Store(Box::new(source)))
    }
}

/// Where a backup is written that is to be sent, and may be left by a process that was killed.
pub fn sent(data_dir: &Path) -> PathBuf {
    data_dir.join(SENT)
}

/// Removes a backup that is not needed.
pub fn forget(file: &Path) {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            tracing::warn!(%error, file = %file.display(), "could not remove a backup that is of no use");
        }
        _ => {}
    }
}
