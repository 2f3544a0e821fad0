//! Limits that keep one client, or all of them together, from using up the server: sizes, times, bytes in memory, rates.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::available_parallelism;
use std::time::Duration;

use axum::body::Bytes;
use governor::clock::{Clock, DefaultClock};
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::problem::{Code, Problem};
use crate::budget::{Budget, Share};

/// Limits of requests and connections.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of one body.
    pub body: usize,
    /// Bytes of all bodies in memory at the same time.
    pub bodies: usize,
    /// Bytes of a request's head.
    pub head: usize,
    /// From a request's head to its answer.
    pub time: Duration,
    /// Within which a client takes some of an answer that waits for it.
    pub unread: Duration,
    /// Open connections.
    pub connections: usize,
    /// Requests a second of one caller, who may send as many at once.
    pub rate: Option<NonZeroU32>,
}

/// The budget, in bytes, that the bodies of all requests share.
#[derive(Debug)]
pub struct Bodies {
    /// Bytes that one body may have.
    most: usize,
    /// Bytes that all bodies may have together.
    all: u64,
    budget: Budget,
    /// Places for reading a large body: what that takes beside the body is not counted.
    reading: Arc<Semaphore>,
    /// Places for bodies of any length.
    streams: Arc<Semaphore>,
    /// Places for answers of any length.
    exports: Arc<Semaphore>,
}

/// A body of any length that is being received, and what is held of it at the moment.
#[derive(Debug)]
pub struct Stream<'a> {
    bodies: &'a Bodies,
    held: Share,
    _place: OwnedSemaphorePermit,
}

impl Stream<'_> {
    /// Counts so many bytes, and no longer those that were counted before.
    ///
    /// # Errors
    /// Where they are more than before and the bodies' budget is used up.
    pub fn hold(&mut self, bytes: usize) -> Result<(), Problem> {
        let (before, now) = (self.held.amount(), bytes as u64);
        self.held.shrink(before.saturating_sub(now));
        match now <= before || self.held.grow(now - before, self.bodies.all) {
            true => Ok(()),
            false => Err(Problem::overloaded()),
        }
    }
}

/// A body that is being read, with its share of the budget.
#[derive(Debug)]
pub struct BodyBuffer<'a> {
    bodies: &'a Bodies,
    /// Bytes that this body may have.
    most: usize,
    bytes: Vec<u8>,
    share: Option<Share>,
    /// The share of what decodes the body, if it is compressed.
    decoder: Option<Share>,
    state: State,
    length: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Kept,
    TooLarge,
    OverBudget,
}

/// A body, or a part of one. Its share of the budget is returned when the last of its parts, and of what was made from
/// them, is dropped.
#[derive(Debug, Clone)]
pub struct Counted {
    bytes: Bytes,
    share: Arc<Option<Share>>,
}

impl Counted {
    /// A part of these bytes.
    #[must_use]
    pub fn part(&self, part: &[u8]) -> Self {
        Self {
            bytes: self.bytes.slice_ref(part),
            share: Arc::clone(&self.share),
        }
    }

    /// What was made from these bytes and takes no more than they do: it takes their place in the budget.
    #[must_use]
    pub fn made(&self, bytes: Bytes) -> Self {
        Self {
            bytes,
            share: Arc::clone(&self.share),
        }
    }
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl From<Counted> for Bytes {
    fn from(counted: Counted) -> Self {
        Self::from_owner(counted)
    }
}

/// A body over the limit is read and discarded up to this many times the limit: most clients read the refusal only after
/// they have sent all of it.
pub const DRAINED: usize = 8;

/// Bodies of any length that are received at a time.
pub const STREAMS: usize = 16;

/// Exports that are sent at a time.
pub const EXPORTS: usize = 8;

/// A body beyond this many bytes is not read on a thread that other requests wait for.
pub const LARGE: usize = 256 << 10;

impl Bodies {
    /// The budget that `limits` names.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        Self {
            most: limits.body,
            all: limits.bodies as u64,
            budget: Budget::default(),
            reading: Arc::new(Semaphore::new(available_parallelism().map_or(1, usize::from))),
            streams: Arc::new(Semaphore::new(STREAMS)),
            exports: Arc::new(Semaphore::new(EXPORTS)),
        }
    }

    /// A place for a body of any length.
    ///
    /// # Errors
    /// Where [`STREAMS`] such bodies are being received.
    pub fn stream(&self) -> Result<Stream<'_>, Problem> {
        let place = Arc::clone(&self.streams).try_acquire_owned();
        let place = place.map_err(|_| Problem {
            detail: format!("{STREAMS} imports are being received; send this one when one of them has ended"),
            ..Problem::overloaded()
        })?;
        Ok(Stream {
            bodies: self,
            held: self.budget.share(),
            _place: place,
        })
    }

    /// A place for an answer of any length, which holds about as much memory as a body.
    ///
    /// # Errors
    /// Where [`EXPORTS`] of them are being sent.
    pub fn export(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let place = Arc::clone(&self.exports).try_acquire_owned();
        place.map_err(|_| Problem {
            detail: format!("{EXPORTS} exports are being sent; ask again when one of them has ended"),
            ..Problem::overloaded()
        })
    }

    /// The bytes that bodies take now.
    #[cfg(test)]
    pub fn spent(&self) -> u64 {
        self.budget.spent()
    }

    /// An empty buffer for one body of at most `most` bytes, where the limit of all bodies is not lower.
    #[must_use]
    pub fn buffer(&self, most: usize) -> BodyBuffer<'_> {
        BodyBuffer {
            bodies: self,
            most: most.min(self.most),
            bytes: Vec::new(),
            share: self.budget.spend(0, u64::MAX),
            decoder: None,
            state: State::Kept,
            length: 0,
        }
    }

    /// An empty buffer for a body that is decoded as it comes. A decoder keeps at most as much as it has decoded: that
    /// is counted until the body is whole.
    #[must_use]
    pub fn decoded_buffer(&self, most: usize) -> BodyBuffer<'_> {
        BodyBuffer {
            decoder: self.budget.spend(0, u64::MAX),
            ..self.buffer(most)
        }
    }

    /// Reads a body of so many bytes: a large one on another thread, as many at a time as there are CPUs.
    ///
    /// # Errors
    /// Those of `read`.
    pub async fn read<T: Send + 'static>(
        &self,
        bytes: usize,
        read: impl FnOnce() -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        if bytes <= LARGE {
            return read();
        }
        let place = Arc::clone(&self.reading).acquire_owned().await;
        let place = place.expect("the semaphore is never closed");
        let read = tokio::task::spawn_blocking(move || {
            let result = read();
            drop(place);
            result
        });
        match read.await {
            Ok(result) => result,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
}

