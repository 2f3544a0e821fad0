//! `serve`: logging, signals, the listening socket.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use tokio::sync::oneshot;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::{files, progress};
use crate::catalogue::store::Store;
use crate::config::Config;
use crate::http::cors::WebOrigin;
use crate::http::keys::Keys;
use crate::http::limits::{Bodies, Limits, Rates};
use crate::http::metrics::Requests;
use crate::http::{App, listen, router};
use crate::service::maker::Maker;
use crate::service::{Service, ServiceOptions, reembed};
use engine::chip::cost::CostModel;
use engine::network::{Probe, TimeSteps};
use engine::picture::DecodeLimits;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

/// Run the HTTP service
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  spikelens serve --data-dir data
  spikelens serve --data-dir data --listen 127.0.0.1:9000 --chips 4
  curl --data-binary @shoe.png -H 'Content-Type: image/png' 'http://127.0.0.1:8080/v1/search?k=5'")]
pub struct Serve {
    /// The SNN file [default: the shipped one]
    #[arg(long, value_name = "SNN", env = "SPIKELENS_MODEL")]
    model: Option<PathBuf>,
    /// The catalogue's folder; made if missing
    #[arg(long, value_name = "DIR", default_value = "data", env = "SPIKELENS_DATA_DIR")]
    data_dir: PathBuf,
    /// Start a new data directory from this file of `spikelens backup`
    #[arg(long, value_name = "FILE", env = "SPIKELENS_RESTORE")]
    restore: Option<PathBuf>,
    /// Where to listen
    #[arg(
        long,
        value_name = "ADDR:PORT",
        default_value = "127.0.0.1:8080",
        env = "SPIKELENS_LISTEN"
    )]
    listen: SocketAddr,
    /// Emulated chips, one OS thread each [default: one a CPU]
    #[arg(long, value_name = "N", env = "SPIKELENS_CHIPS",
          value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=1024))]
    chips: Option<usize>,
    /// Work that may wait for each chip, in ms, as estimated from the work done before
    #[arg(long, value_name = "MS", default_value_t = 100, env = "SPIKELENS_QUEUE_MS",
          value_parser = clap::value_parser!(u64).range(1..=60_000))]
    queue_ms: u64,
    /// Time steps of the catalogue's embeddings, 1 to 1024 [default: as they are, else the model's]
    #[arg(long, value_name = "T", env = "SPIKELENS_TIME_STEPS")]
    time_steps: Option<TimeSteps>,
    /// Probe of the catalogue's embeddings [default: as they are, else the model's]
    #[arg(long, env = "SPIKELENS_PROBE")]
    probe: Option<Probe>,
    /// Largest body of a request, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 10 << 20, env = "SPIKELENS_MAX_BODY_BYTES")]
    max_body_bytes: usize,
    /// Bodies of all requests together, in bytes; what comes beyond is refused as overloaded
    #[arg(long, value_name = "BYTES", default_value_t = 256 << 20, env = "SPIKELENS_MAX_BODIES_BYTES")]
    max_bodies_bytes: usize,
    /// Largest head of a request (its line and headers), in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 64 << 10, env = "SPIKELENS_MAX_HEADER_BYTES",
          value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(8192..=16 << 20))]
    max_header_bytes: usize,
    /// Open connections; what comes beyond is refused as overloaded
    #[arg(long, value_name = "N", default_value_t = 1024, env = "SPIKELENS_MAX_CONNECTIONS",
          value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=1_000_000))]
    max_connections: usize,
    /// Requests a second for each name of a key, or for each address where there are no keys [default: any number]
    #[arg(long, value_name = "N", env = "SPIKELENS_RATE_LIMIT")]
    rate_limit: Option<NonZeroU32>,
    /// Origins whose web pages may ask, `https://shop.example` or `*`, joined by commas [default: none]
    #[arg(
        long,
        value_name = "ORIGIN",
        value_delimiter = ',',
        env = "SPIKELENS_CORS_ORIGIN"
    )]
    cors_origin: Vec<WebOrigin>,
    /// Largest picture, in megapixels
    #[arg(long, value_name = "N", default_value_t = 40, env = "SPIKELENS_MAX_MEGAPIXELS",
          value_parser = clap::value_parser!(u64).range(1..=1000))]
    max_megapixels: u64,
    /// How long one request may take, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 10_000, env = "SPIKELENS_REQUEST_TIMEOUT_MS",
          value_parser = clap::value_parser!(u64).range(1..=3_600_000))]
    request_timeout_ms: u64,
    /// File of keys, one a line: `read KEY name` or `write KEY name`; read again on SIGHUP
    #[arg(
        long,
        value_name = "FILE",
        env = "SPIKELENS_API_KEYS",
        conflicts_with = "no_auth"
    )]
    api_keys: Option<PathBuf>,
    /// Serve on an address that others reach although there are no keys
    #[arg(long, env = "SPIKELENS_NO_AUTH")]
    no_auth: bool,
    /// text, or json: one object a line
    #[arg(long, value_enum, default_value = "text", env = "SPIKELENS_LOG_FORMAT")]
    log_format: LogFormat,
    /// error, warn, info, debug or trace
    #[arg(long, default_value = "info", env = "SPIKELENS_LOG_LEVEL")]
    log_level: tracing::Level,
    /// loihi1-paper or loihi1-cores
    #[arg(long, default_value = "loihi1-paper", env = "SPIKELENS_COST_MODEL")]
    cost_model: CostModel,
}

