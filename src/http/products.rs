//! `GET /v1/products` and what is under it.

use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::App;
use super::problem::Problem;
use super::request::{self, Endpoint};
use super::search::{MatchAnswer, ModelName, no_image};
use crate::catalogue::Product;
use crate::service::Times;
use crate::service::maker::Maker;
use crate::service::recommend::Taste;
use crate::service::search::Match;
use crate::service::writes::GivenProduct;
use engine::network::Probe;
use engine::network::hex;

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

/// The answer of `GET /v1/products/{id}/similar` and of `POST /v1/recommend`.
#[derive(Debug, Serialize)]
pub struct SimilarAnswer {
    matches: Vec<MatchAnswer>,
    model: ModelName,
    probe: Probe,
    timing: Times,
}

impl SimilarAnswer {
    fn of(maker: &Maker, matches: Vec<Match>, timing: Times) -> Self {
        Self {
            matches: matches.into_iter().map(MatchAnswer::of).collect(),
            model: ModelName::of(&maker.model),
            probe: maker.origin.probe,
            timing,
        }
    }
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

/// Creates a product or replaces it; durable and searchable once it is answered.
pub async fn put(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let deadline = Instant::now() + app.limits.time;
    app.service.ready()?;
    let only_new = only_new(&headers)?;
    let request = request::read(Endpoint::PutProduct, &uri, &headers, body, &app.bodies).await?;
    let given = GivenProduct {
        id: id.clone(),
        title: request.title.unwrap_or_default(),
        attributes: request.attributes.unwrap_or_default(),
        picture: request.image.ok_or_else(no_image)?,
        mode: request.prepare.unwrap_or_default(),
    };
    let (product, created) = app.service.put(given, only_new, deadline).await?;
    if !created {
        return Ok(Json(product).into_response());
    }
    let location = [(header::LOCATION, location(&["v1", "products", &id]))];
    Ok((StatusCode::CREATED, location, Json(product)).into_response())
}

/// Changes title and attributes; null removes an attribute.
pub async fn patch(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Product>, Problem> {
    let deadline = Instant::now() + app.limits.time;
    app.service.ready()?;
    let request = request::read(Endpoint::PatchProduct, &uri, &headers, body, &app.bodies).await?;
    let attributes = request.attributes.unwrap_or_default();
    let merged = app.service.merge(id, request.title, attributes, deadline);
    Ok(Json(merged.await?))
}

/// Removes a product: no later answer has it.
pub async fn delete(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<StatusCode, Problem> {
    request::parameters(Endpoint::Nothing, &uri)?;
    let deadline = Instant::now() + app.limits.time;
    app.service.delete(id, deadline).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Adds a view of a product.
pub async fn add_picture(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let deadline = Instant::now() + app.limits.time;
    app.service.ready()?;
    let request = request::read(Endpoint::AddPicture, &uri, &headers, body, &app.bodies).await?;
    let image = request.image.ok_or_else(no_image)?;
    let mode = request.prepare.unwrap_or_default();
    let picture = app.service.add_picture(id.clone(), image, mode, deadline).await?;
    let location = location(&["v1", "products", &id, "pictures", &picture.id]);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(picture)).into_response())
}

/// Removes a view of a product, unless it is the only one.
pub async fn delete_picture(
    State(app): State<Arc<App>>,
    Path((product, picture)): Path<(String, String)>,
    uri: Uri,
) -> Result<StatusCode, Problem> {
    request::parameters(Endpoint::Nothing, &uri)?;
    let deadline = Instant::now() + app.limits.time;
    app.service.delete_picture(product, picture, deadline).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Whether only a product that is not there yet may be written. Products have no entity tags to compare.
fn only_new(headers: &HeaderMap) -> Result<bool, Problem> {
    if headers.contains_key(header::IF_MATCH) {
        return Err(Problem::field(
            "If-Match",
            "is not known here: products have no entity tags",
        ));
    }
    match headers.get(header::IF_NONE_MATCH).map(HeaderValue::as_bytes) {
        None => Ok(false),
        Some(b"*") => Ok(true),
        Some(other) => {
            let other = String::from_utf8_lossy(other);
            Err(Problem::field(
                "If-None-Match",
                format!("is {other}; only * is known, for a product that must not be there yet"),
            ))
        }
    }
}

/// An address on this server; what is not plain in its parts is escaped.
pub fn location(parts: &[&str]) -> HeaderValue {
    let mut path = String::new();
    for part in parts {
        path.push('/');
        for byte in part.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                path.push(char::from(byte));
            } else {
                path.push_str(&format!("%{byte:02X}"));
            }
        }
    }
    HeaderValue::from_str(&path).expect("plain characters alone")
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
    let known = request::knows(&headers, &tag);
    let plain = |value: &str| HeaderValue::from_str(value).expect("a hash, or one of our own content types");
    let caching = [
        (header::ETAG, plain(&tag)),
        // A picture's id is never given to another one: what is under this address stays.
        (
            header::CACHE_CONTROL,
            HeaderValue::from_static("private, max-age=31536000, immutable"),
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
    let (live, deadline) = (app.service.live()?, start + app.limits.time);
    let (matches, timing) = app.service.similar(&live, id, options, deadline).await?;
    Ok(Json(SimilarAnswer::of(&live.maker, matches, timing)))
}

/// The products that look like some and unlike others, all of them stored; nothing is emulated.
pub async fn recommend(
    State(app): State<Arc<App>>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<SimilarAnswer>, Problem> {
    let deadline = Instant::now() + app.limits.time;
    app.service.ready()?;
    let mut request = request::read(Endpoint::Recommend, &uri, &headers, body, &app.bodies).await?;
    let options = request.search_options();
    let taste = Taste {
        positive: request.positive.unwrap_or_default(),
        negative: request.negative.unwrap_or_default(),
        diversity: request.diversity.unwrap_or_default(),
    };
    if taste.positive.is_empty() {
        return Err(Problem::field("positive", "must name a product at least"));
    }
    let live = app.service.live()?;
    let (matches, timing) = app.service.recommend(&live, taste, options, deadline).await?;
    Ok(Json(SimilarAnswer::of(&live.maker, matches, timing)))
}
