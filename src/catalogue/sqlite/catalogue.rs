//! The catalogue's functions over the database, its index, its writer and its readers.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::thread::JoinHandle;

use engine::neighbours::Neighbours;
use parking_lot::Mutex;

use super::backup;
use super::beside::Beside;
use super::error::refused;
use super::index::Index;
use super::keys::ProductKey;
use super::queue::WriteQueue;
use super::reader::Reader;
use super::readers::Readers;
use super::recall;
use super::searching;
use super::shown::ShownProducts;
use super::store::Store;
use super::successor::Successor;
use super::writer::{self, Loaded, Lost, SharedIndex};
use crate::admission::Work;
use crate::catalogue::error::{CatalogueError, OpenError};
use crate::catalogue::filter::Filter;
use crate::catalogue::import::{Import, Lease, OpenImport};
use crate::catalogue::options::Room;
use crate::catalogue::origin::Origin;
use crate::catalogue::product::{Cursor, NewProduct, Page, PictureFile, PictureKey, Product};
use crate::catalogue::recall::Recalls;
use crate::catalogue::search::{CatalogueStats, IndexStats, Nearby, Nearest};
use crate::catalogue::store_stats::{StoreKind, StoreName};
use crate::catalogue::write::{Write, Written};
use crate::progress::Progress;

/// An open data directory; its clones share it.
#[derive(Debug, Clone)]
pub struct Sqlite(pub(super) Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) data_dir: PathBuf,
    pub(super) readers: Readers,
    pub(super) shown: Arc<ShownProducts>,
    recalls: Arc<Recalls>,
    /// Ends the measuring of the recall when it is dropped.
    measuring: Mutex<Option<SyncSender<()>>>,
    pub(super) writes: WriteQueue,
    pub(super) loaded: SharedIndex,
    lost: Lost,
    /// The graph over the next embeddings, while it waits for the last of them.
    pub(super) successor: Mutex<Option<(Origin, Successor)>>,
    /// Made of the successor, for searches by the next embeddings.
    pub(super) beside: Mutex<Option<Beside>>,
    /// Whether the next embeddings wait to be released.
    pub(super) hold: AtomicBool,
    /// Held while a backup is written that is to be sent.
    pub(super) backing_up: Mutex<()>,
    /// The thread that writes, until it is waited for.
    pub(super) writer: Mutex<Option<JoinHandle<()>>>,
}

impl Sqlite {
    /// Opens or creates a data directory.
    ///
    /// # Errors
    /// If it is in use, damaged, of a newer version or cannot be written to.
    pub fn open(data_dir: &Path, room: Room) -> Result<Self, CatalogueError> {
        Self::over(Store::open(data_dir)?, room)
    }

    /// Opens a new data directory with the contents of a backup. Pictures get numbers above `least_number`, which must be
    /// larger at each restore.
    ///
    /// # Errors
    /// If there is a catalogue already, or the file is not a backup.
    pub fn restore(
        data_dir: &Path,
        backup: &Path,
        least_number: i64,
        room: Room,
    ) -> Result<Self, CatalogueError> {
        Self::over(Store::restore(data_dir, backup, least_number)?, room)
    }

    /// Whether a folder holds a catalogue.
    #[must_use]
    pub fn exists(data_dir: &Path) -> bool {
        Store::exists(data_dir)
    }

    fn over(store: Store, room: Room) -> Result<Self, CatalogueError> {
        let data_dir = store.folder().to_owned();
        if let Some(source_name) = store.unfinished_copy_of()? {
            return Err(refused(&data_dir, OpenError::HalfCopied { source_name }));
        }
        backup::forget(&backup::sent(&data_dir));
        let (loaded, lost) = (SharedIndex::default(), Lost::default());
        let (writes, tasks) = WriteQueue::queue();
        let shown = Arc::new(ShownProducts::new(room.shown_bytes));
        let readers = Readers::new(&data_dir, room.connections);
        let thread = writer::start(
            store,
            Arc::clone(&loaded),
            Arc::clone(&shown),
            Arc::clone(&lost),
            readers.clone(),
            tasks,
        );
        let no_thread = |source| refused(&data_dir, OpenError::Store(Box::new(source)));
        let thread = thread.map_err(no_thread)?;
        let recalls = Arc::new(Recalls::default());
        let measuring = recall::start(Arc::clone(&recalls), Arc::clone(&loaded)).map_err(no_thread)?;
        Ok(Self(Arc::new(Inner {
            readers,
            shown,
            recalls,
            measuring: Mutex::new(Some(measuring)),
            data_dir,
            writes,
            loaded,
            lost,
            successor: Mutex::default(),
            beside: Mutex::default(),
            hold: AtomicBool::new(false),
            backing_up: Mutex::default(),
            writer: Mutex::new(Some(thread)),
        })))
    }

