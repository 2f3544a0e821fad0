//! From a picture to its embedding, and from a picture or an embedding to products.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::error::ServiceError;
use super::state::Service;
use super::times::{Clock, Spent, Times};
use crate::admission::Admission;
use crate::catalogue::Scope;
use crate::catalogue::counts::Counts;
use crate::catalogue::search::{Match, Nearby, Nearest, SearchOptions};
use crate::chips::{Embedded, Embedder, Maker, Rates, RunChoice, Workload};

/// What to search for.
#[derive(Debug, Clone)]
pub enum Query<B> {
    /// An image file, and how to run it.
    Picture(B, RunChoice),
    Embedding(Vec<i32>),
}

/// An embedding, and its maker.
#[derive(Debug)]
pub struct EmbeddedBy {
    pub embedded: Embedded,
    pub maker: Arc<Maker>,
    pub times: Times,
}

/// The result of a search, and the maker of the embeddings that were compared.
#[derive(Debug)]
pub struct Found {
    pub matches: Vec<Match>,
    /// Where facets were asked for.
    pub counts: Option<Arc<Counts>>,
    /// What was searched for, if it is one embedding.
    pub query: Option<Vec<i32>>,
    /// `None` if the query was not a picture.
    pub embedded: Option<Embedded>,
    pub maker: Arc<Maker>,
    pub times: Times,
}

