//! Reading stored products: one, a page of them, and their pictures.

use super::error::ServiceError;
use super::state::Service;
use crate::catalogue::filter::Filter;
use crate::catalogue::{Cursor, Page, PictureFile, PictureKey, Product};

impl Service {
    /// The product with this id.
    ///
    /// # Errors
    /// If it does not exist, or the catalogue is not ready.
    pub async fn product(&self, id: String) -> Result<Product, ServiceError> {
        self.ready()?;
        Ok(self.catalogue.product(id).await?)
    }

    /// Up to `limit` products after the cursor that pass the filter.
    ///
    /// # Errors
    /// If the cursor is invalid, or the catalogue is not ready.
    pub async fn page(
        &self,
        after: Option<Cursor>,
        limit: usize,
        filter: Option<Filter>,
    ) -> Result<Page, ServiceError> {
        self.ready()?;
        Ok(self.catalogue.page(after, limit, filter).await?)
    }

    /// The file of one of a product's pictures.
    ///
    /// # Errors
    /// If it does not exist, or the catalogue is not ready.
    pub async fn picture(&self, product: String, picture: String) -> Result<PictureFile, ServiceError> {
        self.ready()?;
        Ok(self.catalogue.picture(product, picture).await?)
    }

    /// The piece of a picture's file that begins at `offset`; it holds no connection of the store once it is read.
    ///
    /// # Errors
    /// If the picture was removed, or the catalogue cannot be read.
    pub async fn picture_piece(&self, key: PictureKey, offset: u64) -> Result<Vec<u8>, ServiceError> {
        Ok(self.catalogue.picture_piece(key, offset).await?)
    }
}
