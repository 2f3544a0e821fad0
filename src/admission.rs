//! Which requests are worked on, and for how long.
//!
//! Everything that works for a request is admitted first, by the estimated time of all its work, and whatever reads the
//! catalogue or runs on a chip asks for the [`Work`] that only an [`Admission`] gives. Short and long work are admitted
//! apart and run on threads of their own: however much long work there is, short work finds its place.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use thiserror::Error;

use crate::budget::{Budget, Share};

/// Work that is estimated to take longer than this part of the longest queue is long.
const LONG: u32 = 10;
/// No work is estimated to take longer.
const LONGEST: Duration = Duration::from_secs(3600);

/// Whether work is short or long, by its estimate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    Short,
    Long,
}

/// Why work is not begun, or not continued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Stopped {
    #[error("the queue is full")]
    Full,
    #[error("the request took longer than its time limit")]
    Late,
    #[error("the client has left")]
    Left,
}

/// The work of all requests.
#[derive(Debug, Clone)]
pub struct Admissions {
    lanes: [Queued; 2],
    /// How many requests of a lane can be worked on at the same time.
    at_once: u64,
    /// The estimated work of a lane at which requests are refused.
    limit: Duration,
    long: Duration,
}

/// The admitted requests of a lane: their number, and nanoseconds of estimated work.
#[derive(Debug, Clone, Default)]
struct Queued {
    requests: Budget,
    work: Budget,
}

/// A request's place, until it and its work are done. Dropping it stops the work.
#[derive(Debug)]
pub struct Admission(Work);

/// The work of one request, or of one of the server's own threads.
#[derive(Debug, Clone)]
pub struct Work(Option<Arc<Request>>);

#[derive(Debug)]
struct Request {
    lane: Lane,
    deadline: Instant,
    left: AtomicBool,
    /// A thread was free for it: what it waits for is to be scheduled, not other work.
    first: bool,
    /// Nanoseconds that threads have worked on it.
    took: AtomicU64,
    _shares: [Share; 2],
}

impl Admissions {
    /// Lanes of `at_once` threads each, with up to `waiting` of estimated work for each of them.
    #[must_use]
    pub fn new(at_once: usize, waiting: Duration) -> Self {
        Self {
            lanes: Default::default(),
            at_once: at_once as u64,
            limit: waiting.saturating_mul(u32::try_from(at_once).unwrap_or(u32::MAX)),
            long: waiting / LONG,
        }
    }

    /// Admits a request whose work will take about `estimate`.
    ///
    /// # Errors
    /// [`Stopped::Full`] while no thread of its lane is free and as much waits as may.
    pub fn admit(&self, estimate: Duration, deadline: Instant) -> Result<Admission, Stopped> {
        let lane = if estimate < self.long {
            Lane::Short
        } else {
            Lane::Long
        };
        let Queued { requests, work } = &self.lanes[lane as usize];
        let free = requests.spend(1, self.at_once);
        let first = free.is_some();
        let limit = if first { u64::MAX } else { nanoseconds(self.limit) };
        let work = work
            .spend(nanoseconds(estimate.min(LONGEST)), limit)
            .ok_or(Stopped::Full)?;
        let request = free
            .or_else(|| requests.spend(1, u64::MAX))
            .ok_or(Stopped::Full)?;
        Ok(Admission(Work(Some(Arc::new(Request {
            lane,
            deadline,
            left: AtomicBool::new(false),
            first,
            took: AtomicU64::new(0),
            _shares: [work, request],
        })))))
    }

    /// Estimated work that waits or runs.
    #[must_use]
    pub fn queued(&self) -> Duration {
        let spent = self.lanes.iter().map(|lane| lane.work.spent());
        Duration::from_nanos(spent.fold(0, u64::saturating_add))
    }

    /// The estimated work at which requests are refused, of both lanes.
    #[must_use]
    pub fn limit(&self) -> Duration {
        self.limit.saturating_mul(2)
    }
}

impl Admission {
    /// What the threads that work for the request are given.
    #[must_use]
    pub fn work(&self) -> Work {
        self.0.clone()
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        if let Some(request) = &self.0.0 {
            request.left.store(true, Ordering::Release);
        }
    }
}

