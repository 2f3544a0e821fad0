//! What becomes of a next network whose embeddings wait: it is taken over, or dropped.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::error::ServiceError;
use super::state::Service;
use super::times::Clock;

/// How often it is looked whether the embeddings were adopted.
const LOOK: Duration = Duration::from_millis(50);
/// What is left of the time limit when the answer is given all the same.
const BEFORE: Duration = Duration::from_millis(500);

impl Service {
    /// Lets the next network answer as soon as its embeddings are complete; says whether it does already. It waits for that
    /// nearly as long as the request may take.
    ///
    /// # Errors
    /// If there is none, or the catalogue cannot be written.
    pub async fn take_over(&self, clock: Clock) -> Result<bool, ServiceError> {
        self.ready()?;
        let next = self.reembedding().ok_or(ServiceError::NoNext)?;
        next.release();
        clock.limit(self.catalogue.release()).await?;
        let end = clock.deadline() - BEFORE;
        while Instant::now() < end {
            if self.maker().origin == next.maker.origin {
                return Ok(true);
            }
            if next.is_left() {
                // Another server was quicker, or drops it.
                self.makers.catch_up().await?;
                return Ok(self.maker().origin == next.maker.origin);
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(false)
    }

    /// Drops the next network with its embeddings.
    ///
    /// # Errors
    /// If there is none, or the catalogue cannot be written.
    pub async fn drop_next(&self, clock: Clock) -> Result<(), ServiceError> {
        self.ready()?;
        let next = self.reembedding().ok_or(ServiceError::NoNext)?;
        clock.limit(self.catalogue.cancel_reembedding()).await?;
        let maker = Arc::clone(&next.maker);
        self.makers.leave(&next);
        tracing::info!(model_id = maker.origin.model_id, "the next network is dropped");
        Ok(())
    }
}
