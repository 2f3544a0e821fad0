//! Re-embedding over this store: the next embeddings gather in the database, then a graph is built over them, and the
//! writer adopts both at one moment.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};

use super::beside::Beside;
use super::catalogue::{Inner, Sqlite, blocking};
use super::index::Index;
use super::kept;
use super::queue::Adopted;
use super::reader::Reader;
use super::store::Store;
use super::successor::Successor;
use crate::admission::Work;
use crate::catalogue::error::CatalogueError;
use crate::catalogue::origin::Origin;
use crate::catalogue::product::{PictureKey, StoredPicture};
use crate::catalogue::reembedding::{Background, EmbedLast, OfBoth};
use crate::progress::Stage;

/// The longest that linking one row can take; more than that was spent on something else.
const LONGEST_LINK: Duration = Duration::from_millis(10);

impl Sqlite {
    /// What makes the next embeddings, where re-embedding has begun.
    pub async fn next_origin(&self) -> Result<Option<Origin>, CatalogueError> {
        self.0
            .readers
            .read(Work::OWN, |reader, _| reader.next_origin())
            .await
    }

    /// Begins re-embedding, or resumes it if it was begun for the same origin.
    pub async fn begin_reembedding(
        &self,
        origin: Origin,
        model: Vec<u8>,
        hold: bool,
    ) -> Result<(), CatalogueError> {
        kept::drop_next(&self.0.data_dir);
        self.0
            .writes
            .run(move |store| store.begin_next(&origin, &model))
            .await?;
        self.0.hold.store(hold, Ordering::Release);
        Ok(())
    }

    /// Whether the next embeddings wait to be released.
    pub fn is_held(&self) -> bool {
        self.0.hold.load(Ordering::Acquire)
    }

    /// Lets the next embeddings be adopted.
    pub fn release(&self) {
        self.0.hold.store(false, Ordering::Release);
    }

    /// Builds the graph over the next embeddings, or links what came since: from then on they can be searched.
    pub async fn prepare_next(
        &self,
        origin: &Origin,
        dimensions: usize,
        background: Background,
    ) -> Result<(), CatalogueError> {
        if self.next_origin().await?.as_ref() != Some(origin) {
            return Err(CatalogueError::OtherOrigin);
        }
        let (inner, origin) = (Arc::clone(&self.0), origin.clone());
        blocking(move || {
            let successor = inner.build_successor(&origin, dimensions, &background)?;
            *inner.successor.lock() = Some((origin, successor));
            // What is searched has other embeddings now.
            *inner.beside.lock() = None;
            Ok(())
        })
        .await
    }

    /// The index of an origin: that in use, or one over the next embeddings that is as of a moment ago.
    pub(super) fn index_of(&self, origin: &Origin) -> Result<Arc<RwLock<Index>>, CatalogueError> {
        let loaded = self.loaded()?;
        if *loaded.origin == *origin {
            return Ok(loaded.index);
        }
        let mut beside = self.0.beside.lock();
        let known = beside.as_ref().filter(|known| *known.origin() == *origin);
        let version = loaded.index.read().version();
        if let Some(known) = known.filter(|known| known.is_fresh(version)) {
            return Ok(known.index());
        }
        let successor = match &*self.0.successor.lock() {
            Some((of, successor)) if of == origin => successor.clone(),
            // It is being linked.
            _ => return known.map(Beside::index).ok_or(CatalogueError::OtherOrigin),
        };
        let made = Beside::make(origin, successor, &loaded.index);
        Ok(beside.insert(made).index())
    }

    /// Up to `count` pictures with both embeddings, chosen at random.
    pub async fn sample_of_both(&self, count: usize) -> Result<Vec<OfBoth>, CatalogueError> {
        let read = move |reader: &Reader, _: &Work| reader.sample_of_both(count);
        self.0.readers.read(Work::OWN, read).await
    }

    /// Drops what re-embedding has made so far.
    pub async fn cancel_reembedding(&self) -> Result<(), CatalogueError> {
        kept::drop_next(&self.0.data_dir);
        self.forget_next();
        self.0.writes.run(Store::drop_next).await
    }

