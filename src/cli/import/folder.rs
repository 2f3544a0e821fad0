//! A folder of pictures: each file a product, its name without the ending the id and the title.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::beside::Beside;
use super::source::Source;
use crate::catalogue::manifest::{ManifestProduct, Refusal};
use crate::service::ingest::{Image, Offered};
use engine::picture::Mode;

/// Endings of pictures that can be decoded.
const ENDINGS: [&str; 6] = ["png", "jpg", "jpeg", "webp", "gif", "bmp"];

/// The pictures of a folder in the order of their names.
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
            "{} holds no picture: files that end in {} are looked for, not in folders inside it",
            folder.display(),
            ENDINGS.join(", ")
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
                    format!("{other} has the same name before its ending, which is the id; rename one");
                Err(Refusal::of(&stem.to_string_lossy(), detail))
            }
        };
        let place = name.to_string_lossy().into_owned();
        taken.entry(stem).or_insert(name);
        Offered { place, product }
    });
    Ok(Source {
        offered: Box::new(offered),
        expected,
        skipped: (hidden + others > 0)
            .then(|| format!("{hidden} hidden files and {others} that are no pictures were skipped")),
    })
}

fn product(beside: &Beside, name: &Path, stem: Option<&str>) -> Result<ManifestProduct<Image>, Refusal> {
    let id = stem.ok_or_else(|| Refusal {
        id: None,
        detail: "the file's name is no UTF-8; a product's id is".to_owned(),
    })?;
    let image = beside
        .file(name)
        .map_err(|reason| Refusal::of(id, format!("image: {reason}")))?;
    ManifestProduct::new(id, id.to_owned(), serde_json::Map::new(), vec![image], Mode::Auto)
}
