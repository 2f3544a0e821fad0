//! `--otlp-endpoint`: the collector that spans of requests are sent to, in builds with the feature `otlp`.

#[cfg(feature = "otlp")]
mod collector;
#[cfg(all(test, feature = "otlp"))]
mod tests;

use std::str::FromStr;

use thiserror::Error;
use url::Url;

/// Where spans are sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint(Url);

/// A text that is not the address of a collector.
#[derive(Debug, Error)]
#[error("is not the address of a collector; write http://127.0.0.1:4318")]
pub struct NotAnEndpoint;

impl FromStr for Endpoint {
    type Err = NotAnEndpoint;

    /// Reads a base address, or one that names OTLP's path for traces.
    fn from_str(text: &str) -> Result<Self, NotAnEndpoint> {
        let mut url = Url::parse(text).map_err(|_| NotAnEndpoint)?;
        if !["http", "https"].contains(&url.scheme()) || url.query().is_some() || url.fragment().is_some() {
            return Err(NotAnEndpoint);
        }
        let base = url.path().trim_end_matches('/');
        if !base.ends_with("/v1/traces") {
            url.set_path(&format!("{base}/v1/traces"));
        }
        Ok(Self(url))
    }
}

#[cfg(not(feature = "otlp"))]
impl Endpoint {
    /// Refuses: this build cannot send spans.
    ///
    /// # Errors
    /// Always.
    pub fn send_spans(&self, _: &tokio::runtime::Handle) -> anyhow::Result<()> {
        anyhow::bail!(
            "--otlp-endpoint {} needs a build with the feature `otlp`: cargo build --release --features otlp",
            self.0
        )
    }
}

#[cfg(test)]
mod reading {
    use super::*;

    #[test]
    fn an_endpoint_is_a_base_address_or_that_of_the_traces() {
        for (text, expected) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("http://collector:4318/", "http://collector:4318/v1/traces"),
            (
                "https://traces.example/otlp",
                "https://traces.example/otlp/v1/traces",
            ),
            ("http://[::1]:4318/v1/traces", "http://[::1]:4318/v1/traces"),
        ] {
            assert_eq!(text.parse::<Endpoint>().unwrap().0.as_str(), expected);
        }
        for bad in [
            "",
            "127.0.0.1:4318",
            "localhost:4318",
            "grpc://collector:4317",
            "http://",
            "http://a/?b",
        ] {
            assert!(bad.parse::<Endpoint>().is_err(), "{bad}");
        }
    }
}
