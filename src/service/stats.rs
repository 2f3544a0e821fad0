//! Statistics: what the catalogue contains, and the recall of its index.

use std::sync::Arc;

use super::error::ServiceError;
use super::reading::filtering;
use super::state::Service;
use super::times::Clock;
use crate::catalogue::search::CatalogueStats;
use crate::catalogue::{Scope, StoreKind, StoreStats};
use crate::chips::{Maker, Workload};

/// The state of the catalogue.
#[derive(Debug, Clone)]
pub struct Stats {
    pub catalogue: CatalogueStats,
    /// The maker of the embeddings.
    pub maker: Arc<Maker>,
}

impl Service {
    /// Which store the catalogue is in.
    #[must_use]
    pub fn store(&self) -> StoreKind {
        self.catalogue.kind()
    }

    /// The connections to the catalogue's database, if it is in one.
    #[must_use]
    pub fn store_stats(&self) -> Option<StoreStats> {
        self.catalogue.store_stats()
    }

    /// How many products and pictures are part of a scope; `None` for one that has all.
    ///
    /// # Errors
    /// If the catalogue is not ready.
    pub async fn counts(&self, scope: &Scope, clock: Clock) -> Result<Option<[usize; 2]>, ServiceError> {
        let Some(filter) = scope.filter(None)? else {
            return Ok(None);
        };
        let rows = self.catalogue.pictures().unwrap_or_default() as u64;
        let workload = Workload {
            scanned: filtering(Some(&filter), rows),
            ..Workload::default()
        };
        let count = async |work| self.catalogue.count_passing(filter, work).await;
        self.read(workload, clock, count).await.map(Some)
    }

    /// Counts, and the last measurement of the recall: cheap to poll.
    ///
    /// # Errors
    /// If the catalogue is not ready.
    pub async fn stats(&self, clock: Clock) -> Result<Stats, ServiceError> {
        self.ready()?;
        let read = async |work| self.catalogue.stats(work).await;
        Ok(Stats {
            catalogue: self.read(Workload::LOOK_UP, clock, read).await?,
            maker: self.maker(),
        })
    }
}
