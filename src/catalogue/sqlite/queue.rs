//! The queue of writes that wait for the writer, bounded in number and in bytes.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use tokio::sync::oneshot;

use super::store::Store;
use super::successor::Successor;
use crate::budget::{Budget, Share};
use crate::catalogue::error::CatalogueError;
use crate::catalogue::reembedding::EmbedLast;
use crate::catalogue::write::{Write, Written};

/// WriteQueue that may wait, and the bytes of pictures and lines that they may hold in memory; the last one may exceed them.
pub const WAITING: usize = 256;
const WAITING_BYTES: u64 = 64 << 20;
/// How often background work that waits for its turn tries again.
const RETRY: Duration = Duration::from_millis(2);

/// What a write is answered with.
pub type Answer = Result<Written, CatalogueError>;

/// A write on its way, and who waits for it.
#[derive(Debug)]
pub struct Job {
    pub write: Write,
    /// `None` if no caller waits for the answer.
    pub reply: Option<oneshot::Sender<Answer>>,
    /// Returned once the write is done.
    pub share: Share,
}

/// The next embeddings, with their graph, that are to replace the present ones.
pub struct Adoption {
    pub successor: Successor,
    pub embed: EmbedLast,
    pub reply: oneshot::Sender<Adopted>,
}

/// Whether they did.
#[derive(Debug)]
pub enum Adopted {
    Yes,
    /// Too many pictures were written in the meantime. The successor is kept unless it has to be built again.
    Behind(Option<Box<Successor>>),
    /// The database refused; nothing has changed.
    Failed(Box<Successor>, CatalogueError),
}

/// What the writer is asked to do.
pub enum Task {
    Write(Job),
    Adopt(Box<Adoption>),
    /// Anything else that changes the database, alone and in its turn.
    Run(Box<dyn FnOnce(&mut Store) + Send>),
    /// Do what waits, keep the index and end.
    Close,
}

/// Where writes are handed to the writer.
#[derive(Debug, Clone)]
pub struct WriteQueue {
    tasks: SyncSender<Task>,
    /// Bytes that wait.
    budget: Budget,
}

impl WriteQueue {
    /// An empty queue, and the end that the writer takes from.
    pub fn queue() -> (Self, Receiver<Task>) {
        let (tasks, waiting) = sync_channel(WAITING);
        let budget = Budget::default();
        (Self { tasks, budget }, waiting)
    }

    /// Hands over a write and waits until it is durable and searchable, or refused. Refused at once where too many wait;
    /// dropped before its turn, it is not done.
    pub async fn write(&self, write: Write) -> Answer {
        let share = self.share(&write).ok_or(CatalogueError::Busy)?;
        let (reply, answer) = oneshot::channel();
        let reply = Some(reply);
        self.tasks
            .try_send(Task::Write(Job { write, reply, share }))
            .map_err(|error| match error {
                TrySendError::Full(_) => CatalogueError::Busy,
                TrySendError::Disconnected(_) => CatalogueError::Closed,
            })?;
        answer.await.unwrap_or(Err(CatalogueError::Closed))
    }

    /// Hands over writes in their order and waits for all of them; waits where too many wait.
    pub async fn write_many(&self, writes: Vec<Write>) -> Result<Vec<Answer>, CatalogueError> {
        let mut waiting = Vec::with_capacity(writes.len());
        for write in writes {
            let share = loop {
                match self.share(&write) {
                    Some(share) => break share,
                    None => tokio::time::sleep(RETRY).await,
                }
            };
            let (reply, answer) = oneshot::channel();
            let reply = Some(reply);
            self.send(Task::Write(Job { write, reply, share })).await?;
            waiting.push(answer);
        }
        let mut answers = Vec::with_capacity(waiting.len());
        for answer in waiting {
            answers.push(answer.await.unwrap_or(Err(CatalogueError::Closed)));
        }
        Ok(answers)
    }

    /// Queues a write without waiting for its result; drops it if the queue is full.
    pub fn write_unobserved(&self, write: Write) {
        if let Some(share) = self.share(&write) {
            let reply = None;
            // Without room nothing happens; the caller has said that it can bear that.
            let _ = self.tasks.try_send(Task::Write(Job { write, reply, share }));
        }
    }

    /// Runs `change` on the database, in its turn.
    pub async fn run<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Store) -> Result<T, CatalogueError> + Send + 'static,
    ) -> Result<T, CatalogueError> {
        let (reply, answer) = oneshot::channel();
        let run = Box::new(move |store: &mut Store| {
            // The caller may have given up; the work is done all the same.
            let _ = reply.send(change(store));
        });
        self.send(Task::Run(run)).await?;
        answer.await.unwrap_or(Err(CatalogueError::Closed))
    }

    /// Asks the writer to adopt the next embeddings, behind the writes that wait.
    pub async fn adopt(&self, successor: Successor, embed: EmbedLast) -> Result<Adopted, CatalogueError> {
        let (reply, answer) = oneshot::channel();
        let adoption = Adoption {
            successor,
            embed,
            reply,
        };
        self.send(Task::Adopt(Box::new(adoption))).await?;
        answer.await.map_err(|_| CatalogueError::Closed)
    }

    /// Asks the writer to end, behind what waits.
    pub async fn close(&self) {
        // It may have ended already.
        let _ = self.send(Task::Close).await;
    }

    async fn send(&self, mut task: Task) -> Result<(), CatalogueError> {
        loop {
            task = match self.tasks.try_send(task) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Full(task)) => task,
                Err(TrySendError::Disconnected(_)) => return Err(CatalogueError::Closed),
            };
            tokio::time::sleep(RETRY).await;
        }
    }

    fn share(&self, write: &Write) -> Option<Share> {
        let bytes = u64::try_from(write.bytes()).unwrap_or(u64::MAX);
        self.budget.spend(bytes, WAITING_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::import::ImportStep;

    #[tokio::test]
    async fn writes_wait_up_to_a_number_of_bytes_and_are_refused_beyond() {
        let (writes, waiting) = WriteQueue::queue();
        let large = || Write::Import {
            id: "id".to_owned(),
            step: ImportStep::Received(vec![(1, vec![0; 10 << 20])]),
        };
        let ask = |write: Write| {
            let writes = writes.clone();
            tokio::spawn(async move { writes.write(write).await })
        };
        // Seven of ten megabytes exceed 64; nothing takes them.
        let mut asked: Vec<_> = (0..9).map(|_| ask(large())).collect();
        let small = || Write::Delete { id: "id".to_owned() };
        for refused in asked.split_off(7) {
            assert!(matches!(refused.await.unwrap(), Err(CatalogueError::Busy)));
        }
        assert!(matches!(ask(small()).await.unwrap(), Err(CatalogueError::Busy)));
        drop(waiting.recv().unwrap());
        let taken = ask(small());
        // The six before it and itself.
        let mut left = 7;
        while left > 0 {
            left -= waiting.try_iter().count();
            tokio::task::yield_now().await;
        }
        // What was dropped with its sender was not refused as too much.
        assert!(matches!(taken.await.unwrap(), Err(CatalogueError::Closed)));
        assert_eq!(writes.budget.spent(), 0);
    }
}
