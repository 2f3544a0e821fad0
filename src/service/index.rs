//! The neighbours of a catalogue, and whose they are: read from the store, then changed with every write.
//!
//! One thread changes it (`super::writer`), any number search. A row of the neighbours is one picture's embedding; a
//! product knows its rows.

mod successor;

use std::collections::BTreeMap;
use std::ops::{Bound, Deref};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::kept::{self, Kept, KeptRow, row_hash};
use super::{Progress, ServiceError, Stage};
use crate::catalogue::filter::Filter;
use crate::catalogue::store::Store;
use crate::catalogue::write::Change;
use crate::catalogue::{Attributes, Origin, PictureKey, ProductKey};
use engine::neighbours::Neighbours;
use engine::neighbours::exact::Vectors;

pub use successor::Successor;

/// Rows that are copied while nobody else may change the index.
const ROWS_AT_ONCE: usize = 256;

/// Filters whose answers are kept: a byte a row each.
const FILTERS: usize = 16;
/// Rows that are asked how common a filter is.
const SAMPLE: usize = 512;

/// Embeddings with their graph, and whose they are.
#[derive(Debug)]
pub struct Index {
    pub neighbours: Neighbours,
    /// Row by row: which picture of which product; removed rows keep their entry.
    entries: Vec<Entry>,
    products: BTreeMap<ProductKey, Listed>,
    /// Whether the graph was taken up rather than built.
    pub from_cache: bool,
    /// What passed the last few filters; of no use after the next write.
    passing: Mutex<Vec<(Filter, Arc<Passing>)>>,
}

/// One row of the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    pub picture: PictureKey,
    pub product: ProductKey,
}

/// What filters ask about, and where the product's embeddings are.
#[derive(Debug)]
struct Listed {
    attributes: Attributes,
    rows: Vec<usize>,
}

/// The rows whose products pass a filter.
#[derive(Debug)]
pub struct Passing {
    rows: Vec<bool>,
    /// How many they are.
    pub count: usize,
}

impl Passing {
    /// Whether row `index` is among them.
    pub fn has(&self, index: usize) -> bool {
        self.rows[index]
    }
}

/// An index without its removed rows, on its way to take the place of the one that it was made from.
#[derive(Debug)]
pub struct Rebuilt {
    neighbours: Neighbours,
    entries: Vec<Entry>,
    /// Which row of the old index each row was.
    old_rows: Vec<usize>,
    /// Rows of the old index that were looked at.
    seen: usize,
}

/// What the store holds, in the order of its rows.
struct Contents {
    vectors: Vectors,
    entries: Vec<Entry>,
    removed: Vec<bool>,
    products: BTreeMap<ProductKey, Listed>,
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
        let folder = kept::folder(store.folder());
        let kept = kept::read(&folder, origin);
        if let Kept::Damaged { why } = &kept {
            tracing::warn!(why, "the kept index is built anew");
        }
        if let Kept::Whole(rows) = kept {
            let contents = Contents::read(store, dimensions, progress, &rows)?;
            match contents.map(|contents| contents.take_up(rows.len(), &folder)) {
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
                Some(Err(error)) => tracing::warn!(%error, "the kept index is built anew"),
                None => tracing::warn!("the kept index is of other embeddings and is built anew"),
            }
        }
        let contents = Contents::read(store, dimensions, progress, &[])?;
        let contents = contents.expect("nothing kept, nothing that could differ");
        progress.enter(Stage::Indexing, contents.vectors.len());
        let index = Self {
            neighbours: Neighbours::build(contents.vectors, threads, &|count| progress.advance(count)),
            entries: contents.entries,
            products: contents.products,
            from_cache: false,
            passing: Mutex::default(),
        };
        index.keep(&folder, origin);
        Ok(index)
    }

    /// Writes the graph beside the store, for the next start.
    pub fn keep(&self, folder: &Path, origin: &Origin) {
        let pictures = self.entries.iter().map(|entry| entry.picture);
        keep(folder, origin, &self.neighbours, pictures);
    }

    /// Whose embedding a row is.
    pub fn entry(&self, row: usize) -> Entry {
        self.entries[row]
    }

    /// The number of products.
    pub fn products(&self) -> usize {
        self.products.len()
    }

    /// The products after `after`, in stored order, that pass.
    pub fn products_after(
        &self,
        after: Option<ProductKey>,
        filter: Option<&Filter>,
    ) -> impl Iterator<Item = ProductKey> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.products
            .range((from, Bound::Unbounded))
            .filter(move |(_, listed)| filter.is_none_or(|filter| filter.holds(&listed.attributes)))
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
        listed.is_some_and(|listed| filter.holds(&listed.attributes))
    }

    /// About what share of the rows passes, told from some of them.
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

    /// The rows whose products pass; every product is asked once, and the answer kept until the next write.
    pub fn passing(&self, filter: &Filter) -> Arc<Passing> {
        let kept = || self.passing.lock().unwrap_or_else(PoisonError::into_inner);
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
            if filter.holds(&listed.attributes) {
                count += listed.rows.len();
                listed.rows.iter().for_each(|row| rows[*row] = true);
            }
        }
        Passing { rows, count }
    }

    /// Follows a committed write; from now on searches answer by it.
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

    /// The live ones of the next few rows behind the first `seen`, with their embeddings; and how many are seen then.
    fn live_rows(&self, seen: usize) -> (Vec<(usize, Entry, Vec<i32>)>, usize) {
        let end = self.entries.len().min(seen + ROWS_AT_ONCE);
        let rows = (seen..end)
            .filter(|row| self.neighbours.is_live(*row))
            .map(|row| (row, self.entries[row], self.neighbours.vectors().row(row)));
        (rows.collect(), end)
    }

    /// Lets a rebuilt index take this one's place, once it has caught up with the last writes.
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

