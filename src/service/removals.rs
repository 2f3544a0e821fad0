//! Removing all products that pass a filter, some at a time: other requests and other writes go on in between.

use std::sync::Arc;

use super::error::ServiceError;
use super::reading::filtering;
use super::state::Service;
use super::times::Clock;
use crate::catalogue::filter::Filter;
use crate::catalogue::write::Write;
use crate::catalogue::{CatalogueError, Cursor, PassingProducts, ProductNumbers};
use crate::chips::Workload;

/// Products that are found at a time.
const FOUND: usize = 4096;
/// Products that are removed in one transaction; on a full disk fewer, for which the reserve has room.
const REMOVED: [usize; 2] = [256, 16];

impl Service {
    /// Removes the products that pass, and says how many. Each part has the time limit of a request; what was removed before
    /// an error stays removed. A product that does not pass any more when its turn comes stays.
    ///
    /// # Errors
    /// If the catalogue is not ready, cannot be written, or a part takes too long.
    pub async fn delete_passing(&self, filter: Filter, clock: Clock) -> Result<usize, ServiceError> {
        let filter = Arc::new(filter);
        let (mut after, mut deleted) = (None, 0);
        loop {
            let page = self.passing(after, &filter, clock.restarted()).await?;
            for products in page.products.groups(REMOVED[0]) {
                match self.delete_group(products.clone(), &filter, clock).await {
                    Err(ServiceError::Catalogue(CatalogueError::Full { .. })) => {
                        for products in products.groups(REMOVED[1]) {
                            deleted += self.delete_group(products, &filter, clock).await?;
                        }
                    }
                    removed => deleted += removed?,
                }
            }
            after = page.next;
            if after.is_none() {
                return Ok(deleted);
            }
        }
    }

    /// How many products pass.
    ///
    /// # Errors
    /// If the catalogue is not ready, or a part takes too long.
    pub async fn count_passing(&self, filter: Filter, clock: Clock) -> Result<usize, ServiceError> {
        let filter = Arc::new(filter);
        let (mut after, mut count) = (None, 0);
        loop {
            let page = self.passing(after, &filter, clock.restarted()).await?;
            count += page.products.count();
            after = page.next;
            if after.is_none() {
                return Ok(count);
            }
        }
    }

    async fn passing(
        &self,
        after: Option<Cursor>,
        filter: &Arc<Filter>,
        clock: Clock,
    ) -> Result<PassingProducts, ServiceError> {
        let rows = self.catalogue.pictures().unwrap_or_default() as u64;
        let workload = Workload {
            scanned: filtering(Some(filter), rows),
            ..Workload::default()
        };
        let admission = self.admit_piece(workload, clock).await?;
        let filter = Arc::clone(filter);
        let find = async |work| self.catalogue.passing(after, filter, FOUND, work).await;
        self.read_admitted(&admission, workload, clock, find).await
    }

    async fn delete_group(
        &self,
        products: ProductNumbers,
        filter: &Arc<Filter>,
        clock: Clock,
    ) -> Result<usize, ServiceError> {
        self.ready()?;
        let filter = Arc::clone(filter);
        let writes = vec![Write::DeletePassing { products, filter }];
        let mut answers = clock.restarted().limit(self.catalogue.write_many(writes)).await?;
        let written = answers.pop().unwrap_or(Err(CatalogueError::Panicked))?;
        Ok(written.removed.products)
    }
}
