//! Writes of products and pictures: a picture is embedded on a chip, then the writer stores it.

use std::sync::Arc;
use std::time::Instant;

use super::embed::{Embedder, RunOptions};
use super::ingest::{new_picture, options};
use super::rates::Work;
use super::{Service, ServiceError};
use crate::catalogue::write::{Write, Written};
use crate::catalogue::{
    Attributes, CatalogueError, NewPicture, NewProduct, Product, ProductId, ProductPicture, check_attributes,
    check_title,
};
use crate::picture::Mode;

/// A product as a client gives it.
#[derive(Debug)]
pub struct GivenProduct<B> {
    pub id: String,
    pub title: String,
    pub attributes: Attributes,
    pub picture: B,
    pub mode: Mode,
}

impl Service {
    /// Creates a product or replaces it; says whether it was created. With `only_new`, one that is there is refused.
    pub async fn put<B: AsRef<[u8]> + Send + 'static>(
        &self,
        given: GivenProduct<B>,
        only_new: bool,
        deadline: Instant,
    ) -> Result<(Product, bool), ServiceError> {
        let id = ProductId::new(&given.id)?;
        check_title(&given.title)?;
        check_attributes(&given.attributes)?;
        if only_new {
            // Asked before as well, so that no picture is run for nothing.
            let id = given.id.clone();
            self.read(move |_, reader| match reader.key(&id)? {
                Some(_) => Err(CatalogueError::Exists { id }.into()),
                None => Ok(()),
            })
            .await?;
        }
        let picture = self.new_picture(given.picture, given.mode, deadline).await?;
        let product = NewProduct {
            id,
            title: given.title,
            attributes: given.attributes,
            pictures: vec![picture],
        };
        let written = self.write(Write::Put { product, only_new }, deadline).await?;
        let created = written.created;
        Ok((stored(written)?, created))
    }

    /// Changes title and attributes; null removes an attribute.
    pub async fn merge(
        &self,
        id: String,
        title: Option<String>,
        attributes: Attributes,
        deadline: Instant,
    ) -> Result<Product, ServiceError> {
        if let Some(title) = &title {
            check_title(title)?;
        }
        let write = Write::Merge {
            id,
            title,
            attributes,
        };
        stored(self.write(write, deadline).await?)
    }

    /// Removes a product: no later answer has it.
    pub async fn delete(&self, id: String, deadline: Instant) -> Result<(), ServiceError> {
        self.write(Write::Delete { id }, deadline).await.map(|_| ())
    }

    /// Adds a view of a product; gives how it is stored.
    pub async fn add_picture<B: AsRef<[u8]> + Send + 'static>(
        &self,
        id: String,
        picture: B,
        mode: Mode,
        deadline: Instant,
    ) -> Result<ProductPicture, ServiceError> {
        let product = self.product(id.clone()).await?;
        if product.pictures.len() >= Product::MOST_PICTURES {
            return Err(CatalogueError::PicturesFull { id }.into());
        }
        let picture = self.new_picture(picture, mode, deadline).await?;
        let product = stored(self.write(Write::AddPicture { id, picture }, deadline).await?)?;
        let added = product.pictures.into_iter().next_back();
        added.ok_or(ServiceError::WorkerPanicked)
    }

    /// Removes a view of a product, unless it is the only one.
    pub async fn delete_picture(
        &self,
        id: String,
        picture: String,
        deadline: Instant,
    ) -> Result<(), ServiceError> {
        let write = Write::DeletePicture { id, picture };
        self.write(write, deadline).await.map(|_| ())
    }

    async fn write(&self, write: Write, deadline: Instant) -> Result<Written, ServiceError> {
        let writes = self.live()?.writes.clone();
        writes.write(write, deadline).await
    }

    async fn new_picture<B: AsRef<[u8]> + Send + 'static>(
        &self,
        picture: B,
        mode: Mode,
        deadline: Instant,
    ) -> Result<NewPicture, ServiceError> {
        self.ready()?;
        let options = RunOptions {
            mode,
            ..options(&self.model, &self.options.origin)
        };
        let work = Work::of_picture(picture.as_ref(), options);
        let estimate = self.rates.estimate(work);
        let rates = Arc::clone(&self.rates);
        let counters = Arc::clone(&self.counters);
        let run = move |embedder: &mut Embedder, _| {
            let (new, embedded) = new_picture(embedder, picture.as_ref(), options)?;
            counters.add(&embedded.emulation);
            rates.learn(work, embedded.took());
            Ok(new)
        };
        self.pool.run(estimate, deadline, run).await
    }
}

/// A write that leaves a product behind has it in its answer.
fn stored(written: Written) -> Result<Product, ServiceError> {
    written.product.ok_or(ServiceError::WorkerPanicked)
}
