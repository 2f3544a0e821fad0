//! `POST /v1/imports` and `GET /v1/imports/{id}`: many products in one stream, one on each line.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Serialize;
use serde_json::json;

use super::answers::location;
use crate::admission::Stopped;
use crate::catalogue::Scope;
use crate::catalogue::import::{Counts, Missing};
use crate::http::access::Rights;
use crate::http::app::App;
use crate::http::problem::{Code, Problem};
use crate::http::request::body::{content_type, essence};
use crate::http::request::coding::{Coding, Pieces};
use crate::http::request::extract::{Parameters, Ready};
use crate::http::request::feeds::{CreateImport, GetImport};
use crate::service::Clock;
use crate::service::ServiceError;
use crate::service::imports::OpenImportStatus;
use engine::text::unmarked;

/// Content types of NDJSON as clients write them; a request without one is accepted, too. The last one is what curl says of
/// `--data-binary`.
const NDJSON: [&str; 10] = [
    "application/x-ndjson",
    "application/ndjson",
    "application/jsonl",
    "application/x-jsonlines",
    "application/jsonlines",
    "application/json",
    "application/octet-stream",
    "binary/octet-stream",
    "text/plain",
    "application/x-www-form-urlencoded",
];

/// Lines and bytes that are committed together while lines come in.
const LINES: usize = 256;
const BYTES: usize = 1 << 20;

/// A line may take so many times the time limit of a request, from the end of the one before; blank ones are none.
pub const LINE_TIMES: u32 = 6;

/// The answer of `GET /v1/imports/{id}`.
#[derive(Debug, Serialize)]
pub struct ImportAnswer {
    id: String,
    state: &'static str,
    #[serde(flatten)]
    counts: CountsAnswer,
    missing: &'static str,
    note: Option<String>,
    errors: Vec<LineError>,
    seconds_left: Option<f64>,
}

/// An unfinished import, in the answer of `GET /v1/stats`.
#[derive(Debug, Serialize)]
pub struct OpenImportAnswer {
    id: String,
    state: &'static str,
    #[serde(flatten)]
    counts: CountsAnswer,
    seconds_left: Option<f64>,
}

/// What became of the lines so far.
#[derive(Debug, Serialize)]
struct CountsAnswer {
    received: u64,
    stored: u64,
    /// Rows of a table that were joined to a product: a line of NDJSON is a product of its own.
    joined: u64,
    merged: u64,
    deleted: u64,
    failed: u64,
}

impl From<Counts> for CountsAnswer {
    fn from(counts: Counts) -> Self {
        Self {
            received: counts.received,
            stored: counts.stored,
            joined: 0,
            merged: counts.merged,
            deleted: counts.deleted,
            failed: counts.failed,
        }
    }
}