    /// Loads the index, or builds it, and lets searches and writes begin.
    pub async fn load(
        &self,
        origin: Origin,
        dimensions: usize,
        threads: usize,
        progress: Arc<Progress>,
    ) -> Result<(), CatalogueError> {
        let inner = Arc::clone(&self.0);
        blocking(move || {
            let open = |reader: &Reader| {
                Index::open(reader, &inner.data_dir, &origin, dimensions, threads, &progress)
            };
            let index = inner.readers.with(open)?;
            *inner.loaded.write() = Some(Loaded::new(Arc::new(origin), index));
            Ok(())
        })
        .await
    }

    pub(super) fn loaded(&self) -> Result<Loaded, CatalogueError> {
        self.0.loaded.read().clone().ok_or(CatalogueError::NotLoaded)
    }

    /// Which of its files is no longer where it was opened, as a sentence; none while all are.
    pub fn lost(&self) -> Option<String> {
        self.0.lost.read().clone()
    }

    /// What made the embeddings that are searched; none before they are loaded.
    pub fn current_origin(&self) -> Option<Arc<Origin>> {
        self.0
            .loaded
            .read()
            .as_ref()
            .map(|loaded| Arc::clone(&loaded.origin))
    }

    /// What made the stored embeddings; none before the first.
    pub async fn origin(&self) -> Result<Option<Origin>, CatalogueError> {
        self.0.readers.read(Work::OWN, |reader, _| reader.origin()).await
    }

    /// Records what makes the embeddings of an empty catalogue, with its model's file.
    pub async fn set_origin(&self, origin: Origin, model: Vec<u8>) -> Result<(), CatalogueError> {
        self.0
            .writes
            .run(move |store| store.set_origin(&origin, &model))
            .await
    }

    /// The file of a model that the catalogue keeps.
    pub async fn model(&self, id: String) -> Result<Option<Vec<u8>>, CatalogueError> {
        self.0
            .readers
            .read(Work::OWN, move |reader, _| reader.model(&id))
            .await
    }

    /// Keeps the file of the present embeddings' model, where an older version has not.
    pub async fn keep_model(&self, origin: Origin, model: Vec<u8>) -> Result<(), CatalogueError> {
        self.0
            .writes
            .run(move |store| store.keep_model(&origin, &model))
            .await
    }

    /// How many products are stored.
    pub async fn count(&self) -> Result<usize, CatalogueError> {
        self.0
            .readers
            .read(Work::OWN, |reader, _| reader.products())
            .await
    }

    /// Whether there is a product of this id.
    pub async fn holds(&self, id: String, work: Work) -> Result<bool, CatalogueError> {
        self.0
            .readers
            .read(work, move |reader, _| reader.holds(&id))
            .await
    }

    /// The product of this id.
    pub async fn product(&self, id: String, work: Work) -> Result<Product, CatalogueError> {
        let read = move |reader: &Reader, _: &Work| {
            let product = match reader.key(&id)? {
                Some(key) => reader.product(key)?,
                None => None,
            };
            let (product, _) = product.ok_or(CatalogueError::NoProduct { id })?;
            Ok(product)
        };
        self.0.readers.read(work, read).await
    }

    /// Up to `limit` products behind `after` that pass, in the order in which they were first stored.
    pub async fn page(
        &self,
        after: Option<Cursor>,
        limit: usize,
        filter: Option<Filter>,
        work: Work,
    ) -> Result<Page, CatalogueError> {
        let after = match after {
            None => None,
            Some(cursor) => Some(ProductKey::of_cursor(&cursor).ok_or_else(invalid_cursor)?),
        };
        let loaded = self.loaded()?;
        let read = move |reader: &Reader, work: &Work| {
            let listing = loaded.index.read().listing();
            let filter = filter.as_ref().map(|filter| reader.keyed(filter));
            let filter = filter.transpose()?;
            // One more than the page has: whether another page follows.
            let keys = listing.after(after, filter.as_ref(), limit + 1, work)?;
            let mut products = Vec::with_capacity(limit);
            for key in keys.iter().take(limit) {
                work.check()?;
                // One that was deleted a moment ago is left out.
                products.extend(reader.product(*key)?.map(|(product, _)| product));
            }
            let next = (keys.len() > limit).then(|| keys[limit - 1].cursor());
            Ok(Page { products, next })
        };
        self.0.readers.read(work, read).await
    }

