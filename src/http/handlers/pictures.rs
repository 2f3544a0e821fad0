//! `/v1/products/{id}/pictures` and the pictures under it.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use futures_util::StreamExt;

use super::answers::location;
use crate::admission::Stopped;
use crate::catalogue::{PictureFile, Scope};
use crate::http::app::App;
use crate::http::entity_tag;
use crate::http::problem::Problem;
use crate::http::request::endpoints::AddPicture;
use crate::http::request::extract::{Payload, Ready};
use crate::service::{Clock, ServiceError};
use engine::network::hex;

/// The id of a picture never refers to another one, so what is under its address never changes.
const CACHING: HeaderValue = HeaderValue::from_static("private, max-age=31536000, immutable");

/// Adds a picture to a product.
pub async fn add(
    State(app): State<Arc<App>>,
    Extension(clock): Extension<Clock>,
    Extension(scope): Extension<Scope>,
    _: Ready,
    Path(id): Path<String>,
    Payload(request): Payload<AddPicture>,
) -> Result<Response, Problem> {
    let (image, mode) = (request.image.into_inner(), request.prepare.unwrap_or_default());
    let picture = app.service.add_picture(id.clone(), image, mode, &scope, clock);
    let picture = picture.await?;
    let location = location(&["v1", "products", &id, "pictures", &picture.id]);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(picture)).into_response())
}

/// A picture's file as it was stored, or 304 for a client that has it already.
pub async fn get(
    State(app): State<Arc<App>>,
    Extension(clock): Extension<Clock>,
    Extension(scope): Extension<Scope>,
    Path((product, picture)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let file = app.service.picture(product, picture, &scope, clock).await?;
    let value = |text: &str| HeaderValue::from_str(text).expect("a hash, or a content type of our own");
    let tag = value(&format!("\"{}\"", hex(&file.sum)));
    let known = entity_tag::matches(&headers, &tag);
    let caching = [(header::ETAG, tag), (header::CACHE_CONTROL, CACHING)];
    if known {
        return Ok((StatusCode::NOT_MODIFIED, caching).into_response());
    }
    let content_type = [(header::CONTENT_TYPE, value(&file.content_type))];
    if file.first.len() as u64 == file.length {
        return Ok((caching, content_type, file.first).into_response());
    }
    let length = [(header::CONTENT_LENGTH, HeaderValue::from(file.length))];
    Ok((caching, content_type, length, in_pieces(app, file)).into_response())
}

/// A picture's file, of which only one piece is in memory. Each is read when the one before it was taken.
fn in_pieces(app: Arc<App>, file: PictureFile) -> Body {
    let PictureFile {
        key, length, first, ..
    } = file;
    let rest = futures_util::stream::try_unfold(first.len() as u64, move |offset| {
        let app = Arc::clone(&app);
        async move {
            if offset == length {
                return Ok(None);
            }
            let reading = app.service.picture_piece(key, offset);
            let piece = tokio::time::timeout(app.limits.time, reading).await;
            let piece = piece.unwrap_or(Err(Stopped::Late.into()))?;
            // An answer that is shorter than its length ends with its connection.
            let read = offset + piece.len() as u64;
            Ok::<_, ServiceError>((read > offset).then_some((piece, read)))
        }
    });
    let first = std::future::ready(Ok(first));
    Body::from_stream(futures_util::stream::once(first).chain(rest))
}

/// Removes a picture of a product, unless it is the only one.
pub async fn delete(
    State(app): State<Arc<App>>,
    Extension(clock): Extension<Clock>,
    Extension(scope): Extension<Scope>,
    Path((product, picture)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    app.service
        .delete_picture(product, picture, &scope, clock)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
