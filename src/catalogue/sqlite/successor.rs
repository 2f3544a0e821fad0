//! The graph over the next embeddings, built beside the index in use; it gets its products when they are adopted.

use std::path::Path;

use engine::neighbours::Neighbours;
use engine::neighbours::exact::Vectors;

use super::index::Index;
use super::kept;
use super::reader::Reader;
use crate::catalogue::error::CatalogueError;
use crate::catalogue::origin::Origin;
use crate::catalogue::product::PictureKey;

/// Embeddings with their graph, in stored order, which belong to pictures and not yet to products.
#[derive(Debug)]
pub struct Successor {
    neighbours: Neighbours,
    pictures: Vec<PictureKey>,
}

impl Successor {
    /// Reads the next embeddings and builds the graph over them on one thread; `begin` is given their number, `linked` is
    /// called with the number of rows linked since its last call.
    pub fn build(
        reader: &Reader,
        dimensions: usize,
        begin: impl FnOnce(usize),
        linked: &(dyn Fn(usize) + Sync),
    ) -> Result<Self, CatalogueError> {
        let mut vectors = Vectors::new(dimensions);
        let mut pictures = Vec::new();
        reader.next_embeddings_after(None, dimensions, |picture, values| {
            vectors.push(values);
            pictures.push(picture);
        })?;
        begin(pictures.len());
        Ok(Self {
            neighbours: Neighbours::build(vectors, 1, linked),
            pictures,
        })
    }

    /// Adds the next embeddings behind its last one, unlinked.
    pub fn catch_up(&mut self, reader: &Reader) -> Result<(), CatalogueError> {
        let dimensions = self.neighbours.vectors().dimensions();
        reader.next_embeddings_after(self.last(), dimensions, |picture, values| {
            self.push(picture, values);
        })
    }

    /// Adds a picture that is behind the others in stored order.
    pub fn push(&mut self, picture: PictureKey, values: &[i32]) {
        self.neighbours.push(values);
        self.pictures.push(picture);
    }

    /// Links what was added; `linked` is called as in [`Successor::build`].
    pub fn link(&self, linked: &(dyn Fn(usize) + Sync)) {
        self.neighbours.link_all(1, linked);
    }

    /// Its last picture in stored order.
    pub fn last(&self) -> Option<PictureKey> {
        self.pictures.last().copied()
    }

    /// Keeps the graph in `folder`; every row must be linked.
    pub fn keep(&self, folder: &Path, origin: &Origin) {
        kept::keep(folder, origin, &self.neighbours, self.pictures.iter().copied());
    }

    /// The index of the same products over these embeddings.
    pub fn into_index(self, index: &Index) -> Index {
        index.with_embeddings(self.neighbours, &self.pictures)
    }
}
