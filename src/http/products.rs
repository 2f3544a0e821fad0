//! `GET /v1/products` and what is under it.

use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::App;
use super::problem::Problem;
use super::request::{self, Endpoint};
use super::search::{MatchAnswer, ModelName};
use crate::catalogue::Product;
use crate::network::Probe;
use crate::service::Times;
use crate::service::model::hex;

/// Products of a page where the client does not say how many.
const PAGE: usize = 20;

/// The answer of `GET /v1/products`.
#[derive(Debug, Serialize)]
pub struct PageAnswer {
    products: Vec<Product>,
    /// Where the next page begins; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// The answer of `GET /v1/products/{id}/similar`.
#[derive(Debug, Serialize)]
pub struct SimilarAnswer {
    matches: Vec<MatchAnswer>,
    model: ModelName,
    probe: Probe,
    timing: Times,
}

/// A page of products in stored order.
pub async fn list(State(app): State<Arc<App>>, uri: Uri) -> Result<Json<PageAnswer>, Problem> {
    let request = request::parameters(Endpoint::Products, &uri)?;
    let limit = request.limit.unwrap_or(PAGE);
    let page = app.service.page(request.after, limit, request.filter).await?;
    Ok(Json(PageAnswer {
        products: page.products,
        next: page.next.map(request::cursor),
    }))
}

/// One product.
pub async fn get(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Json<Product>, Problem> {
    request::parameters(Endpoint::Nothing, &uri)?;
    Ok(Json(app.service.product(id).await?))
}

/// A picture's file as it was stored; a client that has it already is told so.
pub async fn picture(
    State(app): State<Arc<App>>,
    Path((product, picture)): Path<(String, String)>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    request::parameters(Endpoint::Nothing, &uri)?;
    let file = app.service.picture(product, picture).await?;
    let tag = format!("\"{}\"", hex(&Sha256::digest(&file.bytes)));
    let known = headers
        .get(header::IF_NONE_MATCH)
        .and_then(|tags| tags.to_str().ok());
    let known = known.is_some_and(|tags| {
        let mut tags = tags.split(',').map(str::trim);
        tags.any(|known| known == "*" || known.trim_start_matches("W/") == tag)
    });
    let plain = |value: &str| HeaderValue::from_str(value).expect("a hash, or one of our own content types");
    let caching = [
        (header::ETAG, plain(&tag)),
        // A replaced product may have another picture under the same name: after a day, ask.
        (
            header::CACHE_CONTROL,
            HeaderValue::from_static("private, max-age=86400"),
        ),
    ];
    if known {
        return Ok((StatusCode::NOT_MODIFIED, caching).into_response());
    }
    let content_type = [(header::CONTENT_TYPE, plain(&file.content_type))];
    Ok((caching, content_type, file.bytes).into_response())
}

/// The products that look most like a stored one; nothing is emulated.
pub async fn similar(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Json<SimilarAnswer>, Problem> {
    let start = Instant::now();
    let mut request = request::parameters(Endpoint::Similar, &uri)?;
    let options = request.search_options();
    let (matches, timing) = app.service.similar(id, options, start + app.limits.time).await?;
    Ok(Json(SimilarAnswer {
        matches: matches.into_iter().map(MatchAnswer::of).collect(),
        model: ModelName::of(&app.service.model),
        probe: app.service.options.origin.probe,
        timing,
    }))
}
