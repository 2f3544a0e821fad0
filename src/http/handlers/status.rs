//! The state of the server: `GET /healthz`, `/readyz` and `/v1/stats`; and its description, `GET /openapi.yaml`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde_json::{Value, json};

use super::answers::{ModelName, ReembeddingAnswer};
use super::imports::OpenImportAnswer;
use crate::catalogue::Scope;
use crate::http::app::App;
use crate::http::problem::Problem;
use crate::http::request::extract::Ready;
use crate::service::{Clock, Service};

/// Whether the process answers at all.
pub async fn healthz() -> Json<Value> {
    Json(json!({"status": "alive"}))
}

/// Whether searches are answered; while they are not, [`Ready`] says why.
pub async fn readyz(State(app): State<Arc<App>>, _: Ready) -> Json<Value> {
    let service = &app.service;
    Json(with_reembedding(
        service,
        json!({
            "status": "ready",
            "pictures": service.pictures(),
            "chips": service.chips(),
            "store": service.store(),
        }),
    ))
}

/// Counts, the state of the index, its recall on a sample, and the open imports.
pub async fn stats(
    State(app): State<Arc<App>>,
    Extension(clock): Extension<Clock>,
    Extension(scope): Extension<Scope>,
) -> Result<Json<Value>, Problem> {
    let stats = app.service.stats(clock).await?;
    let imports = app.service.open_imports(&scope, clock).await?;
    let imports: Vec<_> = imports.into_iter().map(OpenImportAnswer::from).collect();
    let mut answer = json!({
        "imports": imports,
        "products": stats.catalogue.products,
        "pictures": stats.catalogue.pictures,
        "model": ModelName::from(&*stats.maker.model),
        "probe": stats.maker.origin.probe,
        "time_steps": stats.maker.origin.time_steps.get(),
    });
    if let Some([products, pictures]) = app.service.counts(&scope, clock).await? {
        // The rest is of all products.
        answer["products"] = products.into();
        answer["pictures"] = pictures.into();
        return Ok(Json(answer));
    }
    answer["index"] = json!(stats.catalogue.index);
    answer["recall"] = json!(stats.catalogue.recall);
    answer["store"] = json!(stats.catalogue.store);
    Ok(Json(with_reembedding(&app.service, answer)))
}

/// Adds the field `reembedding` while other embeddings are being made.
fn with_reembedding(service: &Service, mut answer: Value) -> Value {
    if let Some(reembedding) = service.reembedding() {
        answer["reembedding"] = json!(ReembeddingAnswer::from(&*reembedding));
    }
    answer
}

/// The description of this interface.
pub async fn openapi() -> Response {
    let content_type = HeaderValue::from_static("application/yaml");
    let document = include_str!("../../../openapi.yaml");
    ([(header::CONTENT_TYPE, content_type)], document).into_response()
}
