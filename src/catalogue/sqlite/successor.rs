//! The graph over the next embeddings, built beside the index in use; it gets its products when they are adopted.

use std::path::Path;

use engine::neighbours::Neighbours;

use super::index::Index;
use super::kept;
use super::reader::Reader;
use crate::catalogue::error::CatalogueError;
use crate::catalogue::origin::Origin;
use crate::catalogue::product::PictureKey;

/// Embeddings with their graph, in stored order, which belong to pictures and not yet to products.
#[derive(Debug, Clone)]
pub struct Successor {
    neighbours: Neighbours,
    /// With the rows of their embeddings.
    pictures: Vec<(PictureKey, usize)>,
}

impl Successor {
    /// Reads the next embeddings and links them on one thread; `begin` is given their number, `linked` is
    /// called with the number of rows linked since its last call.
    pub fn build(
        reader: &Reader,
        dimensions: usize,
        begin: impl FnOnce(usize),
        linked: &(dyn Fn(usize) + Sync),
    ) -> Result<Self, CatalogueError> {
        let mut successor = Self {
            neighbours: Neighbours::new(dimensions),
            pictures: Vec::new(),
        };
        successor.catch_up(reader)?;
        begin(successor.neighbours.rows());
        successor.link(linked);
        Ok(successor)
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
        let row = self.neighbours.push(values);
        self.pictures.push((picture, row));
    }

    /// Links what was added, if it is enough; `linked` is called as in [`Successor::build`].
    pub fn link(&mut self, linked: &(dyn Fn(usize) + Sync)) {
        self.neighbours.link(1, linked);
    }

    /// Its last picture in stored order.
    pub fn last(&self) -> Option<PictureKey> {
        self.pictures.last().map(|(picture, _)| *picture)
    }

    /// Keeps the links in a file.
    pub fn keep(&self, file: &Path, origin: &Origin) {
        kept::keep(file, origin, &self.neighbours);
    }

    /// The index of the same products over these embeddings.
    pub fn into_index(self, index: &Index) -> Index {
        index.with_embeddings(self.neighbours, &self.pictures)
    }
}
