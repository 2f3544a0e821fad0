//! The part of a catalogue that somebody sees and changes.

use std::sync::Arc;

use serde_json::Value;

use super::attributes::Attributes;
use super::error::CatalogueError;
use super::filter::{Filter, FilterError};
use super::product::Product;

/// All products, or those that pass a filter: the others are not there for whoever has it.
#[derive(Debug, Clone, Default)]
pub struct Scope(Option<Arc<Part>>);

#[derive(Debug)]
struct Part {
    filter: Filter,
    /// The filter as JSON.
    text: String,
}

impl PartialEq for Scope {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text()
    }
}

impl Scope {
    /// All products.
    pub const ALL: Self = Self(None);

    /// The products that pass.
    ///
    /// # Errors
    /// Names the part of the filter that is invalid.
    pub fn of(filter: &Value) -> Result<Self, FilterError> {
        Ok(Self(Some(Arc::new(Part {
            filter: Filter::from_json(filter)?,
            text: filter.to_string(),
        }))))
    }

    /// A scope as it is stored.
    pub(super) fn stored(text: Option<&str>) -> Result<Self, CatalogueError> {
        let Some(text) = text else { return Ok(Self::ALL) };
        let damaged = |error: String| CatalogueError::Damaged {
            what: format!("imports.scope: {error}"),
        };
        let filter = serde_json::from_str(text).map_err(|error| damaged(error.to_string()))?;
        Self::of(&filter).map_err(|error| damaged(error.to_string()))
    }

    /// Its filter as JSON; none where it is all of the catalogue.
    pub(super) fn text(&self) -> Option<&str> {
        self.0.as_ref().map(|part| part.text.as_str())
    }

    /// Its filter; none where it is all of the catalogue.
    pub(super) fn own(&self) -> Option<&Filter> {
        self.0.as_ref().map(|part| &part.filter)
    }

    /// Whether it is all of the catalogue.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.0.is_none()
    }

    /// Whether a product is part of it.
    #[must_use]
    pub fn has(&self, product: &Product) -> bool {
        self.takes(&product.id, &product.attributes)
    }

    /// Whether a product with this id and these attributes would be part of it.
    #[must_use]
    pub fn takes(&self, id: &str, attributes: &Attributes) -> bool {
        self.own()
            .is_none_or(|filter| filter.holds(id, attributes.as_map()))
    }

    /// Whether a product may be replaced or changed to have these attributes: it is part of it now, if it is there, and stays
    /// so.
    ///
    /// # Errors
    /// What is said where there is no such product, or that it would not be part of it.
    pub fn permits(
        &self,
        id: &str,
        stored: Option<&Product>,
        attributes: &Attributes,
    ) -> Result<(), CatalogueError> {
        let id = || id.to_owned();
        if stored.is_some_and(|stored| !self.has(stored)) {
            return Err(CatalogueError::NoProduct { id: id() });
        }
        match self.takes(&id(), attributes) {
            true => Ok(()),
            false => Err(CatalogueError::OutOfScope { id: id() }),
        }
    }

    /// The product, if it is part of it.
    ///
    /// # Errors
    /// What is said where there is no such product.
    pub fn only(&self, product: Product) -> Result<Product, CatalogueError> {
        match self.has(&product) {
            true => Ok(product),
            false => Err(CatalogueError::NoProduct { id: product.id }),
        }
    }

    /// A filter that passes what is part of it and passes another one.
    ///
    /// # Errors
    /// If both have too many conditions together.
    pub fn and(&self, other: Filter) -> Result<Filter, CatalogueError> {
        let Some(own) = self.own() else { return Ok(other) };
        own.clone().and(other).map_err(|error| CatalogueError::Invalid {
            field: error.path,
            reason: format!("{} with those of the key", error.reason),
        })
    }

    /// The same, where there may be no other one.
    ///
    /// # Errors
    /// As [`Scope::and`].
    pub fn filter(&self, other: Option<Filter>) -> Result<Option<Filter>, CatalogueError> {
        match other {
            Some(other) => self.and(other).map(Some),
            None => Ok(self.own().cloned()),
        }
    }
}
