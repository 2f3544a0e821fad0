//! Statistics: what the catalogue contains, and the recall of its index.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::error::ServiceError;
use super::state::{KnownRecall, Service};
use super::times::Clock;
use crate::admission::Work;
use crate::catalogue::search::{CatalogueStats, Recall};
use crate::chips::{Maker, Workload};

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
    pub async fn sampled_stats(&self, clock: Clock) -> Result<Stats, ServiceError> {
        self.ready()?;
        let known = self.recall.lock().clone();
        if let Some(known) = known.filter(|known| known.at.elapsed() < WATCHED) {
            let read = async |work| self.catalogue.stats(work).await;
            let catalogue = self.read(Workload::LOOK_UP, clock, read).await?;
            if catalogue.origin == known.origin {
                return Ok(Stats {
                    catalogue,
                    recall: known.recall,
                    maker: self.maker(),
                });
            }
        }
        let stats = self.stats(clock).await?;
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
    pub async fn stats(&self, clock: Clock) -> Result<Stats, ServiceError> {
        let rows = self.catalogue.pictures().unwrap_or_default();
        let measuring = Workload {
            searches: Recall::QUERIES as u64,
            scanned: rows.saturating_mul(Recall::QUERIES) as u64,
            ..Workload::default()
        };
        let read = async |work: Work| {
            let recall = self.catalogue.recall(work.clone()).await?;
            Ok((recall, self.catalogue.stats(work).await?))
        };
        let (recall, catalogue) = self.read(measuring, clock, read).await?;
        Ok(Stats {
            catalogue,
            recall,
            maker: self.maker(),
        })
    }
}
