//! Emulated chips, one OS thread each for short work and one for long work. The batch size is one, as on the chip.
//!
//! A job is dropped if its client has disconnected or its deadline has passed. A panic fails only its own request; the
//! worker then gets a new emulator.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::error::ChipError;
use crate::admission::{Admission, Lane, Stopped};

type Job<W> = Box<dyn FnOnce(&mut W) + Send>;

/// The workers of one server; each owns a `W`.
#[derive(Debug)]
pub struct Pool<W> {
    /// Of short and of long work.
    queues: Option<[Sender<Job<W>>; 2]>,
    workers: Vec<JoinHandle<()>>,
    chips: usize,
    /// A job behind others that has waited longer is refused, because the work ahead of it takes longer than estimated.
    patience: Duration,
}

impl<W: 'static> Pool<W> {
    /// Starts `chips` workers for each lane, each with a `W` from `make`. Requests are to be admitted with up to `waiting`
    /// of work a chip.
    ///
    /// # Errors
    /// If a thread cannot be started.
    pub fn start(
        chips: usize,
        waiting: Duration,
        make: impl Fn() -> W + Send + Sync + 'static,
    ) -> std::io::Result<Self> {
        let make = Arc::new(make);
        let mut workers = Vec::with_capacity(2 * chips);
        let mut lane = |name: &str| {
            let (queue, jobs) = channel();
            let jobs = Arc::new(Mutex::new(jobs));
            for number in 0..chips {
                let (jobs, make) = (Arc::clone(&jobs), Arc::clone(&make));
                let thread = std::thread::Builder::new().name(format!("{name}-{number}"));
                workers.push(thread.spawn(move || work(&jobs, &*make))?);
            }
            Ok::<_, std::io::Error>(queue)
        };
        Ok(Self {
            queues: Some([lane("chip")?, lane("long")?]),
            workers,
            chips,
            patience: waiting.saturating_mul(3) / 2,
        })
    }

    /// The number of emulated chips.
    #[must_use]
    pub fn chips(&self) -> usize {
        self.chips
    }

    /// Runs a job of an admitted request on the next free worker of its lane; the job gets the time it waited.
    ///
    /// # Errors
    /// The job's own; or if the job waited too long, its deadline passed, or it panicked.
    pub async fn run<T: Send + 'static>(
        &self,
        admission: &Admission,
        job: impl FnOnce(&mut W, Duration) -> Result<T, ChipError> + Send + 'static,
    ) -> Result<T, ChipError> {
        let work = admission.work();
        let (lane, deadline) = (work.lane(), work.deadline().unwrap_or_else(Instant::now));
        let (reply, answer) = oneshot::channel();
        let queued = Instant::now();
        let patience = self.patience;
        let boxed: Job<W> = Box::new(move |worker| {
            if work.check().is_err() {
                return;
            }
            let waited = queued.elapsed();
            let result = if waited > patience && !work.is_first() {
                Err(Stopped::Full.into())
            } else {
                work.time(|| job(worker, waited))
            };
            drop(work);
            // The client may have disconnected while the job ran.
            let _ = reply.send(result);
        });
        let [short, long] = self.queues.as_ref().ok_or(ChipError::ShuttingDown)?;
        let queue = match lane {
            Lane::Short => short,
            Lane::Long => long,
        };
        queue.send(boxed).map_err(|_| ChipError::ShuttingDown)?;
        match tokio::time::timeout_at(deadline.into(), answer).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) if Instant::now() < deadline => Err(ChipError::WorkerPanicked),
            _ => Err(Stopped::Late.into()),
        }
    }
}

impl<W> Drop for Pool<W> {
    fn drop(&mut self) {
        self.queues = None;
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
    use crate::admission::{Admissions, CallerId};

    const MOMENT: Duration = Duration::from_millis(1);

    /// A pool with the admissions to it.
    struct Admitted {
        pool: Pool<u32>,
        admissions: Admissions,
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(10)
    }

    /// One worker that counts its jobs; a replaced worker starts at 0.
    fn pool(waiting: Duration) -> Arc<Admitted> {
        Arc::new(Admitted {
            pool: Pool::start(1, waiting, || 0).unwrap(),
            admissions: Admissions::new(1, waiting),
        })
    }

    fn number(worker: &mut u32) -> u32 {
        *worker += 1;
        *worker
    }

    async fn run<T: Send + 'static>(
        admitted: &Admitted,
        estimate: Duration,
        deadline: Instant,
        job: impl FnOnce(&mut u32, Duration) -> Result<T, ChipError> + Send + 'static,
    ) -> Result<T, ChipError> {
        let admission = admitted
            .admissions
            .admit(CallerId::default(), estimate, deadline)?;
        admitted.pool.run(&admission, job).await
    }

    /// Keeps the worker busy until the sender is dropped; returns once it is busy.
    async fn occupy(pool: &Arc<Admitted>) -> std::sync::mpsc::Sender<()> {
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
        assert_eq!(pool.admissions.queued(), Duration::ZERO);
    }

    #[tokio::test]
    async fn work_beyond_the_bound_is_refused_and_taken_again_later() {
        let pool = pool(Duration::from_secs(10));
        let release = occupy(&pool).await;
        // So many jobs are taken while there is room; the last one fills the queue.
        let waiting: Vec<_> = (0..11)
            .map(|_| {
                let pool = Arc::clone(&pool);
                let job = |_: &mut u32, queued: Duration| Ok(queued);
                tokio::spawn(async move { run(&pool, Duration::from_millis(990), soon(), job).await })
            })
            .collect();
        while pool.admissions.queued() < Duration::from_secs(10) {
            tokio::task::yield_now().await;
        }
        let count = |worker: &mut u32, _: Duration| Ok(number(worker));
        assert!(matches!(
            run(&pool, MOMENT, soon(), count).await,
            Err(ChipError::Stopped(Stopped::Full))
        ));
        drop(release);
        for waiting in waiting {
            assert!(waiting.await.unwrap().unwrap() > Duration::ZERO);
        }
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
        assert!(matches!(
            waiting.await.unwrap(),
            Err(ChipError::Stopped(Stopped::Full))
        ));
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
        assert!(matches!(late.await, Err(ChipError::Stopped(Stopped::Late))));
        let left = {
            let pool = Arc::clone(&pool);
            tokio::spawn(async move { run(&pool, MOMENT, soon(), count).await })
        };
        while pool.admissions.queued() < Duration::from_millis(3) {
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
