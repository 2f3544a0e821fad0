//! The makers of the catalogue's present and next embeddings, also where other servers change which they are.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use engine::chip::cost::CostModel;
use engine::model::Model;
use parking_lot::RwLock;

use super::error::ServiceError;
use crate::catalogue::{Catalogue, Origin};
use crate::chips::Maker;
use crate::progress::Progress;

/// How often a server looks for what other servers have done.
pub const LOOK: Duration = Duration::from_secs(1);

/// Re-embedding for another model, probe or T.
#[derive(Debug)]
pub struct Reembedding {
    pub maker: Arc<Maker>,
    pub progress: Arc<Progress>,
    /// Whether the catalogue knows of it.
    begun: AtomicBool,
    /// Whether this server no longer takes part.
    left: AtomicBool,
    /// Whether its embeddings wait to be released once they are complete.
    hold: AtomicBool,
    /// How the results differ, once they wait.
    agreement: RwLock<Option<Agreement>>,
}

/// How many of the ten best products the present and the next embeddings have in common.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Agreement {
    pub k: usize,
    /// Stored pictures that were searched for by both.
    pub queries: usize,
    /// The share of the products that both found.
    pub shared: f64,
}

impl Reembedding {
    fn new(maker: Maker, begun: bool, hold: bool) -> Arc<Self> {
        Arc::new(Self {
            hold: AtomicBool::new(hold),
            agreement: RwLock::default(),
            maker: Arc::new(maker),
            progress: Arc::default(),
            begun: AtomicBool::new(begun),
            left: AtomicBool::new(false),
        })
    }

    /// Whether the catalogue knows of it.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Acquire)
    }

    /// Called once the catalogue knows of it.
    pub(super) fn begin(&self) {
        self.begun.store(true, Ordering::Release);
    }

    /// Whether its embeddings wait to be released once they are complete.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.hold.load(Ordering::Acquire)
    }

    /// Its embeddings wait no longer.
    pub(super) fn release(&self) {
        self.hold.store(false, Ordering::Release);
    }

    /// How the results differ; none before its embeddings are complete and can be searched.
    #[must_use]
    pub fn agreement(&self) -> Option<Agreement> {
        *self.agreement.read()
    }

    /// Called once its embeddings can be searched, and whenever they were compared again.
    pub(super) fn agrees(&self, agreement: Agreement) {
        *self.agreement.write() = Some(agreement);
    }

    /// Whether this server no longer takes part: another one adopted the embeddings, or dropped them.
    #[must_use]
    pub fn is_left(&self) -> bool {
        self.left.load(Ordering::Acquire)
    }
}

/// What a server starts with.
#[derive(Debug)]
pub struct Chosen {
    pub present: Maker,
    /// What is to replace it, and whether another server has begun that.
    pub next: Option<(Maker, bool)>,
    /// Whether the new embeddings wait to be released.
    pub hold: bool,
}

/// The makers of a catalogue's embeddings. Which one is present depends on the origin of the catalogue's embeddings, which
/// is one at a time. Clones share the makers.
#[derive(Debug, Clone)]
pub struct Makers {
    catalogue: Catalogue,
    /// Whether other servers work on the catalogue too.
    pub shared: bool,
    both: Arc<RwLock<Both>>,
}

#[derive(Debug)]
struct Both {
    present: Arc<Maker>,
    next: Option<Arc<Reembedding>>,
}

impl Makers {
    /// The makers that a server starts with.
    #[must_use]
    pub fn new(catalogue: Catalogue, shared: bool, chosen: Chosen) -> Self {
        let Chosen { present, next, hold } = chosen;
        let next = next.map(|(next, begun)| Reembedding::new(next, begun, hold));
        Self {
            catalogue,
            shared,
            both: Arc::new(RwLock::new(Both {
                present: Arc::new(present),
                next,
            })),
        }
    }

    /// The maker of the embeddings that answer now.
    #[must_use]
    pub fn present(&self) -> Arc<Maker> {
        // A store of this process knows the moment at which it adopts the next ones.
        let origin = match self.shared {
            true => None,
            false => self.catalogue.current_origin(),
        };
        let both = self.both.read();
        match (origin, &both.next) {
            (Some(origin), Some(next)) if *next.maker.origin == *origin => Arc::clone(&next.maker),
            _ => Arc::clone(&both.present),
        }
    }

