//! What the shop sells: products, their pictures, and the embedding of each picture.
//!
//! This file holds the words and their limits; [`store`] keeps them in SQLite, which is the truth. No SQL leaves this
//! room. Absent: search (`crate::neighbours`) and how an embedding is made (`crate::emulator`).

pub mod filter;
pub mod schema;
pub mod store;

use serde::Serialize;
use serde_json::{Map, Value};
use thiserror::Error;

use crate::network::{Probe, TimeSteps};

/// Why the catalogue refused or failed.
#[derive(Debug, Error)]
pub enum CatalogueError {
    #[error("{path}: {source}")]
    Folder { path: String, source: std::io::Error },
    #[error("{path} is in use by another spikelens process; one at a time may have a data directory")]
    InUse { path: String },
    #[error(
        "{path} was written by a newer version (schema {found}, this one knows {known}); use that version"
    )]
    NewerSchema { path: String, found: u32, known: u32 },
    #[error("the catalogue's database: {0}")]
    Database(#[from] rusqlite::Error),
    #[error("the catalogue is damaged: {what}")]
    Damaged { what: String },
    #[error("{field} {reason}")]
    Invalid { field: &'static str, reason: String },
}

/// A product's name: 1 to 200 bytes, no control characters, no surrounding blanks.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct ProductId(String);

impl ProductId {
    /// Checks the form.
    pub fn new(id: &str) -> Result<Self, CatalogueError> {
        let refuse = |reason: &str| {
            Err(CatalogueError::Invalid {
                field: "id",
                reason: reason.to_owned(),
            })
        };
        if id.is_empty() || id.len() > 200 {
            return refuse("must have 1 to 200 bytes");
        }
        if id.trim() != id || id.chars().any(char::is_control) {
            return refuse("must have no control characters and no blanks around it");
        }
        Ok(Self(id.to_owned()))
    }

    /// The name itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A picture on its way into the catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPicture {
    pub content_type: String,
    pub width: u32,
    pub height: u32,
    pub bytes: Vec<u8>,
    /// What the network made of it.
    pub embedding: Vec<i32>,
}

/// A product's attributes by name. Flat: strings, numbers, booleans, lists of strings.
pub type Attributes = Map<String, Value>;

/// A product on its way into the catalogue.
#[derive(Debug, Clone, PartialEq)]
pub struct NewProduct {
    pub id: ProductId,
    pub title: String,
    pub attributes: Attributes,
    pub pictures: Vec<NewPicture>,
}

/// A stored product, as answers show it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Product {
    pub id: String,
    pub title: String,
    pub attributes: Attributes,
    pub pictures: Vec<ProductPicture>,
    pub created_at: String,
    pub updated_at: String,
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

/// What made the embeddings of a catalogue: they are never mixed with others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// SHA-256 of the model's file.
    pub model_id: String,
    pub probe: Probe,
    pub time_steps: TimeSteps,
}

/// Which picture of the store an embedding belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PictureKey(pub(crate) i64);

/// Which product of the store a picture belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProductKey(pub(crate) i64);

impl ProductKey {
    /// For a client to hand back; it means nothing to it.
    pub fn to_bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }

    /// What a client handed back, if it is one.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(i64::from_be_bytes).map(Self)
    }
}
