//! `GET /v1/export`: products as NDJSON, in the form that imports take.

use std::sync::Arc;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use futures_util::StreamExt;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use tokio::sync::OwnedSemaphorePermit;

use crate::catalogue::Scope;
use crate::catalogue::copying::{CopiedPicture, CopiedProduct};
use crate::http::app::App;
use crate::http::problem::Problem;
use crate::http::request::extract::Parameters;
use crate::http::request::feeds::ExportProducts;
use crate::service::export::Exporting;
use crate::service::{Clock, ServiceError};
use engine::picture::Mode;

/// Bytes that are given to the connection at a time.
const PIECE: usize = 64 << 10;

/// A line of an export.
#[derive(Debug, Serialize)]
struct Line<'a> {
    id: &'a str,
    title: &'a str,
    /// As they are stored: no digit of a number is lost.
    attributes: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    images: Option<Vec<Base64<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prepare: Option<Prepare>,
    #[serde(skip_serializing_if = "Option::is_none")]
    embeddings: Option<Vec<&'a [i32]>>,
}

/// How the pictures are prepared, where it is not by default.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Prepare {
    All(&'static str),
    Each(Vec<&'static str>),
}

#[derive(Debug)]
struct Base64<'a>(&'a [u8]);

impl Serialize for Base64<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Base64Display::new(self.0, &STANDARD))
    }
}

impl Prepare {
    fn of(pictures: &[CopiedPicture]) -> Option<Self> {
        let first = pictures.first()?.prepare;
        match pictures.iter().all(|picture| picture.prepare == first) {
            true if first == Mode::default() => None,
            true => Some(Self::All(first.as_str())),
            false => Some(Self::Each(
                pictures.iter().map(|picture| picture.prepare.as_str()).collect(),
            )),
        }
    }
}

/// What is exported of each product, and how far it is.
struct Lines {
    exporting: Exporting,
    pictures: bool,
    embeddings: bool,
    /// Lines that were made and not given to the connection yet.
    made: Bytes,
    _place: OwnedSemaphorePermit,
}

impl Lines {
    /// The next piece; none at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, ServiceError> {
        while self.made.is_empty() {
            let Some(products) = self.exporting.next().await? else {
                return Ok(None);
            };
            let mut made = Vec::new();
            for product in &products {
                self.write(product, &mut made)?;
            }
            self.made = made.into();
        }
        Ok(Some(self.made.split_to(self.made.len().min(PIECE))))
    }

    fn write(&self, product: &CopiedProduct, out: &mut Vec<u8>) -> Result<(), ServiceError> {
        let pictures = &product.pictures;
        let line = Line {
            id: &product.id,
            title: &product.title,
            attributes: serde_json::from_str(&product.attributes).map_err(|_| ServiceError::Panicked)?,
            images: self
                .pictures
                .then(|| pictures.iter().map(|picture| Base64(&picture.bytes)).collect()),
            prepare: self.pictures.then(|| Prepare::of(pictures)).flatten(),
            embeddings: self
                .embeddings
                .then(|| pictures.iter().map(|picture| &*picture.embedding).collect()),
        };
        serde_json::to_writer(&mut *out, &line).map_err(|_| ServiceError::Panicked)?;
        out.push(b'\n');
        Ok(())
    }
}

/// Sends the products that pass as they are read, page by page: the next one is read when the client has taken the one before.
/// After an error the answer is cut off, so that no client takes it for whole.
pub async fn export(
    State(app): State<Arc<App>>,
    Extension(clock): Extension<Clock>,
    Extension(scope): Extension<Scope>,
    Parameters(request): Parameters<ExportProducts>,
) -> Result<Response, Problem> {
    let filter = scope.filter(request.filter)?;
    let place = app.bodies.export()?;
    let pictures = request.pictures.unwrap_or_default();
    let embeddings = request.embeddings.unwrap_or_default();
    let service = Arc::clone(&app.service);
    let mut lines = Lines {
        exporting: Exporting::new(service, filter, pictures, embeddings, clock),
        pictures,
        embeddings,
        made: Bytes::new(),
        _place: place,
    };
    // What is wrong from the beginning is refused as it is anywhere else.
    let first = lines.next().await?;
    let rest = futures_util::stream::try_unfold(lines, |mut lines| async move {
        let piece = lines.next().await.inspect_err(|error| {
            tracing::error!(%error, "an export was cut off");
        });
        Ok::<_, ServiceError>(piece?.map(|piece| (piece, lines)))
    });
    let first = futures_util::stream::iter(first.map(Ok));
    let pieces = first.chain(rest);
    let content_type = HeaderValue::from_static("application/x-ndjson");
    Ok(([(header::CONTENT_TYPE, content_type)], Body::from_stream(pieces)).into_response())
}
