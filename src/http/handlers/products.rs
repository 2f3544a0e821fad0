//! `/v1/products` and `/v1/products/{id}`.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Serialize;

use super::answers::location;
use crate::catalogue::{Product, Scope};
use crate::http::app::App;
use crate::http::problem::Problem;
use crate::http::request::endpoints::{ListProducts, PatchProduct, PutProduct};
use crate::http::request::extract::{OnlyNew, Parameters, Payload, Ready};
use crate::http::request::values::{Cursor, Limit};
use crate::service::Clock;
use crate::service::writes::GivenProduct;

/// Products of a page where the client does not say how many.
const PAGE: usize = 20;

/// The answer of `GET /v1/products`.
#[derive(Debug, Serialize)]
pub struct PageAnswer {
    products: Vec<Product>,
    /// Where the next page begins; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<Cursor>,
}

/// A page of products in stored order.
pub async fn list(
    State(app): State<Arc<App>>,
    Extension(clock): Extension<Clock>,
    Extension(scope): Extension<Scope>,
    Parameters(request): Parameters<ListProducts>,
) -> Result<Json<PageAnswer>, Problem> {
    let limit = request.limit.map_or(PAGE, Limit::get);
    let after = request.after.map(|Cursor(cursor)| cursor);
    let page = app
        .service
        .page(after, limit, request.filter, &scope, clock)
        .await?;
    Ok(Json(PageAnswer {
        products: page.products,
        next: page.next.map(Cursor),
    }))
}

/// One product.
pub async fn get(
    State(app): State<Arc<App>>,
    Extension(clock): Extension<Clock>,
    Extension(scope): Extension<Scope>,
    Path(id): Path<String>,
) -> Result<Json<Product>, Problem> {
    Ok(Json(app.service.product(id, &scope, clock).await?))
}

/// Creates a product or replaces it; durable and searchable once it is answered.
pub async fn put(
    State(app): State<Arc<App>>,
    Extension(clock): Extension<Clock>,
    Extension(scope): Extension<Scope>,
    _: Ready,
    OnlyNew(only_new): OnlyNew,
    Path(id): Path<String>,
    Payload(request): Payload<PutProduct>,
) -> Result<Response, Problem> {
    let given = GivenProduct {
        id: id.clone(),
        title: request.title.unwrap_or_default(),
        attributes: request.attributes.unwrap_or_default(),
        picture: request.image.into_inner(),
        mode: request.prepare.unwrap_or_default(),
    };
    let (product, created) = app.service.put(given, only_new, &scope, clock).await?;
    if !created {
        return Ok(Json(product).into_response());
    }
    let location = [(header::LOCATION, location(&["v1", "products", &id]))];
    Ok((StatusCode::CREATED, location, Json(product)).into_response())
}

/// Changes the title and attributes; null removes an attribute.
pub async fn patch(
    State(app): State<Arc<App>>,
    Extension(clock): Extension<Clock>,
    Extension(scope): Extension<Scope>,
    _: Ready,
    Path(id): Path<String>,
    Payload(request): Payload<PatchProduct>,
) -> Result<Json<Product>, Problem> {
    let changes = request.attributes.unwrap_or_default();
    Ok(Json(
        app.service
            .merge(id, request.title, changes, &scope, clock)
            .await?,
    ))
}

/// Removes a product: no later answer has it.
pub async fn delete(
    State(app): State<Arc<App>>,
    Extension(clock): Extension<Clock>,
    Extension(scope): Extension<Scope>,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    app.service.delete(id, &scope, clock).await?;
    Ok(StatusCode::NO_CONTENT)
}
