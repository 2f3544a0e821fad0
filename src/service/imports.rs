//! Imports over the wire: lines are stored as they come, then become products one after the other.

use super::error::ServiceError;
use super::state::Service;
use super::times::Clock;
use crate::catalogue::Catalogue;
use crate::catalogue::import::{Import, ImportState, ImportStep, OpenImport};
use crate::catalogue::write::Write;

/// Open imports that are listed at once.
pub const OPEN_IMPORTS: usize = 100;

/// An import whose lines are coming in. Dropped before it is whole, it has failed.
#[derive(Debug)]
pub struct Receiving {
    catalogue: Catalogue,
    id: String,
    whole: bool,
}

/// An import with the time that it will take.
#[derive(Debug)]
pub struct ImportStatus {
    pub import: Import,
    /// At the pace of the last lines; none before the first.
    pub seconds_left: Option<f64>,
}

/// An import that is not done, with the time that it will take.
#[derive(Debug)]
pub struct OpenImportStatus {
    pub import: OpenImport,
    /// Until its last line is done, earlier imports first; none before the first line.
    pub seconds_left: Option<f64>,
}

impl Service {
    /// Opens an import under a new id.
    ///
    /// # Errors
    /// If the catalogue is not ready or refuses it.
    pub async fn begin_import(&self, id: String, clock: Clock) -> Result<Receiving, ServiceError> {
        self.ready()?;
        let receiving = Receiving {
            catalogue: self.catalogue.clone(),
            id,
            whole: false,
        };
        receiving.step(ImportStep::Begun, clock).await?;
        Ok(receiving)
    }

    /// Lets the importer look for imports that are whole.
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
    /// If there is none of this id.
    pub async fn import(&self, id: String) -> Result<ImportStatus, ServiceError> {
        self.ready()?;
        let import = self.catalogue.import(id).await?;
        let seconds_left = match import.state {
            ImportState::Done | ImportState::Failed => Some(0.0),
            ImportState::Receiving | ImportState::Running => {
                self.seconds_for(import.received - import.stored - import.failed)
            }
        };
        Ok(ImportStatus { import, seconds_left })
    }

    /// The imports that are not done, the oldest first, at most [`OPEN_IMPORTS`] of them.
    ///
    /// # Errors
    /// If the catalogue is not ready.
    pub async fn open_imports(&self) -> Result<Vec<OpenImportStatus>, ServiceError> {
        self.ready()?;
        let mut before = 0;
        let open = self.catalogue.open_imports(OPEN_IMPORTS).await?;
        let statuses = open.into_iter().map(|import| {
            // They are worked on one after the other.
            before += import.received - import.stored - import.failed;
            let seconds_left = self.seconds_for(before);
            OpenImportStatus { import, seconds_left }
        });
        Ok(statuses.collect())
    }
}

impl Receiving {
    /// Stores some lines, durably.
    ///
    /// # Errors
    /// If they cannot be stored.
    pub async fn lines(&mut self, lines: Vec<(u64, Vec<u8>)>, clock: Clock) -> Result<(), ServiceError> {
        self.step(ImportStep::Received(lines), clock).await
    }

    /// All lines are there: they become products once the importer looks.
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
            // Where there is no room for this either, the next start drops the lines.
            self.catalogue.write_unobserved(Write::Import {
                id: self.id.clone(),
                step: ImportStep::Broken,
            });
        }
    }
}
