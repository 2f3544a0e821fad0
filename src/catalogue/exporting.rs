//! What an export takes out of a catalogue: whole products in stored order, some at a time.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::copying::CopiedProduct;
use super::error::CatalogueError;
use super::filter::Filter;
use super::origin::Origin;
use super::product::Cursor;

/// Which products are exported, and what of them.
#[derive(Debug, Clone, Default)]
pub struct Export {
    pub filter: Option<Filter>,
    /// Whether the files of pictures are read.
    pub files: bool,
}

impl Export {
    /// The most products that are read at a time, and about the most bytes of them: the last one may exceed it.
    pub const PRODUCTS: usize = 100;
    pub const BYTES: usize = 1 << 20;

    /// Whether a product passes as it was read: it may have changed since it was found.
    pub(super) fn takes(&self, product: &CopiedProduct) -> Result<bool, CatalogueError> {
        let Some(filter) = &self.filter else {
            return Ok(true);
        };
        let attributes: Map<String, Value> =
            serde_json::from_str(&product.attributes).map_err(|error| CatalogueError::Damaged {
                what: format!("attributes of product {:?}: {error}", product.id),
            })?;
        Ok(filter.holds(&product.id, &attributes))
    }
}

/// Some products of an export, each as of one moment.
#[derive(Debug, Clone)]
pub struct ExportPage {
    /// What made their embeddings.
    pub origin: Option<Arc<Origin>>,
    pub products: Vec<CopiedProduct>,
    /// Where the next page goes on; none at the end.
    pub next: Option<Cursor>,
}
