//! Several servers over one catalogue: each follows what another one has adopted, begun or dropped.

use std::sync::Arc;

use super::error::ServiceError;
use super::makers::LOOK;
use super::state::{Phase, Service};
use crate::catalogue::CatalogueError;

impl Service {
    /// Takes over what other servers have done: answers by the embeddings that they adopted, takes part in a re-embedding
    /// that they began, leaves one that they dropped.
    ///
    /// # Errors
    /// If the catalogue cannot be read, a model is not available or a thread cannot be started.
    pub async fn follow(&self) -> Result<(), ServiceError> {
        self.ready()?;
        self.makers.catch_up().await?;
        if let Some(joined) = self.makers.join().await? {
            self.reembed(joined)?;
        }
        Ok(())
    }

    /// Follows the other servers from now on, every second and when it is woken, until the service drains.
    pub(super) fn follow_others(self: &Arc<Self>) {
        let service = Arc::downgrade(self);
        tokio::spawn(async move {
            let mut said = None;
            while let Some(service) = service.upgrade() {
                // Whether it was woken or not, it looks.
                let _ = tokio::time::timeout(LOOK, service.look.notified()).await;
                if matches!(*service.phase.read(), Phase::Draining) {
                    return;
                }
                let failed = service.follow().await.err().map(|error| error.to_string());
                if failed != said
                    && let Some(error) = &failed
                {
                    tracing::warn!(error, "what other servers have done is not known");
                }
                said = failed;
            }
        });
    }

    /// The result of what was done by the present maker. None where other embeddings were adopted in between: the maker is
    /// then that of the new ones, and it is to be done once more.
    pub(super) async fn unless_adopted<T>(
        &self,
        done: Result<T, ServiceError>,
    ) -> Result<Option<T>, ServiceError> {
        match done {
            Err(ServiceError::Catalogue(CatalogueError::OtherOrigin)) => {
                self.makers.catch_up().await?;
                self.look.notify_one();
                Ok(None)
            }
            done => done.map(Some),
        }
    }
}

#[cfg(test)]
mod tests;
