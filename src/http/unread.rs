//! Answers that clients have not read: how many bytes they hold, and since when none of a connection's was taken.
//!
//! In come an answer's body and what its connection writes; out come the same body, counted, and when to close.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::budget::{Budget, Share};

/// Bytes that the answers of all connections may hold; beyond it, the connection that holds most is closed.
pub const HELD: u64 = 64 << 20;

/// A client takes this much of what waits in each period, or all of it.
pub const LEAST: usize = 16 << 10;

/// The unread answers of all connections.
#[derive(Debug)]
pub struct Unread {
    held: Budget,
    limit: u64,
    connections: Mutex<HashMap<u64, Weak<Connection>>>,
    next: AtomicU64,
}

/// The unread answers of one connection.
#[derive(Debug)]
pub struct Connection {
    number: u64,
    all: Arc<Unread>,
    held: Budget,
    progress: Mutex<Progress>,
    /// Whether it counts among the connections that are limited in number.
    has_place: AtomicBool,
    closing: AtomicBool,
    close: Notify,
}

#[derive(Debug)]
struct Progress {
    /// Requests that are not answered to the end.
    requests: usize,
    /// Bytes of answers that were given to be sent, and are not taken.
    waiting: usize,
    /// Whether the socket takes nothing.
    blocked: bool,
    /// The present period, and the bytes taken in it.
    since: Instant,
    taken: usize,
}

impl Unread {
    /// Nothing, with room for `limit` bytes.
    #[must_use]
    pub fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self {
            held: Budget::default(),
            limit,
            connections: Mutex::default(),
            next: AtomicU64::default(),
        })
    }

    /// The bytes that unread answers hold now.
    #[must_use]
    pub fn held(&self) -> u64 {
        self.held.spent()
    }

    /// How many connections are open.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.lock().len()
    }

    /// A new connection, known until it is dropped.
    pub fn connection(self: &Arc<Self>) -> Arc<Connection> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let connection = Arc::new(Connection {
            number,
            all: Arc::clone(self),
            held: Budget::default(),
            progress: Mutex::new(Progress {
                requests: 0,
                waiting: 0,
                blocked: false,
                since: Instant::now(),
                taken: 0,
            }),
            has_place: AtomicBool::default(),
            closing: AtomicBool::default(),
            close: Notify::new(),
        });
        self.connections
            .lock()
            .insert(number, Arc::downgrade(&connection));
        connection
    }

    /// Closes the connection that was idle or not read for longest, and at least for `least`. False if there is none.
    pub fn give_way(&self, least: Duration) -> bool {
        let unused = |connection: &Arc<Connection>| {
            let may = connection.has_place.load(Ordering::Acquire) && !connection.closing();
            may.then(|| connection.stalled().or(connection.idle())).flatten()
        };
        let longest = self.open().into_iter().max_by_key(unused);
        match longest {
            Some(longest) if unused(&longest) >= Some(least) => {
                longest.close();
                true
            }
            _ => false,
        }
    }

    fn open(&self) -> Vec<Arc<Connection>> {
        let connections = self.connections.lock();
        connections.values().filter_map(Weak::upgrade).collect()
    }

    /// Closes connections until the answers of the others fit.
    fn make_room(&self) {
        while self.held.spent() > self.limit {
            let connections = self.open().into_iter();
            let (closing, open): (Vec<_>, Vec<_>) = connections.partition(|connection| connection.closing());
            let leaving: u64 = closing.iter().map(|connection| connection.held.spent()).sum();
            if self.held.spent().saturating_sub(leaving) <= self.limit {
                return;
            }
            let Some(most) = open.iter().max_by_key(|connection| connection.held.spent()) else {
                return;
            };
            tracing::warn!(
                bytes = most.held.spent(),
                "unread answers hold too much memory; the connection that holds most is closed"
            );
            most.close();
        }
    }
}

impl Connection {
    /// The body with its bytes counted while they are in memory: of a whole body from now on, of a stream as it is made.
    pub fn counted(self: &Arc<Self>, body: Body) -> Body {
        let known = body.size_hint().exact().unwrap_or(0);
        if body.is_end_stream() {
            return body;
        }
        let held = self.spend(known);
        Body::new(Counted {
            body,
            held,
            connection: Arc::clone(self),
        })
    }

