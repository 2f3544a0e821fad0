//! Which requests are worked on, and for how long.
//!
//! Everything that works for a request is admitted first, by the estimated time of all its work, and whatever reads the
//! catalogue or runs on a chip asks for the [`Work`] that only an [`Admission`] gives. Short and long work are admitted
//! apart and run on threads of their own: however much long work there is, short work finds its place. Callers who ask at
//! the same time share the room of a lane, so that one of them cannot take all of it.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use thiserror::Error;

/// Work that is estimated to take longer than this part of the longest queue is long.
pub const LONG: u32 = 10;
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

/// Who asks: all that has the same key, or comes from the same address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct CallerId(u64);

impl CallerId {
    /// The caller that is known by this.
    #[must_use]
    pub fn of(known_by: &impl Hash) -> Self {
        let mut hasher = DefaultHasher::new();
        known_by.hash(&mut hasher);
        Self(hasher.finish())
    }
}

/// The work of all requests.
#[derive(Debug, Clone)]
pub struct Admissions {
    lanes: [Arc<Mutex<Queued>>; 2],
    /// How many requests of a lane can be worked on at the same time.
    at_once: usize,
    /// The estimated work of a lane at which the requests of one caller are refused.
    limit: Duration,
    long: Duration,
}

/// The admitted requests of a lane.
#[derive(Debug, Default)]
struct Queued {
    requests: usize,
    work: Duration,
    /// Of those who have any.
    callers: HashMap<CallerId, Asked>,
}

/// The admitted requests of a caller.
#[derive(Debug, Default)]
struct Asked {
    requests: usize,
    work: Duration,
}

/// A request's place in its lane.
#[derive(Debug)]
struct Place {
    lane: Arc<Mutex<Queued>>,
    caller: CallerId,
    work: Duration,
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
    _place: Place,
}

impl Queued {
    /// Counts one more request of a caller; false where there is no room for it.
    fn enter(&mut self, caller: CallerId, work: Duration, at_once: usize, limit: Duration) -> bool {
        let callers = self.callers.len() + usize::from(!self.callers.contains_key(&caller));
        let own = self
            .callers
            .get(&caller)
            .map_or(Duration::ZERO, |asked| asked.work);
        let fair = limit / u32::try_from(callers).unwrap_or(u32::MAX);
        // Beside others, a caller with its part waits until less than half of the lane is taken, and one without finds room
        // in a full one.
        let full = self.work >= limit.saturating_mul(2) || (own >= fair && self.work >= limit / 2);
        if full && self.requests >= at_once {
            return false;
        }
        self.requests += 1;
        self.work += work;
        let asked = self.callers.entry(caller).or_default();
        asked.requests += 1;
        asked.work += work;
        true
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut lane = self.lane.lock();
        lane.requests = lane.requests.saturating_sub(1);
        lane.work = lane.work.saturating_sub(self.work);
        if let Some(asked) = lane.callers.get_mut(&self.caller) {
            asked.requests -= 1;
            asked.work = asked.work.saturating_sub(self.work);
            if asked.requests == 0 {
                lane.callers.remove(&self.caller);
            }
        }
    }
}

impl Admissions {
    /// Lanes of `at_once` threads each, with up to `waiting` of estimated work for each of them.
    #[must_use]
    pub fn new(at_once: usize, waiting: Duration) -> Self {
        Self {
            lanes: Default::default(),
            at_once,
            limit: waiting.saturating_mul(u32::try_from(at_once).unwrap_or(u32::MAX)),
            long: waiting / LONG,
        }
    }

    /// Admits a request whose work will take about `estimate`.
    ///
    /// # Errors
    /// [`Stopped::Full`] while no thread of its lane is free and as much waits as may.
    pub fn admit(
        &self,
        caller: CallerId,
        estimate: Duration,
        deadline: Instant,
    ) -> Result<Admission, Stopped> {
        let lane = if estimate < self.long {
            Lane::Short
        } else {
            Lane::Long
        };
        let queued = &self.lanes[lane as usize];
        let work = estimate.min(LONGEST);
        let first = {
            let mut queued = queued.lock();
            let first = queued.requests < self.at_once;
            if !queued.enter(caller, work, self.at_once, self.limit) {
                return Err(Stopped::Full);
            }
            first
        };
        Ok(Admission(Work(Some(Arc::new(Request {
            lane,
            deadline,
            left: AtomicBool::new(false),
            first,
            took: AtomicU64::new(0),
            _place: Place {
                lane: Arc::clone(queued),
                caller,
                work,
            },
        })))))
    }

