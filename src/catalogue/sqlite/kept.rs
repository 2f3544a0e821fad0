//! The graph's files beside the database, for a quick start.
//!
//! They are a cache. They are loaded only if they are byte for byte what was written, in this graph format, over embeddings
//! of this model, probe and T; the caller compares the embeddings themselves, row by row. Pictures that were removed since
//! leave gaps, and new ones are linked.

use std::path::{Path, PathBuf};

use engine::neighbours::{GRAPH_FORMAT, Neighbours, NeighboursError};
use engine::network::hex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::catalogue::origin::Origin;
use crate::catalogue::product::PictureKey;

const FOLDER: &str = "index";
const NEXT: &str = "index-next";
const MANIFEST: &str = "manifest.json";
const ROWS: &str = "rows";

/// Why a graph cannot be kept.
#[derive(Debug, Error)]
pub enum KeepError {
    #[error("{path}: {source}")]
    File { path: String, source: std::io::Error },
    #[error(transparent)]
    Neighbours(#[from] NeighboursError),
}

/// One row of the kept graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeptRow {
    pub picture: PictureKey,
    /// The hash of its embedding.
    pub hash: [u8; 8],
}

/// What a kept graph was built over, and the checksums of its files.
#[derive(Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
struct Manifest {
    format: String,
    model_id: String,
    probe: String,
    time_steps: u32,
    /// File names with their SHA-256.
    files: Vec<(String, String)>,
}

/// The folder of the kept graph in a data directory.
pub fn folder(data_dir: &Path) -> PathBuf {
    data_dir.join(FOLDER)
}

/// The folder of the graph that is to replace that one.
pub fn next_folder(data_dir: &Path) -> PathBuf {
    data_dir.join(NEXT)
}

/// Replaces the kept graph by that of [`next_folder`], if there is one.
pub fn adopt(data_dir: &Path) {
    let (folder, next) = (folder(data_dir), next_folder(data_dir));
    let moved = match std::fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => std::fs::rename(&next, &folder),
    };
    if let Err(error) = moved
        && next.exists()
    {
        // It is a cache: the next start rebuilds it.
        tracing::warn!(%error, "could not save the new index");
    }
}

/// Removes the graph of [`next_folder`].
pub fn drop_next(data_dir: &Path) {
    // Usually there is none, and one that stays is never read.
    let _ = std::fs::remove_dir_all(next_folder(data_dir));
}

/// Removes what a process that was killed had half written.
pub fn drop_halves(data_dir: &Path) {
    for folder in [folder(data_dir), next_folder(data_dir)] {
        let half = fresh(&folder);
        match std::fs::remove_dir_all(&half) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(%error, half = %half.display(), "could not remove a half-written index");
            }
            _ => {}
        }
    }
}

/// Where a graph is written before it replaces that of a folder.
fn fresh(folder: &Path) -> PathBuf {
    folder.with_extension("new")
}

/// The first 8 bytes of an embedding's SHA-256.
pub fn row_hash(values: &[i32]) -> [u8; 8] {
    let mut hash = Sha256::new();
    for value in values {
        hash.update(value.to_le_bytes());
    }
    let hash = hash.finalize();
    *hash.first_chunk().expect("32 bytes")
}

impl Manifest {
    fn new(origin: &Origin, files: Vec<(String, String)>) -> Self {
        Self {
            format: GRAPH_FORMAT.to_owned(),
            model_id: origin.model_id.clone(),
            probe: origin.probe.to_string(),
            time_steps: origin.time_steps.get(),
            files,
        }
    }
}

/// The contents of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    None,
    /// A graph of another format, model, probe or T.
    Other,
    Damaged {
        why: String,
    },
    /// The rows of a graph whose files match their checksums.
    Whole(Vec<KeptRow>),
}

