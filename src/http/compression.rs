//! Which answers are compressed, for clients that ask for it (`Accept-Encoding`).

use axum::http::{Extensions, HeaderMap, StatusCode, Version};
use tower_http::compression::predicate::{And, Predicate, SizeAbove};
use tower_http::compression::{CompressionLayer, CompressionLevel};

use super::request::body::{content_type, essence};

/// Smaller answers fit one packet as they are.
const LEAST: SizeAbove = SizeAbove::new(1024);

/// Content types that are worth it. Stored pictures are compressed already, and a stream is sent on as it is made.
const TYPES: [&str; 9] = [
    "application/json",
    "application/problem+json",
    "application/x-ndjson",
    "application/yaml",
    "image/svg+xml",
    "text/css",
    "text/html",
    "text/javascript",
    "text/plain",
];

type IsWorthIt = fn(StatusCode, Version, &HeaderMap, &Extensions) -> bool;

/// Compresses answers that are worth it by zstd, br or gzip, as fast as they go: a search takes less than a millisecond.
pub fn layer() -> CompressionLayer<And<SizeAbove, IsWorthIt>> {
    let is_worth_it: IsWorthIt = |_, _, headers, _| is_worth_it(headers);
    CompressionLayer::new()
        .quality(CompressionLevel::Fastest)
        .compress_when(LEAST.and(is_worth_it))
}

fn is_worth_it(headers: &HeaderMap) -> bool {
    TYPES.contains(&essence(content_type(headers)).as_str())
}
