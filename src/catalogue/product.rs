//! Products and their pictures, and their limits.

use std::fmt;
use std::sync::Arc;

use engine::picture::Mode;
use serde::Serialize;

use super::attributes::Attributes;
use super::error::CatalogueError;
use super::origin::Origin;
use super::title::Title;

/// A product's id: 1 to 200 characters, no control characters, no surrounding blanks.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct ProductId(String);

impl ProductId {
    /// Checks the form.
    ///
    /// # Errors
    /// Says what form an id has.
    pub fn new(id: &str) -> Result<Self, CatalogueError> {
        let refuse = |reason: &str| {
            Err(CatalogueError::Invalid {
                field: "id".to_owned(),
                reason: reason.to_owned(),
            })
        };
        if !(1..=200).contains(&id.chars().count()) {
            return refuse("must have 1 to 200 characters");
        }
        if id.trim() != id || id.chars().any(char::is_control) {
            return refuse("must have no control characters and no surrounding blanks");
        }
        Ok(Self(id.to_owned()))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A picture that is to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPicture {
    pub content_type: String,
    pub width: u32,
    pub height: u32,
    pub bytes: Vec<u8>,
    /// How it is prepared for the network, now and when it is re-embedded.
    pub prepare: Mode,
    /// Its embedding.
    pub embedding: Vec<i32>,
    /// What made the embedding. The store refuses it unless its other embeddings are of the same origin.
    pub origin: Arc<Origin>,
}

/// A product that is to be stored.
#[derive(Debug, Clone, PartialEq)]
pub struct NewProduct {
    pub id: ProductId,
    pub title: Title,
    pub attributes: Attributes,
    pub pictures: Vec<NewPicture>,
}

/// A stored product, as answers show it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Product {
    pub id: String,
    pub title: Title,
    pub attributes: Attributes,
    pub pictures: Vec<ProductPicture>,
    pub created_at: String,
    pub updated_at: String,
}

impl Product {
    /// The most pictures that one product has.
    pub const MOST_PICTURES: usize = 16;
}

/// A stored picture without its pixels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProductPicture {
    pub id: String,
    pub content_type: String,
    pub width: u32,
    pub height: u32,
    pub bytes: u64,
}

/// A stored picture, to be embedded again.
#[derive(Debug, Clone)]
pub struct StoredPicture {
    pub key: PictureKey,
    /// The product's id, for logs.
    pub product: String,
    pub prepare: Mode,
    pub bytes: Vec<u8>,
}

/// Which picture of its store an embedding belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PictureKey(pub(in crate::catalogue) i64);

impl fmt::Display for PictureKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// Some products of a store, by numbers that nothing else ever gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProductNumbers(pub(in crate::catalogue) Vec<i64>);

impl ProductNumbers {
    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The same in groups of at most `most`, in order.
    pub fn groups(&self, most: usize) -> impl Iterator<Item = Self> {
        self.0.chunks(most.max(1)).map(|group| Self(group.to_vec()))
    }
}

/// Products that pass a filter, in stored order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassingProducts {
    pub products: ProductNumbers,
    /// Their end; none where no more pass.
    pub next: Option<Cursor>,
}

/// The file of a stored picture, and its first piece.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PictureFile {
    pub key: PictureKey,
    pub content_type: String,
    pub length: u64,
    /// A hash of the whole file.
    pub sum: Vec<u8>,
    pub first: Vec<u8>,
}

impl PictureFile {
    /// Bytes of a piece; the last one may have fewer.
    pub const PIECE: usize = 64 << 10;
}

/// The end of a page of products. Opaque: only the store that made it can read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor(pub Vec<u8>);

impl Cursor {
    /// Why bytes are not a cursor.
    pub const INVALID: &str =
        "is not a cursor; send the `next` of the page before, or nothing for the first page";
}

/// Some products in a stable order.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    pub products: Vec<Product>,
    /// The end of this page; none on the last one.
    pub next: Option<Cursor>,
}