    /// The re-embedding in progress, if any.
    #[must_use]
    pub fn next(&self) -> Option<Arc<Reembedding>> {
        self.both.read().next.clone()
    }

    /// Called after this server has made the catalogue adopt the next embeddings.
    pub fn adopted(&self, by: &Arc<Reembedding>) {
        let mut both = self.both.write();
        if both.next.take_if(|next| Arc::ptr_eq(next, by)).is_some() {
            both.present = Arc::clone(&by.maker);
        }
    }

    /// Takes the maker of the embeddings that the catalogue has now, whoever made it adopt them.
    ///
    /// # Errors
    /// If the catalogue cannot be read, or their model is not available.
    pub async fn catch_up(&self) -> Result<(), ServiceError> {
        let Some(origin) = self.catalogue.origin().await? else {
            return Ok(());
        };
        if *self.present().origin == origin {
            return Ok(());
        }
        let maker = self.maker_of(&origin).await?;
        let maker = maker.ok_or(ServiceError::NoModel { id: origin.model_id })?;
        tracing::info!(
            model_id = maker.origin.model_id,
            probe = %maker.origin.probe,
            time_steps = maker.origin.time_steps.get(),
            "another server changed the embeddings; this one answers by the new ones"
        );
        let mut both = self.both.write();
        if let Some(next) = both.next.take_if(|next| next.maker.origin == maker.origin) {
            next.left.store(true, Ordering::Release);
        }
        both.present = Arc::new(maker);
        Ok(())
    }

    /// Takes part in the re-embedding that the catalogue is in, whoever began it, and leaves one that it is not in. Gives
    /// what is to be worked on from now on.
    ///
    /// # Errors
    /// If the catalogue cannot be read, or the next model is not available.
    pub async fn join(&self) -> Result<Option<Arc<Reembedding>>, ServiceError> {
        let before = self.next();
        let wanted = self.catalogue.next_origin().await?;
        match (&before, &wanted) {
            // Its thread begins it, in place of any other.
            (Some(before), _) if !before.has_begun() => return Ok(None),
            (Some(before), Some(wanted)) if *before.maker.origin == *wanted => return Ok(None),
            (Some(before), _) => self.leave(before),
            (None, _) => {}
        }
        let Some(wanted) = wanted else { return Ok(None) };
        let maker = self.maker_of(&wanted).await?;
        let maker = maker.ok_or(ServiceError::NoModel { id: wanted.model_id })?;
        let mut both = self.both.write();
        if both.next.is_some() || both.present.origin == maker.origin {
            return Ok(None);
        }
        let joined = Reembedding::new(maker, true, false);
        both.next = Some(Arc::clone(&joined));
        Ok(Some(joined))
    }

    /// Takes no part in a re-embedding any more.
    pub fn leave(&self, reembedding: &Arc<Reembedding>) {
        reembedding.left.store(true, Ordering::Release);
        let mut both = self.both.write();
        both.next.take_if(|next| Arc::ptr_eq(next, reembedding));
    }

    /// The maker of embeddings of an origin: by a model in use, one that the catalogue keeps, or a built-in one.
    async fn maker_of(&self, origin: &Origin) -> Result<Option<Maker>, ServiceError> {
        let (present, next) = {
            let both = self.both.read();
            let next = both.next.as_ref().map(|next| Arc::clone(&next.maker));
            (Arc::clone(&both.present), next)
        };
        let cost_model = present.model.cost_model;
        let mut used = [Some(present), next].into_iter().flatten();
        let model = match used.find(|used| used.model.id == origin.model_id) {
            Some(used) => Some(Arc::clone(&used.model)),
            None => model_of(&self.catalogue, &origin.model_id, cost_model).await?,
        };
        Ok(model.map(|model| Maker {
            model,
            origin: Arc::new(origin.clone()),
        }))
    }
}

/// The model with this id: stored in the catalogue, or one that is built in.
///
/// # Errors
/// If the catalogue cannot be read.
pub async fn model_of(
    catalogue: &Catalogue,
    id: &str,
    cost_model: CostModel,
) -> Result<Option<Arc<Model>>, ServiceError> {
    let kept = catalogue.model(id.to_owned()).await?;
    let id = id.to_owned();
    let read = move || Model::of_id(&id, kept.as_deref(), cost_model);
    tokio::task::spawn_blocking(read)
        .await
        .map_err(|_| ServiceError::Panicked)
}
