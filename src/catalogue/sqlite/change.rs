//! What a write leaves behind, for its client and for the index.

use super::keys::ProductKey;
use crate::catalogue::attributes::Attributes;
use crate::catalogue::product::{PictureKey, Product};

/// What a write left behind.
#[derive(Debug, Clone)]
pub struct Applied {
    /// The product as it is now; none once it is deleted.
    pub product: Option<Product>,
    /// Whether the product is new.
    pub created: bool,
    pub change: Change,
}

impl Applied {
    /// Nothing that a search would notice.
    pub const NOTHING: Self = Self {
        product: None,
        created: false,
        change: Change::Nothing,
    };
}

/// What the index has to do after a write.
#[derive(Debug, Clone)]
pub enum Change {
    Nothing,
    /// All that the product has.
    Put {
        product: ProductKey,
        attributes: Attributes,
        pictures: Vec<(PictureKey, Vec<i32>)>,
    },
    Attributes {
        product: ProductKey,
        attributes: Attributes,
    },
    Deleted {
        product: ProductKey,
    },
    PictureAdded {
        product: ProductKey,
        picture: PictureKey,
        embedding: Vec<i32>,
    },
    PictureDeleted {
        product: ProductKey,
        picture: PictureKey,
    },
}

impl Change {
    /// The product that was changed.
    pub fn product(&self) -> Option<ProductKey> {
        match self {
            Self::Nothing => None,
            Self::Put { product, .. }
            | Self::Attributes { product, .. }
            | Self::Deleted { product }
            | Self::PictureAdded { product, .. }
            | Self::PictureDeleted { product, .. } => Some(*product),
        }
    }
}
