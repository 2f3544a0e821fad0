//! The one thread that writes: it groups commits, tells the index, and looks after the index in between.
//!
//! An answer goes out only when its write is durable and every later search answers by it. Many writes that wait
//! together share one sync of the disk. New rows are found by comparison until they are linked into the graph, which
//! happens when nothing waits, or before too many are unlinked; an index with many removed rows is built anew beside the
//! running one and swapped in.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::embed::Embedder;
use super::index::{Index, Rebuilt, Successor};
use super::live::Current;
use super::maker::Maker;
use super::reembed::{Without, embedding_of};
use super::room::{Room, Share};
use super::{ServiceError, kept};
use crate::catalogue::store::Store;
use crate::catalogue::write::{Write, Written};
use crate::catalogue::{CatalogueError, Origin};

/// Writes that may wait, and the bytes of pictures and lines that they may hold in memory; the last one may go beyond.
const WAITING: usize = 256;
const WAITING_BYTES: u64 = 64 << 20;
/// Rows that searches compare one by one before writes wait for the graph.
const MOST_UNLINKED: usize = 4096;
/// Pictures whose embedding writes may wait for while other embeddings take over.
const AT_TAKEOVER: usize = 8;
/// How often a thread that may wait looks whether there is room.
const FULL: Duration = Duration::from_millis(2);
/// How often a thread without work looks whether a rebuilt index is there.
const LOOK: Duration = Duration::from_millis(20);

/// The index as it is now: many search it, the writer alone changes it.
pub type SharedIndex = Arc<RwLock<Index>>;

type Answer = Result<Written, ServiceError>;

/// A write on its way, and who waits for it.
#[derive(Debug)]
struct Job {
    write: Write,
    /// None where nobody wants to know.
    reply: Option<oneshot::Sender<Answer>>,
    /// Given back once the write is done.
    share: Share,
}

/// Other embeddings of every picture up to one, with their index and what embeds the few behind it.
#[derive(Debug)]
pub struct Candidate {
    pub successor: Successor,
    pub embedder: Embedder,
    pub without: Without,
    pub maker: Arc<Maker>,
}

/// A candidate that wants to become the catalogue's embeddings and its index.
#[derive(Debug)]
pub struct Takeover {
    pub candidate: Candidate,
    /// Shows requests the new index, once all is durable and before any later write.
    pub(super) current: Current,
    pub reply: SyncSender<TookOver>,
}

/// Whether it did.
#[derive(Debug)]
pub enum TookOver {
    Yes,
    /// Too many pictures came meanwhile.
    NotYet(Box<Candidate>),
    /// The store refused; all is as before.
    Failed(Box<Candidate>, ServiceError),
}

/// What the thread is asked to do.
enum Task {
    Write(Job),
    TakeOver(Box<Takeover>),
}

/// Where writes are handed in; the thread ends once the last of these is gone.
#[derive(Debug, Clone)]
pub struct Writes {
    tasks: SyncSender<Task>,
    /// Bytes that wait.
    room: Room,
}

impl Writes {
    /// Hands a write in and waits until it is durable and searchable, or refused.
    pub async fn write(&self, write: Write, deadline: Instant) -> Answer {
        let (reply, answer) = oneshot::channel();
        let share = self.share(&write).ok_or(ServiceError::Overloaded)?;
        self.tasks
            .try_send(Task::Write(Job {
                write,
                reply: Some(reply),
                share,
            }))
            .map_err(|error| match error {
                TrySendError::Full(_) => ServiceError::Overloaded,
                TrySendError::Disconnected(_) => ServiceError::WorkerPanicked,
            })?;
        match tokio::time::timeout_at(deadline.into(), answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(ServiceError::WorkerPanicked),
            Err(_) => Err(ServiceError::DeadlineExceeded),
        }
    }
}

impl Writes {
    /// Hands a write in from a thread that may wait for its turn.
    pub fn hand_in(&self, write: Write) -> Result<Pending, ServiceError> {
        let (reply, answer) = oneshot::channel();
        let reply = Some(reply);
        let share = loop {
            match self.share(&write) {
                Some(share) => break share,
                None => std::thread::sleep(FULL),
            }
        };
        self.tasks
            .send(Task::Write(Job { write, reply, share }))
            .map_err(|_| ServiceError::WorkerPanicked)?;
        Ok(Pending(answer))
    }

    /// Waits for the answer to what was handed in, on a thread that may.
    pub fn wait(pending: Pending) -> Answer {
        pending
            .0
            .blocking_recv()
            .unwrap_or(Err(ServiceError::WorkerPanicked))
    }

    /// Hands a write in, if there is room, whose answer nobody waits for.
    pub fn tell(&self, write: Write) {
        // Without room nothing happens; the caller has said that it bears that.
        if let Some(share) = self.share(&write) {
            let reply = None;
            let _ = self.tasks.try_send(Task::Write(Job { write, reply, share }));
        }
    }

