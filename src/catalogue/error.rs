//! Why a catalogue refuses or fails, whatever store it is in.

use std::error::Error;

use thiserror::Error as ThisError;

use crate::admission::Stopped;

/// Why a store could not be opened.
#[derive(Debug, ThisError)]
pub enum OpenError {
    #[error("{path}: {source}")]
    File { path: String, source: std::io::Error },
    #[error("it is in use by another spikelens process; only one at a time can open a data directory")]
    InUse,
    #[error(
        "its schema {found} is newer than this version of spikelens knows ({known}); use a newer version"
    )]
    NewerSchema { found: u32, known: u32 },
    #[error("it cannot be written to, and {why}; copy it to where it can, and use the copy")]
    ReadOnly { why: String },
    #[error("{0}")]
    Store(Box<dyn Error + Send + Sync>),
    #[error("{path} is not a backup of a catalogue")]
    NotABackup { path: String },
    #[error("there is a catalogue already")]
    Exists,
    #[error("it is an unfinished copy of {source_name}; `spikelens copy` from there goes on with it")]
    HalfCopied { source_name: String },
    #[error(
        "{path} is left of a database that is gone, and would destroy the restored one; move it out of the data directory"
    )]
    LeftOver { path: String },
}

/// Why the catalogue refused or failed.
#[derive(Debug, ThisError)]
pub enum CatalogueError {
    /// The store cannot be opened: missing rights, in use, a newer schema.
    #[error("{store} cannot be opened: {reason}")]
    Open { store: String, reason: OpenError },
    /// The store failed; its own error is the source.
    #[error("the catalogue's store failed: {0}")]
    Store(Box<dyn Error + Send + Sync>),
    #[error("too many writes are waiting in the catalogue")]
    Busy,
    #[error(transparent)]
    Stopped(#[from] Stopped),
    #[error("the catalogue is closed")]
    Closed,
    #[error("the catalogue's index is not loaded")]
    NotLoaded,
    #[error("a thread of the catalogue panicked")]
    Panicked,
    #[error("the embedding has {given} values; this model's have {wanted}")]
    Dimensions { given: usize, wanted: usize },
    #[error("the embedding is all zeros and cannot be compared; use more time steps or a brighter picture")]
    EmptyEmbedding,
    #[error("there is no room for the write: {reason}; nothing of it was stored")]
    Full { reason: String },
    /// Nothing is known of what was asked for: a write may be stored, or not.
    #[error("the store cannot be reached: {reason}")]
    Unavailable { reason: String },
    #[error("another program holds a lock on the database; nothing of the write was stored")]
    Locked,
    /// What is no longer where it was opened.
    #[error("{what}")]
    Lost { what: String },
    #[error("the write was not stored: {reason}")]
    NotStored { reason: String },
    #[error("there is no product {id:?}")]
    NoProduct { id: String },
    #[error("product {product:?} has no picture {picture:?}")]
    NoPicture { product: String, picture: String },
    #[error("there is no import {id:?}")]
    NoImport { id: String },
    #[error("the catalogue is in a PostgreSQL database; back it up with pg_dump")]
    NoBackup,
    #[error("product {id:?} would not pass the filter of the key")]
    OutOfScope { id: String },
    #[error("there is a product {id:?} already")]
    Exists { id: String },
    #[error("product {id:?} has {most} pictures already, the maximum")]
    PicturesFull { id: String, most: usize },
    #[error("it is the only picture of product {id:?}, which must keep one; delete the product instead")]
    LastPicture { id: String },
    #[error("the embedding was made by another model, probe or number of time steps than the catalogue's")]
    OtherOrigin,
    #[error("the catalogue is damaged: {what}")]
    Damaged { what: String },
    /// It cannot be copied into.
    #[error("the target {reason}")]
    NotACopy { reason: String },
    #[error("{field} {reason}")]
    Invalid { field: String, reason: String },
}

impl CatalogueError {
    /// Whether the same may succeed as soon as the store can be reached.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Locked | Self::Unavailable { .. })
    }

    /// Whether the same may succeed later, without a change of the catalogue.
    #[must_use]
    pub fn passes(&self) -> bool {
        matches!(self, Self::Full { .. } | Self::Locked | Self::Unavailable { .. })
    }
}
