//! The links of the index in a file beside the database, for a quick start.
//!
//! It is a cache, read only if it is byte for byte what was written, in this format, for embeddings of this model, probe and
//! T. Each row is known by the hash of its embedding, whatever pictures have it: rows whose embedding is gone leave gaps, and
//! new ones are linked.
//!
//! ```text
//! one line of JSON       format, model, probe, T, number of rows
//! 8 bytes a row          the hash of its embedding
//! links                  `engine::neighbours::Links::write`
//! 32 bytes               SHA-256 of all before
//! ```

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Error, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use engine::neighbours::{LINKS_FORMAT, Links, Neighbours};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::catalogue::origin::Origin;
use crate::catalogue::packing::packed;

const FILE: &str = "index.links";
const NEXT: &str = "index-next.links";
/// Where older versions kept the graph library's files.
const OLDER: [&str; 4] = ["index", "index.new", "index-next", "index-next.new"];
/// The longest first line.
const LINE: u64 = 4096;

/// Held by the one thread that writes a file.
static KEEPING: Mutex<()> = Mutex::new(());

/// The first 8 bytes of an embedding's SHA-256.
pub type RowHash = [u8; 8];

/// What the links are of.
#[derive(Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
struct Head {
    format: String,
    model_id: String,
    probe: String,
    time_steps: u32,
    rows: usize,
}

/// The file of the kept links in a data directory.
pub fn file(data_dir: &Path) -> PathBuf {
    data_dir.join(FILE)
}

/// The file of the links that are to replace those.
pub fn next_file(data_dir: &Path) -> PathBuf {
    data_dir.join(NEXT)
}

/// Replaces the kept links by those of [`next_file`], if there are any.
pub fn adopt(data_dir: &Path) {
    let (file, next) = (file(data_dir), next_file(data_dir));
    let replaced = match std::fs::rename(&next, &file) {
        // Those that are kept are of other embeddings now.
        Err(error) if error.kind() == ErrorKind::NotFound => std::fs::remove_file(&file),
        renamed => renamed,
    };
    match replaced {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            // It is a cache: the next start rebuilds it.
            tracing::warn!(%error, "could not save the new index");
        }
        _ => {}
    }
}

/// Removes the links of [`next_file`].
pub fn drop_next(data_dir: &Path) {
    // Usually there are none, and a file that stays is never read.
    let _ = std::fs::remove_file(next_file(data_dir));
}

/// Removes what a process that was killed had half written, and what older versions kept.
pub fn drop_halves(data_dir: &Path) {
    let halves = [file(data_dir), next_file(data_dir)].map(|file| (fresh(&file), false));
    let older = OLDER.map(|folder| (data_dir.join(folder), true));
    for (path, is_folder) in halves.into_iter().chain(older) {
        let removed = match is_folder {
            true => std::fs::remove_dir_all(&path),
            false => std::fs::remove_file(&path),
        };
        match removed {
            Err(error) if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                tracing::warn!(%error, path = %path.display(), "could not remove an index that is of no use");
            }
            _ => {}
        }
    }
}

/// Where links are written before they replace a file.
fn fresh(file: &Path) -> PathBuf {
    file.with_extension("links.new")
}

/// The hash by which a row is known.
pub fn row_hash(values: &[i32]) -> RowHash {
    let (width, bytes) = packed(values);
    let mut hash = Sha256::new();
    hash.update([width]);
    hash.update(bytes);
    let hash = hash.finalize();
    *hash.first_chunk().expect("32 bytes")
}

impl Head {
    fn new(origin: &Origin, rows: usize) -> Self {
        Self {
            format: LINKS_FORMAT.to_owned(),
            model_id: origin.model_id.clone(),
            probe: origin.probe.to_string(),
            time_steps: origin.time_steps.get(),
            rows,
        }
    }
}

/// What a file holds.
#[derive(Debug)]
pub enum Kept {
    None,
    /// Links of another format, model, probe or T.
    Other,
    Damaged {
        why: String,
    },
    Whole(KeptLinks),
}

