//! Parts that several answers share.

use std::sync::Arc;

use axum::http::HeaderValue;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::catalogue::counts::Counts;
use crate::catalogue::search::{Match, Shown};
use crate::http::request::product_fields::ProductFields;
use crate::progress::Stage;
use crate::service::{Agreement, Reembedding, Times};
use engine::model::Model;
use engine::network::Probe;

/// JSON whose times are in the answer's `Server-Timing`, too.
#[derive(Debug)]
pub struct Timed<T>(pub T, pub Times);

impl<T: Serialize> IntoResponse for Timed<T> {
    fn into_response(self) -> Response {
        (Extension(self.1), Json(self.0)).into_response()
    }
}

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
    #[serde(skip_serializing_if = "Option::is_none")]
    rank_score: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<Value>,
    product: ProductAnswer,
}

impl MatchAnswer {
    /// What was found, with these fields of each product, or all.
    #[must_use]
    pub fn each(found: Vec<Match>, fields: Option<ProductFields>) -> Vec<Self> {
        let fields = fields.map(Arc::new);
        let answer = |found: Match| Self {
            product_id: found.product.id.clone(),
            picture_id: found.picture_id,
            score: found.score,
            rank_score: found.rank_score,
            group: found.group,
            product: ProductAnswer {
                product: found.product,
                fields: fields.clone(),
            },
        };
        found.into_iter().map(answer).collect()
    }
}

/// How many products pass the filter, and how many have each value: nothing where no facets were asked for.
#[derive(Debug)]
pub struct CountsAnswer(pub Option<Arc<Counts>>);

impl Serialize for CountsAnswer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct Facets<'a>(&'a Counts);
        impl Serialize for Facets<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_map(self.0.facets.iter().map(|(name, values)| (name, values)))
            }
        }
        let mut map = serializer.serialize_map(None)?;
        if let Some(counts) = &self.0 {
            map.serialize_entry("total", &counts.total)?;
            map.serialize_entry("facets", &Facets(counts))?;
        }
        map.end()
    }
}

/// A product with some of its fields, or all.
#[derive(Debug)]
struct ProductAnswer {
    product: Arc<Shown>,
    fields: Option<Arc<ProductFields>>,
}

impl Serialize for ProductAnswer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.fields {
            None => self.product.serialize(serializer),
            Some(fields) => fields.of(&self.product).serialize(serializer),
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
    /// Whether the new embeddings wait to be taken over once they are complete.
    hold: bool,
    /// How many of the ten best products both find; null until the new embeddings are complete.
    agreement: Option<Agreement>,
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
            hold: reembedding.holds(),
            agreement: reembedding.agreement(),
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
