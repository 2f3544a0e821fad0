//! The reserve: a file that is given up on a full disk, so that products can still be deleted.

use std::fs::File;
use std::io::{Result, Write};
use std::path::{Path, PathBuf};

/// What a delete may need, and what the journal holds that is not in the database's file yet.
pub const BYTES: usize = 2 << 20;
const NAME: &str = "reserve";
const PIECE: usize = 64 << 10;

/// The reserve of a data directory.
#[derive(Debug)]
pub struct Reserve {
    path: PathBuf,
    there: bool,
}

impl Reserve {
    /// Looks for the file, and makes none.
    pub fn find(folder: &Path) -> Self {
        let path = folder.join(NAME);
        let there = std::fs::metadata(&path).is_ok_and(|found| found.len() == BYTES as u64);
        Self { path, there }
    }

    /// Whether the disk had room for it.
    pub fn is_there(&self) -> bool {
        self.there
    }

    /// Makes it, where there is room for it; says whether it is there.
    pub fn make(&mut self) -> bool {
        if !self.there {
            self.there = fill(&self.path).is_ok();
            if !self.there {
                let _ = std::fs::remove_file(&self.path);
            }
        }
        self.there
    }

    /// Whether there is as much room beside it.
    pub fn has_room_beside(&self) -> bool {
        let beside = self.path.with_extension("beside");
        let filled = fill(&beside).is_ok();
        let _ = std::fs::remove_file(beside);
        filled
    }

    /// Gives its room to others; false where there is none to give.
    pub fn give_up(&mut self) -> bool {
        let there = std::mem::take(&mut self.there);
        there && std::fs::remove_file(&self.path).is_ok()
    }
}

fn fill(path: &Path) -> Result<()> {
    // Zeros would take no room on a file system that compresses.
    let numbers = (0..PIECE as u32 / 4).flat_map(|number| number.wrapping_mul(0x9e37_79b1).to_le_bytes());
    let piece: Vec<u8> = numbers.collect();
    let mut file = File::create(path)?;
    for _ in 0..BYTES / PIECE {
        file.write_all(&piece)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_takes_its_room_once_and_gives_it_back_once() {
        let folder = tempfile::tempdir().unwrap();
        let mut reserve = Reserve::find(folder.path());
        assert!(!reserve.is_there() && !reserve.give_up());
        assert!(reserve.make() && reserve.is_there() && reserve.has_room_beside());
        let found = std::fs::metadata(folder.path().join(NAME)).unwrap().len();
        assert_eq!(found, 2 << 20);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        // The next process finds it.
        let mut reserve = Reserve::find(folder.path());
        assert!(reserve.is_there() && reserve.give_up() && !reserve.give_up());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_reserve_that_cannot_be_made_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let gone = folder.path().join("gone");
        let mut reserve = Reserve::find(&gone);
        assert!(!reserve.make() && !reserve.is_there() && !reserve.has_room_beside());
        assert!(!gone.exists());
    }
}
