//! Emulated chips, one OS thread each, behind one queue that is bounded by time. The batch size is one, as on the chip.
//!
//! A request is first admitted by the estimated time of all its work, then its jobs run. A job is dropped if its client has
//! disconnected or its deadline has passed. A panic fails only its own request; the worker then gets a new emulator.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::error::ChipError;
use crate::budget::{Budget, Share};

type Job<W> = Box<dyn FnOnce(&mut W) + Send>;

/// The workers of one server; each owns a `W`.
#[derive(Debug)]
pub struct Pool<W> {
    queue: Option<Sender<Job<W>>>,
    workers: Vec<JoinHandle<()>>,
    /// Estimated work that waits or runs.
    backlog: Backlog,
    /// The backlog at which requests are refused.
    limit: Duration,
    /// A job behind others that has waited longer is refused, because the work ahead of it takes longer than estimated.
    patience: Duration,
}

/// Nanoseconds of estimated work that waits or runs.
#[derive(Debug, Clone, Default)]
pub struct Backlog(Budget);

/// A request's place in the backlog, until it and its jobs are done.
#[derive(Debug, Clone)]
pub struct Admission {
    _share: Arc<Share>,
    /// Nothing was ahead of it: what it waits for is its thread to be scheduled, not other work.
    first: bool,
}

impl Backlog {
    /// Estimated work that waits or runs.
    #[must_use]
    pub fn queued(&self) -> Duration {
        Duration::from_nanos(self.0.spent())
    }

    fn spend(&self, estimate: Duration, limit: Duration) -> Option<Share> {
        let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.0.spend(nanoseconds(estimate), nanoseconds(limit))
    }
}

impl<W: 'static> Pool<W> {
    /// Starts `chips` workers, each with a `W` from `make`, and a queue that holds up to `waiting` of estimated work per
    /// chip.
    ///
    /// # Errors
    /// If a thread cannot be started.
    pub fn start(
        chips: usize,
        waiting: Duration,
        make: impl Fn() -> W + Send + Sync + 'static,
    ) -> std::io::Result<Self> {
        let (queue, jobs) = channel();
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
            backlog: Backlog::default(),
            limit: waiting.saturating_mul(u32::try_from(chips).unwrap_or(u32::MAX)),
            patience: waiting.saturating_mul(3) / 2,
        })
    }

    /// The number of emulated chips.
    #[must_use]
    pub fn chips(&self) -> usize {
        self.workers.len()
    }

    /// Estimated work that waits or runs.
    #[must_use]
    pub fn queued(&self) -> Duration {
        self.backlog.queued()
    }

    /// The backlog, for background work that yields to it.
    #[must_use]
    pub fn backlog(&self) -> Backlog {
        self.backlog.clone()
    }

    /// The backlog at which requests are refused.
    #[must_use]
    pub fn limit(&self) -> Duration {
        self.limit
    }

    /// Admits a request whose work will take about `estimate`.
    ///
    /// # Errors
    /// [`ChipError::Overloaded`] while the backlog is at its limit.
    pub fn admit(&self, estimate: Duration) -> Result<Admission, ChipError> {
        let first = self.backlog.0.spent() == 0;
        let share = self.backlog.spend(estimate, self.limit);
        let share = Arc::new(share.ok_or(ChipError::Overloaded)?);
        Ok(Admission { _share: share, first })
    }

    /// Runs a job of an admitted request on the next free worker; the job gets the time it waited.
    ///
    /// # Errors
    /// The job's own; or if the job waited too long, its deadline passed, or it panicked.
    pub async fn run<T: Send + 'static>(
        &self,
        admission: &Admission,
        deadline: Instant,
        job: impl FnOnce(&mut W, Duration) -> Result<T, ChipError> + Send + 'static,
    ) -> Result<T, ChipError> {
        let admission = admission.clone();
        let (reply, answer) = oneshot::channel();
        let queued = Instant::now();
        let patience = self.patience;
        let boxed: Job<W> = Box::new(move |worker| {
            let admission = admission;
            // The client has disconnected, or the deadline has passed.
            if reply.is_closed() || Instant::now() >= deadline {
                return;
            }
            let waited = queued.elapsed();
            let result = if waited > patience && !admission.first {
                Err(ChipError::Overloaded)
            } else {
                job(worker, waited)
            };
            drop(admission);
            // The client may have disconnected while the job ran.
            let _ = reply.send(result);
        });
        let queue = self.queue.as_ref().ok_or(ChipError::ShuttingDown)?;
        queue.send(boxed).map_err(|_| ChipError::ShuttingDown)?;
        match tokio::time::timeout_at(deadline.into(), answer).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) if Instant::now() < deadline => Err(ChipError::WorkerPanicked),
            _ => Err(ChipError::DeadlineExceeded),
        }
    }
}

impl<W> Drop for Pool<W> {
    fn drop(&mut self) {
        self.queue = None;
        for worker in self.workers.drain(..) {
            // Workers catch the panics of their jobs; one that died anyway needs no handling here.
            let _ = worker.join();
        }
    }
}