/// Writes a graph over pictures' embeddings for the next start.
fn keep(folder: &Path, origin: &Origin, neighbours: &Neighbours, pictures: impl Iterator<Item = PictureKey>) {
    let vectors = neighbours.vectors();
    let rows = pictures.enumerate().map(|(row, picture)| KeptRow {
        picture,
        hash: row_hash(&vectors.row(row)),
    });
    if let Err(error) = kept::keep(folder, origin, neighbours, rows) {
        // A search does not need the cache; the next start is slower.
        tracing::warn!(%error, "the index could not be kept");
    }
}

impl Rebuilt {
    /// Builds the graph anew over the live rows; `with` lends the index, for moments at a time.
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
        // One thread: searches and writes go on beside it.
        let mut rebuilt = Self {
            neighbours: Neighbours::build(vectors, 1, &|_| {}),
            entries,
            old_rows,
            seen,
        };
        // What was written meanwhile follows, until so little is left that the swap can wait for it.
        while rebuilt.catch_up(&with()) == ROWS_AT_ONCE {
            rebuilt.neighbours.link_all(1, &|_| {});
        }
        rebuilt
    }

    /// Takes up the next few rows of the index that it is made from; gives how many it looked at.
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
    /// Reads the store so that its first rows are those of a kept graph, gaps for what is gone; none if the graph was
    /// made of other embeddings.
    fn read(
        store: &Store,
        dimensions: usize,
        progress: &Progress,
        kept: &[KeptRow],
    ) -> Result<Option<Self>, ServiceError> {
        progress.enter(Stage::Reading, store.products()?);
        let mut read = Self {
            vectors: Vectors::new(dimensions),
            entries: Vec::new(),
            removed: Vec::new(),
            products: BTreeMap::new(),
        };
        store.attributes(|product, attributes| {
            let rows = Vec::new();
            read.products.insert(product, Listed { attributes, rows });
        })?;
        let mut differs = false;
        // Both are in the order in which pictures were stored.
        let mut next = 0;
        store.embeddings(dimensions, |picture, product, values| {
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

    /// A row of the graph whose picture is gone.
    fn gap(&mut self, picture: PictureKey) {
        let zeros = vec![0; self.vectors.dimensions()];
        self.vectors.push(&zeros);
        self.entries.push(Entry {
            picture,
            product: ProductKey::NONE,
        });
        self.removed.push(true);
    }

    fn take_up(self, linked: usize, folder: &Path) -> Result<Index, ServiceError> {
        Ok(Index {
            neighbours: Neighbours::load(self.vectors, self.removed, linked, folder)?,
            entries: self.entries,
            products: self.products,
            from_cache: true,
            passing: Mutex::default(),
        })
    }
}
