//! `serve`: options, logging, and opening the catalogue and the model.

mod open_files;
mod otlp;
mod postgres;
mod run;

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use self::otlp::Endpoint;
use self::postgres::Postgres;
use super::store::{Chosen, Place};
use super::{files, network};
use crate::catalogue::sqlite::Sqlite;
use crate::catalogue::{Catalogue, Room};
use crate::http::App;
use crate::http::cors::WebOrigin;
use crate::http::keys::Keys;
use crate::http::limits::Limits;
use crate::service::{Service, ServiceOptions, Wanted};
use engine::chip::cost::CostModel;
use engine::model::Model;
use engine::model::built_in::Asked;
use engine::network::{Probe, TimeSteps};
use engine::picture::DecodeLimits;

/// Lines of the log that wait to be written.
const LOG_LINES: usize = 8192;

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
  spikelens serve --store postgres://shop@db.example/lens?sslmode=verify-full
  curl --data-binary @shoe.png -H 'Content-Type: image/png' 'http://127.0.0.1:8080/v1/search?k=5'")]
#[command(mut_arg("data_dir", |option| option.default_value("data").help("The catalogue's directory; created if missing")))]
pub struct Serve {
    /// An SNN file, or a built-in network: photos, clothing, fashion-mnist, paper-32-64-10 [default: the catalogue's own,
    /// photos for a new one]
    #[arg(long, value_name = "MODEL", env = "SPIKELENS_MODEL")]
    model: Option<Asked>,
    #[command(flatten)]
    catalogue: Chosen,
    /// Create the data directory from this file, written by `spikelens backup`
    #[arg(long, value_name = "FILE", env = "SPIKELENS_RESTORE")]
    restore: Option<PathBuf>,
    /// Keep the old network answering when another --model, --probe or --time-steps is given: its embeddings are prepared
    /// beside the old ones, searches can try them with model=next, and POST /v1/model takes over or drops
    #[arg(long, env = "SPIKELENS_HOLD")]
    hold: bool,
    /// Address to listen on
    #[arg(
        long,
        value_name = "ADDR:PORT",
        default_value = "127.0.0.1:8080",
        env = "SPIKELENS_LISTEN"
    )]
    listen: SocketAddr,
    /// Emulated chips, one OS thread each for short work and one for long work [default: one per CPU]
    #[arg(long, value_name = "N", env = "SPIKELENS_CHIPS",
          value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=1024))]
    chips: Option<usize>,
    /// Longest queue of each chip, in milliseconds of estimated work, for short work and for long work each
    #[arg(long, value_name = "MS", default_value_t = 100, env = "SPIKELENS_QUEUE_MS",
          value_parser = clap::value_parser!(u64).range(1..=60_000))]
    queue_ms: u64,
    /// Time steps of the catalogue's embeddings, 1 to 1024 [default: the catalogue's, else the model's]
    #[arg(long, value_name = "T", env = "SPIKELENS_TIME_STEPS")]
    time_steps: Option<TimeSteps>,
    /// Probe of the catalogue's embeddings [default: the catalogue's, else the model's]
    #[arg(long, env = "SPIKELENS_PROBE")]
    probe: Option<Probe>,
    /// Largest request body, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 10 << 20, env = "SPIKELENS_MAX_BODY_BYTES")]
    max_body_bytes: usize,
    /// Largest total size of all request bodies at a time, in bytes; beyond it requests are refused as overloaded
    #[arg(long, value_name = "BYTES", default_value_t = 256 << 20, env = "SPIKELENS_MAX_BODIES_BYTES")]
    max_bodies_bytes: usize,
    /// Largest request head (request line and headers), in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 64 << 10, env = "SPIKELENS_MAX_HEADER_BYTES",
          value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(8192..=16 << 20))]
    max_header_bytes: usize,
    /// Most open connections; further ones are refused as overloaded
    #[arg(long, value_name = "N", default_value_t = 1024, env = "SPIKELENS_MAX_CONNECTIONS",
          value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=1_000_000))]
    max_connections: usize,
    /// Memory for products that were found lately, in MiB
    #[arg(
        long,
        value_name = "MIB",
        default_value_t = 64,
        env = "SPIKELENS_PRODUCT_CACHE_MIB"
    )]
    product_cache_mib: u64,
    /// Requests per second for each key name, or for each client address if there are no keys [default: unlimited]
    #[arg(long, value_name = "N", env = "SPIKELENS_RATE_LIMIT")]
    rate_limit: Option<NonZeroU32>,
    /// Origins whose web pages may send requests, `https://shop.example` or `*`, separated by commas [default: none]
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
    /// Time limit of a request, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 10_000, env = "SPIKELENS_REQUEST_TIMEOUT_MS",
          value_parser = clap::value_parser!(u64).range(1..=3_600_000))]
    request_timeout_ms: u64,
    /// Time in which a client must read some of an answer that waits, in milliseconds; else its connection is closed
    #[arg(long, value_name = "MS", default_value_t = 30_000, env = "SPIKELENS_WRITE_TIMEOUT_MS",
          value_parser = clap::value_parser!(u64).range(100..=3_600_000))]
    write_timeout_ms: u64,
    /// File of API keys, one per line: `read KEY name`, `write` or `admin`, perhaps with a filter of products; reloaded on SIGHUP
    #[arg(
        long,
        value_name = "FILE",
        env = "SPIKELENS_API_KEYS",
        conflicts_with = "no_auth"
    )]
    api_keys: Option<PathBuf>,
    /// Allow listening on an address that is not loopback without keys
    #[arg(long, env = "SPIKELENS_NO_AUTH")]
    no_auth: bool,
    /// text, or json: one object per line
    #[arg(long, value_enum, default_value = "text", env = "SPIKELENS_LOG_FORMAT")]
    log_format: LogFormat,
    /// error, warn, info, debug or trace
    #[arg(long, default_value = "info", env = "SPIKELENS_LOG_LEVEL")]
    log_level: tracing::Level,
    /// OpenTelemetry collector that gets the spans of requests, such as http://127.0.0.1:4318; in builds with the feature
    /// `otlp` [default: none]
    #[arg(long, value_name = "URL", env = "SPIKELENS_OTLP_ENDPOINT")]
    otlp_endpoint: Option<Endpoint>,
    /// loihi1-paper or loihi1-cores
    #[arg(long, default_value = "loihi1-paper", env = "SPIKELENS_COST_MODEL")]
    cost_model: CostModel,
    #[command(flatten)]
    postgres: Postgres,
}