fn work<W>(jobs: &Mutex<Receiver<Job<W>>>, make: &dyn Fn() -> W) {
    let mut worker = make();
    loop {
        let next = jobs.lock().recv();
        let Ok(job) = next else { return };
        let result = std::panic::catch_unwind(AssertUnwindSafe(|| job(&mut worker)));
        if result.is_err() {
            tracing::error!("a job panicked; its worker gets a new emulator");
            worker = make();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOMENT: Duration = Duration::from_millis(1);

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(10)
    }

    /// One worker that counts its jobs; a replaced worker starts at 0.
    fn pool(waiting: Duration) -> Arc<Pool<u32>> {
        Arc::new(Pool::start(1, waiting, || 0).unwrap())
    }

    fn number(worker: &mut u32) -> u32 {
        *worker += 1;
        *worker
    }

    async fn run<T: Send + 'static>(
        pool: &Pool<u32>,
        estimate: Duration,
        deadline: Instant,
        job: impl FnOnce(&mut u32, Duration) -> Result<T, ChipError> + Send + 'static,
    ) -> Result<T, ChipError> {
        pool.run(&pool.admit(estimate)?, deadline, job).await
    }

    /// Keeps the worker busy until the sender is dropped; returns once it is busy.
    async fn occupy(pool: &Arc<Pool<u32>>) -> std::sync::mpsc::Sender<()> {
        let (release, wait) = channel::<()>();
        let (started, running) = oneshot::channel();
        let pool = Arc::clone(pool);
        tokio::spawn(async move {
            let job = move |_: &mut u32, _| {
                let _ = started.send(());
                let _ = wait.recv();
                Ok(())
            };
            run(&pool, MOMENT, soon(), job).await
        });
        running.await.unwrap();
        release
    }

    #[tokio::test]
    async fn a_panic_costs_its_own_request_and_its_worker_s_state_alone() {
        let pool = pool(Duration::from_secs(1));
        let count = |worker: &mut u32, _: Duration| Ok(number(worker));
        assert_eq!(run(&pool, MOMENT, soon(), count).await.unwrap(), 1);
        assert_eq!(run(&pool, MOMENT, soon(), count).await.unwrap(), 2);
        let fail = |_: &mut u32, _: Duration| -> Result<u32, ChipError> { panic!("on purpose") };
        assert!(matches!(
            run(&pool, MOMENT, soon(), fail).await,
            Err(ChipError::WorkerPanicked)
        ));
        assert_eq!(
            run(&pool, MOMENT, soon(), count).await.unwrap(),
            1,
            "a new worker"
        );
        assert_eq!(pool.backlog.0.spent(), 0);
    }

    #[tokio::test]
    async fn work_beyond_the_bound_is_refused_and_taken_again_later() {
        let pool = pool(Duration::from_secs(30));
        let release = occupy(&pool).await;
        let waiting = {
            let pool = Arc::clone(&pool);
            // One long job is taken while there is room; it fills the queue.
            let job = |_: &mut u32, queued: Duration| Ok(queued);
            tokio::spawn(async move { run(&pool, Duration::from_secs(60), soon(), job).await })
        };
        while pool.backlog.0.spent() < 1_000_000_000 {
            tokio::task::yield_now().await;
        }
        let count = |worker: &mut u32, _: Duration| Ok(number(worker));
        assert!(matches!(
            run(&pool, MOMENT, soon(), count).await,
            Err(ChipError::Overloaded)
        ));
        drop(release);
        assert!(waiting.await.unwrap().unwrap() > Duration::ZERO);
        assert_eq!(
            run(&pool, MOMENT, soon(), count).await.unwrap(),
            1,
            "the refused job never ran"
        );
    }

    #[tokio::test]
    async fn a_job_that_waited_far_longer_than_estimated_is_refused() {
        let pool = pool(Duration::from_millis(20));
        let release = occupy(&pool).await;
        let waiting = {
            let pool = Arc::clone(&pool);
            tokio::spawn(async move { run(&pool, MOMENT, soon(), |worker, _| Ok(number(worker))).await })
        };
        tokio::time::sleep(Duration::from_millis(60)).await;
        drop(release);
        assert!(matches!(waiting.await.unwrap(), Err(ChipError::Overloaded)));
        let count = |worker: &mut u32, _: Duration| Ok(number(worker));
        assert_eq!(
            run(&pool, MOMENT, soon(), count).await.unwrap(),
            1,
            "it never ran"
        );
    }

    #[tokio::test]
    async fn a_job_with_nothing_ahead_of_it_is_never_refused_for_waiting() {
        // Far less than it takes a thread to wake up.
        let pool = pool(Duration::from_nanos(1));
        for expected in 1..=20 {
            let count = |worker: &mut u32, _: Duration| Ok(number(worker));
            assert_eq!(run(&pool, MOMENT, soon(), count).await.unwrap(), expected);
        }
    }

    #[tokio::test]
    async fn jobs_of_clients_that_left_or_are_late_are_dropped() {
        let pool = pool(Duration::from_secs(1));
        let release = occupy(&pool).await;
        let count = |worker: &mut u32, _: Duration| Ok(number(worker));
        let late = run(&pool, MOMENT, Instant::now() + Duration::from_millis(20), count);
        assert!(matches!(late.await, Err(ChipError::DeadlineExceeded)));
        let left = {
            let pool = Arc::clone(&pool);
            tokio::spawn(async move { run(&pool, MOMENT, soon(), count).await })
        };
        while pool.backlog.0.spent() < 3_000_000 {
            tokio::task::yield_now().await;
        }
        left.abort();
        assert!(left.await.unwrap_err().is_cancelled());
        drop(release);
        assert_eq!(
            run(&pool, MOMENT, soon(), count).await.unwrap(),
            1,
            "neither of the two has run"
        );
    }
}