impl From<OpenImportStatus> for OpenImportAnswer {
    fn from(open: OpenImportStatus) -> Self {
        Self {
            id: open.import.id,
            state: open.import.state.as_str(),
            counts: open.import.counts.into(),
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

/// Stores the lines as they come and answers once all of them are durable; then they become products.
pub async fn create(
    State(app): State<Arc<App>>,
    Extension(clock): Extension<Clock>,
    Extension(rights): Extension<Rights>,
    Parameters(options): Parameters<CreateImport>,
    _: Ready,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let missing = options.missing.unwrap_or_default();
    if missing == Missing::Delete {
        rights.admin("missing=delete")?;
    }
    let has_type = has_type(&headers)?;
    let coding = Coding::of(&headers)?;
    let mut stream = app.bodies.stream()?;
    let mut pieces = Pieces::new(body, coding);
    let id = uuid::Uuid::new_v4().to_string();
    let mut import = app
        .service
        .begin_import(id.clone(), missing, rights.scope, clock.restarted())
        .await?;
    let mut lines = Lines::new(app.limits.body);
    let (mut received, mut some): (usize, bool) = (0, false);
    let mut line = Clock::start(app.limits.time * LINE_TIMES);
    while let Some(piece) = next(&mut pieces, clock.restarted(), line, lines.ended + 1).await? {
        let complete = lines.complete.len();
        lines.add(&piece)?;
        if lines.complete.len() > complete {
            line = line.restarted();
        }
        received = received.saturating_add(piece.len());
        let decoder = received.min(coding.window());
        stream.hold(lines.held() + decoder)?;
        if lines.complete.len() >= LINES || lines.bytes >= BYTES {
            import.lines(lines.take(), clock.restarted()).await?;
            some = true;
            stream.hold(lines.held() + decoder)?;
            line = line.restarted();
        }
    }
    lines.end()?;
    // A stream without lines says that there is nothing new; a request without a body was not meant as an import.
    if lines.ended == 0 && !has_type {
        return Err(Problem::new(
            Code::InvalidRequest,
            "there is no body; send one JSON object a line as application/x-ndjson",
        ));
    }
    let rest = lines.take();
    if missing == Missing::Delete && rest.is_empty() && !some {
        return Err(Problem::field(
            "missing",
            "is delete, and the body has no lines: every product would be removed; DELETE /v1/products?filter={} does that",
        ));
    }
    if !rest.is_empty() {
        import.lines(rest, clock.restarted()).await?;
    }
    import.whole(clock.restarted()).await?;
    app.service.wake_importer();
    let location = [(header::LOCATION, location(&["v1", "imports", &id]))];
    Ok((StatusCode::ACCEPTED, location, Json(json!({ "id": id }))).into_response())
}

/// The next piece of a stream, which must come within the time limit of a request, and before a line has taken too long.
async fn next(pieces: &mut Pieces, piece: Clock, line: Clock, number: u64) -> Result<Option<Bytes>, Problem> {
    let end = piece.deadline().min(line.deadline());
    match tokio::time::timeout_at(end.into(), pieces.next()).await {
        Ok(next) if Instant::now() < line.deadline() => next.transpose(),
        Err(_) if piece.deadline() < line.deadline() => Err(ServiceError::from(Stopped::Late).into()),
        _ => Err(Problem::new(
            Code::InvalidRequest,
            format!("line {number} took too long to arrive; nothing was imported"),
        )),
    }
}

/// Whether there is a content type, which must be one of [`NDJSON`].
fn has_type(headers: &HeaderMap) -> Result<bool, Problem> {
    if !headers.contains_key(header::CONTENT_TYPE) {
        return Ok(false);
    }
    let essence = essence(content_type(headers));
    if NDJSON.contains(&essence.as_str()) {
        return Ok(true);
    }
    Err(Problem::new(
        Code::UnsupportedMediaType,
        format!("the Content-Type is {essence:?}; send one JSON object a line as application/x-ndjson"),
    ))
}

/// Splits a stream of bytes into lines, each with its number; blank lines are left out but counted.
struct Lines {
    /// Bytes that a line may have.
    longest: usize,
    /// The last line, of which more may follow.
    open: Vec<u8>,
    /// Lines that have ended.
    ended: u64,
    complete: Vec<(u64, Vec<u8>)>,
    /// Bytes of the complete lines.
    bytes: usize,
}

impl Lines {
    fn new(longest: usize) -> Self {
        Self {
            longest,
            open: Vec::new(),
            ended: 0,
            complete: Vec::new(),
            bytes: 0,
        }
    }

    /// Adds the next bytes of the stream, or refuses a line that is too large.
    fn add(&mut self, piece: &[u8]) -> Result<(), Problem> {
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            if self.open.len() + part.len() > self.longest {
                let (line, most) = (self.ended + 1, self.longest);
                return Err(Problem::new(
                    Code::TooLarge,
                    format!("line {line} is larger than {most} bytes; nothing was imported"),
                ));
            }
            self.open.extend_from_slice(part);
            if part.ends_with(b"\n") {
                self.end_line()?;
            }
        }
        Ok(())
    }

    /// Ends the last line, which may have no line break.
    fn end(&mut self) -> Result<(), Problem> {
        if self.open.is_empty() {
            return Ok(());
        }
        self.end_line()
    }

    fn end_line(&mut self) -> Result<(), Problem> {
        self.ended += 1;
        let line = std::mem::take(&mut self.open);
        let text = match unmarked(&line) {
            Ok(text) => text,
            // Every line would be an error.
            Err(other) if self.ended == 1 => {
                let detail = format!("the body {other}; nothing was imported");
                return Err(Problem::new(Code::InvalidRequest, detail));
            }
            Err(_) => &line,
        };
        if !text.trim_ascii().is_empty() {
            self.bytes += line.len();
            self.complete.push((self.ended, line));
        }
        Ok(())
    }

    /// Bytes of the lines that are here, and of the one of which more may follow.
    fn held(&self) -> usize {
        self.open.len() + self.bytes
    }

    /// Takes the complete lines out.
    fn take(&mut self) -> Vec<(u64, Vec<u8>)> {
        self.bytes = 0;
        std::mem::take(&mut self.complete)
    }
}

/// The progress of an import, and which lines were refused; with `wait`, once it has ended or after so many seconds.
pub async fn get(
    State(app): State<Arc<App>>,
    Extension(clock): Extension<Clock>,
    Path(id): Path<String>,
    Extension(scope): Extension<Scope>,
    Parameters(options): Parameters<GetImport>,
) -> Result<Json<ImportAnswer>, Problem> {
    let wait = Duration::from_secs(options.wait.map_or(0, |wait| wait.get() as u64));
    let status = app.service.ended_import(id.clone(), wait, &scope, clock).await?;
    let errors = status.import.errors.into_iter().map(|error| LineError {
        line: error.line,
        id: error.id,
        detail: error.detail,
    });
    Ok(Json(ImportAnswer {
        id,
        state: status.import.state.as_str(),
        counts: status.import.counts.into(),
        missing: status.import.missing.as_str(),
        note: status.import.note,
        errors: errors.collect(),
        seconds_left: status.seconds_left,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_numbered_and_joined_over_pieces_and_blank_ones_only_counted() {
        let mut lines = Lines::new(8);
        for piece in [b"a".as_slice(), b"b\n \n", b"c\nd"] {
            lines.add(piece).unwrap();
        }
        assert_eq!(lines.take(), [(1, b"ab\n".to_vec()), (3, b"c\n".to_vec())]);
        lines.end().unwrap();
        lines.end().unwrap();
        assert_eq!((lines.take(), lines.ended), (vec![(4, b"d".to_vec())], 4));
        let refusal = lines.add(b"123456789").unwrap_err();
        assert_eq!(refusal.code, Code::TooLarge);
        assert!(refusal.detail.starts_with("line 5 is larger than 8 bytes"));
    }
}
