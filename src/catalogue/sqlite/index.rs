//! The index of a catalogue: the neighbours among its embeddings, and the products that they belong to.
//!
//! It is read from the database and follows every write. One thread changes it (`super::writer`), any number search it. A
//! row of the neighbours is the embedding of one picture; a product knows its rows.

use std::collections::{BTreeMap, HashMap};
use std::ops::{Bound, Deref};
use std::path::Path;
use std::sync::Arc;

use engine::neighbours::exact::Vectors;
use engine::neighbours::{Neighbours, NeighboursError};
use parking_lot::Mutex;

use super::change::Change;
use super::embeddings::Table;
use super::kept::{self, Kept, KeptRow, row_hash};
use super::keys::ProductKey;
use super::reader::Reader;
use crate::catalogue::attributes::Attributes;
use crate::catalogue::error::CatalogueError;
use crate::catalogue::filter::Filter;
use crate::catalogue::origin::Origin;
use crate::catalogue::product::PictureKey;
use crate::progress::{Progress, Stage};

/// Rows that are copied during one read lock.
const ROWS_AT_ONCE: usize = 256;

/// Filters whose passing rows are kept, at a byte a row each.
const FILTERS: usize = 16;
/// Rows that are sampled to estimate how many pass a filter.
const SAMPLE: usize = 512;

/// Embeddings with their graph, and the products that they belong to.
#[derive(Debug)]
pub struct Index {
    pub neighbours: Neighbours,
    /// The picture and the product of each row; removed rows keep their entry.
    entries: Vec<Entry>,
    products: BTreeMap<ProductKey, Listed>,
    /// Whether the graph was kept by an earlier process rather than built.
    pub kept: bool,
    /// The rows that passed the last few filters, until the next write.
    passing: Mutex<Vec<(Filter, Arc<Passing>)>>,
}

/// One row of the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    pub picture: PictureKey,
    pub product: ProductKey,
}

/// The attributes of a product, and the rows of its embeddings.
#[derive(Debug)]
struct Listed {
    attributes: Attributes,
    rows: Vec<usize>,
}

/// The rows whose products pass a filter.
#[derive(Debug)]
pub struct Passing {
    rows: Vec<bool>,
    /// Their number.
    pub count: usize,
}

impl Passing {
    /// Whether row `index` passes.
    pub fn has(&self, index: usize) -> bool {
        self.rows[index]
    }
}

/// An index without removed rows, which is to replace the one that it was made from.
#[derive(Debug)]
pub struct Rebuilt {
    neighbours: Neighbours,
    entries: Vec<Entry>,
    /// The old index's row of each row.
    old_rows: Vec<usize>,
    /// Rows of the old index that have been read.
    seen: usize,
}

/// The contents of the database, in the order of the index's rows.
struct Contents {
    vectors: Vectors,
    entries: Vec<Entry>,
    removed: Vec<bool>,
    products: BTreeMap<ProductKey, Listed>,
}

