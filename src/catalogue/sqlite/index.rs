//! The index of a catalogue: the neighbours among its embeddings, and the products that they belong to.
//!
//! It is read from the database and follows every write. One thread changes it (`super::writer`), any number search it. A
//! row of the neighbours is the embedding of one picture; a product knows its rows.

use std::collections::HashMap;
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;

use engine::neighbours::exact::Vectors;
use engine::neighbours::{Neighbours, NeighboursError};
use parking_lot::Mutex;

use super::change::Change;
use super::embeddings::Table;
use super::kept::{self, Kept, KeptRow, row_hash};
use super::keys::ProductKey;
use super::listing::{Listing, Passing, Products};
use super::reader::Reader;
use crate::catalogue::error::CatalogueError;
use crate::catalogue::filter::Filter;
use crate::catalogue::origin::Origin;
use crate::catalogue::product::PictureKey;
use crate::progress::{Progress, Stage};

/// Rows that are copied during one read lock.
const ROWS_AT_ONCE: usize = 256;

/// Filters whose passing rows are kept, at a bit a row each.
const FILTERS: usize = 16;

/// Embeddings with their graph, and the products that they belong to.
#[derive(Debug)]
pub struct Index {
    pub neighbours: Neighbours,
    /// The picture and the product of each row; removed rows keep their entry.
    entries: Vec<Entry>,
    products: Products,
    /// Whether the graph was kept by an earlier process rather than built.
    pub kept: bool,
    version: Version,
    /// The rows that passed the last few filters, until the next write.
    passing: Mutex<Vec<(Filter, Arc<Passing>)>>,
}

/// How often an index was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Version {
    /// Rows have other numbers than before.
    pub renumbered: u64,
    /// Anything is other than before.
    changed: u64,
}

/// One row of the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    picture: PictureKey,
    /// The place of its product among [`Products`].
    product: u32,
}

