//! Exporting products: page by page, as fast as the client reads; nothing of the store is held between two pages.

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use super::error::ServiceError;
use super::reading::filtering;
use super::state::Service;
use super::times::Clock;
use crate::catalogue::copying::CopiedProduct;
use crate::catalogue::exporting::Export;
use crate::catalogue::filter::Filter;
use crate::catalogue::{CatalogueError, Cursor, Origin};
use crate::chips::Workload;

/// How often a page is read again, and when, because other embeddings were adopted while it was read.
const TRIES: u32 = 5;
const AGAIN: Duration = Duration::from_millis(100);

/// An export that has not ended.
#[derive(Debug)]
pub struct Exporting {
    service: Arc<Service>,
    export: Arc<Export>,
    /// Whether embeddings are exported: all of them are of one origin.
    embeddings: bool,
    origin: Option<Arc<Origin>>,
    after: Option<Cursor>,
    ended: bool,
    clock: Clock,
}

impl Service {
    /// The whole catalogue as of this moment, in a file that is gone once it is closed.
    ///
    /// # Errors
    /// If it is in a database, or the disk is full.
    pub async fn back_up(&self) -> Result<File, ServiceError> {
        self.ready()?;
        Ok(self.catalogue.back_up().await?)
    }
}

impl Exporting {
    /// An export of the products that pass, with their pictures' files and embeddings or without.
    #[must_use]
    pub fn new(
        service: Arc<Service>,
        filter: Option<Filter>,
        files: bool,
        embeddings: bool,
        clock: Clock,
    ) -> Self {
        Self {
            service,
            export: Arc::new(Export { filter, files }),
            embeddings,
            origin: None,
            after: None,
            ended: false,
            clock,
        }
    }

    /// The next products, each as it was at one moment; none at the end. Each page has the time limit of a request.
    ///
    /// # Errors
    /// If the catalogue is not ready, the page takes too long, or embeddings are exported and others were adopted.
    pub async fn next(&mut self) -> Result<Option<Vec<CopiedProduct>>, ServiceError> {
        if self.ended {
            return Ok(None);
        }
        let service = &self.service;
        let rows = service.catalogue.pictures().unwrap_or_default() as u64;
        let workload = Workload {
            scanned: filtering(self.export.filter.as_ref(), rows),
            products: Export::PRODUCTS as u64,
            ..Workload::default()
        };
        let clock = self.clock.restarted();
        let mut tries = 0;
        let page = loop {
            let admission = service.admit_piece(workload, clock).await?;
            let (after, export) = (self.after.clone(), Arc::clone(&self.export));
            let read = async |work| service.catalogue.export(after, export, work).await;
            match service.read_admitted(&admission, workload, clock, read).await {
                Err(ServiceError::Catalogue(CatalogueError::OtherOrigin)) if tries < TRIES => {
                    tries += 1;
                    tokio::time::sleep(AGAIN).await;
                }
                page => break page?,
            }
        };
        let others = |origin: &Arc<Origin>| page.origin.as_ref() != Some(origin);
        if self.embeddings && self.origin.as_ref().is_some_and(others) {
            return Err(CatalogueError::OtherOrigin.into());
        }
        self.origin = page.origin;
        self.after = page.next;
        self.ended = self.after.is_none();
        Ok(Some(page.products))
    }
}
