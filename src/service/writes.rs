//! Writes of products and pictures: a picture is embedded on a chip, then the writer stores it.

use std::sync::Arc;
use std::time::Instant;

use super::embed::Embedder;
use super::ingest::new_picture;
use super::rates::Work;
use super::{Service, ServiceError};
use crate::catalogue::write::{Write, Written};
use crate::catalogue::{
    Attributes, CatalogueError, NewPicture, NewProduct, Product, ProductId, ProductPicture, check_attributes,
    check_title,
};
use engine::picture::Mode;

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
    pub async fn put<B: AsRef<[u8]> + Send + Sync + 'static>(
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
        let written = self
            .write_picture(given.picture, given.mode, deadline, |picture| Write::Put {
                product: NewProduct {
                    id: id.clone(),
                    title: given.title.clone(),
                    attributes: given.attributes.clone(),
                    pictures: vec![picture],
                },
                only_new,
            })
            .await?;
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
    pub async fn add_picture<B: AsRef<[u8]> + Send + Sync + 'static>(
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
        let add = |picture| Write::AddPicture {
            id: id.clone(),
            picture,
        };
        let product = stored(self.write_picture(picture, mode, deadline, add).await?)?;
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

    /// Embeds a picture and writes it. Where other embeddings took over in between it is embedded once more: that
    /// happens once in the life of a server.
    async fn write_picture<B: AsRef<[u8]> + Send + Sync + 'static>(
        &self,
        picture: B,
        mode: Mode,
        deadline: Instant,
        write: impl Fn(NewPicture) -> Write,
    ) -> Result<Written, ServiceError> {
        let picture = Arc::new(picture);
        let new = self.new_picture(Arc::clone(&picture), mode, deadline).await?;
        match self.write(write(new), deadline).await {
            Err(ServiceError::Catalogue(CatalogueError::OtherEmbeddings)) => {
                let new = self.new_picture(picture, mode, deadline).await?;
                self.write(write(new), deadline).await
            }
            written => written,
        }
    }

    async fn new_picture<B: AsRef<[u8]> + Send + Sync + 'static>(
        &self,
        picture: Arc<B>,
        mode: Mode,
        deadline: Instant,
    ) -> Result<NewPicture, ServiceError> {
        let maker = Arc::clone(&self.live()?.maker);
        let work = Work::of_picture((*picture).as_ref(), maker.options());
        let estimate = self.rates.estimate(work);
        let rates = Arc::clone(&self.rates);
        let counters = Arc::clone(&self.counters);
        let run = move |embedder: &mut Embedder, _| {
            let (new, embedded) = new_picture(embedder, (*picture).as_ref(), &maker, mode)?;
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
