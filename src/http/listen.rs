//! Connections: taken, bounded in number and in the time they may be silent, drained at the end.

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

/// Who sent a request.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// Marks a request on a connection beyond the bound: it is told so and nothing else is done for it.
#[derive(Debug, Clone, Copy)]
pub struct Crowded;

/// A head must be whole this long after it began, and a connection that waits for its next request is closed then.
const SILENCE: Duration = Duration::from_secs(60);

/// Connections beyond the bound that are answered with a refusal; what comes beyond these is closed at once.
const REFUSED: usize = 256;

/// Requests that one HTTP/2 connection may have open.
const STREAMS: u32 = 128;

/// Takes connections until `stop` resolves; then waits until those open have had their answers.
pub async fn serve(listener: TcpListener, router: Router, limits: &Limits, stop: impl Future<Output = ()>) {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(SILENCE)
        .max_buf_size(limits.head);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(SILENCE)
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
                    // Of the kind of too many open files: it passes, and trying at once would only burn the CPU.
                    tracing::warn!(%error, "a connection could not be taken");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
        };
        let (place, crowded) = match Arc::clone(&places).try_acquire_owned() {
            Ok(place) => (place, false),
            Err(_) => match Arc::clone(&refused).try_acquire_owned() {
                Ok(place) => (place, true),
                Err(_) => continue,
            },
        };
        let connection = Connection {
            peer,
            crowded,
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
    crowded: bool,
    router: Router,
    watcher: Watcher,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    async fn serve(self, builder: Arc<auto::Builder<TokioExecutor>>, stream: TcpStream) {
        // Answers are written whole; a socket that cannot do without the delay still works.
        let _ = stream.set_nodelay(true);
        let began = Arc::new(AtomicBool::new(false));
        let (peer, crowded, router) = (self.peer, self.crowded, self.router);
        let begin = Arc::clone(&began);
        let service = service_fn(move |mut request: Request<Incoming>| {
            begin.store(true, Ordering::Relaxed);
            request.extensions_mut().insert(Peer(peer));
            if crowded {
                request.extensions_mut().insert(Crowded);
            }
            router.clone().call(request)
        });
        let connection = builder
            .serve_connection(TokioIo::new(stream), service)
            .into_owned();
        let mut connection = std::pin::pin!(self.watcher.watch(connection));
        let ended = tokio::select! {
            ended = &mut connection => ended,
            // The builder's own time begins only once it knows which HTTP is spoken.
            () = tokio::time::sleep(SILENCE) => {
                if !began.load(Ordering::Relaxed) {
                    return;
                }
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%peer, error, "a connection broke");
        }
    }
}