impl BodyBuffer<'_> {
    /// Appends a piece, or discards it once the body is refused. Returns `false` when the rest should not be read.
    pub fn add(&mut self, piece: &[u8]) -> bool {
        self.length = self.length.saturating_add(piece.len());
        if self.length > self.most {
            self.refuse(State::TooLarge);
            return self.length <= self.bodies.most.saturating_mul(DRAINED);
        }
        if self.state != State::Kept {
            return true;
        }
        let size = piece.len() as u64;
        // A body's decoder counts for all other bodies: alone, any body fits.
        let own = self.decoder.as_ref().map_or(0, Share::amount);
        let limit = self.bodies.all.saturating_add(own);
        if self.share.as_mut().is_some_and(|share| share.grow(size, limit)) {
            let counted = self
                .decoder
                .as_mut()
                .is_none_or(|share| share.grow(size, u64::MAX));
            debug_assert!(counted, "nothing is refused without a limit");
            self.bytes.extend_from_slice(piece);
        } else {
            self.refuse(State::OverBudget);
        }
        true
    }

    fn refuse(&mut self, state: State) {
        self.state = state;
        self.bytes = Vec::new();
        self.share = None;
        self.decoder = None;
    }

    /// Whether the body is refused, so that further pieces are only discarded.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.state != State::Kept
    }

    /// The whole body.
    ///
    /// # Errors
    /// Refuses a body that was too large, or that came while the budget was used up.
    pub fn finish(self) -> Result<Counted, Problem> {
        match self.state {
            State::Kept => Ok(Counted {
                bytes: self.bytes.into(),
                share: Arc::new(self.share),
            }),
            State::TooLarge => Err(Problem::new(
                Code::TooLarge,
                format!("the body is larger than {} bytes", self.most),
            )),
            State::OverBudget => Err(Problem::overloaded()),
        }
    }
}

/// Whose requests share one rate.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Caller {
    /// All keys of one name.
    Key(Arc<str>),
    /// Where requests need no keys: an address, or the network that one client may have for itself (IPv6).
    Address(IpAddr),
}

impl Caller {
    /// The caller at an address; the upper 64 bits of an IPv6 address.
    #[must_use]
    pub fn at(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(address) => {
                let network = address.to_bits() >> 64 << 64;
                Self::Address(IpAddr::V6(network.into()))
            }
            address => Self::Address(address),
        }
    }
}

/// How many requests a second each caller may send.
#[derive(Debug)]
pub struct CallerRates {
    rate: NonZeroU32,
    limiter: RateLimiter<Caller, HashMapStateStore<Caller>, DefaultClock>,
    clock: DefaultClock,
    checks: AtomicU32,
}

impl CallerRates {
    /// After this many requests, the state of idle callers is removed.
    const TIDY: u32 = 4096;

    /// `rate` requests a second for each caller, and as many at once.
    #[must_use]
    pub fn new(rate: NonZeroU32) -> Self {
        Self {
            rate,
            limiter: RateLimiter::hashmap(Quota::per_second(rate)),
            clock: DefaultClock::default(),
            checks: AtomicU32::new(0),
        }
    }