impl Serve {
    pub fn run(self) -> Result<()> {
        self.start_logging();
        let keys = match &self.api_keys {
            Some(path) => Some(Arc::new(Keys::read(path)?)),
            None if self.listen.ip().is_loopback() || self.no_auth => None,
            None => bail!(
                "{} can be reached by others, and there are no keys: name a file with --api-keys, listen on \
                 127.0.0.1, or say --no-auth",
                self.listen
            ),
        };
        if self.max_bodies_bytes < self.max_body_bytes {
            bail!(
                "--max-bodies-bytes {} has no room for one body of --max-body-bytes {}: raise it, or lower the other",
                self.max_bodies_bytes,
                self.max_body_bytes
            );
        }
        let model = files::model(self.model.as_deref(), self.cost_model)?;
        let store = self.store()?;
        let wanted = Maker::new(model, store.origin()?.as_ref(), self.probe, self.time_steps);
        let config = self.config();
        tracing::info!(
            model = wanted.model.snn.network.name,
            model_id = wanted.model.id,
            probe = %wanted.origin.probe,
            time_steps = wanted.origin.time_steps.get(),
            data_dir = %config.data_dir.display(),
            chips = config.service.chips,
            waiting = ?config.service.waiting,
            max_body_bytes = config.limits.body,
            max_pixels = config.service.limits.max_pixels,
            max_bodies_bytes = config.limits.bodies,
            max_header_bytes = config.limits.head,
            max_connections = config.limits.connections,
            rate_limit = config.limits.rate,
            cors_origins = config.origins.len(),
            request_timeout_ms = config.limits.time.as_millis(),
            keys = keys.is_some(),
            "configuration"
        );
        if store.products()? == 0 {
            tracing::warn!(
                data_dir = %config.data_dir.display(),
                "the catalogue is empty; `spikelens import` fills it"
            );
        }
        let (maker, next) = reembed::makers(&store, wanted)?;
        let service = Service::start(maker, next, config.service.clone())?;
        tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()?
            .block_on(listen(config, keys, service, store))
    }

    /// Opens the catalogue, out of a backup where one is named.
    fn store(&self) -> Result<Store> {
        let Some(backup) = &self.restore else {
            return Ok(Store::open(&self.data_dir)?);
        };
        if Store::exists(&self.data_dir) {
            bail!(
                "{} holds a catalogue already: restore into a new data directory, or leave --restore out",
                self.data_dir.display()
            );
        }
        // Picture numbers go on from the clock: it has moved on since any restoring before this one.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = i64::try_from(now.as_millis()).context("the clock is far from today")?;
        Store::restore(&self.data_dir, backup, now)
            .with_context(|| format!("{} cannot be restored", backup.display()))
    }