/// The place of no product.
const NOWHERE: u32 = u32::MAX;

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
    /// The rows of the product at each place.
    rows: Vec<Vec<u32>>,
    products: Products,
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
        let advance = |count| progress.advance(count);
        let neighbours = Neighbours::build(contents.vectors, threads, &advance);
        let index = Self::of(neighbours, contents.entries, contents.products, false);
        index.keep(&folder, origin);
        Ok(index)
    }

    /// Keeps the graph for the next start.
    pub fn keep(&self, folder: &Path, origin: &Origin) {
        let pictures = self.entries.iter().map(|entry| entry.picture);
        kept::keep(folder, origin, &self.neighbours, pictures);
    }

    fn of(neighbours: Neighbours, entries: Vec<Entry>, products: Products, kept: bool) -> Self {
        Self {
            neighbours,
            entries,
            products,
            kept,
            version: Version::default(),
            passing: Mutex::default(),
        }
    }

    /// The picture of a row.
    pub fn picture(&self, row: usize) -> PictureKey {
        self.entries[row].picture
    }

    /// The product of a row.
    pub fn product(&self, row: usize) -> ProductKey {
        let listed = self.products.at(self.place(row));
        listed.map_or(ProductKey::NONE, |listed| listed.key)
    }

    /// Where the listing has the product of a row.
    pub fn place(&self, row: usize) -> usize {
        self.entries[row].product as usize
    }

    /// The number of products.
    pub fn products(&self) -> usize {
        self.products.len()
    }

    /// The products as they are now.
    pub fn listing(&self) -> Listing {
        self.products.listing()
    }

    /// How often it was changed.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The embeddings of a product's pictures.
    pub fn embeddings_of(&self, product: ProductKey) -> Vec<Vec<i32>> {
        let listed = self
            .products
            .place(product)
            .and_then(|place| self.products.at(place));
        let rows = listed.map(|listed| &*listed.rows).unwrap_or_default().iter();
        rows.map(|row| self.neighbours.vectors().row(*row as usize))
            .collect()
    }

    /// The rows that pass a filter, if they are known.
    pub fn known_passing(&self, filter: &Filter) -> Option<Arc<Passing>> {
        let kept = self.passing.lock();
        let found = kept.iter().find(|(known, _)| known == filter);
        found.map(|(_, passing)| Arc::clone(passing))
    }

    /// Keeps the rows that passed a filter in a version, until the next write.
    pub fn keep_passing(&self, filter: &Filter, passing: &Arc<Passing>, of: Version) {
        if of != self.version {
            return;
        }
        let mut kept = self.passing.lock();
        if kept.len() >= FILTERS {
            kept.remove(0);
        }
        kept.push((filter.clone(), Arc::clone(passing)));
    }

    /// Applies a committed write; later searches take it into account.
    pub fn apply(&mut self, change: Change) {
        self.changed();
        match change {
            Change::Put {
                product,
                attributes,
                pictures,
            } => {
                let place = self.products.put(product, &attributes);
                let rows = pictures.into_iter().map(|(picture, embedding)| {
                    let product = number(place);
                    self.entries.push(Entry { picture, product });
                    number(self.neighbours.push(&embedding))
                });
                let rows = rows.collect();
                let before = self.products.set_rows(place, rows);
                self.forget(&before);
            }
            Change::Attributes { product, attributes } => {
                if self.products.place(product).is_some() {
                    self.products.put(product, &attributes);
                }
            }
            Change::Nothing => {}
            Change::Deleted { product } => {
                let rows = self.products.remove(product);
                self.forget(&rows);
            }
            Change::PictureAdded {
                product,
                picture,
                embedding,
            } => {
                if let Some((place, mut rows)) = self.rows_of(product) {
                    let product = number(place);
                    self.entries.push(Entry { picture, product });
                    rows.push(number(self.neighbours.push(&embedding)));
                    self.products.set_rows(place, rows);
                }
            }
            Change::PictureDeleted { product, picture } => {
                if let Some((place, rows)) = self.rows_of(product) {
                    let is_it = |row: &u32| self.entries[*row as usize].picture == picture;
                    let (gone, rows): (Vec<u32>, Vec<u32>) = rows.into_iter().partition(is_it);
                    self.products.set_rows(place, rows);
                    self.forget(&gone);
                }
            }
        }
    }

    fn changed(&mut self) {
        self.version.changed += 1;
        self.passing = Mutex::default();
    }

    fn rows_of(&self, product: ProductKey) -> Option<(usize, Vec<u32>)> {
        let place = self.products.place(product)?;
        Some((place, self.products.at(place)?.rows.to_vec()))
    }

    fn forget(&mut self, rows: &[u32]) {
        for row in rows {
            self.neighbours.remove(*row as usize);
        }
    }

    /// The products of this index with other embeddings of their pictures; the embeddings of pictures that this index does
    /// not have are removed.
    pub fn with_embeddings(&self, mut neighbours: Neighbours, pictures: &[PictureKey]) -> Self {
        let rows: HashMap<PictureKey, u32> = pictures.iter().copied().zip(0..).collect();
        let nowhere = |picture: &PictureKey| Entry {
            picture: *picture,
            product: NOWHERE,
        };
        let mut entries: Vec<Entry> = pictures.iter().map(nowhere).collect();
        let products = self.products.renumbered(|place, listed| {
            let pictures = listed.rows.iter().map(|row| self.picture(*row as usize));
            let rows: Vec<u32> = pictures
                .filter_map(|picture| rows.get(&picture).copied())
                .collect();
            for row in &rows {
                entries[*row as usize].product = number(place);
            }
            rows
        });
        for (row, entry) in entries.iter().enumerate() {
            if entry.product == NOWHERE {
                neighbours.remove(row);
            }
        }
        Self::of(neighbours, entries, products, false)
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
        self.changed();
        self.version.renumbered += 1;
        while rebuilt.catch_up(self) > 0 {}
        let mut new_rows = vec![None; self.entries.len()];
        for (row, old_row) in rebuilt.old_rows.iter().enumerate() {
            if self.neighbours.is_live(*old_row) {
                new_rows[*old_row] = Some(number(row));
            } else {
                rebuilt.neighbours.remove(row);
            }
        }
        let entries = &mut rebuilt.entries;
        self.products = self.products.renumbered(|place, listed| {
            let rows = listed.rows.iter();
            let rows: Vec<u32> = rows.filter_map(|row| new_rows[*row as usize]).collect();
            for row in &rows {
                entries[*row as usize].product = number(place);
            }
            rows
        });
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
            rows: Vec::new(),
            products: Products::default(),
        };
        reader.attributes(|product, attributes| {
            read.products.put(product, &attributes);
            read.rows.push(Vec::new());
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
            read.push(picture, product, values);
            progress.advance(1);
        })?;
        for row in &kept[next..] {
            read.gap(row.picture);
        }
        for (place, rows) in std::mem::take(&mut read.rows).into_iter().enumerate() {
            read.products.set_rows(place, rows);
        }
        Ok((!differs).then_some(read))
    }

    fn push(&mut self, picture: PictureKey, product: ProductKey, values: &[i32]) {
        let place = self.products.place(product);
        if let Some(rows) = place.and_then(|place| self.rows.get_mut(place)) {
            rows.push(number(self.entries.len()));
        }
        let product = place.map_or(NOWHERE, number);
        self.vectors.push(values);
        self.entries.push(Entry { picture, product });
        self.removed.push(false);
    }

    /// A row of the graph whose picture was removed.
    fn gap(&mut self, picture: PictureKey) {
        let zeros = vec![0; self.vectors.dimensions()];
        self.vectors.push(&zeros);
        self.entries.push(Entry {
            picture,
            product: NOWHERE,
        });
        self.removed.push(true);
    }

    fn with_kept_graph(self, linked: usize, folder: &Path) -> Result<Index, NeighboursError> {
        let neighbours = Neighbours::load(self.vectors, self.removed, linked, folder)?;
        Ok(Index::of(neighbours, self.entries, self.products, true))
    }
}

/// A row's or a product's number in the width that the index keeps.
fn number(index: usize) -> u32 {
    u32::try_from(index).expect("fewer than four billion rows")
}