    fn spend(&self, bytes: u64) -> Held {
        let spend = |budget: &Budget| budget.spend(bytes, u64::MAX);
        let held = Held {
            own: spend(&self.held),
            all: spend(&self.all.held),
        };
        self.all.make_room();
        held
    }

    /// It counts among the connections that are limited in number.
    pub fn take_place(&self) {
        self.has_place.store(true, Ordering::Release);
    }

    /// Closes the connection, without waiting for anything.
    pub fn close(&self) {
        self.closing.store(true, Ordering::Release);
        self.close.notify_one();
    }

    /// Whether it was told to close.
    #[must_use]
    pub fn closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Resolves once it is told to close.
    pub async fn told_to_close(&self) {
        self.close.notified().await;
    }

    /// A request has come.
    pub fn begin(&self) {
        self.progress.lock().requests += 1;
    }

    /// A request is answered to the end, or given up.
    pub fn end(&self) {
        let mut progress = self.progress.lock();
        progress.requests -= 1;
        if progress.requests == 0 && !progress.waits() {
            progress.begin_period();
        }
    }

    /// Bytes are given to be sent.
    pub fn give(&self, bytes: usize) {
        let mut progress = self.progress.lock();
        if !progress.waits() {
            progress.begin_period();
        }
        progress.waiting += bytes;
    }

    /// Bytes were taken.
    pub fn take(&self, bytes: usize) {
        let mut progress = self.progress.lock();
        progress.waiting -= bytes;
        progress.taken = progress.taken.saturating_add(bytes);
        if progress.taken >= LEAST || !progress.waits() {
            progress.begin_period();
        }
    }

    /// The socket takes no byte, or takes some again.
    pub fn block(&self, blocked: bool) {
        let mut progress = self.progress.lock();
        if blocked != progress.blocked {
            let waited = progress.waits();
            progress.blocked = blocked;
            if waited != progress.waits() {
                progress.begin_period();
            }
        }
    }

    /// For how long the client has left what waits for it; `None` where nothing waits.
    #[must_use]
    pub fn stalled(&self) -> Option<Duration> {
        let progress = self.progress.lock();
        progress.waits().then(|| progress.since.elapsed())
    }

    /// For how long there was no request, and nothing waiting.
    #[must_use]
    pub fn idle(&self) -> Option<Duration> {
        let progress = self.progress.lock();
        let idle = progress.requests == 0 && !progress.waits();
        idle.then(|| progress.since.elapsed())
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.all.connections.lock().remove(&self.number);
    }
}

impl Progress {
    fn waits(&self) -> bool {
        self.blocked || self.waiting > 0
    }

    fn begin_period(&mut self) {
        self.since = Instant::now();
        self.taken = 0;
    }
}

/// Bytes in the count of their connection and of all.
#[derive(Debug)]
struct Held {
    own: Option<Share>,
    all: Option<Share>,
}

impl Held {
    /// Takes a part out, which may be less than asked for.
    fn split(&mut self, bytes: u64) -> Self {
        let split = |share: &mut Option<Share>| share.as_mut().map(|share| share.split(bytes));
        Self {
            own: split(&mut self.own),
            all: split(&mut self.all),
        }
    }

    fn amount(&self) -> u64 {
        self.all.as_ref().map_or(0, Share::amount)
    }
}

/// A piece of an answer, counted until its last reference is dropped.
#[derive(Debug)]
struct Piece {
    bytes: Bytes,
    _held: Held,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// A body whose pieces are counted.
#[derive(Debug)]
struct Counted {
    body: Body,
    /// Of what is still in the body.
    held: Held,
    connection: Arc<Connection>,
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(context)) else {
            return Poll::Ready(None);
        };
        Poll::Ready(Some(frame.map(|frame| {
            frame.map_data(|bytes| {
                let size = bytes.len() as u64;
                let held = if self.held.amount() >= size {
                    self.held.split(size)
                } else {
                    self.connection.spend(size)
                };
                Bytes::from_owner(Piece { bytes, _held: held })
            })
        })))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::{FutureExt, StreamExt};

