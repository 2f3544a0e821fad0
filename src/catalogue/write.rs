//! Changes of a catalogue: each is done as a whole or not at all.

use super::attributes::AttributeChanges;
use super::import::ImportStep;
use super::product::{NewPicture, NewProduct, Product};
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
}

impl Write {
    /// The bytes of its pictures and lines; the catalogue's rules bound everything else.
    pub fn bytes(&self) -> usize {
        let pictures = |pictures: &[NewPicture]| pictures.iter().map(|picture| picture.bytes.len()).sum();
        match self {
            Self::Put { product, .. } => pictures(&product.pictures),
            Self::AddPicture { picture, .. } => picture.bytes.len(),
            Self::Import { step, .. } => match step {
                ImportStep::Received(lines) => lines.iter().map(|(_, line)| line.len()).sum(),
                ImportStep::Stored { product, .. } => pictures(&product.pictures),
                ImportStep::Begun
                | ImportStep::Whole
                | ImportStep::Broken
                | ImportStep::Refused { .. }
                | ImportStep::Done => 0,
            },
            Self::Merge { .. } | Self::Delete { .. } | Self::DeletePicture { .. } => 0,
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
}
