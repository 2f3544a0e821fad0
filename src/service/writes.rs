//! Writing products and pictures: a picture is embedded on a chip, then stored in the catalogue.

use std::sync::Arc;

use engine::picture::Mode;

use super::error::ServiceError;
use super::search::learn_run;
use super::state::Service;
use super::times::Clock;
use crate::catalogue::write::{Write, Written};
use crate::catalogue::{
    AttributeChanges, Attributes, CatalogueError, NewPicture, NewProduct, Product, ProductId, ProductPicture,
    Scope, Title,
};
use crate::chips::{Embedder, Workload};

/// A product as a client sends it.
#[derive(Debug)]
pub struct GivenProduct<B> {
    pub id: String,
    pub title: Title,
    pub attributes: Attributes,
    pub picture: B,
    pub mode: Mode,
}

impl Service {
    /// Creates a product or replaces it; returns whether it was created. With `only_new`, an existing one is not replaced.
    ///
    /// # Errors
    /// If the picture cannot be run, the queue is full, or the catalogue refuses the product.
    pub async fn put<B: AsRef<[u8]> + Send + Sync + 'static>(
        &self,
        given: GivenProduct<B>,
        only_new: bool,
        scope: &Scope,
        clock: Clock,
    ) -> Result<(Product, bool), ServiceError> {
        let id = ProductId::new(&given.id)?;
        self.ready()?;
        // The write checks all of this, too; checking first avoids running the picture.
        if !scope.takes(&given.id, &given.attributes) {
            return Err(CatalogueError::OutOfScope { id: given.id }.into());
        }
        if !scope.is_all() {
            match self.product(given.id.clone(), &Scope::ALL, clock).await {
                Ok(stored) => drop(scope.only(stored)?),
                Err(ServiceError::Catalogue(CatalogueError::NoProduct { .. })) => {}
                Err(error) => return Err(error),
            }
        }
        let holds = async |work| self.catalogue.holds(given.id.clone(), work).await;
        if only_new && self.read(Workload::LOOK_UP, clock, holds).await? {
            return Err(CatalogueError::Exists { id: given.id }.into());
        }
        let written = self
            .write_picture(given.picture, given.mode, clock, |picture| {
                let product = NewProduct {
                    id: id.clone(),
                    title: given.title.clone(),
                    attributes: given.attributes.clone(),
                    pictures: vec![picture],
                };
                Write::Put { product, only_new }.within(scope)
            })
            .await?;
        let created = written.created;
        Ok((stored(written)?, created))
    }

    /// Changes title and attributes; null removes an attribute.
    ///
    /// # Errors
    /// If the product does not exist, or the result would be invalid.
    pub async fn merge(
        &self,
        id: String,
        title: Option<Title>,
        attributes: AttributeChanges,
        scope: &Scope,
        clock: Clock,
    ) -> Result<Product, ServiceError> {
        let write = Write::Merge {
            id,
            title,
            attributes,
        };
        stored(self.write(write.within(scope), clock).await?)
    }

    /// Removes a product; no later answer contains it.
    ///
    /// # Errors
    /// If the product does not exist.
    pub async fn delete(&self, id: String, scope: &Scope, clock: Clock) -> Result<(), ServiceError> {
        let write = Write::Delete { id }.within(scope);
        self.write(write, clock).await.map(|_| ())
    }

    /// Adds a picture to a product.
    ///
    /// # Errors
    /// If the picture cannot be run, the queue is full, or the product has the most pictures already.
    pub async fn add_picture<B: AsRef<[u8]> + Send + Sync + 'static>(
        &self,
        id: String,
        picture: B,
        mode: Mode,
        scope: &Scope,
        clock: Clock,
    ) -> Result<ProductPicture, ServiceError> {
        let product = self.product(id.clone(), scope, clock).await?;
        if product.pictures.len() >= Product::MOST_PICTURES {
            return Err(CatalogueError::PicturesFull {
                id,
                most: Product::MOST_PICTURES,
            }
            .into());
        }
        let add = |picture| {
            let id = id.clone();
            Write::AddPicture { id, picture }.within(scope)
        };
        let product = stored(self.write_picture(picture, mode, clock, add).await?)?;
        let added = product.pictures.into_iter().next_back();
        added.ok_or(ServiceError::Panicked)
    }

    /// Removes a picture of a product, unless it is the only one.
    ///
    /// # Errors
    /// If the picture does not exist, or it is the only one.
    pub async fn delete_picture(
        &self,
        id: String,
        picture: String,
        scope: &Scope,
        clock: Clock,
    ) -> Result<(), ServiceError> {
        let write = Write::DeletePicture { id, picture }.within(scope);
        self.write(write, clock).await.map(|_| ())
    }

    async fn write(&self, write: Write, clock: Clock) -> Result<Written, ServiceError> {
        self.ready()?;
        clock.limit(self.catalogue.write(write)).await
    }

    /// Embeds a picture and writes it.
    async fn write_picture<B: AsRef<[u8]> + Send + Sync + 'static>(
        &self,
        picture: B,
        mode: Mode,
        clock: Clock,
        write: impl Fn(NewPicture) -> Write,
    ) -> Result<Written, ServiceError> {
        let picture = Arc::new(picture);
        let once = async || {
            let new = self.new_picture(Arc::clone(&picture), mode, clock).await?;
            self.write(write(new), clock).await
        };
        match self.unless_adopted(once().await).await? {
            Some(written) => Ok(written),
            None => once().await,
        }
    }

    async fn new_picture<B: AsRef<[u8]> + Send + Sync + 'static>(
        &self,
        picture: Arc<B>,
        mode: Mode,
        clock: Clock,
    ) -> Result<NewPicture, ServiceError> {
        let maker = self.maker();
        let limits = &self.options.limits;
        let workload = Workload::of_picture((*picture).as_ref(), maker.options(), limits)?;
        let admission = self.admit(workload, clock)?;
        let work = admission.work();
        let (rates, counters) = (Arc::clone(&self.rates), Arc::clone(&self.counters));
        let run = move |embedder: &mut Embedder, _| {
            let (new, embedded) = embedder.new_picture((*picture).as_ref(), &maker, mode, &work)?;
            counters.add(&embedded.emulation);
            learn_run(&rates, workload, &embedded);
            Ok(new)
        };
        Ok(self.pool.run(&admission, run).await?)
    }
}

/// The product that a write returns.
fn stored(written: Written) -> Result<Product, ServiceError> {
    written.product.ok_or(ServiceError::Panicked)
}
