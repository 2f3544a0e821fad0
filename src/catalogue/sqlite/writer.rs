//! The one thread that writes: it groups commits, updates the index, and maintains the index in between.
//!
//! A write is answered only when it is durable and every later search takes it into account. Many writes that wait
//! together share one sync of the disk. New rows are compared one by one until they are linked. A thread beside this one links
//! them, or rebuilds an index of which much was removed; this one swaps the result in, which takes a moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use engine::neighbours::Links;
use parking_lot::RwLock;
use tokio::sync::oneshot;

use super::index::{Index, Rebuilt};
use super::kept;
use super::queue::{Adopted, Adoption, Job, Task, WAITING};
use super::readers::Readers;
use super::shown::ShownProducts;
use super::store::Store;
use super::successor::Successor;
use crate::catalogue::error::CatalogueError;
use crate::catalogue::origin::Origin;
use crate::catalogue::reembedding::EmbedLast;
use crate::catalogue::write::Written;

/// So many rows that searches compare one by one that writes are slowed down, to let the linking catch up.
const MOST_UNLINKED: usize = 32_768;
/// How long each group of writes then waits.
const BREATH: Duration = Duration::from_millis(20);
/// Pictures whose embedding writes may wait for while the next embeddings are adopted.
const AT_ADOPTION: usize = 8;
/// How often the writer looks whether work on the index is done, when it has nothing to do.
const LOOK: Duration = Duration::from_millis(20);
/// How often it looks whether the data directory is still there and connections are idle, when it has nothing to do.
const LOOK_BACK: Duration = Duration::from_secs(1);

/// An index that many search and the writer alone changes, and what made its embeddings.
#[derive(Debug, Clone)]
pub struct Loaded {
    pub origin: Arc<Origin>,
    pub index: Arc<RwLock<Index>>,
    /// How many pictures are searched, for those who must not wait for the index.
    pub pictures: Arc<AtomicUsize>,
}

impl Loaded {
    /// An index that is ready to be searched.
    pub fn new(origin: Arc<Origin>, index: Index) -> Self {
        let pictures = index.pictures.len();
        Self {
            origin,
            index: Arc::new(RwLock::new(index)),
            pictures: Arc::new(AtomicUsize::new(pictures)),
        }
    }
}

/// The index in use; none until it is loaded.
pub type SharedIndex = Arc<RwLock<Option<Loaded>>>;
/// What is no longer where it was opened, as a sentence; none while all is.
pub type Lost = Arc<RwLock<Option<String>>>;

struct Writer {
    store: Store,
    loaded: SharedIndex,
    shown: Arc<ShownProducts>,
    lost: Lost,
    readers: Readers,
    tasks: Receiver<Task>,
    /// Where the work on the index that is under way arrives.
    underway: Option<Receiver<Done>>,
    /// Whether the kept links are older than those in use.
    changed: bool,
}

/// Starts the thread; it keeps the index beside the database when it ends.
///
/// # Errors
/// If the system starts no thread.
pub fn start(
    store: Store,
    loaded: SharedIndex,
    shown: Arc<ShownProducts>,
    lost: Lost,
    readers: Readers,
    tasks: Receiver<Task>,
) -> std::io::Result<JoinHandle<()>> {
    let writer = Writer {
        store,
        loaded,
        shown,
        lost,
        readers,
        tasks,
        underway: None,
        changed: false,
    };
    std::thread::Builder::new()
        .name("writer".to_owned())
        .spawn(move || writer.run())
}

/// Work on the index that is done.
enum Done {
    Linked(Arc<Links>),
    Rebuilt(Box<Rebuilt>),
}

/// What the writer does next.
enum Next {
    Task(Task),
    /// No task waits: the index is maintained.
    Idle,
    /// The store is closed for writes.
    End,
}