    fn closing(connections: &[&Arc<Connection>]) -> Vec<bool> {
        connections
            .iter()
            .map(|connection| connection.closing())
            .collect()
    }

    #[test]
    fn an_answer_counts_until_its_last_byte_is_dropped() {
        let unread = Unread::new(1000);
        let connection = unread.connection();
        let mut body = connection.counted(Body::from(vec![7; 300])).into_data_stream();
        assert_eq!((unread.held(), connection.held.spent()), (300, 300));
        let piece = body.next().now_or_never().flatten().unwrap().unwrap();
        drop(body);
        assert_eq!((unread.held(), piece.len()), (300, 300));
        drop(piece);
        assert_eq!((unread.held(), connection.held.spent()), (0, 0));
    }

    #[test]
    fn a_stream_counts_what_was_made_and_not_taken() {
        let unread = Unread::new(1000);
        let connection = unread.connection();
        let pieces = futures_util::stream::iter((0..5).map(|_| Ok::<_, axum::Error>(vec![7; 100])));
        let mut body = connection.counted(Body::from_stream(pieces)).into_data_stream();
        assert_eq!(unread.held(), 0);
        let first = body.next().now_or_never().flatten().unwrap().unwrap();
        let second = body.next().now_or_never().flatten().unwrap().unwrap();
        assert_eq!(unread.held(), 200);
        drop((first, second));
        assert_eq!(unread.held(), 0);
    }

    #[test]
    fn beyond_the_bound_those_that_hold_most_are_closed_and_no_more_than_needed() {
        let unread = Unread::new(1000);
        let [small, large, larger] = [(); 3].map(|()| unread.connection());
        let held = |connection: &Arc<Connection>, size| connection.counted(Body::from(vec![0; size]));
        let _small = held(&small, 100);
        let _large = held(&large, 400);
        let first = held(&larger, 450);
        assert_eq!(closing(&[&small, &large, &larger]), [false; 3]);
        let _more = held(&small, 100);
        assert_eq!(closing(&[&small, &large, &larger]), [false, false, true]);
        let _again = held(&small, 50);
        assert_eq!(closing(&[&small, &large, &larger]), [false, false, true]);
        drop((first, larger));
        let _last = held(&small, 351);
        assert_eq!(closing(&[&small, &large]), [true, false]);
    }

    #[test]
    fn the_connection_that_was_unused_for_longest_gives_way() {
        let unread = Unread::new(1000);
        let [asking, idle, stalled, without] = [(); 4].map(|()| unread.connection());
        for connection in [&asking, &idle, &stalled] {
            connection.take_place();
        }
        asking.begin();
        stalled.give(1);
        std::thread::sleep(Duration::from_millis(20));
        idle.begin();
        idle.end();
        let least = Duration::from_millis(10);
        assert!(unread.give_way(least));
        assert_eq!(closing(&[&asking, &idle, &stalled]), [false, false, true]);
        assert!(
            !unread.give_way(least),
            "the other one is idle for too short a time"
        );
        std::thread::sleep(Duration::from_millis(20));
        assert!(unread.give_way(least));
        assert!(!unread.give_way(Duration::ZERO), "one asks, one has no place");
        assert_eq!(closing(&[&asking, &idle, &without]), [false, true, false]);
    }

    #[test]
    fn a_client_stalls_while_it_takes_too_little_of_what_waits() {
        let connection = Unread::new(1000).connection();
        let stalled = || {
            std::thread::sleep(Duration::from_millis(30));
            connection
                .stalled()
                .is_some_and(|time| time >= Duration::from_millis(30))
        };
        assert!(connection.stalled().is_none());
        connection.give(LEAST * 2);
        assert!(stalled());
        connection.take(1);
        assert!(stalled(), "one byte is not progress");
        connection.take(LEAST);
        assert!(
            connection
                .stalled()
                .is_some_and(|time| time < Duration::from_millis(30))
        );
        connection.take(LEAST - 1);
        assert!(connection.stalled().is_none());
        connection.block(true);
        assert!(stalled());
        connection.block(false);
        assert!(connection.stalled().is_none());
    }
}