/// Reads the kept graph of a folder.
pub fn read(folder: &Path, origin: &Origin) -> Kept {
    let Ok(json) = std::fs::read(folder.join(MANIFEST)) else {
        return Kept::None;
    };
    let damaged = |name: &str| Kept::Damaged {
        why: format!("{} is not what was written", folder.join(name).display()),
    };
    let Ok(found) = serde_json::from_slice::<Manifest>(&json) else {
        return damaged(MANIFEST);
    };
    if found != Manifest::new(origin, found.files.clone()) {
        return Kept::Other;
    }
    for (name, sha256) in &found.files {
        let plain = Path::new(name)
            .file_name()
            .is_some_and(|file| file == name.as_str());
        if !plain || !file_sha256(&folder.join(name)).is_ok_and(|found| found == *sha256) {
            return damaged(name);
        }
    }
    let listed = found.files.iter().any(|(name, _)| name == ROWS);
    let rows = std::fs::read(folder.join(ROWS)).ok();
    let rows = rows.filter(|rows| listed && rows.len().is_multiple_of(16));
    let Some(rows) = rows else {
        return damaged(ROWS);
    };
    let rows = rows.as_chunks::<16>().0.iter().map(|row| {
        let (picture, hash) = row.split_at(8);
        let number = i64::from_le_bytes(*picture.first_chunk().expect("8 bytes"));
        KeptRow {
            picture: PictureKey(number),
            hash: *hash.first_chunk().expect("8 bytes"),
        }
    });
    Kept::Whole(rows.collect())
}

/// Keeps a graph over the embeddings of `pictures` for the next start, or logs why it cannot be kept.
pub fn keep(
    folder: &Path,
    origin: &Origin,
    neighbours: &Neighbours,
    pictures: impl Iterator<Item = PictureKey>,
) {
    let vectors = neighbours.vectors();
    let rows = pictures.enumerate().map(|(row, picture)| KeptRow {
        picture,
        hash: row_hash(&vectors.row(row)),
    });
    if let Err(error) = write(folder, origin, neighbours, rows) {
        // It is a cache: without it the next start is slower. Half of one would only take room.
        let _ = std::fs::remove_dir_all(fresh(folder));
        tracing::warn!(%error, "could not save the index");
    }
}

/// Writes graph, rows and manifest into a new folder, which then replaces the old one.
fn write(
    folder: &Path,
    origin: &Origin,
    neighbours: &Neighbours,
    rows: impl Iterator<Item = KeptRow>,
) -> Result<(), KeepError> {
    if !neighbours.has_graph() {
        return Ok(());
    }
    let failed = |path: &Path| {
        let path = path.display().to_string();
        move |source| KeepError::File { path, source }
    };
    let fresh = fresh(folder);
    match std::fs::remove_dir_all(&fresh) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(failed(&fresh)(error));
        }
        _ => {}
    }
    std::fs::create_dir_all(&fresh).map_err(failed(&fresh))?;
    let mut names = neighbours.dump(&fresh)?;
    let rows: Vec<u8> = rows
        .flat_map(|row| row.picture.0.to_le_bytes().into_iter().chain(row.hash))
        .collect();
    let path = fresh.join(ROWS);
    std::fs::write(&path, rows).map_err(failed(&path))?;
    names.push(ROWS.to_owned());
    let files = names
        .into_iter()
        .map(|name| {
            let path = fresh.join(&name);
            let sha256 = file_sha256(&path).map_err(failed(&path))?;
            Ok((name, sha256))
        })
        .collect::<Result<_, KeepError>>()?;
    let manifest = Manifest::new(origin, files);
    let json = serde_json::to_vec_pretty(&manifest).expect("a manifest is plain data");
    let path = fresh.join(MANIFEST);
    std::fs::write(&path, json).map_err(failed(&path))?;
    if folder.exists() {
        std::fs::remove_dir_all(folder).map_err(failed(folder))?;
    }
    std::fs::rename(&fresh, folder).map_err(failed(folder))
}

fn file_sha256(path: &Path) -> std::io::Result<String> {
    let mut hash = Sha256::new();
    std::io::copy(&mut std::fs::File::open(path)?, &mut hash)?;
    Ok(hex(&hash.finalize()))
}
