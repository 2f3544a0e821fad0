//! Stored products: one, a page of them, their pictures, and those that look like one.

use std::sync::Arc;
use std::time::Instant;

use super::live::Live;
use super::rates::{Took, Work};
use super::search::{self, Match, SearchOptions};
use super::{Service, ServiceError, Times, milliseconds};
use crate::catalogue::filter::Filter;
use crate::catalogue::store::Reader;
use crate::catalogue::{CatalogueError, Product, ProductKey};
use engine::embedding::is_zero;

/// Some products in stored order.
#[derive(Debug)]
pub struct Page {
    pub products: Vec<Product>,
    /// The last one, if more follow.
    pub next: Option<ProductKey>,
}

/// A stored picture's file.
#[derive(Debug)]
pub struct PictureFile {
    pub content_type: String,
    pub bytes: Vec<u8>,
}

impl Service {
    /// The product of that name.
    pub async fn product(&self, id: String) -> Result<Product, ServiceError> {
        self.read(move |_, reader| {
            let product = match reader.key(&id)? {
                Some(key) => reader.product(key)?,
                None => None,
            };
            let (product, _) = product.ok_or(CatalogueError::NoProduct { id })?;
            Ok(product)
        })
        .await
    }

    /// Up to `limit` products after `after` that pass.
    pub async fn page(
        &self,
        after: Option<ProductKey>,
        limit: usize,
        filter: Option<Filter>,
    ) -> Result<Page, ServiceError> {
        self.read(move |live, reader| {
            let index = live.index();
            let mut keys = index.products_after(after, filter.as_ref());
            let mut page = Page {
                products: Vec::with_capacity(limit),
                next: None,
            };
            let mut last = None;
            for key in keys.by_ref().take(limit) {
                if let Some((product, _)) = reader.product(key)? {
                    page.products.push(product);
                }
                last = Some(key);
            }
            page.next = last.filter(|_| keys.next().is_some());
            Ok(page)
        })
        .await
    }

    /// The file of one of a product's pictures.
    pub async fn picture(&self, product: String, picture: String) -> Result<PictureFile, ServiceError> {
        self.read(move |_, reader| match reader.picture(&product, &picture)? {
            Some((content_type, bytes)) => Ok(PictureFile { content_type, bytes }),
            None if reader.key(&product)?.is_none() => Err(CatalogueError::NoProduct { id: product }.into()),
            None => Err(CatalogueError::NoPicture { product, picture }.into()),
        })
        .await
    }

    /// The products that look like a stored one, itself left out; its own embeddings are searched for.
    pub async fn similar(
        &self,
        live: &Arc<Live>,
        id: String,
        options: SearchOptions,
        deadline: Instant,
    ) -> Result<(Vec<Match>, Times), ServiceError> {
        let similar = move |live: &Live, reader: &Reader| {
            let key = reader.key(&id)?.ok_or(CatalogueError::NoProduct { id })?;
            let index = live.index();
            let mut embeddings = index.embeddings_of(key);
            // A view that this model makes nothing of does not keep the others from being searched for.
            if embeddings.iter().any(|values| !is_zero(values)) {
                embeddings.retain(|values| !is_zero(values));
            }
            search::search(&index, reader, &embeddings, &[key], &options)
        };
        self.search_stored(live, deadline, similar).await
    }

    /// Searches by what is stored, in the same queue as pictures, without running one.
    pub(super) async fn search_stored(
        &self,
        live: &Arc<Live>,
        deadline: Instant,
        find: impl FnOnce(&Live, &Reader) -> Result<Vec<Match>, ServiceError> + Send + 'static,
    ) -> Result<(Vec<Match>, Times), ServiceError> {
        let start = Instant::now();
        let live = Arc::clone(live);
        let work = Work {
            searches: true,
            ..Work::default()
        };
        let rates = Arc::clone(&self.rates);
        let estimate = self.rates.estimate(work);
        let run = move |_: &mut _, queued| {
            let searching = Instant::now();
            let matches = live.readers.with(|reader| find(&live, reader))?;
            let took = Took {
                search: searching.elapsed(),
                ..Took::default()
            };
            rates.learn(work, took);
            let times = Times {
                queue_ms: milliseconds(queued),
                search_ms: milliseconds(took.search),
                ..Times::default()
            };
            Ok((matches, times))
        };
        let (matches, mut times) = self.pool.run(estimate, deadline, run).await?;
        times.total_ms = milliseconds(start.elapsed());
        Ok((matches, times))
    }

    /// Reads from the store on a thread that may wait for the disk.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Live, &Reader) -> Result<T, ServiceError> + Send + 'static,
    ) -> Result<T, ServiceError> {
        let live = self.live()?;
        let task = tokio::task::spawn_blocking(move || live.readers.with(|reader| read(&live, reader)));
        task.await.map_err(|_| ServiceError::WorkerPanicked)?
    }
}
