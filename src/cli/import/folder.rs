//! A directory of pictures: each file is a product, whose id and title are the file name without its extension.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::beside::Beside;
use super::source::Source;
use crate::catalogue::manifest::{ManifestProduct, Refusal};
use crate::service::ingest::{Image, Offered};
use engine::picture::Mode;

/// Extensions of files that can be decoded.
const ENDINGS: [&str; 6] = ["png", "jpg", "jpeg", "webp", "gif", "bmp"];

/// The pictures of a directory, ordered by file name.
///
/// # Errors
/// If the directory cannot be read or contains no picture.
pub fn source(folder: &Path) -> Result<Source> {
    let beside = Beside::folder(folder)?;
    let unread = || format!("{} cannot be read", folder.display());
    let (mut names, mut hidden, mut others) = (Vec::new(), 0, 0);
    for entry in std::fs::read_dir(folder).with_context(unread)? {
        let entry = entry.with_context(unread)?;
        let name = entry.file_name();
        let ending = Path::new(&name).extension().and_then(|ending| ending.to_str());
        let ending = ending.map(str::to_ascii_lowercase);
        if name.as_encoded_bytes().starts_with(b".") {
            hidden += 1;
        } else if entry.file_type().is_ok_and(|kind| kind.is_dir())
            || !ending.is_some_and(|ending| ENDINGS.contains(&ending.as_str()))
        {
            others += 1;
        } else {
            names.push(name);
        }
    }
    if names.is_empty() {
        bail!(
            "{} contains no pictures: expected files named {}; subdirectories are not searched",
            folder.display(),
            ENDINGS.map(|ending| format!("*.{ending}")).join(", ")
        );
    }
    names.sort_unstable();
    let expected = names.len();
    let mut taken: HashMap<OsString, OsString> = HashMap::new();
    let offered = names.into_iter().map(move |name| {
        let stem = Path::new(&name).file_stem().unwrap_or_default().to_owned();
        let product = match taken.get(&stem) {
            None => product(&beside, Path::new(&name), stem.to_str()),
            Some(other) => {
                let other = other.to_string_lossy();
                let detail =
                    format!("{other} has the same name without the extension, which is the product id; rename one of them");
                Err(Refusal::of(&stem.to_string_lossy(), detail))
            }
        };
        let place = name.to_string_lossy().into_owned();
        taken.entry(stem).or_insert(name);
        Offered::product(place, product)
    });
    Ok(Source {
        offered: Box::new(offered),
        expected,
        skipped: (hidden + others > 0)
            .then(|| format!("skipped {hidden} hidden files and {others} that are not pictures")),
    })
}

fn product(beside: &Beside, name: &Path, stem: Option<&str>) -> Result<ManifestProduct<Image>, Refusal> {
    let id = stem.ok_or_else(|| Refusal {
        id: None,
        detail: "the file name is not UTF-8, which a product id must be".to_owned(),
    })?;
    let image = beside
        .file(name)
        .map_err(|reason| Refusal::of(id, format!("image: {reason}")))?;
    ManifestProduct::new(id, id.to_owned(), serde_json::Map::new(), vec![image], Mode::Auto)
}
