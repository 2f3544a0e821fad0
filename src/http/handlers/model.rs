//! `GET /v1/model` and `GET /v1/chip`: the network that answers, and the chip that it is placed on.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};

use crate::http::app::App;
use engine::model::describe::{ModelDescription, describe, describe_chip};

/// Layers, shapes, thresholds and defaults.
pub async fn model(State(app): State<Arc<App>>) -> Json<ModelDescription> {
    Json(describe(&app.service.maker().model))
}

/// Limits, each core, and every constant of the cost model with its source.
pub async fn chip(State(app): State<Arc<App>>) -> Response {
    let maker = app.service.maker();
    Json(describe_chip(&maker.model, Some(app.service.chips()))).into_response()
}