impl Index {
    /// Reads every embedding, and loads or builds the graph over them.
    pub fn open(
        reader: &Reader,
        data_dir: &Path,
        origin: &Origin,
        dimensions: usize,
        threads: usize,
        progress: &Progress,
    ) -> Result<Self, CatalogueError> {
        let folder = kept::folder(data_dir);
        let kept = kept::read(&folder, origin);
        if let Kept::Damaged { why } = &kept {
            tracing::warn!(why, "rebuilding the stored index");
        }
        if let Kept::Whole(rows) = kept {
            let contents = Contents::read(reader, dimensions, progress, &rows)?;
            match contents.map(|contents| contents.with_kept_graph(rows.len(), &folder)) {
                Some(Ok(index)) if !index.neighbours.wants_rebuilding() => {
                    progress.enter(Stage::Indexing, index.neighbours.unlinked());
                    if index.neighbours.unlinked() > 0 {
                        let advance = |count| progress.advance(count);
                        index.neighbours.link_all(threads, &advance);
                        index.keep(&folder, origin);
                    }
                    return Ok(index);
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => tracing::warn!(%error, "rebuilding the stored index"),
                None => tracing::warn!("the stored index is of other embeddings; rebuilding it"),
            }
        }
        let contents = Contents::read(reader, dimensions, progress, &[])?;
        let contents = contents.expect("nothing kept, nothing that could differ");
        progress.enter(Stage::Indexing, contents.vectors.len());
        let index = Self {
            neighbours: Neighbours::build(contents.vectors, threads, &|count| progress.advance(count)),
            entries: contents.entries,
            products: contents.products,
            kept: false,
            passing: Mutex::default(),
        };
        index.keep(&folder, origin);
        Ok(index)
    }

    /// Keeps the graph for the next start.
    pub fn keep(&self, folder: &Path, origin: &Origin) {
        let pictures = self.entries.iter().map(|entry| entry.picture);
        kept::keep(folder, origin, &self.neighbours, pictures);
    }

    /// The picture and the product of a row.
    pub fn entry(&self, row: usize) -> Entry {
        self.entries[row]
    }

    /// The number of products.
    pub fn products(&self) -> usize {
        self.products.len()
    }

    /// The products behind `after` that pass, in stored order.
    pub fn products_after(
        &self,
        after: Option<ProductKey>,
        filter: Option<&Filter>,
    ) -> impl Iterator<Item = ProductKey> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.products
            .range((from, Bound::Unbounded))
            .filter(move |(_, listed)| filter.is_none_or(|filter| filter.holds(listed.attributes.as_map())))
            .map(|(key, _)| *key)
    }

    /// The embeddings of a product's pictures.
    pub fn embeddings_of(&self, product: ProductKey) -> Vec<Vec<i32>> {
        let rows = self.products.get(&product).map(|listed| listed.rows.as_slice());
        let rows = rows.unwrap_or_default().iter();
        rows.map(|row| self.neighbours.vectors().row(*row)).collect()
    }

    /// Whether the product of row `row` passes.
    pub fn passes(&self, row: usize, filter: &Filter) -> bool {
        let listed = self.products.get(&self.entries[row].product);
        listed.is_some_and(|listed| filter.holds(listed.attributes.as_map()))
    }

    /// About what share of the rows passes, estimated from a sample.
    pub fn share(&self, filter: &Filter) -> f64 {
        let rows = self.entries.len();
        let sample = (0..SAMPLE.min(rows)).map(|number| number * rows / SAMPLE.min(rows));
        let (mut live, mut passing) = (0u32, 0u32);
        for row in sample.filter(|row| self.neighbours.is_live(*row)) {
            live += 1;
            passing += u32::from(self.passes(row, filter));
        }
        f64::from(passing) / f64::from(live.max(1))
    }

    /// The rows whose products pass. Every product is filtered once; the result is kept until the next write.
    pub fn passing(&self, filter: &Filter) -> Arc<Passing> {
        let kept = || self.passing.lock();
        if let Some((_, passing)) = kept().iter().find(|(known, _)| known == filter) {
            return Arc::clone(passing);
        }
        let passing = Arc::new(self.ask(filter));
        let mut kept = kept();
        if kept.len() >= FILTERS {
            kept.remove(0);
        }
        kept.push((filter.clone(), Arc::clone(&passing)));
        passing
    }

    fn ask(&self, filter: &Filter) -> Passing {
        let mut rows = vec![false; self.entries.len()];
        let mut count = 0;
        for listed in self.products.values() {
            if filter.holds(listed.attributes.as_map()) {
                count += listed.rows.len();
                listed.rows.iter().for_each(|row| rows[*row] = true);
            }
        }
        Passing { rows, count }
    }

