//! A folder of class folders, with or without `train`, `validation` and `test` above them.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};

use super::entry::{Entry, Part};
use super::inside::Inside;

/// The endings of the picture formats that can be decoded.
const ENDINGS: [&str; 6] = ["png", "jpg", "jpeg", "webp", "gif", "bmp"];

/// The pictures of a folder, in the order of their paths, and the number of files and folders that were skipped.
///
/// # Errors
/// If there are no pictures in class folders, there is no `train` beside `validation` or `test`, or a folder cannot be
/// read or is a link that leads out.
pub fn entries(folder: &Path, inside: &Inside) -> Result<(Vec<Entry>, usize)> {
    let top = Names::of(folder)?;
    let mut found = Found::default();
    let mut parts = Vec::new();
    for part in Part::ALL {
        let name = Path::new(part.as_str());
        // A class may be named `train`, too: a split holds folders.
        if top.folders.iter().any(|folder| folder == name)
            && !Names::of(&folder.join(name))?.folders.is_empty()
        {
            parts.push(part);
        }
    }
    if parts.is_empty() {
        found.skipped += top.others;
        for class in &top.folders {
            found.class(folder, class, class, None, inside)?;
        }
    } else {
        if !parts.contains(&Part::Train) {
            bail!(
                "{} has the folder {} but no folder train with class folders in it",
                folder.display(),
                parts[0]
            );
        }
        found.skipped += top.others + top.pictures.len() + top.folders.len() - parts.len();
        for part in parts {
            let name = Path::new(part.as_str());
            let below = Names::of(&folder.join(name))?;
            found.skipped += below.others + below.pictures.len();
            for class in &below.folders {
                found.class(folder, &name.join(class), class, Some(part), inside)?;
            }
        }
    }
    if found.entries.is_empty() {
        let loose = match top.pictures.len() {
            0 => String::new(),
            count => format!(" ({count} pictures lie beside them, without a class)"),
        };
        bail!(
            "{} has no pictures in class folders{loose}; expected FOLDER/CLASS/PICTURE or FOLDER/train/CLASS/PICTURE, \
             the pictures as PNG, JPEG, WebP, GIF or BMP files",
            folder.display()
        );
    }
    if found.entries.iter().all(|entry| entry.part.is_none()) {
        found.skipped += top.pictures.len();
    }
    Ok((found.entries, found.skipped))
}

#[derive(Default)]
struct Found {
    entries: Vec<Entry>,
    skipped: usize,
}

impl Found {
    fn class(
        &mut self,
        folder: &Path,
        path: &Path,
        class: &Path,
        part: Option<Part>,
        inside: &Inside,
    ) -> Result<()> {
        let whole = inside.whole(path);
        whole.map_err(|reason| anyhow!("{} {reason}", folder.join(path).display()))?;
        let names = Names::of(&folder.join(path))?;
        self.skipped += names.others + names.folders.len();
        for name in names.pictures {
            let file = path.join(name);
            self.entries.push(Entry {
                id: file.display().to_string(),
                file,
                label: Some(class.display().to_string()),
                group: None,
                part,
            });
        }
        Ok(())
    }
}

/// The names in a folder, sorted; hidden ones are left out.
struct Names {
    folders: Vec<PathBuf>,
    pictures: Vec<PathBuf>,
    others: usize,
}

impl Names {
    fn of(folder: &Path) -> Result<Self> {
        let unread = || format!("{} cannot be read", folder.display());
        let mut names = Self {
            folders: Vec::new(),
            pictures: Vec::new(),
            others: 0,
        };
        for entry in std::fs::read_dir(folder).with_context(unread)? {
            let entry = entry.with_context(unread)?;
            let name = PathBuf::from(entry.file_name());
            if name.as_os_str().as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let ending = name.extension().and_then(|ending| ending.to_str());
            let ending = ending.map(str::to_ascii_lowercase);
            if entry.path().is_dir() {
                names.folders.push(name);
            } else if ending.is_some_and(|ending| ENDINGS.contains(&ending.as_str())) {
                names.pictures.push(name);
            } else {
                names.others += 1;
            }
        }
        names.folders.sort();
        names.pictures.sort();
        Ok(names)
    }
}
