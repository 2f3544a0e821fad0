//! How a server runs: one value, parsed once from flags over `SPIKELENS_*` over defaults, and printed at start.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::http::cors::WebOrigin;
use crate::http::limits::Limits;
use crate::service::ServiceOptions;

/// Everything that `serve` can be told.
#[derive(Debug, Clone)]
pub struct Config {
    pub data_dir: PathBuf,
    pub listen: SocketAddr,
    pub limits: Limits,
    /// Whose web pages may ask, beside those of this server.
    pub origins: Vec<WebOrigin>,
    pub service: ServiceOptions,
    /// How long requests may take to end after a signal.
    pub drain: Duration,
}
