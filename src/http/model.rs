//! `GET /v1/model`: the network that answers.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::App;
use crate::service::describe::{ModelDescription, describe};

/// Layers, shapes, thresholds and defaults.
pub async fn model(State(app): State<Arc<App>>) -> Json<ModelDescription> {
    Json(describe(&app.service.model))
}
