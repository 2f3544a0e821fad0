//! `Server-Timing`: how long an answer took, for browsers and proxies, without reading its body.

use axum::http::{HeaderName, HeaderValue};

use crate::service::Times;

/// The header that carries it.
pub const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
/// The origins of web pages that browsers show it to.
pub const TIMING_ALLOW_ORIGIN: HeaderName = HeaderName::from_static("timing-allow-origin");

/// The times of an answer: those of its `timing` where it has one, else the total.
#[must_use]
pub fn server_timing(times: Option<&Times>, total_ms: f64) -> HeaderValue {
    let text = match times {
        Some(times) => format!(
            "decode;dur={:.3}, queue;dur={:.3}, emulation;dur={:.3}, search;dur={:.3}, total;dur={:.3}",
            times.decode_ms, times.queue_ms, times.emulation_ms, times.search_ms, times.total_ms
        ),
        None => format!("total;dur={total_ms:.3}"),
    };
    HeaderValue::from_str(&text).expect("names and numbers are ASCII")
}
