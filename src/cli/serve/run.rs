//! Running a server: listen, load the catalogue, answer until a signal arrives, drain, stop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::sync::oneshot;

use crate::catalogue::CatalogueError;
use crate::cli::progress;
use crate::cli::store::Place;
use crate::http::keys::Keys;
use crate::http::{App, listen, router};
use crate::service::{Service, ServiceError};

/// How long after an attempt to reach the database the next one is made, and how often it is said that there are none but
/// failed ones.
const AGAIN: Duration = Duration::from_millis(500);
const SAY: Duration = Duration::from_secs(5);
/// How long open requests may continue after a signal.
const DRAIN: Duration = Duration::from_secs(9);
/// How long reading the keys again may take.
const KEYS: Duration = Duration::from_secs(10);
/// The minimum time for saving the index.
const KEEP: Duration = Duration::from_millis(500);

/// Starts what needs the database, again and again for as long as it cannot be reached; none if a signal arrives first.
///
/// # Errors
/// Of the start, if it is another one.
pub async fn when_reached<T>(place: &Place, start: impl AsyncFn() -> Result<T>) -> Result<Option<T>> {
    let mut signalled = std::pin::pin!(signalled());
    let mut said: Option<Instant> = None;
    loop {
        let started = tokio::select! {
            signal = &mut signalled => return signal.map(|()| None),
            started = start() => started,
        };
        let error = match started {
            Err(error) if is_unreachable(&error) => error,
            started => return started.map(Some),
        };
        if said.is_none_or(|said| said.elapsed() >= SAY) {
            tracing::error!(store = %place, error = format!("{error:#}"), "waiting for the database");
            said = Some(Instant::now());
        }
        tokio::select! {
            signal = &mut signalled => return signal.map(|()| None),
            () = tokio::time::sleep(AGAIN) => {}
        }
    }
}

/// Whether the same may succeed as soon as the database can be reached.
fn is_unreachable(error: &anyhow::Error) -> bool {
    let of_service = error.downcast_ref().map(ServiceError::is_unreachable);
    let of_catalogue = error.downcast_ref().map(CatalogueError::is_unreachable);
    of_service.or(of_catalogue).unwrap_or(false)
}

/// Serves until a signal arrives.
///
/// # Errors
/// If the address cannot be used or the catalogue cannot be loaded.
pub async fn listen(listen: SocketAddr, app: Arc<App>) -> Result<()> {
    let listener = tokio::net::TcpListener::bind(listen).await.with_context(|| {
        format!("cannot listen on {listen}; if another server uses it, choose another address with --listen")
    })?;
    let address = listener.local_addr()?;
    tracing::info!(%address, "listening");
    if let Some(keys) = &app.keys {
        tokio::spawn(reload_at_hangup(Arc::clone(keys))?);
    }
    let service = Arc::clone(&app.service);
    let (stop, stopped) = oneshot::channel::<()>();
    let (limits, unread) = (app.limits, Arc::clone(&app.unread));
    let server = tokio::spawn(async move {
        let stopped = async {
            // A dropped sender also means stop.
            let _ = stopped.await;
        };
        listen::serve(listener, router(app), &limits, &unread, stopped).await;
    });
    let loading = tokio::spawn(load(Arc::clone(&service)));
    let mut loading = std::pin::pin!(async {
        loading
            .await
            .context("loading the catalogue panicked; see the log")??;
        tracing::info!(%address, pictures = service.pictures(), "ready");
        std::future::pending::<Result<()>>().await
    });
    tokio::select! {
        signal = signalled() => signal?,
        result = &mut loading => return result,
    }
    tracing::info!("draining");
    let started = Instant::now();
    service.drain();
    drop(stop);
    match tokio::time::timeout(DRAIN, server).await {
        Ok(ended) => ended?,
        Err(_) => tracing::warn!("some requests did not finish in time"),
    }
    // An index that is not saved in time is rebuilt at the next start.
    let left = (started + DRAIN).saturating_duration_since(Instant::now());
    if tokio::time::timeout(left.max(KEEP), service.close())
        .await
        .is_err()
    {
        tracing::warn!("the index was not saved in time");
    }
    tracing::info!("stopped");
    Ok(())
}

/// Loads the catalogue and shows a progress bar.
async fn load(service: Arc<Service>) -> Result<()> {
    let shown = progress::shown(Arc::clone(&service.progress));
    let loaded = service.load().await.context("cannot load the catalogue");
    drop(shown);
    loaded
}

/// Reloads the keys at each SIGHUP.
fn reload_at_hangup(keys: Arc<Keys>) -> Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(async move {
        while hangup.recv().await.is_some() {
            match tokio::time::timeout(KEYS, reread(Arc::clone(&keys))).await {
                Ok(Ok(count)) => tracing::info!(count, "the keys were reloaded"),
                Ok(Err(error)) => {
                    tracing::error!(error, "the keys could not be reloaded and are unchanged");
                }
                Err(_) => tracing::error!(
                    seconds = KEYS.as_secs(),
                    "the file of keys was not read in time; the keys are unchanged"
                ),
            }
        }
    })
}

/// Reads the keys again on a thread of its own, which may hang with the file's disk: the server stops without it, and what it
/// reads after this future was dropped changes nothing.
async fn reread(keys: Arc<Keys>) -> Result<usize, String> {
    let (send, read) = oneshot::channel();
    let reading = Arc::clone(&keys);
    let thread = std::thread::Builder::new().name("keys".to_owned());
    let spawned = thread.spawn(move || send.send(reading.read_again()));
    spawned.map_err(|error| format!("no thread can be started: {error}"))?;
    let fresh = read.await.map_err(|_| "reading them panicked".to_owned())?;
    Ok(keys.replace(fresh.map_err(|error| error.to_string())?))
}

/// Resolves at SIGTERM or SIGINT.
async fn signalled() -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