impl Serve {
    /// Runs the command.
    ///
    /// # Errors
    /// If an option is invalid, the model, the keys or the catalogue cannot be read, or the address cannot be used.
    pub fn run(self) -> Result<()> {
        let _logs = self.start_logging();
        let keys = match &self.api_keys {
            Some(path) => Some(Arc::new(Keys::read(path)?)),
            None if self.listen.ip().is_loopback() || self.no_auth => None,
            None => bail!(
                "{} is not a loopback address and there are no keys: pass a file with --api-keys, listen on 127.0.0.1, \
                 or pass --no-auth",
                self.listen
            ),
        };
        if self.max_bodies_bytes < self.max_body_bytes {
            bail!(
                "--max-bodies-bytes {} is less than --max-body-bytes {}: raise the first or lower the second",
                self.max_bodies_bytes,
                self.max_body_bytes
            );
        }
        let given = match &self.model {
            Some(asked) => Some(files::model(asked, self.cost_model)?),
            None => None,
        };
        let options = self.service_options();
        let place = self.catalogue.place()?;
        let room = Room {
            connections: options.chips,
            shown_bytes: self.product_cache_mib.saturating_mul(1 << 20),
        };
        let limits = self.limits();
        open_files::allow(limits.connections);
        tracing::info!(
            catalogue = %place,
            chips = options.chips,
            waiting = ?options.waiting,
            max_body_bytes = limits.body,
            max_pixels = options.limits.max_pixels,
            max_bodies_bytes = limits.bodies,
            max_header_bytes = limits.head,
            max_connections = limits.connections,
            rate_limit = limits.rate,
            cors_origins = self.cors_origin.len(),
            request_timeout_ms = limits.time.as_millis(),
            write_timeout_ms = limits.unread.as_millis(),
            keys = keys.is_some(),
            "configuration"
        );
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let endpoint = self.otlp_endpoint.as_ref();
        // Dropped after the last request, when the runtime can still send what is left.
        let _spans = endpoint
            .map(|endpoint| endpoint.send_spans(runtime.handle()))
            .transpose()?;
        runtime.block_on(async {
            let start = || self.start(&place, room, given.as_ref(), &options);
            let Some(service) = run::when_reached(&place, start).await? else {
                return Ok(());
            };
            let maker = service.maker();
            tracing::info!(
                model = maker.model.snn.network.name,
                model_id = maker.model.id,
                probe = %maker.origin.probe,
                time_steps = maker.origin.time_steps.get(),
                "network"
            );
            let app = Arc::new(App::new(service, limits, keys, self.cors_origin.clone()));
            run::listen(self.listen, app).await
        })
    }

