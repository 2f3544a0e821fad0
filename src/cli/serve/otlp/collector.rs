//! Sends spans to a collector: OTLP in protobuf, over HTTP, in batches.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use async_trait::async_trait;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::{Request, Response};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use opentelemetry::{KeyValue, global};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio::runtime::Handle;

use super::Endpoint;

/// How long a collector may take to answer.
const ANSWER: Duration = Duration::from_secs(5);
/// The most bytes of its answer.
const ANSWER_BYTES: usize = 1 << 20;
/// How long the last spans may take at the end.
const LAST: Duration = Duration::from_secs(1);

/// Sends the spans that end, until it is dropped; the last of them then.
#[derive(Debug)]
pub struct Spans(SdkTracerProvider);

impl Endpoint {
    /// Begins to send spans, by this runtime.
    ///
    /// # Errors
    /// If the system's certificates cannot be read, or a variable of OpenTelemetry is invalid.
    pub fn send_spans(&self, runtime: &Handle) -> Result<Spans> {
        let certificates = rustls::crypto::ring::default_provider();
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(certificates)
            .context("the system's certificates cannot be read")?
            .https_or_http()
            .enable_http1()
            .build();
        let collector = Collector {
            client: Client::builder(TokioExecutor::new()).build(connector),
            runtime: runtime.clone(),
            is_lost: AtomicBool::new(false),
        };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(collector)
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(self.0.as_str())
            .build()
            .context("spans cannot be sent")?;
        let mut resource = Resource::builder();
        if std::env::var_os("OTEL_SERVICE_NAME").is_none() {
            resource = resource.with_service_name(env!("CARGO_PKG_NAME"));
        }
        let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        let provider = SdkTracerProvider::builder()
            .with_resource(resource.with_attribute(version).build())
            .with_batch_exporter(exporter)
            .build();
        global::set_tracer_provider(provider.clone());
        Ok(Spans(provider))
    }
}

impl Drop for Spans {
    fn drop(&mut self) {
        if let Err(error) = self.0.shutdown_with_timeout(LAST) {
            tracing::warn!(%error, "the last spans were not sent");
        }
    }
}

/// The connection to a collector.
#[derive(Debug)]
struct Collector {
    client: Client<HttpsConnector<HttpConnector>, Body>,
    /// The thread that sends has none of its own.
    runtime: Handle,
    is_lost: AtomicBool,
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let sending = send(self.client.clone(), request);
        let limited = async { tokio::time::timeout(ANSWER, sending).await };
        let sent = self.runtime.spawn(limited).await;
        let answer: Result<Response<Bytes>, HttpError> = match sent {
            Ok(Ok(answer)) => answer,
            Ok(Err(late)) => Err(late.into()),
            Err(stopped) => Err(stopped.into()),
        };
        let failure = match &answer {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(format!("it answers {}", answer.status())),
            Err(error) => Some(with_causes(&**error)),
        };
        // Said once, not for each batch.
        match failure {
            Some(error) if !self.is_lost.swap(true, Ordering::Relaxed) => {
                tracing::warn!(
                    error,
                    "the collector does not take spans; they are dropped until it does"
                );
            }
            None if self.is_lost.swap(false, Ordering::Relaxed) => {
                tracing::info!("the collector takes spans again");
            }
            _ => {}
        }
        answer
    }
}

async fn send(
    client: Client<HttpsConnector<HttpConnector>, Body>,
    request: Request<Bytes>,
) -> Result<Response<Bytes>, HttpError> {
    let (head, body) = client.request(request.map(Body::from)).await?.into_parts();
    let body = to_bytes(Body::new(body), ANSWER_BYTES).await?;
    Ok(Response::from_parts(head, body))
}

fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let causes: Vec<String> = causes.map(ToString::to_string).collect();
    causes.join(": ")
}
