//! What each endpoint reads. A member is a field of the same name; a group after `..` adds its own fields.

use axum::body::Bytes;

use super::body::Accepts;
use super::examples::{Negative, Positive};
use super::fields::{Fields, FromFields, fields};
use super::networks::{Action, Which};
use super::product_fields::ProductFields;
use super::ranking::{AttributeName, AttributeNames, Boosts};
use super::values::{Cursor, Diversity, Embedding, GroupSize, Image, K, Limit, MinScore, Offset, Values};
use crate::catalogue::Title;
use crate::catalogue::filter::Filter;
use crate::catalogue::search::{Grouping, SearchOptions};
use crate::catalogue::{AttributeChanges, Attributes};
use crate::chips::RunChoice;
use crate::http::problem::Problem;
use crate::service::Query;
use crate::service::recommend::{Example, Taste};
use engine::embedding::stopping::Length;
use engine::network::Probe;
use engine::picture::{Mode, Region};

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
        region: Option<Region>,
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
            region: self.region,
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
        offset: Option<Offset>,
        group_by: Option<AttributeName>,
        group_size: Option<GroupSize>,
        boost: Option<Boosts>,
        facets: Option<AttributeNames>,
        model: Option<Which>,
    }
}

impl Ranking {
    /// What was requested, otherwise the defaults of a search.
    ///
    /// # Errors
    /// Refuses a size of groups where nothing is grouped.
    pub fn into_options(self) -> Result<SearchOptions, Problem> {
        let default = SearchOptions::default();
        let size = self.group_size.map(GroupSize::get);
        if size.is_some() && self.group_by.is_none() {
            return Err(Problem::field(
                "group_size",
                "is of groups; name their attribute in group_by",
            ));
        }
        let group = self.group_by.map(|attribute| Grouping {
            attribute: attribute.0,
            size: size.unwrap_or(1),
        });
        Ok(SearchOptions {
            k: self.k.map_or(default.k, K::get),
            min_score: self.min_score.map(MinScore::get),
            exact: self.exact.unwrap_or(default.exact),
            filter: self.filter,
            offset: self.offset.map_or(default.offset, Offset::get),
            group,
            boosts: self.boost.map(|boosts| boosts.0).unwrap_or_default(),
            facets: self.facets.map(|names| names.0),
            next: self.model == Some(Which::Next),
        })
    }
}

fields! {
    struct SearchFields {
        image: Option<Image>,
        time_steps: Option<Length>,
        prepare: Option<Mode>,
        region: Option<Region>,
        trace: Option<bool>,
        fields: Option<ProductFields>,
        ..ranking: Ranking,
    }
}

/// `POST /v1/search`.
#[derive(Debug)]
pub struct Search {
    query: SearchQuery,
    /// How matches are chosen.
    pub options: SearchOptions,
    /// The fields of each product; all of them without.
    pub fields: Option<ProductFields>,
    /// Whether the answer has the query's embedding.
    pub add_embedding: bool,
}

/// Either a picture or an embedding; only a picture is run.
#[derive(Debug)]
enum SearchQuery {
    Picture(Embed),
    Embedding(Values),
}

impl FromFields for Search {
    fn names(names: &mut Vec<&'static str>) {
        names.push("embedding");
        SearchFields::names(names);
    }

    fn from_fields(fields: &mut Fields) -> Result<Self, Problem> {
        let (mut given, mut add_embedding) = (None, false);
        for embedding in fields.read_each("embedding")? {
            match embedding {
                Embedding::Given(values) => given = Some(values),
                Embedding::Add(add) => add_embedding = add,
            }
        }
        let read = SearchFields::from_fields(fields)?;
        let refuse = |reason: &str| Err(Problem::field("embedding", reason));
        let query = match (read.image, given) {
            (Some(_), Some(_)) => return refuse("cannot be sent with an image"),
            (None, Some(embedding)) => {
                let runs = read.time_steps.is_some() || read.prepare.is_some() || read.region.is_some();
                if runs || read.trace == Some(true) {
                    return refuse(
                        "cannot be sent with time_steps, prepare, region or trace: nothing is emulated",
                    );
                }
                SearchQuery::Embedding(embedding)
            }
            (image, None) => SearchQuery::Picture(Embed {
                image: Image::required(image)?,
                time_steps: read.time_steps,
                probe: None,
                prepare: read.prepare,
                region: read.region,
                trace: read.trace,
            }),
        };
        Ok(Self {
            query,
            options: read.ranking.into_options()?,
            fields: read.fields,
            add_embedding,
        })
    }
}

impl FromBody for Search {
    const ACCEPTS: Accepts = Accepts::Picture;
}

impl Search {
    /// What to search for, and how to search.
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
        fields: Option<ProductFields>,
        ..ranking: Ranking,
    }
}

fields! {
    /// `POST /v1/recommend`.
    pub struct Recommend {
        positive: Positive,
        negative: Negative,
        region: Option<Region>,
        diversity: Option<Diversity>,
        fields: Option<ProductFields>,
        embedding: Option<bool>,
        ..ranking: Ranking,
    }
}

impl FromBody for Recommend {
    const ACCEPTS: Accepts = Accepts::Json;
}

impl Recommend {
    /// What to start from and how to search. A picture that has no region of its own has the request's.
    ///
    /// # Errors
    /// Refuses a region without a picture, and pages or groups of a varied list.
    pub fn into_taste(self) -> Result<(Taste<Bytes>, SearchOptions), Problem> {
        let mut taste = Taste {
            positive: self.positive.0,
            negative: self.negative.0,
            diversity: self.diversity.map(Diversity::get).unwrap_or_default(),
        };
        let mut pictures = false;
        for example in taste.positive.iter_mut().chain(&mut taste.negative) {
            if let Example::Picture(_, choice) = example {
                choice.region = choice.region.or(self.region);
                pictures = true;
            }
        }
        if self.region.is_some() && !pictures {
            return Err(Problem::field("region", "is of a picture, and there is none"));
        }
        let options = self.ranking.into_options()?;
        if taste.diversity > 0.0 {
            let refuse = |field: &str, what: &str| {
                let reason =
                    format!("{what} are of one order of products, which diversity changes for each k");
                Err(Problem::field(field, reason))
            };
            if options.offset > 0 {
                return refuse("offset", "pages");
            }
            if options.group.is_some() {
                return refuse("group_by", "groups");
            }
        }
        Ok((taste, options))
    }
}

fields! {
    /// `POST /v1/model`.
    pub struct ChangeModel {
        next: Action,
    }
}

impl FromBody for ChangeModel {
    const ACCEPTS: Accepts = Accepts::Json;
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
