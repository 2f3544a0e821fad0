//! Connections: accepted, limited in number, closed when idle or not read, and drained at shutdown.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::{Request, Response, Version};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tower_service::Service;

use super::limits::Limits;
use super::socket::{self, Answer, PIECE, Socket};
use super::unread::{Connection, Unread};

/// The address that a request came from.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// Marks a request on a connection over the limit: only its state is told, and nothing else is done for it.
#[derive(Debug, Clone, Copy)]
pub struct OverConnectionLimit;

/// A request's head must be complete this long after its first byte, and an idle connection is closed after it.
pub const IDLE: Duration = Duration::from_secs(60);

/// At the limit of connections, one that was idle or not read for so long gives way to a new one, the longest first.
const GIVE_WAY: Duration = Duration::from_secs(1);

/// How long a new connection waits for one that gives way.
const GIVE_WAY_TIME: Duration = Duration::from_millis(500);

/// Connections over the limit that are open at a time: a further one closes the oldest of them, so that whoever keeps all of
/// them keeps no one out.
pub const OVER_LIMIT: usize = 256;

/// How long a connection over the limit may stay open.
pub const OVER_LIMIT_TIME: Duration = Duration::from_secs(5);

/// How long an idle HTTP/2 connection that is told to leave may take.
const LEAVE: Duration = Duration::from_secs(5);

/// Concurrent requests of one HTTP/2 connection.
pub const STREAMS: u32 = 128;

/// Accepts connections until `stop` resolves; then waits until the requests on them are answered.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: &Limits,
    unread: &Arc<Unread>,
    stop: impl Future<Output = ()>,
) {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .max_buf_size(limits.head);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(IDLE)
        .max_concurrent_streams(STREAMS)
        .max_send_buf_size(PIECE)
        .max_header_list_size(u32::try_from(limits.head).unwrap_or(u32::MAX));
    let builder = Arc::new(builder);
    let places = Arc::new(Places {
        free: Arc::new(Semaphore::new(limits.connections)),
        over_limit: Mutex::default(),
    });
    // Closed by the last connection that drops its receiver.
    let (stopping, stopped) = watch::channel(());
    let mut stop = std::pin::pin!(stop);
    loop {
        let (stream, peer) = tokio::select! {
            () = &mut stop => break,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // For example too many open files: waiting gives others time to close.
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
        };
        let served = Served {
            peer,
            router: router.clone(),
            unread: unread.connection(),
            unread_time: limits.unread,
            stopped: stopped.clone(),
        };
        let (builder, places, unread) = (Arc::clone(&builder), Arc::clone(&places), Arc::clone(unread));
        tokio::spawn(async move {
            let place = places.take(&unread, &served.unread).await;
            served.serve(place, &builder, stream).await;
        });
    }
    drop((listener, stopped));
    stopping.send_replace(());
    stopping.closed().await;
}

/// The places of connections.
#[derive(Debug)]
struct Places {
    free: Arc<Semaphore>,
    /// Connections without a place, the oldest first; some may be closed already.
    over_limit: Mutex<VecDeque<Weak<Connection>>>,
}

impl Places {
    /// A place for a connection, or none over the limit.
    async fn take(&self, all: &Unread, connection: &Arc<Connection>) -> Option<OwnedSemaphorePermit> {
        let free = || Arc::clone(&self.free);
        let mut place = free().try_acquire_owned().ok();
        if place.is_none() && all.give_way(GIVE_WAY) {
            let given = tokio::time::timeout(GIVE_WAY_TIME, free().acquire_owned()).await;
            place = given.ok().and_then(Result::ok);
        }
        if place.is_some() {
            connection.take_place();
        } else {
            let mut over_limit = self.over_limit.lock();
            over_limit.push_back(Arc::downgrade(connection));
            if over_limit.len() > OVER_LIMIT
                && let Some(oldest) = over_limit.pop_front().and_then(|oldest| oldest.upgrade())
            {
                oldest.close();
            }
        }
        place
    }
}

/// A connection and what it needs.
struct Served {
    peer: SocketAddr,
    router: Router,
    unread: Arc<Connection>,
    unread_time: Duration,
    stopped: watch::Receiver<()>,
}

