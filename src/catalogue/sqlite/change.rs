//! What a write leaves behind, for its client and for the index.

use super::keys::ProductKey;
use crate::catalogue::attributes::Attributes;
use crate::catalogue::product::{PictureKey, Product};
use crate::catalogue::write::Removed;

/// What a write left behind.
#[derive(Debug, Clone)]
pub struct Applied {
    /// The product as it is now; none once it is deleted.
    pub product: Option<Product>,
    /// Whether the product is new.
    pub created: bool,
    /// What was removed, of a write that removes many.
    pub removed: Removed,
    pub change: Change,
}

impl Applied {
    /// Nothing that a search would notice.
    pub const NOTHING: Self = Self {
        product: None,
        created: false,
        removed: Removed::NOTHING,
        change: Change::Nothing,
    };

    /// Products were removed.
    pub fn removed(products: Vec<ProductKey>, next: Option<ProductKey>) -> Self {
        Self {
            removed: Removed {
                products: products.len(),
                next: next.map(ProductKey::cursor),
            },
            change: Change::Deleted { products },
            ..Self::NOTHING
        }
    }
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
        products: Vec<ProductKey>,
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
    /// The products that were changed.
    pub fn products(&self) -> &[ProductKey] {
        match self {
            Self::Nothing => &[],
            Self::Deleted { products } => products,
            Self::Put { product, .. }
            | Self::Attributes { product, .. }
            | Self::PictureAdded { product, .. }
            | Self::PictureDeleted { product, .. } => std::slice::from_ref(product),
        }
    }
}
