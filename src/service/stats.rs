//! Statistics: what the catalogue contains, and the recall of its index.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::error::ServiceError;
use super::state::{KnownRecall, Service};
use crate::catalogue::search::{CatalogueStats, Recall};
use crate::chips::Maker;

/// The state of the catalogue.
#[derive(Debug, Clone)]
pub struct Stats {
    pub catalogue: CatalogueStats,
    pub recall: Recall,
    /// The maker of the embeddings.
    pub maker: Arc<Maker>,
}

/// The age up to which a measured recall is used again for monitoring.
const WATCHED: Duration = Duration::from_secs(60);

impl Service {
    /// Counts, and a recall that is at most a minute old: cheap to poll.
    ///
    /// # Errors
    /// If the catalogue is not ready.
    pub async fn sampled_stats(&self) -> Result<Stats, ServiceError> {
        self.ready()?;
        let known = self.recall.lock().clone();
        if let Some(known) = known.filter(|known| known.at.elapsed() < WATCHED) {
            let catalogue = self.catalogue.stats().await?;
            if catalogue.origin == known.origin {
                return Ok(Stats {
                    catalogue,
                    recall: known.recall,
                    maker: self.maker(),
                });
            }
        }
        let stats = self.stats().await?;
        *self.recall.lock() = Some(KnownRecall {
            recall: stats.recall,
            origin: Arc::clone(&stats.catalogue.origin),
            at: Instant::now(),
        });
        Ok(stats)
    }

    /// Counts, and the recall on a sample, measured by this call.
    ///
    /// # Errors
    /// If the catalogue is not ready.
    pub async fn stats(&self) -> Result<Stats, ServiceError> {
        self.ready()?;
        Ok(Stats {
            recall: self.catalogue.recall().await?,
            catalogue: self.catalogue.stats().await?,
            maker: self.maker(),
        })
    }
}
