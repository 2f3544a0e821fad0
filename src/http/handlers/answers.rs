//! Parts that several answers share.

use std::sync::Arc;

use axum::http::HeaderValue;
use serde::Serialize;

use crate::catalogue::search::{Match, Shown};
use crate::progress::Stage;
use crate::service::Reembedding;
use engine::model::Model;
use engine::network::Probe;

/// The model that made an answer.
#[derive(Debug, Serialize)]
pub struct ModelName {
    id: String,
    name: String,
}

impl From<&Model> for ModelName {
    fn from(model: &Model) -> Self {
        Self {
            id: model.id.clone(),
            name: model.snn.network.name.clone(),
        }
    }
}

/// A product that was found.
#[derive(Debug, Serialize)]
pub struct MatchAnswer {
    product_id: String,
    picture_id: String,
    score: f64,
    product: Arc<Shown>,
}

impl From<Match> for MatchAnswer {
    fn from(found: Match) -> Self {
        Self {
            product_id: found.product.id.clone(),
            picture_id: found.picture_id,
            score: found.score,
            product: found.product,
        }
    }
}

/// The progress of a change to another model, probe or T, in `/readyz` and `/v1/stats`.
#[derive(Debug, Serialize)]
pub struct ReembeddingAnswer {
    stage: Stage,
    model: ModelName,
    probe: Probe,
    time_steps: u32,
    done: usize,
    total: usize,
    /// Of this stage; null until a rate is known.
    seconds_left: Option<f64>,
}

impl From<&Reembedding> for ReembeddingAnswer {
    fn from(reembedding: &Reembedding) -> Self {
        let Reembedding { maker, progress, .. } = reembedding;
        let (stage, done, total) = progress.now();
        Self {
            stage,
            model: ModelName::from(&*maker.model),
            probe: maker.origin.probe,
            time_steps: maker.origin.time_steps.get(),
            done,
            total,
            seconds_left: progress.seconds_left(),
        }
    }
}

/// The value of a `Location` header: a path on this server, its segments percent-encoded.
#[must_use]
pub fn location(segments: &[&str]) -> HeaderValue {
    let mut path = String::new();
    for segment in segments {
        path.push('/');
        for byte in segment.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                path.push(char::from(byte));
            } else {
                path.push_str(&format!("%{byte:02X}"));
            }
        }
    }
    HeaderValue::from_str(&path).expect("percent-encoded text is ASCII")
}
