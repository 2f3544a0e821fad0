//! The task that looks whether the database can be reached, by a connection of its own.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sqlx::{Connection, PgConnection};
use tokio::time::timeout;

use super::store::Postgres;
use crate::catalogue::error::CatalogueError;

/// How often the database is looked at, and how often while it cannot be reached.
const LOOK: Duration = Duration::from_millis(500);
const LOOK_LOST: Duration = Duration::from_millis(200);
/// How long the first attempt to reach it again may take; each further one twice as long.
const FIRST: Duration = Duration::from_millis(250);

impl Postgres {
    /// Looks at the database by a connection of its own until the catalogue is closed.
    pub(super) fn start_watch(&self, first: PgConnection) {
        let (store, watch) = (Arc::downgrade(&self.0), Arc::clone(&self.0.watch));
        let mut own = Some(first);
        let mut patience = self.0.options.wait;
        self.0.runtime.spawn(async move {
            loop {
                let lost = watch.lost().is_some();
                let pause = if lost { LOOK_LOST } else { LOOK };
                // Whether it is asked to or not, it looks.
                let _ = timeout(pause, watch.look.notified()).await;
                let Some(store) = store.upgrade().map(Self) else {
                    return;
                };
                if store.0.closed.load(Ordering::Acquire) {
                    return;
                }
                let place = &store.0.place;
                match store.reached(own.take(), patience).await {
                    Ok(connection) => {
                        own = Some(connection);
                        patience = store.0.options.wait;
                        if lost {
                            tracing::info!(store = place, "the database can be reached again");
                            watch.lost.send_replace(None);
                        }
                    }
                    Err(reason) => {
                        watch.distrust();
                        if !lost {
                            tracing::error!(store = place, error = reason, "the database cannot be reached");
                        }
                        // An attempt may hang on a server that is ending; the next one may reach another.
                        patience = if lost { 2 * patience } else { FIRST }.min(store.0.options.wait);
                        watch.lost.send_replace(Some(reason));
                    }
                }
            }
        });
    }

    /// The same connection if the database answers by it, or another one; else why there is none.
    async fn reached(&self, own: Option<PgConnection>, wait: Duration) -> Result<PgConnection, String> {
        let silent = || format!("it did not answer for {} ms", wait.as_millis());
        if let Some(mut own) = own {
            match timeout(wait, own.ping()).await {
                Ok(Ok(())) => return Ok(own),
                Ok(Err(_)) => self.0.watch.distrust(),
                Err(_) => return Err(silent()),
            }
        }
        let target = self.0.pool.connect_options();
        match timeout(wait, PgConnection::connect_with(&target)).await {
            Ok(connected) => connected.map_err(|error| match CatalogueError::from(error) {
                CatalogueError::Unavailable { reason } => reason,
                error => error.to_string(),
            }),
            Err(_) => Err(silent()),
        }
    }
}