/// Links, and the hash of each row's embedding.
#[derive(Debug)]
pub struct KeptLinks {
    pub hashes: Vec<RowHash>,
    pub links: Links,
}

/// Reads the links of a file.
pub fn read(file: &Path, origin: &Origin) -> Kept {
    match read_whole(file, origin) {
        Ok(Some(kept)) => Kept::Whole(kept),
        Ok(None) => Kept::Other,
        Err(error) if error.kind() == ErrorKind::NotFound => Kept::None,
        Err(error) => Kept::Damaged {
            why: format!("{} is not what was written: {error}", file.display()),
        },
    }
}

fn read_whole(file: &Path, origin: &Origin) -> std::io::Result<Option<KeptLinks>> {
    let wrong = |what: &str| Error::new(ErrorKind::InvalidData, what);
    let opened = File::open(file)?;
    let length = opened.metadata()?.len();
    let mut read = Hashed {
        with: BufReader::with_capacity(1 << 20, opened),
        hash: Sha256::new(),
    };
    let mut line = Vec::new();
    (&mut read.with).take(LINE).read_until(b'\n', &mut line)?;
    read.hash.update(&line);
    let head: Head = serde_json::from_slice(&line).map_err(|_| wrong("its first line"))?;
    if head != Head::new(origin, head.rows) {
        return Ok(None);
    }
    // A damaged number must not ask for more memory than the file could fill.
    if head.rows as u64 > length / 8 {
        return Err(wrong("its number of rows"));
    }
    let mut hashes = vec![[0; 8]; head.rows];
    read.read_exact(hashes.as_flattened_mut())?;
    let links = Links::read(&mut read, head.rows)?;
    let (mut sum, mut rest) = ([0; 32], [0]);
    read.with.read_exact(&mut sum)?;
    if sum != *read.hash.finalize() || read.with.read(&mut rest)? > 0 {
        return Err(wrong("its checksum"));
    }
    Ok(Some(KeptLinks { hashes, links }))
}

/// Keeps the links of an index for the next start, or logs why they cannot be kept.
pub fn keep(file: &Path, origin: &Origin, neighbours: &Neighbours) {
    let Some(links) = neighbours.links() else { return };
    let fresh = fresh(file);
    let _one = KEEPING.lock();
    let written = write(&fresh, origin, neighbours, links);
    if let Err(error) = written.and_then(|()| std::fs::rename(&fresh, file)) {
        // It is a cache: without it the next start is slower. Half of one would only take room.
        let _ = std::fs::remove_file(&fresh);
        tracing::warn!(%error, file = %file.display(), "could not save the index");
    }
}

fn write(file: &Path, origin: &Origin, neighbours: &Neighbours, links: &Links) -> std::io::Result<()> {
    let mut write = Hashed {
        with: BufWriter::with_capacity(1 << 20, File::create(file)?),
        hash: Sha256::new(),
    };
    let mut line = serde_json::to_vec(&Head::new(origin, links.rows()))?;
    line.push(b'\n');
    write.write_all(&line)?;
    for row in 0..links.rows() {
        write.write_all(&row_hash(&neighbours.vectors().row(row)))?;
    }
    links.write(&mut write)?;
    let Hashed { mut with, hash } = write;
    with.write_all(&hash.finalize())?;
    with.into_inner()?.sync_all()
}

/// Hashes what is read or written.
struct Hashed<T> {
    with: T,
    hash: Sha256,
}

impl<T: Read> Read for Hashed<T> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let count = self.with.read(into)?;
        self.hash.update(&into[..count]);
        Ok(count)
    }
}

impl<T: Write> Write for Hashed<T> {
    fn write(&mut self, from: &[u8]) -> std::io::Result<usize> {
        let count = self.with.write(from)?;
        self.hash.update(&from[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.with.flush()
    }
}