    fn share(&self, write: &Write) -> Option<Share> {
        let bytes = u64::try_from(write.bytes()).unwrap_or(u64::MAX);
        self.room.take(bytes, WAITING_BYTES)
    }

    /// Asks for a takeover, behind the writes that wait.
    pub fn take_over(&self, takeover: Takeover) -> Result<(), ServiceError> {
        self.tasks
            .send(Task::TakeOver(Box::new(takeover)))
            .map_err(|_| ServiceError::WorkerPanicked)
    }
}

/// An answer that is to come.
#[derive(Debug)]
pub struct Pending(oneshot::Receiver<Answer>);

/// Starts the thread; it keeps the index beside the store when it ends.
pub fn start(
    store: Store,
    index: SharedIndex,
    origin: Arc<Origin>,
) -> std::io::Result<(Writes, JoinHandle<()>)> {
    let (sender, tasks) = sync_channel(WAITING);
    let writer = Writer {
        store,
        index,
        origin,
        tasks,
        rebuilding: None,
        changed: false,
    };
    let thread = std::thread::Builder::new()
        .name("writer".to_owned())
        .spawn(move || writer.run())?;
    let writes = Writes {
        tasks: sender,
        room: Room::default(),
    };
    Ok((writes, thread))
}

struct Writer {
    store: Store,
    index: SharedIndex,
    /// Of the embeddings that the index has.
    origin: Arc<Origin>,
    tasks: Receiver<Task>,
    rebuilding: Option<Receiver<Rebuilt>>,
    /// Whether the kept graph lacks something.
    changed: bool,
}

/// Lends the index to a search; a panic in one leaves it as it was, since searches change nothing.
pub fn lend(index: &RwLock<Index>) -> RwLockReadGuard<'_, Index> {
    index.read().unwrap_or_else(PoisonError::into_inner)
}

impl Writer {
    fn run(mut self) {
        while let Some(first) = self.next_task() {
            let waiting = self.tasks.try_iter().take(WAITING);
            let (mut group, mut takeovers) = (Vec::new(), Vec::new());
            for task in first.into_iter().chain(waiting) {
                match task {
                    Task::Write(job) => group.push(job),
                    Task::TakeOver(takeover) => takeovers.push(*takeover),
                }
            }
            if !group.is_empty() {
                self.commit(group);
            }
            takeovers
                .into_iter()
                .for_each(|takeover| self.take_over(takeover));
            self.tend();
        }
        if self.changed {
            while self.link_one() {}
            lend(&self.index).keep(&kept::folder(self.store.folder()), &self.origin);
        }
    }

    /// The next write, or nothing where the index needs attention first; none once nobody can write any more.
    fn next_task(&self) -> Option<Option<Task>> {
        if lend(&self.index).neighbours.unlinked() > 0 {
            return match self.tasks.try_recv() {
                Ok(task) => Some(Some(task)),
                Err(TryRecvError::Empty) => Some(None),
                Err(TryRecvError::Disconnected) => None,
            };
        }
        if self.rebuilding.is_some() {
            return match self.tasks.recv_timeout(LOOK) {
                Ok(task) => Some(Some(task)),
                Err(RecvTimeoutError::Timeout) => Some(None),
                Err(RecvTimeoutError::Disconnected) => None,
            };
        }
        self.tasks.recv().ok().map(Some)
    }

    /// One transaction for all; then the index; then the answers.
    fn commit(&mut self, group: Vec<Job>) {
        let (mut writes, mut replies, mut shares) = (Vec::new(), Vec::new(), Vec::new());
        // Who has left or is late is not served any more.
        let left = |job: &Job| job.reply.as_ref().is_some_and(oneshot::Sender::is_closed);
        for job in group.into_iter().filter(|job| !left(job)) {
            writes.push(job.write);
            replies.push(job.reply);
            shares.push(job.share);
        }
        let answers = match self.store.write(writes) {
            Ok(answers) => answers,
            Err(error) => {
                tracing::error!(%error, writes = replies.len(), "a group of writes was not stored");
                let reason = error.to_string();
                let full = matches!(error, CatalogueError::Full { .. });
                let refusal = || {
                    let reason = reason.clone();
                    Err(if full {
                        CatalogueError::Full { reason }
                    } else {
                        CatalogueError::NotStored { reason }
                    })
                };
                replies.iter().map(|_| refusal()).collect()
            }
        };
        drop(shares);
        {
            let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
            for written in answers.iter().filter_map(|answer| answer.as_ref().ok()) {
                index.apply(written.change.clone());
                self.changed = true;
            }
        }
        for (reply, answer) in replies.into_iter().zip(answers) {
            if let Some(reply) = reply {
                // Nobody may be there any more; the write stands.
                let _ = reply.send(answer.map_err(ServiceError::from));
            }
        }
    }

