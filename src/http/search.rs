//! `POST /v1/embeddings` and `POST /v1/search`, and their JSON.

use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use serde::Serialize;

use super::App;
use super::problem::Problem;
use super::request::{self, Endpoint, Request};
use crate::catalogue::Product;
use crate::service::embed::RunOptions;
use crate::service::search::Match;
use crate::service::{Query, Times};
use engine::chip::report::Emulation;
use engine::embedding::Prediction;
use engine::model::Model;
use engine::model::trace::Trace;
use engine::network::Probe;

/// Which model answered.
#[derive(Debug, Serialize)]
pub struct ModelName {
    id: String,
    name: String,
}

impl ModelName {
    /// The model's name and id.
    pub fn of(model: &Model) -> Self {
        Self {
            id: model.id.clone(),
            name: model.snn.network.name.clone(),
        }
    }
}

/// The answer of `POST /v1/embeddings`.
#[derive(Debug, Serialize)]
pub struct EmbeddingAnswer {
    model: ModelName,
    probe: Probe,
    time_steps: u32,
    dimensions: usize,
    embedding: Vec<i32>,
    prediction: Prediction,
    emulation: Emulation,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace: Option<Trace>,
    timing: Times,
}

/// The answer of `POST /v1/search`.
#[derive(Debug, Serialize)]
pub struct SearchAnswer {
    matches: Vec<MatchAnswer>,
    model: ModelName,
    probe: Probe,
    time_steps: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    prediction: Option<Prediction>,
    #[serde(skip_serializing_if = "Option::is_none")]
    emulation: Option<Emulation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace: Option<Trace>,
    timing: Times,
}

/// A product that was found.
#[derive(Debug, Serialize)]
pub struct MatchAnswer {
    product_id: String,
    picture_id: String,
    score: f64,
    product: Product,
}

impl MatchAnswer {
    /// As answers show it.
    pub fn of(found: Match) -> Self {
        Self {
            product_id: found.product.id.clone(),
            picture_id: found.picture_id,
            score: found.score,
            product: found.product,
        }
    }
}

/// A picture's embedding, zeros included, and what the chip would have spent on it.
pub async fn embeddings(
    State(app): State<Arc<App>>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<EmbeddingAnswer>, Problem> {
    let start = Instant::now();
    let request = request::read(Endpoint::Embeddings, &uri, &headers, body, &app.bodies).await?;
    let maker = app.service.maker();
    let options = run_options(&request, RunOptions::of(&maker.model));
    let image = request.image.ok_or_else(no_image)?;
    let deadline = start + app.limits.time;
    let (embedded, mut timing) = app.service.embed(&maker, image, options, deadline).await?;
    timing.total_ms = milliseconds(start);
    Ok(Json(EmbeddingAnswer {
        model: ModelName::of(&maker.model),
        probe: embedded.embedding.probe,
        time_steps: embedded.embedding.time_steps.get(),
        dimensions: embedded.embedding.values.len(),
        embedding: embedded.embedding.values,
        prediction: embedded.prediction,
        emulation: embedded.emulation,
        trace: embedded.trace,
        timing,
    }))
}

/// The products that look most like a picture, or that are nearest to an embedding.
pub async fn search(
    State(app): State<Arc<App>>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<SearchAnswer>, Problem> {
    let start = Instant::now();
    app.service.ready()?;
    let mut request = request::read(Endpoint::Search, &uri, &headers, body, &app.bodies).await?;
    let live = app.service.live()?;
    let maker = &live.maker;
    let run = run_options(&request, maker.options());
    let options = request.search_options();
    let query = match (request.image.take(), request.embedding.take()) {
        (Some(image), None) => Query::Picture(image, run),
        (None, Some(embedding)) => {
            if request.time_steps.is_some() || request.prepare.is_some() || run.trace {
                return Err(Problem::field(
                    "embedding",
                    "goes without time_steps, prepare and trace: nothing is emulated",
                ));
            }
            Query::Embedding(embedding)
        }
        (Some(_), Some(_)) => {
            return Err(Problem::field("embedding", "goes without an image"));
        }
        (None, None) => return Err(no_image()),
    };
    let deadline = start + app.limits.time;
    let found = app.service.search(&live, query, options, deadline).await?;
    let mut timing = found.times;
    timing.total_ms = milliseconds(start);
    let mut time_steps = maker.origin.time_steps;
    let (prediction, emulation, trace) = match found.embedded {
        Some(embedded) => {
            time_steps = embedded.embedding.time_steps;
            (
                Some(embedded.prediction),
                Some(embedded.emulation),
                embedded.trace,
            )
        }
        None => (None, None, None),
    };
    Ok(Json(SearchAnswer {
        matches: found.matches.into_iter().map(MatchAnswer::of).collect(),
        model: ModelName::of(&maker.model),
        probe: run.probe,
        time_steps: time_steps.get(),
        prediction,
        emulation,
        trace,
        timing,
    }))
}

fn run_options(request: &Request, default: RunOptions) -> RunOptions {
    RunOptions {
        time_steps: request.time_steps.unwrap_or(default.time_steps),
        probe: request.probe.unwrap_or(default.probe),
        mode: request.prepare.unwrap_or(default.mode),
        trace: request.trace.unwrap_or(default.trace),
    }
}

/// The refusal of a request that has no picture.
pub fn no_image() -> Problem {
    Problem::field(
        "image",
        "is missing; send a picture as the body, as the form field `image`, or as JSON in base64",
    )
}

fn milliseconds(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}
