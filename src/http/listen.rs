//! Connections: accepted, limited in number and in idle time, and drained at shutdown.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower_service::Service;

use super::limits::Limits;

/// The address that a request came from.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// Marks a request on a connection over the limit: it is refused, and nothing else is done for it.
#[derive(Debug, Clone, Copy)]
pub struct OverConnectionLimit;

/// A request's head must be complete this long after its first byte, and an idle connection is closed after it.
const IDLE: Duration = Duration::from_secs(60);

/// Connections over the limit that are answered with a refusal; any more are closed at once.
const REFUSED: usize = 256;

/// Concurrent requests of one HTTP/2 connection.
const STREAMS: u32 = 128;

/// Accepts connections until `stop` resolves; then waits until the requests on them are answered.
pub async fn serve(listener: TcpListener, router: Router, limits: &Limits, stop: impl Future<Output = ()>) {
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
        .max_header_list_size(u32::try_from(limits.head).unwrap_or(u32::MAX));
    let builder = Arc::new(builder);
    let places = Arc::new(Semaphore::new(limits.connections));
    let refused = Arc::new(Semaphore::new(REFUSED));
    let graceful = GracefulShutdown::new();
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
        let (place, over_limit) = match Arc::clone(&places).try_acquire_owned() {
            Ok(place) => (place, false),
            Err(_) => match Arc::clone(&refused).try_acquire_owned() {
                Ok(place) => (place, true),
                Err(_) => continue,
            },
        };
        let connection = Connection {
            peer,
            over_limit,
            router: router.clone(),
            watcher: graceful.watcher(),
            _place: place,
        };
        tokio::spawn(connection.serve(Arc::clone(&builder), stream));
    }
    drop(listener);
    graceful.shutdown().await;
}

struct Connection {
    peer: SocketAddr,
    over_limit: bool,
    router: Router,
    watcher: Watcher,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    async fn serve(self, builder: Arc<auto::Builder<TokioExecutor>>, stream: TcpStream) {
        // Answers are written in one piece; without this option they are only slower.
        let _ = stream.set_nodelay(true);
        let began = Arc::new(AtomicBool::new(false));
        let (peer, over_limit, router) = (self.peer, self.over_limit, self.router);
        let begin = Arc::clone(&began);
        let service = service_fn(move |mut request: Request<Incoming>| {
            begin.store(true, Ordering::Relaxed);
            request.extensions_mut().insert(Peer(peer));
            if over_limit {
                request.extensions_mut().insert(OverConnectionLimit);
            }
            router.clone().call(request)
        });
        let connection = builder
            .serve_connection(TokioIo::new(stream), service)
            .into_owned();
        let mut connection = std::pin::pin!(self.watcher.watch(connection));
        let ended = tokio::select! {
            ended = &mut connection => ended,
            // The builder's own timeouts apply only once the version of HTTP is known.
            () = tokio::time::sleep(IDLE) => {
                if !began.load(Ordering::Relaxed) {
                    return;
                }
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%peer, error, "a connection failed");
        }
    }
}
