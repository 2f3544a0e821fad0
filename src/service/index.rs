//! The neighbours of a catalogue: read from the store, their graph built once and kept beside it.
//!
//! The kept graph is a cache. It is taken up only if its files are, byte for byte, those that were written, over the
//! very embeddings that the store holds now; otherwise it is built anew.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::model::hex;
use super::{Progress, ServiceError, Stage};
use crate::catalogue::filter::Filter;
use crate::catalogue::store::Store;
use crate::catalogue::{Attributes, Origin, PictureKey, ProductKey};
use crate::neighbours::exact::Vectors;
use crate::neighbours::{GRAPH_FORMAT, Neighbours};

const FOLDER: &str = "index";
const MANIFEST: &str = "manifest.json";

/// Embeddings with their graph, and whose they are.
#[derive(Debug)]
pub struct Index {
    pub neighbours: Neighbours,
    /// Entry by entry: which picture of which product.
    pub entries: Vec<Entry>,
    /// What filters ask about, product by product.
    products: Vec<(ProductKey, Attributes)>,
    /// Whether the graph was taken up rather than built.
    pub from_cache: bool,
}

/// One embedding of the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    pub picture: PictureKey,
    pub product: ProductKey,
    /// Where the product's attributes are.
    attributes: usize,
}

/// The entries whose products pass a filter.
#[derive(Debug)]
pub struct Passing {
    entries: Vec<bool>,
    /// How many they are.
    pub count: usize,
}

impl Passing {
    /// Whether entry `index` is among them.
    pub fn has(&self, index: usize) -> bool {
        self.entries[index]
    }
}

/// What a kept graph was built over, and what its files must be.
#[derive(Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
struct Manifest {
    format: String,
    model_id: String,
    probe: String,
    time_steps: u32,
    entries: usize,
    /// SHA-256 over keys and values of every entry, in order.
    embeddings_sha256: String,
    /// File names with their SHA-256.
    files: Vec<(String, String)>,
}

impl Index {
    /// Reads every embedding and takes up or builds the graph over them.
    pub fn open(
        store: &Store,
        origin: &Origin,
        dimensions: usize,
        threads: usize,
        progress: &Progress,
    ) -> Result<Self, ServiceError> {
        progress.enter(Stage::Reading, store.products()?);
        let mut products = Vec::new();
        let mut places = HashMap::new();
        store.attributes(|product, attributes| {
            places.insert(product, products.len());
            products.push((product, attributes));
        })?;
        let mut vectors = Vectors::new(dimensions);
        let mut entries = Vec::new();
        let mut hash = Sha256::new();
        store.embeddings(dimensions, |picture, product, values| {
            hash.update(picture.0.to_le_bytes());
            for value in values {
                hash.update(value.to_le_bytes());
            }
            vectors.push(values);
            entries.push(Entry {
                picture,
                product,
                // Both tables are read by the one process that may write them: every picture's product is there.
                attributes: places[&product],
            });
            progress.advance(1);
        })?;
        let mut manifest = Manifest {
            format: GRAPH_FORMAT.to_owned(),
            model_id: origin.model_id.clone(),
            probe: origin.probe.to_string(),
            time_steps: origin.time_steps.get(),
            entries: entries.len(),
            embeddings_sha256: hex(&hash.finalize()),
            files: Vec::new(),
        };
        let folder = store.folder().join(FOLDER);
        if kept(&folder, &mut manifest) {
            // `load` takes the vectors; should it fail, the store has them still.
            match Neighbours::load(vectors.clone(), &folder) {
                Ok(neighbours) => {
                    return Ok(Self {
                        neighbours,
                        entries,
                        products,
                        from_cache: true,
                    });
                }
                Err(error) => tracing::warn!(%error, "the kept index is built anew"),
            }
        }
        progress.enter(Stage::Indexing, vectors.len());
        let neighbours = Neighbours::build(vectors, threads, &|count| progress.advance(count));
        if let Err(error) = keep(&folder, &neighbours, manifest) {
            // A search does not need the cache; the next start is slower.
            tracing::warn!(%error, "the index could not be kept");
        }
        Ok(Self {
            neighbours,
            entries,
            products,
            from_cache: false,
        })
    }

    /// The products after `after`, in stored order, that pass.
    pub fn products_after(
        &self,
        after: Option<ProductKey>,
        filter: Option<&Filter>,
    ) -> impl Iterator<Item = ProductKey> {
        let first = after.map_or(0, |after| self.products.partition_point(|(key, _)| *key <= after));
        self.products[first..]
            .iter()
            .filter(move |(_, attributes)| filter.is_none_or(|filter| filter.holds(attributes)))
            .map(|(key, _)| *key)
    }

    /// The embeddings of a product's pictures.
    pub fn embeddings_of(&self, product: ProductKey) -> Vec<Vec<i32>> {
        let own = self
            .entries
            .iter()
            .enumerate()
            .filter(|(_, entry)| entry.product == product);
        own.map(|(index, _)| self.neighbours.vectors().row(index))
            .collect()
    }

    /// Asks every product once.
    pub fn passing(&self, filter: &Filter) -> Passing {
        let products: Vec<bool> = self
            .products
            .iter()
            .map(|(_, attributes)| filter.holds(attributes))
            .collect();
        let entries: Vec<bool> = self
            .entries
            .iter()
            .map(|entry| products[entry.attributes])
            .collect();
        let count = entries.iter().filter(|passes| **passes).count();
        Passing { entries, count }
    }
}

/// Whether the folder holds, unharmed, a graph over what `wanted` describes; completes `wanted`'s files.
fn kept(folder: &Path, wanted: &mut Manifest) -> bool {
    let Ok(json) = std::fs::read(folder.join(MANIFEST)) else {
        return false;
    };
    let Ok(found) = serde_json::from_slice::<Manifest>(&json) else {
        tracing::warn!("the kept index has a damaged manifest and is built anew");
        return false;
    };
    wanted.files = found.files.clone();
    if found != *wanted || found.files.is_empty() {
        return false;
    }
    let whole = found.files.iter().all(|(name, sha256)| {
        let plain = Path::new(name)
            .file_name()
            .is_some_and(|file| file == name.as_str());
        plain && file_sha256(&folder.join(name)).is_ok_and(|found| found == *sha256)
    });
    if !whole {
        tracing::warn!("the kept index is damaged and is built anew");
    }
    whole
}

/// Writes graph and manifest into a new folder and puts it in the old one's place.
fn keep(folder: &Path, neighbours: &Neighbours, mut manifest: Manifest) -> Result<(), ServiceError> {
    if !neighbours.has_graph() {
        return Ok(());
    }
    let failed = |path: &Path| {
        let path = path.display().to_string();
        move |source| ServiceError::File { path, source }
    };
    let fresh: PathBuf = folder.with_extension("new");
    match std::fs::remove_dir_all(&fresh) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(failed(&fresh)(error));
        }
        _ => {}
    }
    std::fs::create_dir_all(&fresh).map_err(failed(&fresh))?;
    manifest.files = neighbours
        .dump(&fresh)?
        .into_iter()
        .map(|name| {
            let path = fresh.join(&name);
            let sha256 = file_sha256(&path).map_err(failed(&path))?;
            Ok((name, sha256))
        })
        .collect::<Result<_, ServiceError>>()?;
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
