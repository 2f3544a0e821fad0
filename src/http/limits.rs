//! Bounds that keep one client, or all of them together, from taking what the others need: sizes, times, how much at
//! once, how often.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::body::Bytes;
use governor::clock::{Clock, DefaultClock};
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};

use super::problem::{Code, Problem};
use crate::service::ServiceError;
use crate::service::room::{Room, Share};

/// Bounds of requests and connections.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of one body.
    pub body: usize,
    /// Bytes of all bodies that are read or waited with at the same time.
    pub bodies: usize,
    /// Bytes of a request's head.
    pub head: usize,
    /// From a request's head to its answer.
    pub time: Duration,
    /// Open connections.
    pub connections: usize,
    /// Requests a second of one caller; as many may come at once.
    pub rate: Option<NonZeroU32>,
}

/// Room for the bodies of all requests together, in bytes.
#[derive(Debug)]
pub struct Bodies {
    /// Bytes that one body may have.
    pub most: usize,
    all: u64,
    room: Room,
}

/// A body that is being read, with the room it takes.
#[derive(Debug)]
pub struct Reading<'a> {
    bodies: &'a Bodies,
    bytes: Vec<u8>,
    share: Option<Share>,
    state: State,
    length: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Kept,
    TooLarge,
    NoRoom,
}

/// Bytes that give their room back when the last who holds them lets go.
#[derive(Debug)]
struct Held {
    bytes: Vec<u8>,
    _share: Option<Share>,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// A body that is refused is read on up to this many times the limit, so that the client hears the refusal.
const DRAINED: usize = 8;

impl Bodies {
    /// Room as `limits` has it.
    pub fn new(limits: &Limits) -> Self {
        Self {
            most: limits.body,
            all: limits.bodies as u64,
            room: Room::default(),
        }
    }

    /// Begins to read a body.
    pub fn read(&self) -> Reading<'_> {
        Reading {
            bodies: self,
            bytes: Vec::new(),
            share: self.room.take(0, u64::MAX),
            state: State::Kept,
            length: 0,
        }
    }
}

impl Reading<'_> {
    /// Takes a piece; false where reading on would tell the client nothing more.
    pub fn take(&mut self, piece: &[u8]) -> bool {
        self.length = self.length.saturating_add(piece.len());
        if self.length > self.bodies.most {
            self.refuse(State::TooLarge);
            return self.length <= self.bodies.most.saturating_mul(DRAINED);
        }
        if self.state != State::Kept {
            return true;
        }
        let size = piece.len() as u64;
        let grown = |share: &mut Share| share.grow(size, self.bodies.all);
        if self.share.as_mut().is_some_and(grown) {
            self.bytes.extend_from_slice(piece);
        } else {
            self.refuse(State::NoRoom);
        }
        true
    }

    fn refuse(&mut self, state: State) {
        self.state = state;
        self.bytes = Vec::new();
        self.share = None;
    }

    /// The whole body, or why it is not kept.
    pub fn whole(self) -> Result<Bytes, Problem> {
        match self.state {
            State::Kept => Ok(Bytes::from_owner(Held {
                bytes: self.bytes,
                _share: self.share,
            })),
            State::TooLarge => Err(Problem::new(
                Code::TooLarge,
                format!("the body is larger than {} bytes", self.bodies.most),
            )),
            State::NoRoom => Err(Problem::from(ServiceError::Overloaded)),
        }
    }
}

/// Whose requests are counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Caller {
    /// All keys of one name.
    Key(Arc<str>),
    /// Where no keys are asked for: an address, or a network that one client may have for itself (IPv6).
    Address(IpAddr),
}

impl Caller {
    /// The caller at an address; of an IPv6 address, the upper 64 bits.
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

/// How often each caller may ask.
#[derive(Debug)]
pub struct Rates {
    rate: NonZeroU32,
    limiter: RateLimiter<Caller, HashMapStateStore<Caller>, DefaultClock>,
    clock: DefaultClock,
    checks: AtomicU32,
}

impl Rates {
    /// After so many requests, callers that have not asked for long are forgotten.
    const TIDY: u32 = 4096;

    /// `rate` requests a second for each caller, and as many at once.
    pub fn new(rate: NonZeroU32) -> Self {
        Self {
            rate,
            limiter: RateLimiter::hashmap(Quota::per_second(rate)),
            clock: DefaultClock::default(),
            checks: AtomicU32::new(0),
        }
    }

    /// Counts a request, or says when the next may come.
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
                    format!("{whose} may ask {} times a second", self.rate),
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
            connections: 0,
            rate: None,
        })
    }

    #[test]
    fn bodies_share_their_room_and_give_it_back() {
        let bodies = bodies(100, 80);
        let read = |piece: &[u8]| {
            let mut reading = bodies.read();
            assert!(reading.take(piece));
            reading.whole()
        };
        let first = read(&[1; 90]).unwrap();
        let again = first.clone();
        let refused = read(&[2; 90]).unwrap_err();
        assert_eq!(refused.code, Code::Overloaded);
        drop(first);
        assert!(read(&[2; 90]).is_err(), "the copy still holds it");
        drop(again);
        assert_eq!(read(&[2; 90]).unwrap(), vec![2; 90]);
        assert_eq!(bodies.room.taken(), 0);
    }

    #[test]
    fn a_body_beyond_its_limit_takes_no_room_and_is_not_read_for_ever() {
        let bodies = bodies(100, 150);
        let mut reading = bodies.read();
        assert!(reading.take(&[0; 60]));
        assert_eq!(bodies.room.taken(), 60);
        assert!(reading.take(&[0; 60]));
        assert_eq!(bodies.room.taken(), 0);
        assert!(!(0..10).all(|_| reading.take(&[0; 100])));
        assert_eq!(reading.whole().unwrap_err().code, Code::TooLarge);
    }

    #[test]
    fn callers_have_their_rates_each_for_itself() {
        let rates = Rates::new(NonZeroU32::new(3).unwrap());
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
