//! Cross-origin requests from web pages (CORS): refused unless the operator names the origin.

use std::str::FromStr;
use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, Method, Uri, header};
use thiserror::Error;
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::request_id::REQUEST_ID;
use super::server_timing::SERVER_TIMING;
use super::trace_parent::TRACEPARENT;

/// The origin of web pages that may send requests, or all origins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WebOrigin {
    Any,
    One(HeaderValue),
}

/// A text that is not an origin.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{0:?} is not an origin; write https://shop.example or http://localhost:3000, or * for all")]
pub struct NotAnOrigin(String);

impl FromStr for WebOrigin {
    type Err = NotAnOrigin;

    fn from_str(text: &str) -> Result<Self, NotAnOrigin> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let refuse = || NotAnOrigin(text.to_owned());
        let uri: Uri = text.parse().map_err(|_| refuse())?;
        let (Some("http" | "https"), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(refuse());
        };
        // Browsers send neither path nor user nor upper case; any other spelling would never match.
        let sent = format!("{}://{authority}", uri.scheme_str().unwrap_or_default());
        if sent != text || text.contains('@') || text.chars().any(|letter| letter.is_ascii_uppercase()) {
            return Err(refuse());
        }
        HeaderValue::from_str(text).map(Self::One).map_err(|_| refuse())
    }
}

/// Answers the preflight requests of browsers and marks the answers that a page may read; `None` without origins.
#[must_use]
pub fn layer(origins: &[WebOrigin]) -> Option<CorsLayer> {
    let named: Option<Vec<HeaderValue>> = origins
        .iter()
        .map(|origin| match origin {
            WebOrigin::Any => None,
            WebOrigin::One(value) => Some(value.clone()),
        })
        .collect();
    let allowed = match named {
        Some(named) if named.is_empty() => return None,
        Some(named) => AllowOrigin::list(named),
        None => AllowOrigin::any(),
    };
    let sent = [
        header::AUTHORIZATION,
        header::CONTENT_ENCODING,
        header::CONTENT_TYPE,
        header::IF_NONE_MATCH,
        REQUEST_ID,
        TRACEPARENT,
    ];
    let read: [HeaderName; 5] = [
        header::LOCATION,
        header::ETAG,
        header::RETRY_AFTER,
        REQUEST_ID,
        SERVER_TIMING,
    ];
    Some(
        CorsLayer::new()
            .allow_origin(allowed)
            .allow_methods([
                Method::GET,
                Method::POST,
                Method::PUT,
                Method::PATCH,
                Method::DELETE,
            ])
            .allow_headers(sent)
            .expose_headers(read)
            .max_age(Duration::from_secs(3600)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_as_browsers_send_them() {
        assert_eq!("*".parse(), Ok(WebOrigin::Any));
        for good in ["https://shop.example", "http://localhost:3000", "http://[::1]:80"] {
            assert_eq!(good.parse(), Ok(WebOrigin::One(HeaderValue::from_static(good))));
        }
        for bad in [
            "",
            "shop.example",
            "https://shop.example/",
            "https://shop.example/page",
            "https://Shop.example",
            "https://a@shop.example",
            "ftp://shop.example",
            "https://*.example\n",
            "null",
        ] {
            assert_eq!(bad.parse::<WebOrigin>(), Err(NotAnOrigin(bad.to_owned())));
        }
    }

    #[test]
    fn without_origins_there_is_no_layer() {
        assert!(layer(&[]).is_none());
    }
}