impl Service {
    /// Runs one picture on the network that answers now.
    ///
    /// # Errors
    /// If the picture cannot be run, the queue is full, or the time limit is exceeded.
    pub async fn embed<B: AsRef<[u8]> + Send + 'static>(
        &self,
        picture: B,
        choice: RunChoice,
        clock: Clock,
    ) -> Result<EmbeddedBy, ServiceError> {
        let maker = self.maker();
        let options = choice.or(crate::chips::RunOptions::of(&maker.model));
        let workload = Workload::of_picture(picture.as_ref(), options, &self.options.limits)?;
        let admission = self.admit(workload, clock)?;
        let (rates, counters) = (Arc::clone(&self.rates), Arc::clone(&self.counters));
        let model = Arc::clone(&maker.model);
        let work = admission.work();
        let run = move |embedder: &mut Embedder, queued: Duration| {
            embedder.use_model(&model);
            let embedded = embedder.embed(picture.as_ref(), options, &work)?;
            counters.add(&embedded.emulation);
            learn_run(&rates, workload, &embedded);
            Ok((embedded, queued))
        };
        let (embedded, queue) = self.pool.run(&admission, run).await?;
        let spent = Spent::on(&embedded, queue);
        Ok(EmbeddedBy {
            embedded,
            maker,
            times: clock.times(spent),
        })
    }

    /// The maker of the embeddings that a search is among.
    ///
    /// # Errors
    /// If these are the next ones, and there are none that can be searched.
    pub(super) fn maker_for(&self, options: &SearchOptions) -> Result<Arc<Maker>, ServiceError> {
        if !options.next {
            return Ok(self.maker());
        }
        let next = self.reembedding().ok_or(ServiceError::NoNext)?;
        match next.agreement() {
            Some(_) => Ok(Arc::clone(&next.maker)),
            None => {
                let (_, done, total) = next.progress.now();
                Err(ServiceError::NextNotReady { done, total })
            }
        }
    }

    /// The products nearest to a picture or an embedding.
    ///
    /// # Errors
    /// If the query is invalid, the queue is full, the time limit is exceeded, or the catalogue is not ready.
    pub async fn search<B: AsRef<[u8]> + Clone + Send + 'static>(
        &self,
        query: Query<B>,
        options: SearchOptions,
        scope: &Scope,
        clock: Clock,
    ) -> Result<Found, ServiceError> {
        self.ready()?;
        let options = options.within(scope)?;
        let found = self.search_once(query.clone(), options.clone(), clock).await;
        match self.unless_adopted(found).await? {
            Some(found) => Ok(found),
            None => self.search_once(query, options, clock).await,
        }
    }

    async fn search_once<B: AsRef<[u8]> + Send + 'static>(
        &self,
        query: Query<B>,
        options: SearchOptions,
        clock: Clock,
    ) -> Result<Found, ServiceError> {
        let maker = self.maker_for(&options)?;
        let search = |values: Vec<i32>| Nearest {
            origin: Arc::clone(&maker.origin),
            embeddings: vec![values],
            without: Vec::new(),
            options: options.clone(),
            with_embeddings: false,
        };
        let (found, query, embedded, spent) = match query {
            Query::Embedding(values) => {
                let work = self.searching(&options, 1);
                let admission = self.admit(work, clock)?;
                let mut spent = Spent::default();
                let search = search(values.clone());
                let found = self.nearest(&admission, work, search, clock, &mut spent);
                (found.await?, values, None, spent)
            }
            Query::Picture(picture, choice) => {
                let run = choice.or(maker.options());
                let running = Workload::of_picture(picture.as_ref(), run, &self.options.limits)?;
                let searching = self.searching(&options, 1);
                let admission = self.admit(running.and(searching), clock)?;
                let work = admission.work();
                let (rates, counters) = (Arc::clone(&self.rates), Arc::clone(&self.counters));
                let (model, catalogue) = (Arc::clone(&maker.model), self.catalogue.clone());
                let mut search = search(Vec::new());
                let job = move |embedder: &mut Embedder, queued: Duration| {
                    embedder.use_model(&model);
                    let embedded = embedder.embed(picture.as_ref(), run, &work)?;
                    counters.add(&embedded.emulation);
                    learn_run(&rates, running, &embedded);
                    work.check()?;
                    search.embeddings = vec![embedded.embedding.values.clone()];
                    let start = Instant::now();
                    let here = catalogue.nearest_here(&search, &work);
                    let took = start.elapsed();
                    if matches!(here, Some(Ok(_))) {
                        rates.learn(searching, took);
                    }
                    Ok((embedded, here.ok_or(search), took, queued))
                };
                let (embedded, here, took, queue) = self.pool.run(&admission, job).await?;
                let mut spent = Spent::on(&embedded, queue);
                let found = match here {
                    Ok(found) => {
                        spent.search = took;
                        found?
                    }
                    Err(search) => {
                        let found = self.nearest(&admission, searching, search, clock, &mut spent);
                        found.await?
                    }
                };
                let query = embedded.embedding.values.clone();
                (found, query, Some(embedded), spent)
            }
        };
        Ok(Found {
            matches: found.matches,
            counts: found.counts,
            query: Some(query),
            embedded,
            maker,
            times: clock.times(spent),
        })
    }

    /// Searches the catalogue within the deadline, and records the time in `spent`.
    pub(super) async fn nearest(
        &self,
        admission: &Admission,
        workload: Workload,
        search: Nearest,
        clock: Clock,
        spent: &mut Spent,
    ) -> Result<Nearby, ServiceError> {
        let start = Instant::now();
        let read = async |work| self.catalogue.nearest(search, work).await;
        let found = self.read_admitted(admission, workload, clock, read).await?;
        spent.search = start.elapsed();
        Ok(found)
    }
}

/// Learns how long the parts of a run took.
pub(super) fn learn_run(rates: &Rates, run: Workload, embedded: &Embedded) {
    let Workload {
        decoded, time_steps, ..
    } = run;
    let (decoding, emulation) = (Workload::default(), Workload::default());
    rates.learn(Workload { decoded, ..decoding }, embedded.decode_time);
    rates.learn(
        Workload {
            time_steps,
            ..emulation
        },
        embedded.emulation_time,
    );
}

impl Spent {
    fn on(embedded: &Embedded, queue: Duration) -> Self {
        Self {
            decoding: embedded.decode_time,
            queue,
            emulation: embedded.emulation_time,
            search: Duration::ZERO,
        }
    }
}