    /// Estimated work that waits or runs.
    #[must_use]
    pub fn queued(&self) -> Duration {
        self.lanes.iter().map(|lane| lane.lock().work).sum()
    }

    /// The estimated work at which the requests of one caller are refused, of both lanes.
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

    /// Adds time that was spent on it elsewhere.
    pub fn add(&self, time: Duration) {
        if let Some(request) = &self.0 {
            request.took.fetch_add(nanoseconds(time), Ordering::Relaxed);
        }
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

    fn admit(admissions: &Admissions, estimate: Duration, deadline: Instant) -> Result<Admission, Stopped> {
        admissions.admit(CallerId::default(), estimate, deadline)
    }

    #[test]
    fn a_caller_beside_others_has_its_part_of_a_lane() {
        let admissions = Admissions::new(2, Duration::from_millis(100));
        let ask = |who: &str| admissions.admit(CallerId::of(&who), SHORT, soon());
        let mut many: Vec<_> = std::iter::from_fn(|| ask("one").ok()).collect();
        assert_eq!(many.len(), 40, "alone it has all of it");
        let others: Vec<_> = std::iter::from_fn(|| ask("another").ok()).collect();
        assert_eq!(others.len(), 20, "a full lane has room for those who have none");
        many.truncate(10);
        let refused = ask("another").unwrap_err();
        assert_eq!(refused, Stopped::Full, "it has its half");
        many.extend(std::iter::from_fn(|| ask("one").ok()));
        assert_eq!(many.len(), 20);
        let third: Vec<_> = std::iter::from_fn(|| ask("third").ok()).collect();
        assert_eq!(third.len(), 14);
        drop((others, many, third));
        assert_eq!(admissions.queued(), Duration::ZERO);
        assert!(admissions.lanes[0].lock().callers.is_empty());
    }

    #[test]
    fn a_lane_takes_what_its_threads_and_its_queue_hold_whatever_the_other_has() {
        let admissions = Admissions::new(2, Duration::from_millis(100));
        let long: Vec<_> = (0..2)
            .map(|_| admit(&admissions, LONG, soon()).unwrap())
            .collect();
        assert_eq!(admit(&admissions, LONG, soon()).unwrap_err(), Stopped::Full);
        let short: Vec<_> = (0..40)
            .map(|_| admit(&admissions, SHORT, soon()).unwrap())
            .collect();
        assert_eq!(admit(&admissions, SHORT, soon()).unwrap_err(), Stopped::Full);
        assert!(
            long.iter()
                .all(|long| long.work().lane() == Lane::Long && long.work().is_first())
        );
        assert_eq!(short.iter().filter(|short| short.work().is_first()).count(), 2);
        assert_eq!(admissions.queued(), 2 * LONG + 40 * SHORT);
        drop(long);
        assert!(admit(&admissions, LONG, soon()).is_ok());
        drop(short);
        assert_eq!(admissions.queued(), Duration::ZERO);
    }

    #[test]
    fn a_free_thread_is_given_work_however_long_the_work_of_others_is_said_to_be() {
        let admissions = Admissions::new(2, Duration::from_millis(100));
        let _endless = admit(&admissions, Duration::MAX, soon()).unwrap();
        let second = admit(&admissions, Duration::MAX, soon()).unwrap();
        assert_eq!(admit(&admissions, LONG, soon()).unwrap_err(), Stopped::Full);
        drop(second);
        assert!(admit(&admissions, LONG, soon()).unwrap().work().is_first());
    }

    #[test]
    fn work_stops_at_its_deadline_and_when_its_client_leaves_and_holds_its_place_until_then() {
        let admissions = Admissions::new(1, Duration::from_millis(100));
        let late = admit(&admissions, SHORT, Instant::now()).unwrap();
        assert_eq!(late.work().check(), Err(Stopped::Late));
        let admission = admit(&admissions, SHORT, soon()).unwrap();
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
