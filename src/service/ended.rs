//! Which imports have ended in this process, for those who wait for one.

use std::sync::Arc;

use tokio::sync::broadcast::error::RecvError;
use tokio::sync::broadcast::{self, Receiver, Sender};

/// Tells of imports that have ended.
#[derive(Debug, Clone)]
pub struct Ended(Sender<Option<Arc<str>>>);

/// The ends of imports from now on.
#[derive(Debug)]
pub struct Ends(Receiver<Option<Arc<str>>>);

impl Default for Ended {
    fn default() -> Self {
        Self(broadcast::channel(64).0)
    }
}

impl Ended {
    /// This import has ended.
    pub fn tell(&self, id: &str) {
        // Nobody may be waiting.
        let _ = self.0.send(Some(id.into()));
    }

    /// Nobody needs to wait any more.
    pub fn tell_all(&self) {
        let _ = self.0.send(None);
    }

    /// What is told from now on.
    pub fn ends(&self) -> Ends {
        Ends(self.0.subscribe())
    }
}

impl Ends {
    /// Waits until this import may have ended, or nobody needs to wait any more.
    pub async fn of(&mut self, id: &str) {
        loop {
            match self.0.recv().await {
                Ok(Some(ended)) if *ended != *id => {}
                Ok(_) | Err(RecvError::Lagged(_) | RecvError::Closed) => return,
            }
        }
    }
}
