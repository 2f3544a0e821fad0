//! The id of a request: in its answer, in every refusal and in the log.

use axum::http::{HeaderMap, HeaderName};

/// The header that carries it, in requests and answers.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The client's id if it has 1 to 128 visible ASCII characters, otherwise a new one.
#[must_use]
pub fn request_id(headers: &HeaderMap) -> String {
    let plain = |id: &&str| (1..=128).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic());
    headers
        .get(REQUEST_ID)
        .and_then(|id| id.to_str().ok())
        .filter(plain)
        .map_or_else(|| uuid::Uuid::new_v4().to_string(), str::to_owned)
}