    /// The file of one of a product's pictures.
    pub async fn picture(
        &self,
        product: String,
        picture: String,
        work: Work,
    ) -> Result<PictureFile, CatalogueError> {
        let read = move |reader: &Reader, _: &Work| match reader.picture(&product, &picture)? {
            Some(file) => Ok(file),
            None if reader.key(&product)?.is_none() => Err(CatalogueError::NoProduct { id: product }),
            None => Err(CatalogueError::NoPicture { product, picture }),
        };
        self.0.readers.read(work, read).await
    }

    /// The piece of a picture's file that begins at `offset`.
    pub async fn picture_piece(&self, key: PictureKey, offset: u64) -> Result<Vec<u8>, CatalogueError> {
        let read = move |reader: &Reader, _: &Work| reader.picture_piece(key, offset);
        // The request was admitted with the first piece; how many read at a time is bounded by the readers.
        self.0.readers.read(Work::OWN, read).await
    }

    /// The products whose pictures are nearest to the embeddings of a search.
    pub async fn nearest(&self, search: Nearest, work: Work) -> Result<Nearby, CatalogueError> {
        let store = self.clone();
        self.0
            .readers
            .read(work, move |reader, work| {
                store.nearest_with(reader, &search, work)
            })
            .await
    }

    /// As [`Sqlite::nearest`], on this thread, which may wait for the disk.
    ///
    /// # Errors
    /// As [`Sqlite::nearest`].
    pub fn nearest_here(&self, search: &Nearest, work: &Work) -> Result<Nearby, CatalogueError> {
        self.0
            .readers
            .with(|reader| self.nearest_with(reader, search, work))
    }

    fn nearest_with(&self, reader: &Reader, search: &Nearest, work: &Work) -> Result<Nearby, CatalogueError> {
        let index = self.index_of(&search.origin)?;
        if let [embedding] = &search.embeddings[..]
            && self.current_origin().as_ref() == Some(&search.origin)
        {
            self.0.recalls.asked.ask(embedding);
        }
        searching::nearest(&index, reader, &self.0.shown, search, work)
    }

    /// For each product of `ids` the embeddings of its pictures by this origin.
    pub async fn embeddings_of(
        &self,
        origin: Arc<Origin>,
        ids: Vec<String>,
        work: Work,
    ) -> Result<Vec<Vec<Vec<i32>>>, CatalogueError> {
        let store = self.clone();
        let read = move |reader: &Reader, _: &Work| {
            let index = store.index_of(&origin)?;
            let keys: Vec<ProductKey> = ids
                .into_iter()
                .map(|id| reader.key(&id)?.ok_or(CatalogueError::NoProduct { id }))
                .collect::<Result<_, _>>()?;
            let index = index.read();
            Ok(keys.into_iter().map(|key| index.embeddings_of(key)).collect())
        };
        self.0.readers.read(work, read).await
    }

    /// Does a write; once it is answered it is durable and searchable. Refused where too many wait; dropped before its
    /// turn, it is not done.
    pub async fn write(&self, write: Write) -> Result<Written, CatalogueError> {
        self.loaded()?;
        self.0.writes.write(write).await
    }

    /// Does writes in their order; waits where too many wait.
    pub async fn write_many(
        &self,
        writes: Vec<Write>,
    ) -> Result<Vec<Result<Written, CatalogueError>>, CatalogueError> {
        self.loaded()?;
        self.0.writes.write_many(writes).await
    }

    /// Queues a write without waiting for its result; it may be dropped.
    pub fn write_unobserved(&self, write: Write) {
        self.0.writes.write_unobserved(write);
    }

    /// Stores products into a catalogue that is not loaded, all or none.
    pub async fn store_all(&self, products: Vec<NewProduct>) -> Result<usize, CatalogueError> {
        self.0.writes.run(move |store| store.put_all(&products)).await
    }

