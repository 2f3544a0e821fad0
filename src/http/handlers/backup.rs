//! `GET /v1/backup`: the whole catalogue in one file.

use std::fs::File;
use std::io::Read;
use std::sync::Arc;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use tokio::sync::OwnedSemaphorePermit;

use crate::http::app::App;
use crate::http::problem::Problem;
use crate::http::request::extract::Ready;
use crate::service::Clock;

/// Bytes that are read at a time.
const PIECE: usize = 256 << 10;

/// A file that is being sent, and its place among the answers of any length.
struct Sending {
    file: File,
    _place: OwnedSemaphorePermit,
}

/// Sends the catalogue as of this moment; an answer that ends before its length is not whole.
pub async fn backup(
    State(app): State<Arc<App>>,
    Extension(_): Extension<Clock>,
    _: Ready,
) -> Result<Response, Problem> {
    let place = app.bodies.export()?;
    let file = app.service.back_up().await?;
    let length = file.metadata().map_err(|_| Problem::internal())?.len();
    let sending = Sending { file, _place: place };
    let pieces = futures_util::stream::try_unfold(sending, |mut sending| async move {
        let read = tokio::task::spawn_blocking(move || {
            let mut piece = vec![0; PIECE];
            let read = sending.file.read(&mut piece)?;
            piece.truncate(read);
            Ok::<_, std::io::Error>((Bytes::from(piece), sending))
        });
        let (piece, sending) = read.await.map_err(std::io::Error::other)??;
        Ok::<_, std::io::Error>((!piece.is_empty()).then_some((piece, sending)))
    });
    let name = HeaderValue::from_static("attachment; filename=\"spikelens.backup\"");
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/vnd.sqlite3"),
        ),
        (header::CONTENT_DISPOSITION, name),
        (header::CONTENT_LENGTH, HeaderValue::from(length)),
    ];
    Ok((headers, Body::from_stream(pieces)).into_response())
}