impl Writer {
    fn run(mut self) {
        loop {
            let first = match self.next() {
                Next::End => break,
                Next::Idle => None,
                Next::Task(task) => Some(task),
            };
            self.look_back();
            self.readers.close_idle();
            // One commit for all writes that wait, up to the first task of another kind.
            let mut group = Vec::new();
            let mut other = None;
            for task in first.into_iter().chain(self.tasks.try_iter().take(WAITING)) {
                match task {
                    Task::Write(job) => group.push(job),
                    task => {
                        other = Some(task);
                        break;
                    }
                }
            }
            if !group.is_empty() {
                self.commit(group);
            }
            match other {
                None => {}
                Some(Task::Adopt(adoption)) => self.adopt(*adoption),
                Some(Task::Run(change)) => {
                    change(&mut self.store);
                    self.store.after_write();
                }
                Some(Task::Close | Task::Write(_)) => break,
            }
            self.maintain();
        }
        self.look_back();
        // A data directory that was removed must not come back with an index alone.
        let there = self.lost.read().is_none();
        if let Some(Loaded { origin, index, .. }) = self.in_use().filter(|_| self.changed && there) {
            index.read().keep(&kept::file(self.store.folder()), &origin);
        }
    }

    /// Looks whether the data directory is still there.
    fn look_back(&self) {
        let lost = self.store.lost();
        if *self.lost.read() == lost {
            return;
        }
        match &lost {
            Some(what) => tracing::error!(what, "not ready"),
            None => tracing::info!("the data directory is back in its place"),
        }
        *self.lost.write() = lost;
    }

    fn in_use(&self) -> Option<Loaded> {
        self.loaded.read().clone()
    }

    fn next(&self) -> Next {
        let pause = match self.underway {
            Some(_) => LOOK,
            None => LOOK_BACK,
        };
        match self.tasks.recv_timeout(pause) {
            Ok(task) => Next::Task(task),
            Err(RecvTimeoutError::Timeout) => Next::Idle,
            Err(RecvTimeoutError::Disconnected) => Next::End,
        }
    }

    /// One transaction for all; then the index; then the answers.
    fn commit(&mut self, group: Vec<Job>) {
        let (mut writes, mut replies, mut shares) = (Vec::new(), Vec::new(), Vec::new());
        // The writes of clients that have left are not done.
        let left = |job: &Job| job.reply.as_ref().is_some_and(oneshot::Sender::is_closed);
        for job in group.into_iter().filter(|job| !left(job)) {
            writes.push(job.write);
            replies.push(job.reply);
            shares.push(job.share);
        }
        let applied = match self.store.write(writes) {
            Ok(applied) => applied,
            Err(error) => {
                tracing::error!(%error, writes = replies.len(), "a group of writes was not stored");
                let reason = error.to_string();
                let refusal = || match error {
                    CatalogueError::Full { .. } => CatalogueError::Full {
                        reason: reason.clone(),
                    },
                    CatalogueError::Locked => CatalogueError::Locked,
                    CatalogueError::Lost { .. } => CatalogueError::Lost { what: reason.clone() },
                    _ => CatalogueError::NotStored {
                        reason: reason.clone(),
                    },
                };
                replies.iter().map(|_| Err(refusal())).collect()
            }
        };
        drop(shares);
        let changed = applied
            .iter()
            .flatten()
            .flat_map(|applied| applied.change.products().iter().copied());
        self.shown.forget(changed);
        let mut answers = Vec::with_capacity(applied.len());
        {
            let loaded = self.in_use();
            let mut index = loaded.as_ref().map(|loaded| loaded.index.write());
            for applied in applied {
                answers.push(applied.map(|applied| {
                    if let Some(index) = &mut index {
                        index.apply(applied.change);
                    }
                    Written {
                        product: applied.product,
                        created: applied.created,
                        removed: applied.removed,
                    }
                }));
            }
            if let (Some(loaded), Some(index)) = (&loaded, &index) {
                let pictures = index.pictures.len();
                loaded.pictures.store(pictures, Ordering::Relaxed);
            }
        }
        for (reply, answer) in replies.into_iter().zip(answers) {
            if let Some(reply) = reply {
                // The client may have left; the write stands.
                let _ = reply.send(answer);
            }
        }
    }

    /// Makes the next embeddings the catalogue's, and their index the one in use. No write comes in between: those before
    /// are in both, those after find the new ones.
    fn adopt(&mut self, adoption: Adoption) {
        let adopted = self.try_adopt(adoption.successor, adoption.embed);
        // The caller may have given up; the work is done all the same.
        let _ = adoption.reply.send(adopted);
    }