    /// The import of this id.
    pub async fn import(&self, id: String, work: Work) -> Result<Import, CatalogueError> {
        let read =
            move |reader: &Reader, _: &Work| reader.import(&id)?.ok_or(CatalogueError::NoImport { id });
        self.0.readers.read(work, read).await
    }

    /// The imports that are not done, the oldest first: at most `count`.
    pub async fn open_imports(&self, count: usize, work: Work) -> Result<Vec<OpenImport>, CatalogueError> {
        self.0
            .readers
            .read(work, move |reader, _| reader.open_imports(count))
            .await
    }

    /// The next lines of the oldest import that has been received: at most `count`, and about `bytes`. None where nothing
    /// waits. Lines stay with the import until a write settles them; this store has one process, which claims one lease at
    /// a time.
    pub async fn claim(&self, count: usize, bytes: usize) -> Result<Option<Lease>, CatalogueError> {
        self.0
            .readers
            .read(Work::OWN, move |reader, _| reader.claim(count, bytes))
            .await
    }

    /// How many products pass a filter, and how many pictures they have.
    pub async fn count_passing(&self, filter: Filter, work: Work) -> Result<[usize; 2], CatalogueError> {
        let index = self.loaded()?.index;
        let count = move |reader: &Reader, work: &Work| {
            let listing = index.read().listing();
            let (mut products, mut pictures) = (0, 0);
            listing.each(0, Some(&reader.keyed(&filter)?), work, |listed| {
                products += 1;
                pictures += listed.pictures.len();
                true
            })?;
            Ok([products, pictures])
        };
        self.0.readers.read(work, count).await
    }

    /// Counts, and the state of the index.
    pub async fn stats(&self, work: Work) -> Result<CatalogueStats, CatalogueError> {
        let loaded = self.loaded()?;
        let (shown, recall) = (self.0.shown.stats(), self.0.recalls.known(&loaded.origin));
        let count = move |_: &Reader, _: &Work| {
            let index = loaded.index.read();
            let neighbours = &index.neighbours;
            Ok(CatalogueStats {
                products: index.products(),
                pictures: index.pictures.len(),
                index: IndexStats {
                    search: if index.has_graph() { "graph" } else { "exact" },
                    dimensions: neighbours.vectors().dimensions(),
                    embeddings: neighbours.live(),
                    removed: neighbours.rows() - neighbours.live(),
                    unlinked: neighbours.unlinked(),
                    kept: index.kept,
                },
                origin: Arc::clone(&loaded.origin),
                store: StoreName {
                    kind: StoreKind::Sqlite,
                    place: None,
                    servers: 1,
                },
                shown,
                recall,
            })
        };
        self.0.readers.read(work, count).await
    }

    /// Reads the neighbours as they are now, for measurements; none before they are loaded.
    pub fn with_neighbours<T>(&self, read: impl FnOnce(&Neighbours) -> T) -> Option<T> {
        let loaded = self.loaded().ok()?;
        let index = loaded.index.read();
        Some(read(&index.neighbours))
    }

    /// What of the index takes memory, and how many bytes; nothing before it is loaded.
    pub fn index_memory(&self) -> Vec<(&'static str, usize)> {
        let loaded = self.loaded().ok();
        loaded.map_or_else(Vec::new, |loaded| loaded.index.read().memory())
    }

    /// How many pictures are searched; none before they are loaded.
    pub fn pictures(&self) -> Option<usize> {
        let loaded = self.0.loaded.read();
        loaded
            .as_ref()
            .map(|loaded| loaded.pictures.load(Ordering::Relaxed))
    }

    /// Does the writes that wait, keeps the index for the next start, and ends. What comes later is refused.
    pub async fn close(&self) {
        *self.0.measuring.lock() = None;
        self.0.writes.close().await;
        let thread = self.0.writer.lock().take();
        let ended = blocking(move || Ok(thread.map(JoinHandle::join))).await;
        if !matches!(ended, Ok(None | Some(Ok(())))) {
            tracing::error!("the writer panicked");
        }
    }
}

/// Long work on a thread that may block.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, CatalogueError> + Send + 'static,
) -> Result<T, CatalogueError> {
    let task = tokio::task::spawn_blocking(work);
    task.await.map_err(|_| CatalogueError::Panicked)?
}

pub(super) fn invalid_cursor() -> CatalogueError {
    CatalogueError::Invalid {
        field: "after".to_owned(),
        reason: Cursor::INVALID.to_owned(),
    }
}
