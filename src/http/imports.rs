//! `POST /v1/imports` and `GET /v1/imports/{id}`: many products in one stream, one a line.

use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use serde::Serialize;
use serde_json::json;

use super::App;
use super::problem::{Code, Problem};
use super::products::location;
use super::request::{self, Endpoint};
use crate::service::ServiceError;
use crate::service::imports::OpenImportStatus;

/// Content types of NDJSON as clients write them; no content type is taken for it, too.
const NDJSON: [&str; 6] = [
    "application/x-ndjson",
    "application/ndjson",
    "application/jsonl",
    "application/json",
    "application/octet-stream",
    "text/plain",
];

/// Lines and bytes of one commit while lines come in.
const LINES: usize = 256;
const BYTES: usize = 1 << 20;

/// The answer of `GET /v1/imports/{id}`.
#[derive(Debug, Serialize)]
pub struct ImportAnswer {
    id: String,
    state: &'static str,
    received: u64,
    stored: u64,
    failed: u64,
    errors: Vec<LineError>,
    seconds_left: Option<f64>,
}

/// An import that is not at its end, in the answer of `GET /v1/stats`.
#[derive(Debug, Serialize)]
pub struct OpenImportAnswer {
    id: String,
    state: &'static str,
    received: u64,
    stored: u64,
    failed: u64,
    seconds_left: Option<f64>,
}

impl OpenImportAnswer {
    /// As answers show it.
    pub fn of(open: OpenImportStatus) -> Self {
        Self {
            id: open.import.id,
            state: open.import.state.as_str(),
            received: open.import.received,
            stored: open.import.stored,
            failed: open.import.failed,
            seconds_left: open.seconds_left,
        }
    }
}

#[derive(Debug, Serialize)]
struct LineError {
    line: u64,
    id: Option<String>,
    detail: String,
}

/// Stores the lines as they come; answered once all are durable. They become products from then on.
pub async fn create(
    State(app): State<Arc<App>>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    app.service.ready()?;
    request::parameters(Endpoint::Nothing, &uri)?;
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .map(|value| value.to_str().unwrap_or_default());
    let essence = content_type.map(|value| value.split(';').next().unwrap_or_default().trim());
    if essence.is_some_and(|essence| !NDJSON.iter().any(|known| essence.eq_ignore_ascii_case(known))) {
        return Err(Problem::new(
            Code::UnsupportedMediaType,
            format!(
                "the Content-Type is {:?}; send one JSON object a line as application/x-ndjson",
                essence.unwrap_or_default()
            ),
        ));
    }
    let id = uuid::Uuid::new_v4().to_string();
    let deadline = || Instant::now() + app.limits.time;
    let mut import = app.service.begin_import(id.clone(), deadline()).await?;
    let mut stream = body.into_data_stream();
    let mut lines = Lines::default();
    // The whole may take any time, but something has to come.
    while let Some(chunk) = tokio::time::timeout(app.limits.time, stream.next())
        .await
        .map_err(|_| Problem::from(ServiceError::DeadlineExceeded))?
    {
        let chunk =
            chunk.map_err(|_| Problem::new(Code::InvalidRequest, "the body ended before it was whole"))?;
        for part in chunk.split_inclusive(|byte| *byte == b'\n') {
            if lines.open.len() + part.len() > app.limits.body {
                let (line, most) = (lines.ended + 1, app.limits.body);
                return Err(Problem::new(
                    Code::TooLarge,
                    format!("line {line} is larger than {most} bytes; nothing was imported"),
                ));
            }
            lines.take(part);
        }
        if lines.whole.len() >= LINES || lines.bytes >= BYTES {
            import.lines(lines.ready(), deadline()).await?;
        }
    }
    if !lines.open.is_empty() {
        lines.take(b"\n");
    }
    // A stream without a line says that there is nothing new; a request without a body says nothing.
    if lines.ended == 0 && content_type.is_none() {
        return Err(Problem::new(
            Code::InvalidRequest,
            "there is no body; send one JSON object a line as application/x-ndjson",
        ));
    }
    let rest = lines.ready();
    if !rest.is_empty() {
        import.lines(rest, deadline()).await?;
    }
    import.whole(deadline()).await?;
    app.service.wake_importer()?;
    let location = [(header::LOCATION, location(&["v1", "imports", &id]))];
    Ok((StatusCode::ACCEPTED, location, Json(json!({ "id": id }))).into_response())
}

/// Lines out of a stream of bytes, blank ones left out but counted.
#[derive(Default)]
struct Lines {
    open: Vec<u8>,
    ended: u64,
    whole: Vec<(u64, Vec<u8>)>,
    bytes: usize,
}

impl Lines {
    /// Takes bytes that have no line's end but at their own end.
    fn take(&mut self, part: &[u8]) {
        self.open.extend_from_slice(part);
        if part.ends_with(b"\n") {
            self.ended += 1;
            let line = std::mem::take(&mut self.open);
            if !line.trim_ascii().is_empty() {
                self.bytes += line.len();
                self.whole.push((self.ended, line));
            }
        }
    }

    fn ready(&mut self) -> Vec<(u64, Vec<u8>)> {
        self.bytes = 0;
        std::mem::take(&mut self.whole)
    }
}

/// Where an import stands, and which lines were refused.
pub async fn get(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Json<ImportAnswer>, Problem> {
    request::parameters(Endpoint::Nothing, &uri)?;
    let status = app.service.import(id.clone()).await?;
    let errors = status.import.errors.into_iter().map(|error| LineError {
        line: error.line,
        id: error.id,
        detail: error.detail,
    });
    Ok(Json(ImportAnswer {
        id,
        state: status.import.state.as_str(),
        received: status.import.received,
        stored: status.import.stored,
        failed: status.import.failed,
        errors: errors.collect(),
        seconds_left: status.seconds_left,
    }))
}