    /// Counts a request.
    ///
    /// # Errors
    /// Refuses requests beyond the rate, with the seconds until the next is admitted.
    pub fn admit(&self, caller: &Caller) -> Result<(), Problem> {
        if self.checks.fetch_add(1, Ordering::Relaxed) % Self::TIDY == Self::TIDY - 1 {
            self.limiter.retain_recent();
            self.limiter.shrink_to_fit();
        }
        self.limiter.check_key(caller).map_err(|until| {
            let wait = until.wait_time_from(self.clock.now());
            let whose = match caller {
                Caller::Key(name) => format!("key {name:?}"),
                Caller::Address(_) => "your address".to_owned(),
            };
            Problem {
                retry_after_s: Some(
                    u32::try_from(wait.as_millis().div_ceil(1000))
                        .unwrap_or(u32::MAX)
                        .max(1),
                ),
                ..Problem::new(
                    Code::RateLimited,
                    format!("{whose} may send {} requests a second", self.rate),
                )
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bodies(body: usize, bodies: usize) -> Bodies {
        Bodies::new(&Limits {
            body,
            bodies,
            head: 0,
            time: Duration::ZERO,
            unread: Duration::ZERO,
            connections: 0,
            rate: None,
        })
    }

    #[test]
    fn bodies_share_a_budget_and_return_their_shares() {
        let bodies = bodies(100, 80);
        let read = |piece: &[u8]| {
            let mut buffer = bodies.buffer(usize::MAX);
            assert!(buffer.add(piece));
            buffer.finish()
        };
        let first = read(&[1; 90]).unwrap();
        let again = first.clone();
        let refused = read(&[2; 90]).unwrap_err();
        assert_eq!(refused.code, Code::Overloaded);
        drop(first);
        assert!(read(&[2; 90]).is_err(), "the copy still holds its share");
        drop(again);
        assert_eq!(read(&[2; 90]).unwrap().as_ref(), [2; 90]);
        assert_eq!(bodies.budget.spent(), 0);
    }

    #[test]
    fn a_body_that_is_decoded_counts_twice_until_it_is_whole_and_fits_alone() {
        let bodies = bodies(100, 100);
        let mut buffer = bodies.decoded_buffer(usize::MAX);
        assert!((0..9).all(|_| buffer.add(&[1; 10])));
        assert_eq!((bodies.spent(), buffer.is_refused()), (180, false));
        let mut other = bodies.buffer(usize::MAX);
        assert!(other.add(&[2; 10]) && other.is_refused());
        let whole = buffer.finish().unwrap();
        assert_eq!((whole.as_ref().len(), bodies.spent()), (90, 90));
        let mut other = bodies.decoded_buffer(usize::MAX);
        assert!(other.add(&[2; 10]) && !other.is_refused());
        assert!(other.add(&[2; 10]) && other.is_refused());
        drop(other);
        assert_eq!(bodies.spent(), 90);
    }

    #[test]
    fn streams_have_places_and_count_what_they_hold() {
        let bodies = bodies(100, 100);
        let mut streams: Vec<Stream<'_>> = (0..STREAMS).map(|_| bodies.stream().unwrap()).collect();
        let refused = bodies.stream().unwrap_err();
        assert_eq!((refused.code, refused.retry_after_s), (Code::Overloaded, Some(1)));
        assert!(
            refused.detail.starts_with("16 imports are being received"),
            "{}",
            refused.detail
        );
        streams[0].hold(60).unwrap();
        streams[1].hold(60).unwrap();
        assert_eq!(streams[2].hold(1).unwrap_err().code, Code::Overloaded);
        streams[0].hold(30).unwrap();
        streams[2].hold(1).unwrap();
        assert_eq!(bodies.spent(), 91);
        streams.truncate(1);
        assert_eq!(bodies.spent(), 30);
        bodies.stream().unwrap();
    }

    #[test]
    fn a_body_over_its_limit_holds_no_memory_and_is_not_read_for_ever() {
        let bodies = bodies(100, 150);
        let mut buffer = bodies.buffer(usize::MAX);
        assert!(buffer.add(&[0; 60]));
        assert_eq!(bodies.budget.spent(), 60);
        assert!(buffer.add(&[0; 60]));
        assert_eq!(bodies.budget.spent(), 0);
        assert!(!(0..10).all(|_| buffer.add(&[0; 100])));
        assert_eq!(buffer.finish().unwrap_err().code, Code::TooLarge);
    }

    #[test]
    fn each_caller_has_its_own_rate() {
        let rates = CallerRates::new(NonZeroU32::new(3).unwrap());
        let (one, other) = (Caller::Key("one".into()), Caller::at("10.0.0.1".parse().unwrap()));
        for _ in 0..3 {
            rates.admit(&one).unwrap();
        }
        let refused = rates.admit(&one).unwrap_err();
        assert_eq!(refused.code, Code::RateLimited);
        assert_eq!(refused.retry_after_s, Some(1));
        rates.admit(&other).unwrap();
    }

    #[test]
    fn one_client_s_addresses_are_one_caller() {
        let at = |address: &str| Caller::at(address.parse().unwrap());
        assert_eq!(at("2001:db8::1"), at("2001:db8::ffff:1"));
        assert_ne!(at("2001:db8::1"), at("2001:db8:0:1::1"));
        assert_eq!(at("::ffff:10.0.0.1"), at("10.0.0.1"));
        assert_ne!(at("10.0.0.1"), at("10.0.0.2"));
    }
}
