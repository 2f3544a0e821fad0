//! Emulated chips, one OS thread each, behind one bounded queue: batch size one, as the chip.
//!
//! A job is everything one request needs of a worker. A job whose client left or whose time is over is dropped; a
//! panic costs its request a 500 and the worker its emulator, nothing else.

use std::panic::AssertUnwindSafe;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::ServiceError;
use super::embed::Embedder;

type Job = Box<dyn FnOnce(&mut Embedder) + Send>;

/// The chips of one server.
#[derive(Debug)]
pub struct Pool {
    queue: Option<SyncSender<Job>>,
    workers: Vec<JoinHandle<()>>,
}

impl Pool {
    /// Starts `chips` workers, each with an emulator of its own, and a queue of `waiting` jobs.
    pub fn start(
        chips: usize,
        waiting: usize,
        make: impl Fn() -> Embedder + Send + Sync + 'static,
    ) -> std::io::Result<Self> {
        let (queue, jobs) = sync_channel(waiting);
        let jobs = Arc::new(Mutex::new(jobs));
        let make = Arc::new(make);
        let workers = (0..chips)
            .map(|number| {
                let jobs = Arc::clone(&jobs);
                let make = Arc::clone(&make);
                std::thread::Builder::new()
                    .name(format!("chip-{number}"))
                    .spawn(move || work(&jobs, &*make))
            })
            .collect::<std::io::Result<_>>()?;
        Ok(Self {
            queue: Some(queue),
            workers,
        })
    }

    /// How many emulated chips there are.
    pub fn chips(&self) -> usize {
        self.workers.len()
    }

    /// Runs `job` on the next free worker; it is told how long it waited.
    pub async fn run<T: Send + 'static>(
        &self,
        deadline: Instant,
        job: impl FnOnce(&mut Embedder, Duration) -> Result<T, ServiceError> + Send + 'static,
    ) -> Result<T, ServiceError> {
        let (reply, answer) = oneshot::channel();
        let queued = Instant::now();
        let boxed: Job = Box::new(move |embedder| {
            if reply.is_closed() {
                return;
            }
            let result = if Instant::now() >= deadline {
                Err(ServiceError::DeadlineExceeded)
            } else {
                job(embedder, queued.elapsed())
            };
            // The client may have left while the job ran; then nobody is told.
            let _ = reply.send(result);
        });
        let queue = self.queue.as_ref().ok_or(ServiceError::ShuttingDown)?;
        queue.try_send(boxed).map_err(|refused| match refused {
            TrySendError::Full(_) => ServiceError::Overloaded,
            TrySendError::Disconnected(_) => ServiceError::ShuttingDown,
        })?;
        answer.await.map_err(|_| ServiceError::WorkerPanicked)?
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.queue = None;
        for worker in self.workers.drain(..) {
            // A worker catches its jobs' panics; one that died all the same has nothing left to wait for.
            let _ = worker.join();
        }
    }
}

fn work(jobs: &Mutex<Receiver<Job>>, make: &dyn Fn() -> Embedder) {
    let mut embedder = make();
    loop {
        let next = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = next else { return };
        let result = std::panic::catch_unwind(AssertUnwindSafe(|| job(&mut embedder)));
        if result.is_err() {
            tracing::error!("a job panicked; its emulator is replaced");
            embedder = make();
        }
    }
}
