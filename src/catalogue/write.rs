//! Changes of a catalogue: each is done as a whole or not at all.

use std::sync::Arc;

use super::attributes::AttributeChanges;
use super::error::CatalogueError;
use super::filter::Filter;
use super::import::ImportStep;
use super::product::{Cursor, NewPicture, NewProduct, Product, ProductNumbers};
use super::scope::Scope;
use super::title::Title;

/// A change that is done as a whole or not at all.
#[derive(Debug, Clone)]
pub enum Write {
    /// Creates a product or replaces it; with `only_new`, one that is there is refused.
    Put {
        product: NewProduct,
        only_new: bool,
    },
    /// Changes a product's title and attributes; null removes an attribute.
    Merge {
        id: String,
        title: Option<Title>,
        attributes: AttributeChanges,
    },
    Delete {
        id: String,
    },
    /// Removes those of these products that pass a filter now.
    DeletePassing {
        products: ProductNumbers,
        filter: Arc<Filter>,
    },
    AddPicture {
        id: String,
        picture: NewPicture,
    },
    DeletePicture {
        id: String,
        picture: String,
    },
    /// A step of the import with this id.
    Import {
        id: String,
        step: ImportStep,
    },
    /// A write of a product for somebody who sees and changes only a part of the catalogue: what it changes must be part of it
    /// before, if it is there, and after.
    Within {
        scope: Scope,
        write: Box<Write>,
    },
}

impl Write {
    /// The same write for somebody who sees and changes only a part of the catalogue.
    #[must_use]
    pub fn within(self, scope: &Scope) -> Self {
        match scope.is_all() {
            true => self,
            false => Self::Within {
                scope: scope.clone(),
                write: Box::new(self),
            },
        }
    }

    /// Whether somebody may do it who sees and changes a part of the catalogue, where this is stored now.
    pub(super) fn is_within(&self, scope: &Scope, stored: Option<&Product>) -> Result<(), CatalogueError> {
        match self {
            Self::Put { product, .. } => scope.permits(product.id.as_str(), stored, &product.attributes),
            Self::Merge { id, attributes, .. } => match stored {
                Some(stored) => {
                    let merged = stored.attributes.clone().changed(attributes.clone())?;
                    scope.permits(id, Some(stored), &merged)
                }
                None => Ok(()),
            },
            Self::Delete { .. } | Self::AddPicture { .. } | Self::DeletePicture { .. } => match stored {
                Some(stored) => scope.only(stored.clone()).map(drop),
                None => Ok(()),
            },
            Self::DeletePassing { .. } | Self::Import { .. } => Ok(()),
            Self::Within { scope: inner, write } => {
                write.is_within(inner, stored)?;
                write.is_within(scope, stored)
            }
        }
    }

    /// The product that it changes, if it is of one.
    pub fn product(&self) -> Option<&str> {
        match self {
            Self::Put { product, .. } => Some(product.id.as_str()),
            Self::Merge { id, .. }
            | Self::Delete { id }
            | Self::AddPicture { id, .. }
            | Self::DeletePicture { id, .. } => Some(id),
            Self::DeletePassing { .. } | Self::Import { .. } => None,
            Self::Within { write, .. } => write.product(),
        }
    }

    /// The bytes of its pictures and lines; the catalogue's rules bound everything else.
    pub fn bytes(&self) -> usize {
        let pictures = |pictures: &[NewPicture]| pictures.iter().map(|picture| picture.bytes.len()).sum();
        match self {
            Self::Put { product, .. } => pictures(&product.pictures),
            Self::AddPicture { picture, .. } => picture.bytes.len(),
            Self::Import { step, .. } => match step {
                ImportStep::Received(lines) => lines.iter().map(|(_, line)| line.len()).sum(),
                ImportStep::Stored { product, .. } => pictures(&product.pictures),
                ImportStep::Begun { .. }
                | ImportStep::Whole
                | ImportStep::Broken
                | ImportStep::Merged { .. }
                | ImportStep::Deleted { .. }
                | ImportStep::Refused { .. }
                | ImportStep::RemoveMissing { .. }
                | ImportStep::Done => 0,
            },
            Self::Merge { .. }
            | Self::Delete { .. }
            | Self::DeletePassing { .. }
            | Self::DeletePicture { .. } => 0,
            Self::Within { write, .. } => write.bytes(),
        }
    }
}

/// The result of a write.
#[derive(Debug, Clone)]
pub struct Written {
    /// The product as it is now; none once it is deleted, and none of an import's step.
    pub product: Option<Product>,
    /// Whether the product is new.
    pub created: bool,
    /// What was removed, of a write that removes many.
    pub removed: Removed,
}

impl Written {
    /// Of a write that leaves no product to be shown.
    pub(super) const NOTHING: Self = Self {
        product: None,
        created: false,
        removed: Removed::NOTHING,
    };
}

/// What a write removed of many products.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removed {
    pub products: usize,
    /// Where the next write goes on; none at the end.
    pub next: Option<Cursor>,
}

impl Removed {
    /// Nothing, and nothing is left.
    pub const NOTHING: Self = Self {
        products: 0,
        next: None,
    };
}
