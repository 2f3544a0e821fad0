//! The index of a catalogue: the neighbours among its embeddings, the pictures that have them, and their products.
//!
//! It is read from the database and follows every write. One thread changes it (`super::writer`), any number search it. A
//! row of the neighbours is an embedding; pictures with equal embeddings share it. A product knows the places of its pictures.

use std::collections::HashMap;
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;

use engine::neighbours::{EXACT_BELOW, Links, Neighbours};
use parking_lot::Mutex;

use super::change::Change;
use super::embeddings::Table;
use super::kept::{self, Kept, row_hash};
use super::keys::ProductKey;
use super::listing::{Listing, Products};
use super::passing::Passing;
use super::pictures::{Entry, NOWHERE, Pictures};
use super::reader::Reader;
use crate::catalogue::counts::Counts;
use crate::catalogue::error::CatalogueError;
use crate::catalogue::filter::Filter;
use crate::catalogue::last_few::LastFew;
use crate::catalogue::origin::Origin;
use crate::catalogue::product::PictureKey;
use crate::progress::{Progress, Stage};

/// Pictures that are copied during one read lock.
const PICTURES_AT_ONCE: usize = 256;

/// Filters whose passing pictures are kept, at a bit a picture each.
const FILTERS: usize = 16;
/// Counts that are kept, of up to 100 values for each attribute.
const COUNTS: usize = 64;

/// Embeddings with their links, and the pictures and products that they belong to.
#[derive(Debug)]
pub struct Index {
    pub neighbours: Neighbours,
    pub pictures: Pictures,
    products: Products,
    /// Whether the links were kept by an earlier process rather than built.
    pub kept: bool,
    version: Version,
    /// The pictures that passed the last few filters, until the next write.
    passing: LastFew<Filter, Passing, FILTERS>,
    /// Filters that were asked for since the last write.
    asked: Mutex<Vec<Filter>>,
    /// The last few counts, until the next write.
    counts: LastFew<Counted, Counts, COUNTS>,
}

/// What was counted: the products that pass a filter, and the values of these attributes.
pub type Counted = (Option<Filter>, Vec<String>);

/// How often an index was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Version {
    /// Rows and pictures have other numbers than before.
    pub renumbered: u64,
    /// Anything that is stored is other than before.
    changed: u64,
    /// Rows have other links than before.
    linked: u64,
}

/// An index without removed rows, which is to replace the one that it was made from.
#[derive(Debug)]
pub struct Rebuilt {
    neighbours: Neighbours,
    pictures: Pictures,
    /// The old index's place of each picture.
    old_places: Vec<u32>,
    /// Places of the old index that have been read.
    seen: usize,
}

impl Index {
    /// Reads every embedding, and takes up or makes their links.
    pub fn open(
        reader: &Reader,
        data_dir: &Path,
        origin: &Origin,
        dimensions: usize,
        threads: usize,
        progress: &Progress,
    ) -> Result<Self, CatalogueError> {
        let file = kept::file(data_dir);
        let mut kept = kept::read(&file, origin);
        if let Kept::Damaged { why } = &kept {
            tracing::warn!(why, "rebuilding the stored index");
        }
        let advance = |count| progress.advance(count);
        if let Kept::Whole(_) = kept {
            let index = Self::read(reader, dimensions, progress, kept)?;
            if !index.neighbours.wants_rebuilding() {
                return Ok(index.linked(threads, &file, origin, progress));
            }
            tracing::warn!("the stored index is of other embeddings; rebuilding it");
            kept = Kept::None;
        }
        let mut index = Self::read(reader, dimensions, progress, kept)?;
        progress.enter(Stage::Indexing, index.neighbours.rows());
        index.neighbours.link(threads, &advance);
        index.keep(&file, origin);
        Ok(index)
    }

    /// Mends the links that were taken up, and links the rows that came since.
    fn linked(mut self, threads: usize, file: &Path, origin: &Origin, progress: &Progress) -> Self {
        if self.neighbours.live() < self.neighbours.rows() {
            self.neighbours.mend(threads);
        }
        let fresh = self.neighbours.linking().map(|linking| linking.count());
        progress.enter(Stage::Indexing, fresh.unwrap_or_default());
        if fresh.is_some() {
            self.neighbours.link(threads, &|count| progress.advance(count));
            self.keep(file, origin);
        }
        self
    }

    /// Keeps the links for the next start.
    pub fn keep(&self, file: &Path, origin: &Origin) {
        kept::keep(file, origin, &self.neighbours);
    }

    fn of(neighbours: Neighbours, pictures: Pictures, products: Products) -> Self {
        Self {
            neighbours,
            pictures,
            products,
            kept: false,
            version: Version::default(),
            passing: LastFew::default(),
            asked: Mutex::default(),
            counts: LastFew::default(),
        }
    }

