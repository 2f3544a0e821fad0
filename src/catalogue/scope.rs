//! The part of a catalogue that somebody sees and changes.

use std::sync::Arc;

use super::attributes::Attributes;
use super::error::CatalogueError;
use super::filter::Filter;
use super::product::Product;

/// All products, or those that pass a filter: the others are not there for whoever has it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scope(Option<Arc<Filter>>);

impl Scope {
    /// All products.
    pub const ALL: Self = Self(None);

    /// The products that pass.
    #[must_use]
    pub fn of(filter: Filter) -> Self {
        Self(Some(Arc::new(filter)))
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
        let holds = |filter: &Arc<Filter>| filter.holds(id, attributes.as_map());
        self.0.as_ref().is_none_or(holds)
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
    pub fn filter(&self, other: Option<Filter>) -> Result<Option<Filter>, CatalogueError> {
        let Some(own) = self.0.as_deref() else {
            return Ok(other);
        };
        let Some(other) = other else {
            return Ok(Some(own.clone()));
        };
        let both = own.clone().and(other);
        both.map(Some).map_err(|error| CatalogueError::Invalid {
            field: error.path,
            reason: error.reason,
        })
    }
}
