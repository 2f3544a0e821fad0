//! What the shop sells: products, their pictures, and the embedding of each picture.
//!
//! This file holds the words and their limits; [`store`] keeps them in SQLite, which is the truth. No SQL leaves this
//! room. Absent: search (`engine::neighbours`) and how an embedding is made (`engine::emulator`).

pub mod check;
pub mod filter;
pub mod imports;
pub mod reembedding;
pub mod schema;
mod settings;
pub mod store;
pub mod write;

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value};
use thiserror::Error;

use engine::network::{Probe, TimeSteps};
use engine::picture::Mode;

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
    Database(rusqlite::Error),
    #[error("there is no room for the write: {reason}; nothing of it was stored")]
    Full { reason: String },
    #[error("the write was not stored: {reason}")]
    NotStored { reason: String },
    #[error("there is no product {id:?}")]
    NoProduct { id: String },
    #[error("product {product:?} has no picture {picture:?}")]
    NoPicture { product: String, picture: String },
    #[error("there is no import {id:?}")]
    NoImport { id: String },
    #[error("there is a product {id:?} already")]
    Exists { id: String },
    #[error("product {id:?} has {} pictures, which is the most", Product::MOST_PICTURES)]
    PicturesFull { id: String },
    #[error("it is the only picture of product {id:?}, which must keep one; delete the product instead")]
    LastPicture { id: String },
    #[error("the embeddings were made by another model, probe or T than the catalogue's; make them anew")]
    OtherEmbeddings,
    #[error("the catalogue is damaged: {what}")]
    Damaged { what: String },
    #[error("{field} {reason}")]
    Invalid { field: String, reason: String },
}

impl From<rusqlite::Error> for CatalogueError {
    fn from(error: rusqlite::Error) -> Self {
        // A disk, a quota or a file-size limit that is reached: SQLite tells the first apart, the others are failed
        // writes to it.
        const FAILED_WRITE: i32 = rusqlite::ffi::SQLITE_IOERR_WRITE;
        match error.sqlite_error() {
            Some(code)
                if code.code == rusqlite::ErrorCode::DiskFull || code.extended_code == FAILED_WRITE =>
            {
                Self::Full {
                    reason: error.to_string(),
                }
            }
            _ => Self::Database(error),
        }
    }
}

/// A product's name: 1 to 200 characters, no control characters, no surrounding blanks.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct ProductId(String);

impl ProductId {
    /// Checks the form.
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
    /// How it is prepared for the network, now and whenever it is embedded anew.
    pub prepare: Mode,
    /// What the network made of it.
    pub embedding: Vec<i32>,
    /// What made the embedding: the store takes it only while its others are of the same.
    pub origin: Arc<Origin>,
}

/// A product's attributes by name. Flat: strings, numbers, booleans, lists of strings.
pub type Attributes = Map<String, Value>;

/// Refuses attributes that are not flat or are too many, by name.
pub fn check_attributes(attributes: &Attributes) -> Result<(), CatalogueError> {
    let refuse = |field: String, reason: String| Err(CatalogueError::Invalid { field, reason });
    if attributes.len() > Product::MOST_ATTRIBUTES {
        let (given, most) = (attributes.len(), Product::MOST_ATTRIBUTES);
        return refuse(
            "attributes".to_owned(),
            format!("are {given}; at most {most} are kept"),
        );
    }
    let mut bytes = 0;
    for (name, value) in attributes {
        let shown: String = name.chars().take(100).collect();
        let field = format!("attributes.{shown}");
        if !(1..=200).contains(&name.chars().count()) {
            return refuse(field, "must have a name of 1 to 200 characters".to_owned());
        }
        bytes += name.len()
            + match value {
                Value::String(text) => text.len(),
                Value::Number(_) | Value::Bool(_) => 8,
                Value::Array(texts) if texts.iter().all(Value::is_string) => texts
                    .iter()
                    .map(|text| 3 + text.as_str().map_or(0, str::len))
                    .sum(),
                _ => {
                    let reason = "must be a string, a number, true, false or a list of strings";
                    return refuse(field, reason.to_owned());
                }
            };
    }
    if bytes > Product::MOST_ATTRIBUTE_BYTES {
        let most = Product::MOST_ATTRIBUTE_BYTES;
        return refuse(
            "attributes".to_owned(),
            format!("have {bytes} bytes; at most {most} are kept"),
        );
    }
    Ok(())
}

/// Refuses a title that is too long for one.
pub fn check_title(title: &str) -> Result<(), CatalogueError> {
    let length = title.chars().count();
    if length <= Product::LONGEST_TITLE {
        return Ok(());
    }
    Err(CatalogueError::Invalid {
        field: "title".to_owned(),
        reason: format!(
            "has {length} characters; at most {} are kept",
            Product::LONGEST_TITLE
        ),
    })
}

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

impl Product {
    /// The most pictures that one product has.
    pub const MOST_PICTURES: usize = 16;
    /// The most attributes that one product has.
    pub const MOST_ATTRIBUTES: usize = 100;
    /// The most bytes of its attributes, names and values together.
    pub const MOST_ATTRIBUTE_BYTES: usize = 64 << 10;
    /// The most characters of its title.
    pub const LONGEST_TITLE: usize = 1000;
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
    /// The key of no product.
    pub const NONE: Self = Self(0);

    /// For a client to hand back; it means nothing to it.
    pub fn to_bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }

    /// What a client handed back, if it is one.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(i64::from_be_bytes).map(Self)
    }
}