    /// Applies a committed write; later searches take it into account.
    pub fn apply(&mut self, change: Change) {
        self.passing = Mutex::default();
        match change {
            Change::Put {
                product,
                attributes,
                pictures,
            } => {
                self.forget(product);
                let rows = pictures.into_iter().map(|(picture, embedding)| {
                    self.entries.push(Entry { picture, product });
                    self.neighbours.push(&embedding)
                });
                let rows = rows.collect();
                self.products.insert(product, Listed { attributes, rows });
            }
            Change::Attributes { product, attributes } => {
                if let Some(listed) = self.products.get_mut(&product) {
                    listed.attributes = attributes;
                }
            }
            Change::Nothing => {}
            Change::Deleted { product } => self.forget(product),
            Change::PictureAdded {
                product,
                picture,
                embedding,
            } => {
                if let Some(listed) = self.products.get_mut(&product) {
                    self.entries.push(Entry { picture, product });
                    listed.rows.push(self.neighbours.push(&embedding));
                }
            }
            Change::PictureDeleted { product, picture } => {
                if let Some(listed) = self.products.get_mut(&product) {
                    let (entries, neighbours) = (&self.entries, &mut self.neighbours);
                    listed.rows.retain(|row| {
                        let gone = entries[*row].picture == picture;
                        if gone {
                            neighbours.remove(*row);
                        }
                        !gone
                    });
                }
            }
        }
    }

    fn forget(&mut self, product: ProductKey) {
        let rows = self.products.remove(&product).map(|listed| listed.rows);
        for row in rows.unwrap_or_default() {
            self.neighbours.remove(row);
        }
    }

    /// The products of this index with other embeddings of their pictures; the embeddings of pictures that this index does
    /// not have are removed.
    pub fn with_embeddings(&self, mut neighbours: Neighbours, pictures: &[PictureKey]) -> Self {
        let rows: HashMap<PictureKey, usize> = pictures.iter().copied().zip(0..).collect();
        let mut entries: Vec<Entry> = pictures
            .iter()
            .map(|picture| Entry {
                picture: *picture,
                product: ProductKey::NONE,
            })
            .collect();
        let listed = |(product, listed): (&ProductKey, &Listed)| {
            let pictures = listed.rows.iter().map(|row| self.entries[*row].picture);
            let rows: Vec<usize> = pictures
                .filter_map(|picture| rows.get(&picture).copied())
                .collect();
            rows.iter().for_each(|row| entries[*row].product = *product);
            let attributes = listed.attributes.clone();
            (*product, Listed { attributes, rows })
        };
        let products = self.products.iter().map(listed).collect();
        for (row, entry) in entries.iter().enumerate() {
            if entry.product == ProductKey::NONE {
                neighbours.remove(row);
            }
        }
        Self {
            neighbours,
            entries,
            products,
            kept: false,
            passing: Mutex::default(),
        }
    }

    /// The live rows among the next few behind the first `seen`, with their embeddings; and the new number of rows seen.
    fn live_rows(&self, seen: usize) -> (Vec<(usize, Entry, Vec<i32>)>, usize) {
        let end = self.entries.len().min(seen + ROWS_AT_ONCE);
        let rows = (seen..end)
            .filter(|row| self.neighbours.is_live(*row))
            .map(|row| (row, self.entries[row], self.neighbours.vectors().row(row)));
        (rows.collect(), end)
    }

    /// Replaces this index by a rebuilt one, once that has caught up with the last writes.
    pub fn replace(&mut self, mut rebuilt: Rebuilt) {
        self.passing = Mutex::default();
        while rebuilt.catch_up(self) > 0 {}
        let mut new_rows = vec![None; self.entries.len()];
        for (row, old_row) in rebuilt.old_rows.iter().enumerate() {
            if self.neighbours.is_live(*old_row) {
                new_rows[*old_row] = Some(row);
            } else {
                rebuilt.neighbours.remove(row);
            }
        }
        for listed in self.products.values_mut() {
            listed.rows = listed.rows.iter().filter_map(|row| new_rows[*row]).collect();
        }
        self.neighbours = rebuilt.neighbours;
        self.entries = rebuilt.entries;
    }
}

