//! Imports over HTTP: lines are stored as they arrive, then done in order.

use std::time::{Duration, Instant};

use super::error::ServiceError;
use super::state::{Phase, Service};
use super::times::Clock;
use crate::admission::Stopped;
use crate::catalogue::import::{Import, ImportState, ImportStep, Missing, OpenImport};
use crate::catalogue::write::Write;
use crate::catalogue::{Catalogue, CatalogueError, Scope};
use crate::chips::Workload;

/// The most open imports that are listed.
pub const OPEN_IMPORTS: usize = 100;

/// How often a client's import is looked at while the client waits: another server may work on it, or it may break off.
const LOOK: Duration = Duration::from_millis(500);

/// An import whose lines are being received. If it is dropped before [`whole`](Self::whole), the import has failed.
#[derive(Debug)]
pub struct Receiving {
    catalogue: Catalogue,
    id: String,
    whole: bool,
}

/// An import, and the time until it is done.
#[derive(Debug)]
pub struct ImportStatus {
    pub import: Import,
    /// At the current pace; `None` before the first line.
    pub seconds_left: Option<f64>,
}

/// An open import, and the time until it is done.
#[derive(Debug)]
pub struct OpenImportStatus {
    pub import: OpenImport,
    /// Includes the time for earlier imports; `None` before the first line.
    pub seconds_left: Option<f64>,
}

impl Service {
    /// Opens an import under a new id.
    ///
    /// # Errors
    /// If the catalogue is not ready or the import cannot be stored.
    pub async fn begin_import(
        &self,
        id: String,
        missing: Missing,
        scope: Scope,
        clock: Clock,
    ) -> Result<Receiving, ServiceError> {
        self.ready()?;
        let receiving = Receiving {
            catalogue: self.catalogue.clone(),
            id,
            whole: false,
        };
        receiving
            .step(ImportStep::Begun { missing, scope }, clock)
            .await?;
        Ok(receiving)
    }

    /// Wakes the importer to look for complete imports.
    pub fn wake_importer(&self) {
        if let Some(importer) = self.importer.get() {
            importer.wake();
        }
    }

    fn seconds_for(&self, lines: u64) -> Option<f64> {
        self.importer
            .get()
            .and_then(|importer| importer.seconds_for(lines))
    }

    /// The state of an import.
    ///
    /// # Errors
    /// If there is no import with this id, or the catalogue is not ready.
    pub async fn import(
        &self,
        id: String,
        scope: &Scope,
        clock: Clock,
    ) -> Result<ImportStatus, ServiceError> {
        let read = async |work| self.catalogue.import(id.clone(), work).await;
        let import = self.read(Workload::LOOK_UP, clock, read).await?;
        if !scope.sees_imports_of(&import.scope) {
            return Err(CatalogueError::NoImport { id }.into());
        }
        let seconds_left = match import.state {
            ImportState::Done | ImportState::Failed => Some(0.0),
            ImportState::Receiving | ImportState::Running => self.seconds_for(import.counts.waiting()),
        };
        Ok(ImportStatus { import, seconds_left })
    }

    /// The state of an import once it has ended, or after `wait`. The end of the server ends the wait, too.
    ///
    /// # Errors
    /// As [`import`](Self::import).
    pub async fn ended_import(
        &self,
        id: String,
        wait: Duration,
        scope: &Scope,
        clock: Clock,
    ) -> Result<ImportStatus, ServiceError> {
        let end = Instant::now() + wait;
        // From before the first look: no end is missed.
        let mut ends = self.ended.ends();
        let mut known = self.import(id.clone(), scope, clock).await?;
        loop {
            let has_ended = matches!(known.import.state, ImportState::Done | ImportState::Failed);
            let left = end.saturating_duration_since(Instant::now());
            if has_ended || left.is_zero() || matches!(*self.phase.read(), Phase::Draining) {
                return Ok(known);
            }
            // Whichever comes first, the import is looked at again.
            let _ = tokio::time::timeout(left.min(LOOK), ends.of(&id)).await;
            match self.import(id.clone(), scope, clock.restarted()).await {
                Ok(now) => known = now,
                Err(ServiceError::ShuttingDown) => return Ok(known),
                Err(ServiceError::Stopped(Stopped::Full)) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The open imports, oldest first, at most [`OPEN_IMPORTS`].
    ///
    /// # Errors
    /// If the catalogue is not ready.
    pub async fn open_imports(
        &self,
        scope: &Scope,
        clock: Clock,
    ) -> Result<Vec<OpenImportStatus>, ServiceError> {
        let read = async |work| self.catalogue.open_imports(OPEN_IMPORTS, work).await;
        let open = self.read(Workload::LOOK_UP, clock, read).await?;
        let mut before = 0;
        let statuses = open.into_iter().map(|import| {
            // Imports are processed one after the other.
            before += import.counts.waiting();
            let seconds_left = self.seconds_for(before);
            OpenImportStatus { import, seconds_left }
        });
        Ok(statuses
            .filter(|status| scope.sees_imports_of(&status.import.scope))
            .collect())
    }
}

impl Receiving {
    /// Stores some lines durably.
    ///
    /// # Errors
    /// If they cannot be stored.
    pub async fn lines(&mut self, lines: Vec<(u64, Vec<u8>)>, clock: Clock) -> Result<(), ServiceError> {
        self.step(ImportStep::Received(lines), clock).await
    }

    /// Marks the import as complete, so that the importer may start on it.
    ///
    /// # Errors
    /// If that cannot be stored.
    pub async fn whole(mut self, clock: Clock) -> Result<(), ServiceError> {
        self.step(ImportStep::Whole, clock).await?;
        self.whole = true;
        Ok(())
    }

    async fn step(&self, step: ImportStep, clock: Clock) -> Result<(), ServiceError> {
        let id = self.id.clone();
        let write = self.catalogue.write(Write::Import { id, step });
        clock.limit(write).await.map(|_| ())
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        if !self.whole {
            // If this write fails too, the next start removes the lines.
            self.catalogue.write_unobserved(Write::Import {
                id: self.id.clone(),
                step: ImportStep::Broken,
            });
        }
    }
}