    fn config(&self) -> Config {
        let chips = self.chips.unwrap_or_else(files::threads);
        Config {
            data_dir: self.data_dir.clone(),
            listen: self.listen,
            limits: Limits {
                body: self.max_body_bytes,
                bodies: self.max_bodies_bytes,
                head: self.max_header_bytes,
                time: Duration::from_millis(self.request_timeout_ms),
                connections: self.max_connections,
                rate: self.rate_limit,
            },
            origins: self.cors_origin.clone(),
            service: ServiceOptions {
                chips,
                waiting: Duration::from_millis(self.queue_ms),
                threads: files::threads(),
                limits: DecodeLimits {
                    max_pixels: self.max_megapixels * 1_000_000,
                },
            },
            drain: Duration::from_secs(9),
        }
    }

    fn start_logging(&self) {
        // The graph library tells of every layer that it allocates.
        let filter = Targets::new()
            .with_default(self.log_level)
            .with_target("hnsw_rs", self.log_level.min(tracing::Level::WARN));
        let logs = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
        let logs = match self.log_format {
            LogFormat::Text => logs.boxed(),
            LogFormat::Json => logs.json().boxed(),
        };
        tracing_subscriber::registry()
            .with(logs.with_filter(filter))
            .init();
    }
}

/// Serves until a signal comes or the catalogue cannot be brought up.
async fn listen(config: Config, keys: Option<Arc<Keys>>, service: Arc<Service>, store: Store) -> Result<()> {
    let listener = tokio::net::TcpListener::bind(config.listen)
        .await
        .with_context(|| {
            format!(
                "{} cannot be listened on; is another server there? name another with --listen",
                config.listen
            )
        })?;
    let address = listener.local_addr()?;
    tracing::info!(%address, "listening");
    let app = Arc::new(App {
        service: Arc::clone(&service),
        limits: config.limits,
        bodies: Bodies::new(&config.limits),
        rates: config.limits.rate.map(Rates::new),
        keys: keys.clone(),
        origins: config.origins,
        requests: Requests::default(),
    });
    if let Some(keys) = keys {
        tokio::spawn(reread_at_hangup(keys)?);
    }
    // The loader has a thread of its own: it is long, and it is not the runtime's work.
    let (loaded, loading) = oneshot::channel();
    let loader = Arc::clone(&service);
    std::thread::Builder::new()
        .name("loader".to_owned())
        .spawn(move || {
            let result = progress::follow(&loader.progress, || loader.load(store));
            // Nobody waits any more once a signal has come.
            let _ = loaded.send(result);
        })?;
    let (stop, stopped) = oneshot::channel::<()>();
    let limits = config.limits;
    let server = tokio::spawn(async move {
        let stopped = async {
            // A dropped sender means the same: stop.
            let _ = stopped.await;
        };
        listen::serve(listener, router(app), &limits, stopped).await;
    });
    let mut loading = std::pin::pin!(async {
        match loading.await {
            Ok(Ok(())) => {
                tracing::info!(%address, pictures = service.pictures(), "ready");
                std::future::pending::<Result<()>>().await
            }
            Ok(Err(error)) => Err(anyhow::Error::from(error).context("the catalogue")),
            Err(_) => bail!("loading the catalogue failed; the log says where"),
        }
    });
    tokio::select! {
        signal = signalled() => signal?,
        result = &mut loading => return result,
    }
    tracing::info!("draining");
    let started = Instant::now();
    service.drain();
    drop(stop);
    match tokio::time::timeout(config.drain, server).await {
        Ok(ended) => ended?,
        Err(_) => tracing::warn!("some requests did not end in time"),
    }
    // What was not kept in time is only rebuilt at the next start.
    let left = (started + config.drain).saturating_duration_since(Instant::now());
    let (finish, finished) = oneshot::channel();
    let writing = Arc::clone(&service);
    std::thread::spawn(move || {
        writing.finish();
        // Nobody waits any more once the time is over.
        let _ = finish.send(());
    });
    if tokio::time::timeout(left.max(Duration::from_millis(500)), finished)
        .await
        .is_err()
    {
        tracing::warn!("the index could not be kept in time");
    }
    tracing::info!("stopped");
    Ok(())
}

/// Reads the keys again at each SIGHUP.
fn reread_at_hangup(keys: Arc<Keys>) -> Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(async move {
        while hangup.recv().await.is_some() {
            match keys.reread() {
                Ok(count) => tracing::info!(count, "the keys were read again"),
                Err(error) => tracing::error!(%error, "the keys stay as they were"),
            }
        }
    })
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
