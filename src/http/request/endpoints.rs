//! What each endpoint reads. A member is a field of the same name; a group after `..` adds its own fields.

use axum::body::Bytes;

use super::body::Accepts;
use super::fields::{Fields, FromFields, fields};
use super::values::{Cursor, Diversity, Embedding, Ids, Image, K, Limit, MinScore, SomeIds};
use crate::catalogue::Title;
use crate::catalogue::filter::Filter;
use crate::catalogue::search::SearchOptions;
use crate::catalogue::{AttributeChanges, Attributes};
use crate::chips::RunChoice;
use crate::http::problem::Problem;
use crate::service::Query;
use crate::service::recommend::Taste;
use engine::embedding::stopping::Length;
use engine::network::Probe;
use engine::picture::Mode;

/// A request that has a body.
pub trait FromBody: FromFields {
    /// Content types that are read beside JSON and forms.
    const ACCEPTS: Accepts;
}

fields! {
    /// `POST /v1/embeddings`.
    pub struct Embed {
        image: Image,
        time_steps: Option<Length>,
        probe: Option<Probe>,
        prepare: Option<Mode>,
        trace: Option<bool>,
    }
}

impl FromBody for Embed {
    const ACCEPTS: Accepts = Accepts::Picture;
}

impl Embed {
    /// The picture, and how to run it.
    #[must_use]
    pub fn into_run(self) -> (Bytes, RunChoice) {
        let choice = RunChoice {
            time_steps: self.time_steps,
            probe: self.probe,
            mode: self.prepare,
            trace: self.trace,
        };
        (self.image.into_inner(), choice)
    }
}

fields! {
    /// How matches are chosen: the options that all searches share.
    pub struct Ranking {
        k: Option<K>,
        min_score: Option<MinScore>,
        exact: Option<bool>,
        filter: Option<Filter>,
    }
}

impl From<Ranking> for SearchOptions {
    /// What was requested, otherwise the defaults of a search.
    fn from(ranking: Ranking) -> Self {
        let default = Self::default();
        Self {
            k: ranking.k.map_or(default.k, K::get),
            min_score: ranking.min_score.map(MinScore::get),
            exact: ranking.exact.unwrap_or(default.exact),
            filter: ranking.filter,
        }
    }
}

fields! {
    struct SearchFields {
        image: Option<Image>,
        embedding: Option<Embedding>,
        time_steps: Option<Length>,
        prepare: Option<Mode>,
        trace: Option<bool>,
        ..ranking: Ranking,
    }
}

/// `POST /v1/search`.
#[derive(Debug)]
pub struct Search {
    query: SearchQuery,
    options: SearchOptions,
}

/// Either a picture or an embedding; only a picture is run.
#[derive(Debug)]
enum SearchQuery {
    Picture(Embed),
    Embedding(Embedding),
}

impl FromFields for Search {
    fn names(names: &mut Vec<&'static str>) {
        SearchFields::names(names);
    }

    fn from_fields(fields: &mut Fields) -> Result<Self, Problem> {
        let read = SearchFields::from_fields(fields)?;
        let refuse = |reason: &str| Err(Problem::field("embedding", reason));
        let query = match (read.image, read.embedding) {
            (Some(_), Some(_)) => return refuse("cannot be sent with an image"),
            (None, Some(embedding)) => {
                if read.time_steps.is_some() || read.prepare.is_some() || read.trace == Some(true) {
                    return refuse("cannot be sent with time_steps, prepare or trace: nothing is emulated");
                }
                SearchQuery::Embedding(embedding)
            }
            (image, None) => SearchQuery::Picture(Embed {
                image: Image::required(image)?,
                time_steps: read.time_steps,
                probe: None,
                prepare: read.prepare,
                trace: read.trace,
            }),
        };
        Ok(Self {
            query,
            options: read.ranking.into(),
        })
    }
}

impl FromBody for Search {
    const ACCEPTS: Accepts = Accepts::Picture;
}

impl Search {
    /// What to search for and how.
    #[must_use]
    pub fn into_query(self) -> (Query<Bytes>, SearchOptions) {
        let query = match self.query {
            SearchQuery::Embedding(embedding) => Query::Embedding(embedding.into_inner()),
            SearchQuery::Picture(picture) => {
                let (image, choice) = picture.into_run();
                Query::Picture(image, choice)
            }
        };
        (query, self.options)
    }
}

fields! {
    /// `GET /v1/products/{id}/similar`.
    pub struct Similar {
        ..ranking: Ranking,
    }
}

fields! {
    /// `POST /v1/recommend`.
    pub struct Recommend {
        positive: SomeIds,
        negative: Ids,
        diversity: Option<Diversity>,
        ..ranking: Ranking,
    }
}

impl FromBody for Recommend {
    const ACCEPTS: Accepts = Accepts::Json;
}

impl Recommend {
    /// What to start from and how to search.
    #[must_use]
    pub fn into_taste(self) -> (Taste, SearchOptions) {
        let taste = Taste {
            positive: self.positive.into_inner(),
            negative: self.negative.into_inner(),
            diversity: self.diversity.map(Diversity::get).unwrap_or_default(),
        };
        (taste, self.ranking.into())
    }
}

fields! {
    /// `GET /v1/products`.
    pub struct ListProducts {
        limit: Option<Limit>,
        after: Option<Cursor>,
        filter: Option<Filter>,
    }
}

fields! {
    /// `PUT /v1/products/{id}`.
    pub struct PutProduct {
        image: Image,
        title: Option<Title>,
        attributes: Option<Attributes>,
        prepare: Option<Mode>,
    }
}

impl FromBody for PutProduct {
    const ACCEPTS: Accepts = Accepts::Picture;
}

fields! {
    /// `PATCH /v1/products/{id}`.
    pub struct PatchProduct {
        title: Option<Title>,
        attributes: Option<AttributeChanges>,
    }
}

impl FromBody for PatchProduct {
    const ACCEPTS: Accepts = Accepts::MergePatch;
}

fields! {
    /// `POST /v1/products/{id}/pictures`.
    pub struct AddPicture {
        image: Image,
        prepare: Option<Mode>,
    }
}

impl FromBody for AddPicture {
    const ACCEPTS: Accepts = Accepts::Picture;
}
