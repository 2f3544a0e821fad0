//! The makers of the catalogue's present and next embeddings.

use std::sync::Arc;

use parking_lot::RwLock;

use crate::catalogue::Catalogue;
use crate::chips::Maker;
use crate::progress::Progress;

/// Re-embedding for another model, probe or T.
#[derive(Debug)]
pub struct Reembedding {
    pub maker: Arc<Maker>,
    pub progress: Arc<Progress>,
}

/// The makers of a catalogue's embeddings. Which one is present depends on the origin of the catalogue's embeddings, which
/// is one at a time. Clones share the makers.
#[derive(Debug, Clone)]
pub struct Makers {
    catalogue: Catalogue,
    both: Arc<RwLock<Both>>,
}

#[derive(Debug)]
struct Both {
    present: Arc<Maker>,
    next: Option<Arc<Reembedding>>,
}

impl Makers {
    /// `present` is the maker of the catalogue's embeddings, `next` of those that will replace them.
    #[must_use]
    pub fn new(catalogue: Catalogue, present: Maker, next: Option<Maker>) -> Self {
        let next = next.map(|next| {
            Arc::new(Reembedding {
                maker: Arc::new(next),
                progress: Arc::default(),
            })
        });
        Self {
            catalogue,
            both: Arc::new(RwLock::new(Both {
                present: Arc::new(present),
                next,
            })),
        }
    }

    /// The maker of the embeddings that answer now.
    #[must_use]
    pub fn present(&self) -> Arc<Maker> {
        let origin = self.catalogue.current_origin();
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

    /// Called after the catalogue has adopted the next embeddings.
    pub fn adopted(&self) {
        let mut both = self.both.write();
        if let Some(next) = both.next.take() {
            both.present = Arc::clone(&next.maker);
        }
    }
}