    /// Makes other embeddings the catalogue's, and their index the one that answers. No write comes in between: those
    /// before are in both, those after find the new ones.
    fn take_over(&mut self, takeover: Takeover) {
        let Takeover {
            mut candidate,
            current,
            reply,
        } = takeover;
        let took = match self.adopt(&mut candidate) {
            Ok(true) => {
                let index = candidate.successor.take_over(&lend(&self.index));
                self.index = Arc::new(RwLock::new(index));
                self.origin = Arc::clone(&candidate.maker.origin);
                // One that is being built is of the old embeddings.
                self.rebuilding = None;
                self.changed = true;
                current.succeed(candidate.maker, Arc::clone(&self.index));
                kept::adopt(self.store.folder());
                candidate.without.tell();
                TookOver::Yes
            }
            Ok(false) => TookOver::NotYet(Box::new(candidate)),
            Err(error) => TookOver::Failed(Box::new(candidate), error),
        };
        // Whoever asked may have ended; what was done stands.
        let _ = reply.send(took);
    }

    /// Embeds the last pictures and commits; false where they are too many for other writes to wait.
    fn adopt(&mut self, candidate: &mut Candidate) -> Result<bool, ServiceError> {
        let after = candidate.successor.last();
        let rest = self.store.pictures_after(after, AT_TAKEOVER + 1, usize::MAX)?;
        if rest.len() > AT_TAKEOVER {
            return Ok(false);
        }
        let mut made = Vec::with_capacity(rest.len());
        for picture in &rest {
            let values = embedding_of(&mut candidate.embedder, picture, &candidate.maker);
            let values = candidate.without.or_zeros(picture, values, &candidate.maker);
            made.push((picture.key, values));
        }
        self.store.adopt_next(&made)?;
        for (picture, values) in made {
            candidate.successor.push(picture, &values);
        }
        Ok(true)
    }

    /// Links a row, or as many as are too many; begins or ends building the index anew.
    fn tend(&mut self) {
        self.link_one();
        while lend(&self.index).neighbours.unlinked() > MOST_UNLINKED {
            self.link_one();
        }
        match &self.rebuilding {
            None => {
                if lend(&self.index).neighbours.wants_rebuilding() {
                    self.rebuild();
                }
            }
            Some(ready) => match ready.try_recv() {
                Ok(rebuilt) => {
                    self.rebuilding = None;
                    let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
                    index.replace(rebuilt);
                    tracing::info!(pictures = index.neighbours.live(), "the index was built anew");
                }
                Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Disconnected) => {
                    tracing::error!("building the index anew failed; it is tried again");
                    self.rebuilding = None;
                }
            },
        }
    }

    /// Links the next row while others search; false where none is left.
    fn link_one(&self) -> bool {
        let Some(row) = lend(&self.index).neighbours.next_unlinked() else {
            return false;
        };
        row.link();
        lend(&self.index).neighbours.linked(&row);
        true
    }

    fn rebuild(&mut self) {
        let (ready, rebuilding) = sync_channel(1);
        let index = Arc::clone(&self.index);
        let started = std::thread::Builder::new()
            .name("rebuilder".to_owned())
            .spawn(move || {
                // The writer may have ended meanwhile.
                let _ = ready.send(Rebuilt::of(|| lend(&index)));
            });
        match started {
            Ok(_) => self.rebuilding = Some(rebuilding),
            Err(error) => tracing::error!(%error, "no thread could be started to build the index anew"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::imports::ImportStep;

    #[tokio::test]
    async fn writes_wait_up_to_a_number_of_bytes_and_are_refused_beyond() {
        let (tasks, waiting) = sync_channel(WAITING);
        let room = Room::default();
        let writes = Writes { tasks, room };
        let large = || Write::Import {
            id: "id".to_owned(),
            step: ImportStep::Received(vec![(1, vec![0; 10 << 20])]),
        };
        let deadline = Instant::now() + Duration::from_secs(60);
        let ask = |write: Write| {
            let writes = writes.clone();
            tokio::spawn(async move { writes.write(write, deadline).await })
        };
        // Seven of ten megabytes go beyond 64; nothing takes them.
        let mut asked: Vec<_> = (0..9).map(|_| ask(large())).collect();
        let small = || Write::Delete { id: "id".to_owned() };
        for refused in asked.split_off(7) {
            assert!(matches!(refused.await.unwrap(), Err(ServiceError::Overloaded)));
        }
        assert!(matches!(
            ask(small()).await.unwrap(),
            Err(ServiceError::Overloaded)
        ));
        drop(waiting.recv().unwrap());
        let taken = ask(small());
        // The six before it and itself.
        let mut left = 7;
        while left > 0 {
            left -= waiting.try_iter().count();
            tokio::task::yield_now().await;
        }
        // What was dropped with its sender was not refused as too much.
        assert!(matches!(taken.await.unwrap(), Err(ServiceError::WorkerPanicked)));
        assert_eq!(writes.room.taken(), 0);
    }
}
