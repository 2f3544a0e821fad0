//! What the catalogue holds, and how much of the exact answer its index finds.

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
    /// What made the embeddings.
    pub maker: Arc<Maker>,
}

/// A recall of this age is good enough for those who only watch.
const WATCHED: Duration = Duration::from_secs(60);

impl Service {
    /// Counts, and a recall that is at most a minute old: cheap to ask for again and again.
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

    /// Counts, and the recall on a sample, measured now.
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