    /// Reads the database; embeddings that kept links are of get their rows, others new ones.
    fn read(
        reader: &Reader,
        dimensions: usize,
        progress: &Progress,
        kept: Kept,
    ) -> Result<Self, CatalogueError> {
        progress.enter(Stage::Reading, reader.products()?);
        let mut products = Products::default();
        let mut places: Vec<Vec<u32>> = Vec::new();
        reader.attributes(|product, attributes| {
            products.put(product, &attributes);
            places.push(Vec::new());
        })?;
        let (mut neighbours, mut rows) = match kept {
            Kept::Whole(kept) => {
                let rows: HashMap<_, _> = kept.hashes.into_iter().zip(0usize..).collect();
                (Neighbours::of_links(dimensions, kept.links), rows)
            }
            _ => (Neighbours::new(dimensions), HashMap::new()),
        };
        let taken_up = !rows.is_empty();
        let mut pictures = Pictures::default();
        reader.embeddings(Table::Present, dimensions, |picture, product, values| {
            let row = match neighbours.find(values) {
                Some(row) => row,
                None => match rows.remove(&row_hash(values)) {
                    Some(row) => {
                        neighbours.restore(row, values);
                        row
                    }
                    None => neighbours.push(values),
                },
            };
            let product = products.place(product);
            let place = pictures.add(picture, product.map_or(NOWHERE, number), row);
            if let Some(places) = product.and_then(|product| places.get_mut(product)) {
                places.push(place);
            }
            progress.advance(1);
        })?;
        for (product, places) in places.into_iter().enumerate() {
            products.set_pictures(product, places);
        }
        let mut read = Self::of(neighbours, pictures, products);
        read.kept = taken_up;
        Ok(read)
    }

    /// Whether searches follow links; few embeddings are compared one by one.
    pub fn has_graph(&self) -> bool {
        self.neighbours.links().is_some() && self.neighbours.live() >= EXACT_BELOW
    }

    /// The key of a picture's product.
    pub fn product(&self, entry: Entry) -> ProductKey {
        let listed = self.products.at(entry.product as usize);
        listed.map_or(ProductKey::NONE, |listed| listed.key)
    }

    /// What takes memory, and how many bytes.
    pub fn memory(&self) -> Vec<(&'static str, usize)> {
        let mut memory = self.neighbours.memory();
        memory.push(("pictures", self.pictures.bytes()));
        memory.extend(self.products.memory());
        memory
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
        let places = listed.map(|listed| &*listed.pictures).unwrap_or_default();
        let rows = places.iter().map(|place| self.pictures.at(*place).row as usize);
        rows.map(|row| self.neighbours.vectors().row(row)).collect()
    }

    /// The rows that pass a filter, if they are known.
    pub fn known_passing(&self, filter: &Filter) -> Option<Arc<Passing>> {
        self.passing.known(filter)
    }

    /// Keeps the rows that passed a filter in a version, until the next write.
    pub fn keep_passing(&self, filter: &Filter, passing: &Arc<Passing>, of: Version) {
        if of.changed == self.version.changed {
            self.passing.keep(filter.clone(), passing);
        }
    }

    /// Whether a filter was asked for since the last write, before this time: then it is worthwhile to find all that passes.
    pub fn asked_before(&self, filter: &Filter) -> bool {
        let mut asked = self.asked.lock();
        if asked.contains(filter) {
            return true;
        }
        if asked.len() >= FILTERS {
            asked.remove(0);
        }
        asked.push(filter.clone());
        false
    }

    /// Counts, if they are known.
    pub fn known_counts(&self, counted: &Counted) -> Option<Arc<Counts>> {
        self.counts.known(counted)
    }