    fn try_adopt(&mut self, mut successor: Successor, mut embed: EmbedLast) -> Adopted {
        let Some(before) = self.in_use() else {
            return Adopted::Failed(Box::new(successor), CatalogueError::NotLoaded);
        };
        let missing = successor
            .catch_up(&self.store)
            .and_then(|()| self.store.without_next(AT_ADOPTION + 1, usize::MAX));
        let missing = match missing {
            Ok(missing) => missing,
            Err(error) => return Adopted::Failed(Box::new(successor), error),
        };
        if missing.len() > AT_ADOPTION {
            return Adopted::Behind(Some(Box::new(successor)));
        }
        let made: Vec<_> = missing
            .iter()
            .map(|picture| (picture.key, embed(picture)))
            .collect();
        if made
            .first()
            .is_some_and(|(first, _)| Some(*first) < successor.last())
        {
            // The graph's rows are in stored order: one that was left out earlier has no place in it.
            return match self.store.add_next(&made) {
                Ok(()) => Adopted::Behind(None),
                Err(error) => Adopted::Failed(Box::new(successor), error),
            };
        }
        let origin = match self.store.adopt_next(&made) {
            Ok(origin) => Arc::new(origin),
            Err(error) => return Adopted::Failed(Box::new(successor), error),
        };
        for (picture, values) in made {
            successor.push(picture, &values);
        }
        let index = successor.into_index(&before.index.read());
        *self.loaded.write() = Some(Loaded::new(origin, index));
        // Work that is under way is on the old embeddings.
        self.underway = None;
        self.changed = true;
        kept::adopt(self.store.folder());
        // Freeing an index takes its time, and no write is to wait for that.
        std::thread::spawn(move || drop(before));
        Adopted::Yes
    }

    /// Takes in work on the index that is done, or has it begun.
    fn maintain(&mut self) {
        let Some(Loaded { origin, index, .. }) = self.in_use() else {
            return;
        };
        if index.read().neighbours.unlinked() > MOST_UNLINKED {
            std::thread::sleep(BREATH);
        }
        match self.underway.as_ref().map(Receiver::try_recv) {
            None => self.begin(index, origin),
            Some(Err(TryRecvError::Empty)) => {}
            Some(Ok(Done::Linked(links))) => {
                self.underway = None;
                let before = index.write().set_links(links);
                // Freeing much memory takes its time, and no write is to wait for that.
                std::thread::spawn(move || drop(before));
                self.changed = true;
            }
            Some(Ok(Done::Rebuilt(rebuilt))) => {
                self.underway = None;
                let mut index = index.write();
                index.replace(*rebuilt);
                tracing::info!(pictures = index.pictures.len(), "index rebuilt");
            }
            Some(Err(TryRecvError::Disconnected)) => {
                tracing::error!("linking the index failed; retrying");
                self.underway = None;
            }
        }
    }

    /// Begins work on the index where it is worthwhile.
    fn begin(&mut self, index: Arc<RwLock<Index>>, origin: Arc<Origin>) {
        let (rebuild, linking) = {
            let index = index.read();
            (index.neighbours.wants_rebuilding(), index.neighbours.linking())
        };
        let work: Box<dyn FnOnce() -> Done + Send> = match linking {
            _ if rebuild => {
                let file = kept::file(self.store.folder());
                Box::new(move || {
                    let rebuilt = Rebuilt::of(|| index.read());
                    // It took long: a start after a crash is not to repeat it.
                    rebuilt.keep(&file, &origin);
                    Done::Rebuilt(Box::new(rebuilt))
                })
            }
            // One thread: the others are left to searches and writes.
            Some(linking) => Box::new(move || Done::Linked(linking.run(1, &|_| {}))),
            None => return,
        };
        let (done, underway) = sync_channel(1);
        let started = std::thread::Builder::new()
            .name("linker".to_owned())
            .spawn(move || {
                // The writer may have ended in the meantime.
                let _ = done.send(work());
            });
        match started {
            Ok(_) => self.underway = Some(underway),
            Err(error) => tracing::error!(%error, "no thread could be started to link the index"),
        }
    }
}