/// What the requests of a connection told.
#[derive(Debug, Default)]
struct Told {
    began: AtomicBool,
    is_http2: AtomicBool,
}

impl Served {
    /// Serves the connection; without a `place` it is over the limit.
    async fn serve(
        self,
        place: Option<OwnedSemaphorePermit>,
        builder: &auto::Builder<TokioExecutor>,
        stream: TcpStream,
    ) {
        let over_limit = place.is_none();
        // Answers are written in one piece; without this option they are only slower.
        let _ = stream.set_nodelay(true);
        let told = Arc::new(Told::default());
        let service = {
            let (peer, router, unread) = (self.peer, self.router.clone(), Arc::clone(&self.unread));
            let told = Arc::clone(&told);
            service_fn(move |mut request: Request<Incoming>| {
                told.began.store(true, Ordering::Relaxed);
                if request.version() == Version::HTTP_2 {
                    told.is_http2.store(true, Ordering::Relaxed);
                }
                let extensions = request.extensions_mut();
                extensions.insert(Peer(peer));
                extensions.insert(Arc::clone(&unread));
                if over_limit {
                    extensions.insert(OverConnectionLimit);
                }
                let begun = socket::Request::begin(&unread);
                let answered = router.clone().call(request);
                async {
                    let answer: Response<_> = answered.await?;
                    Ok::<_, Infallible>(answer.map(|body| Answer::new(body, begun)))
                }
            })
        };
        let socket = Socket {
            stream,
            connection: Arc::clone(&self.unread),
        };
        let connection = builder
            .serve_connection(TokioIo::new(socket), service)
            .into_owned();
        let mut connection = std::pin::pin!(connection);
        let started = Instant::now();
        let mut leaving = false;
        let mut stopped = self.stopped.clone();
        let ended = loop {
            tokio::select! {
                ended = connection.as_mut() => break ended,
                Ok(()) = stopped.changed() => connection.as_mut().graceful_shutdown(),
                verdict = self.watch(&told, started, over_limit, leaving) => match verdict {
                    Verdict::Leave => {
                        leaving = true;
                        connection.as_mut().graceful_shutdown();
                    }
                    Verdict::Close(reason) => {
                        tracing::debug!(peer = %self.peer, reason, "a connection is closed");
                        return;
                    }
                },
            }
        };
        if let Err(error) = ended {
            tracing::debug!(peer = %self.peer, error, "a connection failed");
        }
    }

    /// Resolves once the connection is to end.
    async fn watch(&self, told: &Told, started: Instant, over_limit: bool, leaving: bool) -> Verdict {
        loop {
            let mut wait = self.unread_time / 4;
            if over_limit {
                let left = OVER_LIMIT_TIME.saturating_sub(started.elapsed());
                if left.is_zero() {
                    return Verdict::Close("it is over the limit of connections, and had its time");
                }
                wait = wait.min(left);
            }
            // The builder's own time limits apply only once the version of HTTP is known.
            if !told.began.load(Ordering::Relaxed) && started.elapsed() >= IDLE {
                return Verdict::Close("no request came");
            }
            if let Some(stalled) = self.unread.stalled() {
                let left = self.unread_time.saturating_sub(stalled);
                if left.is_zero() {
                    self.unread.close();
                    return Verdict::Close("its client does not read");
                }
                wait = wait.min(left);
            }
            // An idle HTTP/1.1 connection is closed by the builder's time limit. One of HTTP/2 that answers pings is not.
            if told.is_http2.load(Ordering::Relaxed)
                && let Some(idle) = self.unread.idle()
            {
                if idle >= IDLE + LEAVE {
                    return Verdict::Close("it is idle, and did not leave");
                }
                if idle >= IDLE && !leaving {
                    return Verdict::Leave;
                }
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.unread.told_to_close() => {
                    return Verdict::Close("it makes room for others");
                }
            }
        }
    }
}

/// How a connection is to end.
#[derive(Debug)]
enum Verdict {
    /// As soon as its requests are answered.
    Leave,
    /// At once, for this reason.
    Close(&'static str),
}