impl Rebuilt {
    /// Rebuilds the graph over the live rows; `with` locks the index, for a short time at each call.
    pub fn of<G: Deref<Target = Index>>(with: impl Fn() -> G) -> Self {
        let dimensions = with().neighbours.vectors().dimensions();
        let mut vectors = Vectors::new(dimensions);
        let mut entries = Vec::new();
        let mut old_rows = Vec::new();
        let mut seen = 0;
        loop {
            let (rows, end) = with().live_rows(seen);
            for (row, entry, values) in rows {
                vectors.push(&values);
                entries.push(entry);
                old_rows.push(row);
            }
            if std::mem::replace(&mut seen, end) == end {
                break;
            }
        }
        // One thread: the others are left to searches and writes.
        let mut rebuilt = Self {
            neighbours: Neighbours::build(vectors, 1, &|_| {}),
            entries,
            old_rows,
            seen,
        };
        // Rows that were written in the meantime follow, until few enough are left for the swap to wait for.
        while rebuilt.catch_up(&with()) == ROWS_AT_ONCE {
            rebuilt.neighbours.link_all(1, &|_| {});
        }
        rebuilt
    }

    /// Copies the next few rows of the index that it is made from; returns how many it has read.
    fn catch_up(&mut self, index: &Index) -> usize {
        let (rows, end) = index.live_rows(self.seen);
        for (row, entry, values) in rows {
            self.neighbours.push(&values);
            self.entries.push(entry);
            self.old_rows.push(row);
        }
        end - std::mem::replace(&mut self.seen, end)
    }
}

impl Contents {
    /// Reads the database so that the first rows are those of a kept graph, with gaps for removed pictures. `None` if the
    /// graph is over other embeddings.
    fn read(
        reader: &Reader,
        dimensions: usize,
        progress: &Progress,
        kept: &[KeptRow],
    ) -> Result<Option<Self>, CatalogueError> {
        progress.enter(Stage::Reading, reader.products()?);
        let mut read = Self {
            vectors: Vectors::new(dimensions),
            entries: Vec::new(),
            removed: Vec::new(),
            products: BTreeMap::new(),
        };
        reader.attributes(|product, attributes| {
            let rows = Vec::new();
            read.products.insert(product, Listed { attributes, rows });
        })?;
        let mut differs = false;
        // Both are in stored order.
        let mut next = 0;
        reader.embeddings(Table::Present, dimensions, |picture, product, values| {
            while next < kept.len() && kept[next].picture < picture {
                read.gap(kept[next].picture);
                next += 1;
            }
            if let Some(row) = kept.get(next) {
                differs |= row.picture != picture || row.hash != row_hash(values);
                next += 1;
            }
            read.push(Entry { picture, product }, values);
            progress.advance(1);
        })?;
        for row in &kept[next..] {
            read.gap(row.picture);
        }
        Ok((!differs).then_some(read))
    }

    fn push(&mut self, entry: Entry, values: &[i32]) {
        if let Some(listed) = self.products.get_mut(&entry.product) {
            listed.rows.push(self.entries.len());
        }
        self.vectors.push(values);
        self.entries.push(entry);
        self.removed.push(false);
    }

    /// A row of the graph whose picture was removed.
    fn gap(&mut self, picture: PictureKey) {
        let zeros = vec![0; self.vectors.dimensions()];
        self.vectors.push(&zeros);
        self.entries.push(Entry {
            picture,
            product: ProductKey::NONE,
        });
        self.removed.push(true);
    }

    fn with_kept_graph(self, linked: usize, folder: &Path) -> Result<Index, NeighboursError> {
        Ok(Index {
            neighbours: Neighbours::load(self.vectors, self.removed, linked, folder)?,
            entries: self.entries,
            products: self.products,
            kept: true,
            passing: Mutex::default(),
        })
    }
}