impl Work {
    /// The work of a thread of the server's own, which is bounded by there being one of it. It has no deadline.
    pub const OWN: Self = Self(None);

    /// Whether to continue: to be asked now and then by work that may take more than a few milliseconds.
    ///
    /// # Errors
    /// [`Stopped::Left`] once the client has left, [`Stopped::Late`] once the deadline has passed.
    pub fn check(&self) -> Result<(), Stopped> {
        match &self.0 {
            Some(request) if request.left.load(Ordering::Acquire) => Err(Stopped::Left),
            Some(request) if Instant::now() >= request.deadline => Err(Stopped::Late),
            _ => Ok(()),
        }
    }

    /// Which threads it is for.
    #[must_use]
    pub fn lane(&self) -> Lane {
        self.0.as_ref().map_or(Lane::Short, |request| request.lane)
    }

    /// Whether a thread was free when it was admitted.
    #[must_use]
    pub fn is_first(&self) -> bool {
        self.0.as_ref().is_none_or(|request| request.first)
    }

    /// When it must be done.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.0.as_ref().map(|request| request.deadline)
    }

    /// Works on this thread, and counts the time.
    pub fn time<T>(&self, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = work();
        if let Some(request) = &self.0 {
            let took = nanoseconds(start.elapsed());
            request.took.fetch_add(took, Ordering::Relaxed);
        }
        result
    }

    /// How long threads have worked on it.
    #[must_use]
    pub fn took(&self) -> Duration {
        let took = self
            .0
            .as_ref()
            .map(|request| request.took.load(Ordering::Relaxed));
        Duration::from_nanos(took.unwrap_or_default())
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(5);
    const LONG: Duration = Duration::from_millis(500);

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[test]
    fn a_lane_takes_what_its_threads_and_its_queue_hold_whatever_the_other_has() {
        let admissions = Admissions::new(2, Duration::from_millis(100));
        let long: Vec<_> = (0..2).map(|_| admissions.admit(LONG, soon()).unwrap()).collect();
        assert_eq!(admissions.admit(LONG, soon()).unwrap_err(), Stopped::Full);
        let short: Vec<_> = (0..40)
            .map(|_| admissions.admit(SHORT, soon()).unwrap())
            .collect();
        assert_eq!(admissions.admit(SHORT, soon()).unwrap_err(), Stopped::Full);
        assert!(
            long.iter()
                .all(|long| long.work().lane() == Lane::Long && long.work().is_first())
        );
        assert_eq!(short.iter().filter(|short| short.work().is_first()).count(), 2);
        assert_eq!(admissions.queued(), 2 * LONG + 40 * SHORT);
        drop(long);
        assert!(admissions.admit(LONG, soon()).is_ok());
        drop(short);
        assert_eq!(admissions.queued(), Duration::ZERO);
    }

    #[test]
    fn a_free_thread_is_given_work_however_long_the_work_of_others_is_said_to_be() {
        let admissions = Admissions::new(2, Duration::from_millis(100));
        let _endless = admissions.admit(Duration::MAX, soon()).unwrap();
        let second = admissions.admit(Duration::MAX, soon()).unwrap();
        assert_eq!(admissions.admit(LONG, soon()).unwrap_err(), Stopped::Full);
        drop(second);
        assert!(admissions.admit(LONG, soon()).unwrap().work().is_first());
    }

    #[test]
    fn work_stops_at_its_deadline_and_when_its_client_leaves_and_holds_its_place_until_then() {
        let admissions = Admissions::new(1, Duration::from_millis(100));
        let late = admissions.admit(SHORT, Instant::now()).unwrap();
        assert_eq!(late.work().check(), Err(Stopped::Late));
        let admission = admissions.admit(SHORT, soon()).unwrap();
        let work = admission.work();
        assert_eq!(work.check(), Ok(()));
        drop((admission, late));
        assert_eq!(work.check(), Err(Stopped::Left));
        assert_eq!(admissions.queued(), SHORT);
        assert!(work.time(|| work.took()) <= work.took());
        drop(work);
        assert_eq!(admissions.queued(), Duration::ZERO);
        assert_eq!(Work::OWN.check(), Ok(()));
    }
}
