//! `If-None-Match`: whether a client has what it asks for already.

use axum::http::{HeaderMap, header};

/// Whether `If-None-Match` lists the entity tag `tag`, or `*`.
#[must_use]
pub fn matches(headers: &HeaderMap, tag: &str) -> bool {
    let tags = headers.get(header::IF_NONE_MATCH);
    let tags = tags.and_then(|tags| tags.to_str().ok()).unwrap_or_default();
    let mut tags = tags.split(',').map(str::trim);
    tags.any(|known| known == "*" || known.trim_start_matches("W/") == tag)
}
