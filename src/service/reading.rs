//! What every request that works passes through: its work is estimated, admitted, done within the deadline, and learned
//! from.

use std::time::{Duration, Instant};

use super::error::ServiceError;
use super::state::Service;
use super::times::Clock;
use crate::admission::{Admission, Stopped, Work};
use crate::catalogue::CatalogueError;
use crate::catalogue::filter::Filter;
use crate::catalogue::search::{BoostBy, SearchOptions};
use crate::chips::Workload;

/// Ranking more products than these takes a search to the horizon, which looks at about so many rows.
const DEEP: usize = 100;
const FOR_THE_HORIZON: u64 = 64_000;
/// How often a piece of a long request asks whether there is room for it.
const ROOM: Duration = Duration::from_millis(20);

impl Service {
    /// Admits a request by the work that it will take.
    ///
    /// # Errors
    /// [`Stopped::Full`] if there is no room for it.
    pub(super) fn admit(&self, workload: Workload, clock: Clock) -> Result<Admission, ServiceError> {
        let estimate = self.rates.estimate(workload);
        Ok(self
            .admissions
            .admit(clock.caller(), estimate, clock.deadline())?)
    }

    /// Reads the catalogue for a request, whose whole work this is.
    ///
    /// # Errors
    /// Of the read; if the catalogue is not ready, there is no room for the request, or its time limit is exceeded.
    pub(super) async fn read<T>(
        &self,
        workload: Workload,
        clock: Clock,
        read: impl AsyncFnOnce(Work) -> Result<T, CatalogueError>,
    ) -> Result<T, ServiceError> {
        self.ready()?;
        let admission = self.admit(workload, clock)?;
        self.read_admitted(&admission, workload, clock, read).await
    }

    /// Admits a piece of a long request, which waits for room until the deadline.
    ///
    /// # Errors
    /// If the catalogue is not ready, or there is no room until the deadline.
    pub(super) async fn admit_piece(
        &self,
        workload: Workload,
        clock: Clock,
    ) -> Result<Admission, ServiceError> {
        loop {
            self.ready()?;
            match self.admit(workload, clock) {
                Err(ServiceError::Stopped(Stopped::Full)) if Instant::now() + ROOM < clock.deadline() => {
                    tokio::time::sleep(ROOM).await;
                }
                admitted => return admitted,
            }
        }
    }

    /// Reads the catalogue for a request that was admitted, as a part of its work.
    ///
    /// # Errors
    /// Of the read; if the time limit is exceeded.
    pub(super) async fn read_admitted<T>(
        &self,
        admission: &Admission,
        workload: Workload,
        clock: Clock,
        read: impl AsyncFnOnce(Work) -> Result<T, CatalogueError>,
    ) -> Result<T, ServiceError> {
        let work = admission.work();
        let before = work.took();
        let result = clock.limit(read(work.clone())).await;
        // Only finished work says how long it takes: of work that was stopped, its thread may not have told the time yet.
        if result.is_ok() {
            self.rates.learn(workload, work.took().saturating_sub(before));
        }
        result
    }

    /// What a search by so many embeddings takes.
    pub(super) fn searching(&self, options: &SearchOptions, embeddings: usize) -> Workload {
        let rows = self.catalogue.pictures().unwrap_or_default() as u64;
        let embeddings = embeddings as u64;
        let compared = if options.exact {
            rows.saturating_mul(embeddings)
        } else {
            0
        };
        let filtered = filtering(options.filter.as_ref(), rows);
        let boosts = options.boosts.iter().map(|boost| match &boost.by {
            BoostBy::Attribute(_) => 0,
            BoostBy::Filter(filter) => filtering(Some(filter), SearchOptions::HORIZON as u64),
        });
        let deeper = match options.reach() > DEEP {
            true => rows.min(FOR_THE_HORIZON).saturating_mul(embeddings),
            false => 0,
        };
        let most_of_a_group = options.group.as_ref().map_or(1, |group| group.size as u64);
        let scanned = [compared, filtered, deeper].into_iter().chain(boosts);
        Workload {
            searches: embeddings,
            scanned: scanned.fold(0, u64::saturating_add),
            products: options.k as u64 * most_of_a_group,
            ..Workload::default()
        }
    }
}

/// What a filter over so many rows takes, in rows that are compared.
pub(super) fn filtering(filter: Option<&Filter>, rows: u64) -> u64 {
    /// Looking up a product by its id takes as long as filtering so many.
    const ID: u64 = 50;
    let Some(filter) = filter else { return 0 };
    let named = ID * filter.ids().len() as u64;
    match filter.only() {
        Some(_) => named,
        None => named.saturating_add(rows),
    }
}
