//! The pictures of a data set by name, with splits; nothing is decoded yet.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Result, bail};

use super::divide::part_of;
use super::entry::{Entry, Part};
use super::folders;
use super::inside::Inside;
use super::manifest::{self, Manifest};

/// A data set other than Fashion-MNIST, before its pictures are read.
#[derive(Debug, Clone)]
pub struct Listing {
    /// The name of the folder or manifest.
    pub name: String,
    /// In the data set's order: that of the manifest, or of the paths.
    pub entries: Vec<Entry>,
    /// Pictures of no split, which are not used.
    pub unused: usize,
    /// Files and folders that are not pictures in class folders.
    pub skipped: usize,
    pub(super) inside: Inside,
}

impl Listing {
    /// Lists the pictures of a data set.
    ///
    /// # Errors
    /// If the path is not a data set, or its manifest is invalid.
    pub fn open(path: &Path) -> Result<Self> {
        if !path.exists() {
            bail!(
                "{} does not exist; expected a Fashion-MNIST folder (`make dataset` fetches it), a folder of class \
                 folders, or a manifest that ends in .csv or .ndjson",
                path.display()
            );
        }
        let photos = path.join("photos.csv");
        let file = if photos.is_file() { photos.as_path() } else { path };
        if file.is_dir() {
            let inside = Inside::of(file)?;
            let (entries, skipped) = folders::entries(file, &inside)?;
            let has_splits = entries.iter().any(|entry| entry.part.is_some());
            return Self::of(path, inside, Manifest { entries, has_splits }, skipped);
        }
        let ending = file.extension().and_then(|ending| ending.to_str());
        let manifest = match ending.map(str::to_ascii_lowercase).as_deref() {
            Some("csv") => manifest::csv(file)?,
            Some("ndjson" | "jsonl") => manifest::ndjson(file)?,
            _ => bail!(
                "{} is not a data set; expected a Fashion-MNIST folder, a folder of class folders, or a manifest that \
                 ends in .csv or .ndjson",
                path.display()
            ),
        };
        let inside = Inside::of(file.parent().unwrap_or(Path::new("")))?;
        Self::of(path, inside, manifest, 0)
    }

    fn of(path: &Path, inside: Inside, manifest: Manifest, skipped: usize) -> Result<Self> {
        let Manifest {
            mut entries,
            has_splits,
        } = manifest;
        if entries.is_empty() {
            bail!("{} names no pictures", path.display());
        }
        if !has_splits {
            for entry in &mut entries {
                entry.part = Some(part_of(entry));
            }
        }
        let all = entries.len();
        entries.retain(|entry| entry.part.is_some());
        if entries.is_empty() {
            bail!(
                "{}: the split of all {all} pictures is empty (not used); fill it with train, validation and test, or \
                 leave it out",
                path.display()
            );
        }
        let whole = path.canonicalize();
        let name = whole.as_deref().unwrap_or(path).file_name();
        Ok(Self {
            name: name.unwrap_or(path.as_os_str()).to_string_lossy().into_owned(),
            unused: all - entries.len(),
            entries,
            skipped,
            inside,
        })
    }

    /// The number of pictures of a split.
    #[must_use]
    pub fn count(&self, part: Part) -> usize {
        let in_part = |entry: &&Entry| entry.part == Some(part);
        self.entries.iter().filter(in_part).count()
    }

    /// Checks that there is something to learn: training pictures of two classes, and a class of two pictures.
    ///
    /// # Errors
    /// If not; the error says what there is.
    pub fn check_classes(&self) -> Result<()> {
        let name = &self.name;
        if self.count(Part::Train) == 0 {
            bail!("{name} has no training pictures among its {}", self.entries.len());
        }
        let mut training: BTreeMap<&str, usize> = BTreeMap::new();
        let mut all: BTreeMap<&str, usize> = BTreeMap::new();
        for entry in &self.entries {
            let Some(label) = &entry.label else { continue };
            *all.entry(label).or_default() += 1;
            if entry.part == Some(Part::Train) {
                *training.entry(label).or_default() += 1;
            }
        }
        if all.is_empty() {
            bail!("{name}: none of the {} pictures has a label", self.entries.len());
        }
        if all.len() > 1 && all.values().all(|&count| count == 1) {
            bail!(
                "{name}: each of the {} classes has one picture; a class needs at least two, of which one can be found \
                 by the other",
                all.len()
            );
        }
        match training.len() {
            0 => bail!("{name}: no training picture has a label"),
            1 => {
                let class = training.keys().next().copied().unwrap_or_default();
                bail!(
                    "{name}: all training pictures are of the class {class:?}; at least two classes are needed"
                )
            }
            _ => Ok(()),
        }
    }
}
