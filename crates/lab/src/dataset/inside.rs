//! Files of one folder: no path leads out of it.

use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result};

/// The largest picture file that is read, in bytes: more than a BMP file of 40 megapixels has.
const MAX_FILE: u64 = 256 << 20;

/// A folder whose files may be read.
#[derive(Debug, Clone)]
pub struct Inside {
    folder: PathBuf,
}

impl Inside {
    /// # Errors
    /// If the folder cannot be read.
    pub fn of(folder: &Path) -> Result<Self> {
        let folder = match folder.as_os_str().is_empty() {
            true => Path::new("."),
            false => folder,
        };
        let whole = folder.canonicalize();
        let folder = whole.with_context(|| format!("{} cannot be read", folder.display()))?;
        Ok(Self { folder })
    }

    /// The whole path of a file or folder inside; the error is a sentence that does not name it.
    ///
    /// # Errors
    /// If the path leads out of the folder, by itself or by a symbolic link, or there is nothing.
    pub fn whole(&self, path: &Path) -> Result<PathBuf, String> {
        let plain = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
        if !path.components().all(plain) {
            return Err(
                "leads out of the data set's folder; a path must be relative to it, without `..`".to_owned(),
            );
        }
        let whole = self.folder.join(path).canonicalize();
        let whole = whole.map_err(|error| format!("cannot be read: {error}"))?;
        if !whole.starts_with(&self.folder) {
            return Err(
                "is a link that leads out of the data set's folder; copy the file into the folder".to_owned(),
            );
        }
        Ok(whole)
    }

    /// Reads a file; the error is a sentence that does not name it.
    ///
    /// # Errors
    /// If the path leads out of the folder, is not a file, is too large or cannot be read.
    pub fn read(&self, path: &Path) -> Result<Vec<u8>, String> {
        let whole = self.whole(path)?;
        let unread = |error: std::io::Error| format!("cannot be read: {error}");
        let metadata = whole.metadata().map_err(unread)?;
        if !metadata.is_file() {
            return Err("is not a file".to_owned());
        }
        if metadata.len() > MAX_FILE {
            return Err(format!("has {} bytes, the limit is {MAX_FILE}", metadata.len()));
        }
        std::fs::read(whole).map_err(unread)
    }
}
