//! `GET /v1/model` and `GET /v1/chip`: the network that answers, and the chip that it is placed on.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};

use serde::Serialize;

use super::App;
use super::search::ModelName;
use crate::service::Stage;
use crate::service::live::Reembedding;
use engine::model::describe::{ModelDescription, describe, describe_chip};
use engine::network::Probe;

/// Layers, shapes, thresholds and defaults.
pub async fn model(State(app): State<Arc<App>>) -> Json<ModelDescription> {
    Json(describe(&app.service.maker().model))
}

/// Limits, cores one by one, and every constant of the cost model with its source.
pub async fn chip(State(app): State<Arc<App>>) -> Response {
    Json(describe_chip(
        &app.service.maker().model,
        Some(app.service.chips()),
    ))
    .into_response()
}

/// Another model, probe or T whose embeddings are on their way, as `/readyz` and `/v1/stats` show it.
#[derive(Debug, Serialize)]
pub struct ReembeddingAnswer {
    stage: Stage,
    model: ModelName,
    probe: Probe,
    time_steps: u32,
    done: usize,
    total: usize,
    /// Of the stage; none before there is a pace.
    seconds_left: Option<f64>,
}

impl ReembeddingAnswer {
    /// As it stands.
    pub fn of(reembedding: &Reembedding) -> Self {
        let Reembedding { maker, progress } = reembedding;
        let (stage, done, total) = progress.now();
        Self {
            stage,
            model: ModelName::of(&maker.model),
            probe: maker.origin.probe,
            time_steps: maker.origin.time_steps.get(),
            done,
            total,
            seconds_left: progress.seconds_left(),
        }
    }
}
