//! `POST /v1/embeddings`, and the searches: by picture or embedding, by a product, by several products.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, State};
use serde::Serialize;

use super::answers::{CountsAnswer, MatchAnswer, ModelName, Timed};
use crate::catalogue::Scope;
use crate::http::app::App;
use crate::http::problem::Problem;
use crate::http::request::endpoints::{Embed, Recommend, Search, Similar};
use crate::http::request::extract::{Parameters, Payload, Ready};
use crate::http::request::product_fields::ProductFields;
use crate::service::Clock;
use crate::service::{EmbeddedBy, Found, Times};
use engine::chip::report::Emulation;
use engine::embedding::Prediction;
use engine::model::trace::Trace;
use engine::network::Probe;

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
    #[serde(flatten)]
    counts: CountsAnswer,
    model: ModelName,
    probe: Probe,
    time_steps: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    embedding: Option<Vec<i32>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prediction: Option<Prediction>,
    #[serde(skip_serializing_if = "Option::is_none")]
    emulation: Option<Emulation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace: Option<Trace>,
    timing: Times,
}

impl SearchAnswer {
    fn new(found: Found, fields: Option<ProductFields>, add_embedding: bool) -> Self {
        let maker = found.maker;
        let mut answer = Self {
            matches: MatchAnswer::each(found.matches, fields),
            counts: CountsAnswer(found.counts),
            model: ModelName::from(&*maker.model),
            probe: maker.origin.probe,
            time_steps: maker.origin.time_steps.get(),
            embedding: found.query.filter(|_| add_embedding),
            prediction: None,
            emulation: None,
            trace: None,
            timing: found.times,
        };
        if let Some(embedded) = found.embedded {
            answer.time_steps = embedded.embedding.time_steps.get();
            answer.prediction = Some(embedded.prediction);
            answer.emulation = Some(embedded.emulation);
            answer.trace = embedded.trace;
        }
        answer
    }
}

/// The answer of `GET /v1/products/{id}/similar` and of `POST /v1/recommend`.
#[derive(Debug, Serialize)]
pub struct SimilarAnswer {
    matches: Vec<MatchAnswer>,
    #[serde(flatten)]
    counts: CountsAnswer,
    model: ModelName,
    probe: Probe,
    #[serde(skip_serializing_if = "Option::is_none")]
    embedding: Option<Vec<i32>>,
    timing: Times,
}

impl SimilarAnswer {
    fn new(found: Found, fields: Option<ProductFields>, add_embedding: bool) -> Self {
        Self {
            matches: MatchAnswer::each(found.matches, fields),
            counts: CountsAnswer(found.counts),
            model: ModelName::from(&*found.maker.model),
            probe: found.maker.origin.probe,
            embedding: found.query.filter(|_| add_embedding),
            timing: found.times,
        }
    }
}

/// A picture's embedding, also if it is all zeros, and what the chip would have spent on it.
pub async fn embed(
    State(app): State<Arc<App>>,
    Extension(clock): Extension<Clock>,
    Payload(request): Payload<Embed>,
) -> Result<Timed<EmbeddingAnswer>, Problem> {
    let (image, choice) = request.into_run();
    let EmbeddedBy {
        embedded,
        maker,
        times,
    } = app.service.embed(image, choice, clock).await?;
    let answer = EmbeddingAnswer {
        model: ModelName::from(&*maker.model),
        probe: embedded.embedding.probe,
        time_steps: embedded.embedding.time_steps.get(),
        dimensions: embedded.embedding.values.len(),
        embedding: embedded.embedding.values,
        prediction: embedded.prediction,
        emulation: embedded.emulation,
        trace: embedded.trace,
        timing: times,
    };
    Ok(Timed(answer, times))
}

/// The products that look most like a picture, or that are nearest to an embedding.
pub async fn search(
    State(app): State<Arc<App>>,
    Extension(clock): Extension<Clock>,
    Extension(scope): Extension<Scope>,
    _: Ready,
    Payload(mut request): Payload<Search>,
) -> Result<Timed<SearchAnswer>, Problem> {
    let (fields, add_embedding) = (request.fields.take(), request.add_embedding);
    let (query, options) = request.into_query();
    let found = app.service.search(query, options, &scope, clock).await?;
    let times = found.times;
    Ok(Timed(SearchAnswer::new(found, fields, add_embedding), times))
}

/// The products that look most like a stored one; nothing is emulated.
pub async fn similar(
    State(app): State<Arc<App>>,
    Extension(clock): Extension<Clock>,
    Extension(scope): Extension<Scope>,
    Path(id): Path<String>,
    Parameters(request): Parameters<Similar>,
    _: Ready,
) -> Result<Timed<SimilarAnswer>, Problem> {
    let found = app
        .service
        .similar(id, request.ranking.into_options()?, &scope, clock)
        .await?;
    let times = found.times;
    Ok(Timed(SimilarAnswer::new(found, request.fields, false), times))
}

/// The products that look like some examples and unlike others; only pictures that are sent are emulated.
pub async fn recommend(
    State(app): State<Arc<App>>,
    Extension(clock): Extension<Clock>,
    Extension(scope): Extension<Scope>,
    _: Ready,
    Payload(mut request): Payload<Recommend>,
) -> Result<Timed<SimilarAnswer>, Problem> {
    let (fields, add_embedding) = (request.fields.take(), request.embedding == Some(true));
    let (taste, options) = request.into_taste()?;
    let found = app.service.recommend(taste, options, &scope, clock).await?;
    let times = found.times;
    Ok(Timed(SimilarAnswer::new(found, fields, add_embedding), times))
}
