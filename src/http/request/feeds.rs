//! What the endpoints read that are about many products: imports, exports, removals by a filter.

use super::fields::{Field, FromField, Invalid, fields};
use super::values::{Whole, word};
use crate::catalogue::filter::Filter;
use crate::catalogue::import::Missing;

fields! {
    /// `POST /v1/imports`.
    pub struct CreateImport {
        missing: Option<Missing>,
    }
}

fields! {
    /// `GET /v1/imports/{id}`.
    pub struct GetImport {
        wait: Option<Wait>,
    }
}

fields! {
    /// `DELETE /v1/products`.
    pub struct DeleteProducts {
        filter: Filter,
        dry_run: Option<bool>,
    }
}

fields! {
    /// `GET /v1/export`.
    pub struct ExportProducts {
        filter: Option<Filter>,
        pictures: Option<bool>,
        embeddings: Option<bool>,
    }
}

/// Seconds that a client waits for an import's end.
pub type Wait = Whole<0, 60>;

impl FromField for Missing {
    fn from_field(field: Field) -> Result<Self, Invalid> {
        let name = word(field)?;
        Self::from_name(&name).ok_or_else(|| format!("is {name:?}; it is keep or delete").into())
    }
}