    /// Opens the catalogue, and starts the service over it.
    async fn start(
        &self,
        place: &Place,
        room: Room,
        given: Option<&Arc<Model>>,
        options: &ServiceOptions,
    ) -> Result<Arc<Service>> {
        let catalogue = self.open(place, room).await?;
        if catalogue.count().await? == 0 {
            tracing::warn!(
                catalogue = %place,
                "the catalogue is empty; fill it with `spikelens import`"
            );
        }
        let model = match given {
            Some(given) => Arc::clone(given),
            None => network::own(&catalogue, network::NEW, self.cost_model).await?,
        };
        let wanted = Wanted {
            model,
            probe: self.probe,
            time_steps: self.time_steps,
            given: given.is_some(),
            hold: self.hold,
        };
        Ok(Service::open(catalogue, wanted, options.clone()).await?)
    }

    /// Opens the catalogue, restored from the backup if one is given.
    async fn open(&self, place: &Place, room: Room) -> Result<Catalogue> {
        let Some(backup) = &self.restore else {
            let chips = self.chips.unwrap_or_else(files::threads);
            return place.open(room, self.postgres.options(chips)).await;
        };
        let Place::DataDir(data_dir) = place else {
            bail!(
                "--restore fills a data directory, and the catalogue is in {place}: restore a database by PostgreSQL's own \
                 tools; or restore into a data directory, and copy that with `spikelens copy`"
            );
        };
        if Sqlite::exists(data_dir) {
            bail!(
                "{place} already contains a catalogue: restore into a new data directory, or omit --restore"
            );
        }
        // Picture numbers continue from the current time in milliseconds. They grow slower than that, so that no number of
        // an earlier restore is used again.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = i64::try_from(now.as_millis()).context("the system clock is out of range")?;
        let restored = Sqlite::restore(data_dir, backup, now, room);
        let restored = restored.with_context(|| format!("{} cannot be restored", backup.display()))?;
        Ok(Catalogue::Sqlite(restored))
    }

    fn limits(&self) -> Limits {
        Limits {
            body: self.max_body_bytes,
            bodies: self.max_bodies_bytes,
            head: self.max_header_bytes,
            time: Duration::from_millis(self.request_timeout_ms),
            unread: Duration::from_millis(self.write_timeout_ms),
            connections: self.max_connections,
            rate: self.rate_limit,
        }
    }

    fn service_options(&self) -> ServiceOptions {
        ServiceOptions {
            chips: self.chips.unwrap_or_else(files::threads),
            waiting: Duration::from_millis(self.queue_ms),
            threads: files::threads(),
            limits: DecodeLimits {
                max_pixels: self.max_megapixels * 1_000_000,
                ..DecodeLimits::default()
            },
        }
    }

    /// Logs from now on, until the answer is dropped. A thread writes the lines; some are lost where nobody reads them, and
    /// nothing else waits for that.
    fn start_logging(&self) -> WorkerGuard {
        let (lines, writing) = NonBlockingBuilder::default()
            .buffered_lines_limit(LOG_LINES)
            .finish(std::io::stderr());
        // The graph library logs every layer it allocates, the database's client every notice.
        let quiet = self.log_level.min(tracing::Level::WARN);
        let filter = Targets::new()
            .with_default(self.log_level)
            .with_target("hnsw_rs", quiet)
            .with_target("sqlx", quiet);
        let logs = tracing_subscriber::fmt::layer().with_writer(lines);
        let logs = match self.log_format {
            LogFormat::Text => logs.boxed(),
            LogFormat::Json => logs.json().with_span_list(false).boxed(),
        };
        tracing_subscriber::registry()
            .with(logs.with_filter(filter))
            .init();
        writing
    }
}
