//! An index over the next embeddings, built beside the one that answers; it gets its products when it takes over.

use std::collections::HashMap;
use std::path::Path;

use super::{Entry, Index, Listed};
use crate::catalogue::store::Reader;
use crate::catalogue::{Origin, PictureKey, ProductKey};
use crate::service::ServiceError;
use engine::neighbours::Neighbours;
use engine::neighbours::exact::Vectors;

/// Embeddings with their graph, which belong to pictures and to no product yet.
#[derive(Debug)]
pub struct Successor {
    neighbours: Neighbours,
    pictures: Vec<PictureKey>,
}

impl Successor {
    /// Reads the next embeddings and builds the graph over them on one thread; `begin` is told how many they are,
    /// `linked` of each that is in.
    pub fn build(
        reader: &Reader,
        dimensions: usize,
        begin: impl FnOnce(usize),
        linked: &(dyn Fn(usize) + Sync),
    ) -> Result<Self, ServiceError> {
        let mut vectors = Vectors::new(dimensions);
        let mut pictures = Vec::new();
        reader.next_embeddings(dimensions, |picture, _, values| {
            vectors.push(values);
            pictures.push(picture);
        })?;
        begin(pictures.len());
        Ok(Self {
            neighbours: Neighbours::build(vectors, 1, linked),
            pictures,
        })
    }

    /// Takes up a picture that is behind the others in stored order.
    pub fn push(&mut self, picture: PictureKey, values: &[i32]) {
        self.neighbours.push(values);
        self.pictures.push(picture);
    }

    /// Links what was pushed; `linked` is told of each.
    pub fn link(&self, linked: &(dyn Fn(usize) + Sync)) {
        self.neighbours.link_all(1, linked);
    }

    /// The last picture in stored order that it has.
    pub fn last(&self) -> Option<PictureKey> {
        self.pictures.last().copied()
    }

    /// Writes the graph into `folder`, every row being linked.
    pub fn keep(&self, folder: &Path, origin: &Origin) {
        super::keep(folder, origin, &self.neighbours, self.pictures.iter().copied());
    }

    /// The products of `index` with the embeddings of this one; pictures that are gone meanwhile are removed.
    pub fn take_over(mut self, index: &Index) -> Index {
        let rows: HashMap<PictureKey, usize> = self.pictures.iter().copied().zip(0..).collect();
        let mut entries: Vec<Entry> = self
            .pictures
            .iter()
            .map(|picture| Entry {
                picture: *picture,
                product: ProductKey::NONE,
            })
            .collect();
        let listed = |(product, listed): (&ProductKey, &Listed)| {
            let pictures = listed.rows.iter().map(|row| index.entries[*row].picture);
            let rows: Vec<usize> = pictures
                .filter_map(|picture| rows.get(&picture).copied())
                .collect();
            rows.iter().for_each(|row| entries[*row].product = *product);
            let attributes = listed.attributes.clone();
            (*product, Listed { attributes, rows })
        };
        let products = index.products.iter().map(listed).collect();
        for (row, entry) in entries.iter().enumerate() {
            if entry.product == ProductKey::NONE {
                self.neighbours.remove(row);
            }
        }
        Index {
            neighbours: self.neighbours,
            entries,
            products,
            from_cache: false,
            passing: std::sync::Mutex::default(),
        }
    }
}