    /// How many pictures have a next embedding, and how many there are.
    pub async fn reembedded(&self) -> Result<(usize, usize), CatalogueError> {
        let count = |reader: &Reader, _: &Work| Ok((reader.count_next()?, reader.count_pictures()?));
        self.0.readers.read(Work::OWN, count).await
    }

    /// Up to `count` pictures, and about `bytes` of them, that have no next embedding.
    pub async fn without_embedding(
        &self,
        origin: &Origin,
        count: usize,
        bytes: usize,
    ) -> Result<Vec<StoredPicture>, CatalogueError> {
        let origin = origin.clone();
        let read = move |reader: &Reader, _: &Work| {
            check_next(reader, &origin)?;
            reader.without_next(count, bytes)
        };
        self.0.readers.read(Work::OWN, read).await
    }

    /// Adds next embeddings, durably; those of pictures that are gone are left out.
    pub async fn add_embeddings(
        &self,
        origin: &Origin,
        made: Vec<(PictureKey, Vec<i32>)>,
    ) -> Result<(), CatalogueError> {
        let origin = origin.clone();
        let add = move |store: &mut Store| {
            check_next(store, &origin)?;
            store.add_next(&made)
        };
        self.0.writes.run(add).await
    }

    /// Makes the next embeddings the catalogue's, at one moment between two writes; `embed` makes the few that were
    /// written last. False where too many have none yet. Before the catalogue is loaded, all must have one.
    pub async fn adopt(
        &self,
        origin: &Origin,
        dimensions: usize,
        embed: EmbedLast,
        background: Background,
    ) -> Result<bool, CatalogueError> {
        let origin = origin.clone();
        if self.loaded().is_err() {
            let adopt = move |store: &mut Store| {
                check_next(store, &origin)?;
                store.adopt_next(&[]).map(|_| true)
            };
            return self.0.writes.run(adopt).await;
        }
        if self.next_origin().await?.as_ref() != Some(&origin) {
            return Err(CatalogueError::OtherOrigin);
        }
        let inner = Arc::clone(&self.0);
        let build = origin.clone();
        let successor = blocking(move || inner.build_successor(&build, dimensions, &background)).await?;
        let (left, result) = match self.0.writes.adopt(successor, embed).await? {
            Adopted::Yes => (None, Ok(true)),
            Adopted::Behind(successor) => (successor, Ok(false)),
            Adopted::Failed(successor, error) => (Some(successor), Err(error)),
        };
        if matches!(result, Ok(true)) {
            self.forget_next();
        }
        *self.0.successor.lock() = left.map(|successor| (origin, *successor));
        result
    }

    fn forget_next(&self) {
        self.release();
        *self.0.beside.lock() = None;
        *self.0.successor.lock() = None;
    }
}

/// Refuses to go on with next embeddings that are not the catalogue's any more.
fn check_next(reader: &Reader, origin: &Origin) -> Result<(), CatalogueError> {
    match reader.next_origin()? {
        Some(next) if next == *origin => Ok(()),
        _ => Err(CatalogueError::OtherOrigin),
    }
}

impl Inner {
    /// The graph over all next embeddings, as far as they are stored.
    fn build_successor(
        &self,
        origin: &Origin,
        dimensions: usize,
        background: &Background,
    ) -> Result<Successor, CatalogueError> {
        let Background { progress, give_way } = background;
        let last = Mutex::new(Instant::now());
        let linked = |count| {
            progress.advance(count);
            let mut last = last.lock();
            give_way(last.elapsed().min(LONGEST_LINK));
            *last = Instant::now();
        };
        let waiting = self.successor.lock().take();
        let waiting = waiting.filter(|(of, _)| of == origin);
        self.readers.with(|reader| match waiting {
            Some((_, mut successor)) => {
                successor.catch_up(reader)?;
                successor.link(&linked);
                Ok(successor)
            }
            None => {
                let begin = |count| progress.enter(Stage::Indexing, count);
                let successor = Successor::build(reader, dimensions, begin, &linked)?;
                successor.keep(&kept::next_file(&self.data_dir), origin);
                Ok(successor)
            }
        })
    }
}