    /// Keeps the counts of a version until the next write.
    pub fn keep_counts(&self, counted: Counted, counts: &Arc<Counts>, of: Version) {
        if of.changed == self.version.changed {
            self.counts.keep(counted, counts);
        }
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
                let places = pictures
                    .into_iter()
                    .map(|(picture, embedding)| self.add(picture, place, &embedding))
                    .collect();
                let before = self.products.set_pictures(place, places);
                self.forget(&before);
            }
            Change::Attributes { product, attributes } => {
                if self.products.place(product).is_some() {
                    self.products.put(product, &attributes);
                }
            }
            Change::Nothing => {}
            Change::Deleted { products } => {
                for product in products {
                    let places = self.products.remove(product);
                    self.forget(&places);
                }
            }
            Change::PictureAdded {
                product,
                picture,
                embedding,
            } => {
                if let Some((place, mut places)) = self.pictures_of(product) {
                    places.push(self.add(picture, place, &embedding));
                    self.products.set_pictures(place, places);
                }
            }
            Change::PictureDeleted { product, picture } => {
                if let Some((place, places)) = self.pictures_of(product) {
                    let is_it = |place: &u32| self.pictures.at(*place).picture == picture;
                    let (gone, places): (Vec<u32>, Vec<u32>) = places.into_iter().partition(is_it);
                    self.products.set_pictures(place, places);
                    self.forget(&gone);
                }
            }
        }
    }

    /// Adds a picture of the product at a place; returns the picture's own place.
    fn add(&mut self, picture: PictureKey, product: usize, embedding: &[i32]) -> u32 {
        let row = self.neighbours.push(embedding);
        self.pictures.add(picture, number(product), row)
    }

    /// Takes the links that the rows got; returns those that they had.
    pub fn set_links(&mut self, links: Arc<Links>) -> Option<Arc<Links>> {
        self.version.linked += 1;
        self.neighbours.set_links(links)
    }

    fn changed(&mut self) {
        self.version.changed += 1;
        self.passing = LastFew::default();
        self.asked = Mutex::default();
        self.counts = LastFew::default();
    }

    fn pictures_of(&self, product: ProductKey) -> Option<(usize, Vec<u32>)> {
        let place = self.products.place(product)?;
        Some((place, self.products.at(place)?.pictures.to_vec()))
    }

    fn forget(&mut self, places: &[u32]) {
        for place in places {
            if let Some(row) = self.pictures.remove(*place) {
                self.neighbours.remove(row);
            }
        }
    }

    /// The products of this index with other embeddings of their pictures, each with its row; those of pictures that this
    /// index does not have are removed.
    pub fn with_embeddings(&self, neighbours: Neighbours, embedded: &[(PictureKey, usize)]) -> Self {
        let mut pictures = Pictures::default();
        let mut places = HashMap::with_capacity(embedded.len());
        for (picture, row) in embedded {
            places.insert(*picture, pictures.add(*picture, NOWHERE, *row));
        }
        let products = self.products.renumbered(|product, listed| {
            let keys = listed
                .pictures
                .iter()
                .map(|place| self.pictures.at(*place).picture);
            let places: Vec<u32> = keys.filter_map(|picture| places.remove(&picture)).collect();
            for place in &places {
                pictures.set_product(*place, number(product));
            }
            places
        });
        let mut index = Self::of(neighbours, pictures, products);
        let left: Vec<u32> = places.into_values().collect();
        index.forget(&left);
        index
    }

    /// The pictures at the next few places behind the first `seen`, with their embeddings; and the new number of places
    /// seen.
    fn pictures_behind(&self, seen: usize) -> (Vec<(u32, Entry, Vec<i32>)>, usize) {
        let end = self.pictures.places().min(seen + PICTURES_AT_ONCE);
        let there = (number(seen)..number(end))
            .map(|place| (place, self.pictures.at(place)))
            .filter(|(_, entry)| entry.product != NOWHERE);
        let vectors = self.neighbours.vectors();
        let read = there.map(|(place, entry)| (place, entry, vectors.row(entry.row as usize)));
        (read.collect(), end)
    }

    /// Replaces this index by a rebuilt one, once that has caught up with the last writes.
    pub fn replace(&mut self, mut rebuilt: Rebuilt) {
        self.changed();
        self.version.renumbered += 1;
        while rebuilt.catch_up(self) > 0 {}
        let mut new_places = vec![NOWHERE; self.pictures.places()];
        let mut gone = Vec::new();
        for (place, old) in (0..).zip(&rebuilt.old_places) {
            match self.pictures.at(*old).product {
                NOWHERE => gone.push(place),
                _ => new_places[*old as usize] = place,
            }
        }
        let pictures = &mut rebuilt.pictures;
        self.products = self.products.renumbered(|product, listed| {
            let places = listed.pictures.iter().map(|old| new_places[*old as usize]);
            let places: Vec<u32> = places.filter(|place| *place != NOWHERE).collect();
            for place in &places {
                pictures.set_product(*place, number(product));
            }
            places
        });
        self.neighbours = rebuilt.neighbours;
        self.pictures = rebuilt.pictures;
        self.forget(&gone);
    }
}

impl Rebuilt {
    /// Links the live rows anew; `with` locks the index, for a short time at each call.
    pub fn of<G: Deref<Target = Index>>(with: impl Fn() -> G) -> Self {
        let mut rebuilt = Self {
            neighbours: Neighbours::new(with().neighbours.vectors().dimensions()),
            pictures: Pictures::default(),
            old_places: Vec::new(),
            seen: 0,
        };
        // Pictures that are written meanwhile follow, until few enough are left for the swap to wait for.
        while rebuilt.catch_up(&with()) == PICTURES_AT_ONCE || rebuilt.neighbours.linking().is_some() {
            if rebuilt.seen == with().pictures.places() {
                // One thread: the others are left to searches and writes.
                rebuilt.neighbours.link(1, &|_| {});
            }
        }
        rebuilt
    }

    /// Keeps the links for the next start.
    pub fn keep(&self, file: &Path, origin: &Origin) {
        kept::keep(file, origin, &self.neighbours);
    }

    /// Copies the next few pictures of the index that it is made from; returns how many places it has read.
    fn catch_up(&mut self, index: &Index) -> usize {
        let (pictures, end) = index.pictures_behind(self.seen);
        for (place, entry, values) in pictures {
            let row = self.neighbours.push(&values);
            self.pictures.add(entry.picture, entry.product, row);
            self.old_places.push(place);
        }
        end - std::mem::replace(&mut self.seen, end)
    }
}

/// A picture's or a product's number in the width that the index keeps.
fn number(index: usize) -> u32 {
    u32::try_from(index).expect("fewer than four billion pictures")
}
