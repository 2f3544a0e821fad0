//! `/v1/model` and `GET /v1/chip`: the network that answers, the one that may replace it, and the chip that it is placed on.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Serialize;

use super::answers::{ModelName, ReembeddingAnswer};
use crate::http::app::App;
use crate::http::problem::Problem;
use crate::http::request::endpoints::ChangeModel;
use crate::http::request::extract::{Payload, Ready};
use crate::http::request::networks::Action;
use crate::service::Clock;
use engine::model::describe::{ModelDescription, describe, describe_chip};
use engine::network::Probe;

/// Layers, shapes, thresholds and defaults.
pub async fn model(State(app): State<Arc<App>>) -> Json<ModelDescription> {
    Json(describe(&app.service.maker().model))
}

/// The answer of `POST /v1/model`: which embeddings answer now, and the next ones while there are any.
#[derive(Debug, Serialize)]
pub struct ChangedAnswer {
    model: ModelName,
    probe: Probe,
    time_steps: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    reembedding: Option<ReembeddingAnswer>,
}

/// Takes the next network over, or drops it: 202 where its embeddings are not complete yet.
pub async fn change(
    State(app): State<Arc<App>>,
    Extension(clock): Extension<Clock>,
    _: Ready,
    Payload(request): Payload<ChangeModel>,
) -> Result<Response, Problem> {
    let done = match request.next {
        Action::TakeOver => app.service.take_over(clock).await?,
        Action::Drop => app.service.drop_next(clock).await.map(|()| true)?,
    };
    let maker = app.service.maker();
    let answer = ChangedAnswer {
        model: ModelName::from(&*maker.model),
        probe: maker.origin.probe,
        time_steps: maker.origin.time_steps.get(),
        reembedding: app
            .service
            .reembedding()
            .map(|next| ReembeddingAnswer::from(&*next)),
    };
    let status = if done {
        StatusCode::OK
    } else {
        StatusCode::ACCEPTED
    };
    Ok((status, Json(answer)).into_response())
}

/// Limits, each core, and every constant of the cost model with its source.
pub async fn chip(State(app): State<Arc<App>>) -> Response {
    let maker = app.service.maker();
    Json(describe_chip(&maker.model, Some(app.service.chips()))).into_response()
}
