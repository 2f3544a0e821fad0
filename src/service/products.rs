//! Reading stored products: one, a page of them, and their pictures.

use super::error::ServiceError;
use super::reading::filtering;
use super::state::Service;
use super::times::Clock;
use crate::catalogue::filter::Filter;
use crate::catalogue::{Cursor, Page, PictureFile, PictureKey, Product, Scope};
use crate::chips::Workload;

impl Service {
    /// The product with this id.
    ///
    /// # Errors
    /// If it does not exist, or the catalogue is not ready.
    pub async fn product(&self, id: String, scope: &Scope, clock: Clock) -> Result<Product, ServiceError> {
        let read = async |work| self.catalogue.product(id, work).await;
        let product = self.read(Workload::LOOK_UP, clock, read).await?;
        Ok(scope.only(product)?)
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
        scope: &Scope,
        clock: Clock,
    ) -> Result<Page, ServiceError> {
        let filter = scope.filter(filter)?;
        let rows = self.catalogue.pictures().unwrap_or_default() as u64;
        let workload = Workload {
            scanned: filtering(filter.as_ref(), rows),
            products: limit as u64,
            ..Workload::default()
        };
        let read = async |work| self.catalogue.page(after, limit, filter, work).await;
        self.read(workload, clock, read).await
    }

    /// The file of one of a product's pictures.
    ///
    /// # Errors
    /// If it does not exist, or the catalogue is not ready.
    pub async fn picture(
        &self,
        product: String,
        picture: String,
        scope: &Scope,
        clock: Clock,
    ) -> Result<PictureFile, ServiceError> {
        if !scope.is_all() {
            self.product(product.clone(), scope, clock).await?;
        }
        // The first piece of it.
        let read = async |work| self.catalogue.picture(product, picture, work).await;
        self.read(Workload::LOOK_UP, clock, read).await
    }

    /// The piece of a picture's file that begins at `offset`; it holds no connection of the store once it is read.
    ///
    /// # Errors
    /// If the picture was removed, or the catalogue cannot be read.
    pub async fn picture_piece(&self, key: PictureKey, offset: u64) -> Result<Vec<u8>, ServiceError> {
        Ok(self.catalogue.picture_piece(key, offset).await?)
    }
}
