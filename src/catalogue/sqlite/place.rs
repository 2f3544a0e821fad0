//! Whether a data directory still holds the files that were opened there: SQLite would write on into removed ones.

use std::io::Result;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Files with what identifies them on this machine.
#[derive(Debug)]
pub struct Place(Vec<(PathBuf, (u64, u64))>);

impl Place {
    /// As the files are now.
    pub fn of(files: Vec<PathBuf>) -> Result<Self> {
        let identified = files.into_iter().map(|path| Ok((identity(&path)?, path)));
        let identified = identified.map(|found: Result<_>| found.map(|(identity, path)| (path, identity)));
        identified.collect::<Result<_>>().map(Self)
    }

    /// What is no longer in its place, as a sentence; none where all is.
    pub fn lost(&self) -> Option<String> {
        let lost = self
            .0
            .iter()
            .find(|(path, opened)| identity(path).ok() != Some(*opened));
        lost.map(|(path, _)| {
            format!(
                "{} was removed or replaced while the server runs; put it back, or stop the server and restore a backup",
                path.display()
            )
        })
    }
}

fn identity(path: &Path) -> Result<(u64, u64)> {
    let found = std::fs::metadata(path)?;
    Ok((found.dev(), found.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_removed_replaced_or_put_back_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let files = ["one", "two"].map(|name| folder.path().join(name));
        for path in &files {
            std::fs::write(path, b"as it was opened").unwrap();
        }
        let place = Place::of(files.to_vec()).unwrap();
        assert_eq!(place.lost(), None);
        let aside = folder.path().join("aside");
        std::fs::rename(&files[1], &aside).unwrap();
        let lost = place.lost().unwrap();
        assert!(lost.starts_with(files[1].to_str().unwrap()), "{lost}");
        std::fs::write(&files[1], b"as it was opened").unwrap();
        assert!(place.lost().is_some(), "another file of that name");
        std::fs::rename(&aside, &files[1]).unwrap();
        assert_eq!(place.lost(), None);
        assert!(Place::of(vec![aside]).is_err());
    }
}
