//! What a search may choose, and what it finds.

use std::ops::Deref;
use std::sync::Arc;

use serde::{Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

use super::counts::Counts;
use super::error::CatalogueError;
use super::filter::Filter;
use super::origin::Origin;
use super::product::Product;
use super::scope::Scope;
use super::store_stats::StoreName;

/// Choices of a search.
#[derive(Debug, Clone, PartialEq)]
pub struct SearchOptions {
    /// How many products, 1 to [`SearchOptions::MOST`].
    pub k: usize,
    /// Leaves out products below this score; -1 to 1.
    pub min_score: Option<f64>,
    /// Compare with every embedding instead of walking the graph.
    pub exact: bool,
    /// Only products that pass are found.
    pub filter: Option<Filter>,
    /// How many of the first products, or groups, are passed over; with `k` at most [`SearchOptions::HORIZON`].
    pub offset: usize,
    /// Products with the same value of an attribute are one group; `k` and `offset` count groups.
    pub group: Option<Grouping>,
    /// What is added to scores before products are put in order.
    pub boosts: Vec<Boost>,
    /// Attributes whose values are counted over all products that pass the filter.
    pub facets: Option<Vec<String>>,
    /// Whether the next embeddings are searched, while they wait to be taken over.
    pub next: bool,
}

/// How products are grouped.
#[derive(Debug, Clone, PartialEq)]
pub struct Grouping {
    pub attribute: String,
    /// The most products of a group, 1 to [`Grouping::MOST`].
    pub size: usize,
}

impl Grouping {
    /// The most products of a group.
    pub const MOST: usize = 10;
}

/// What is added to a product's score.
#[derive(Debug, Clone, PartialEq)]
pub struct Boost {
    pub by: BoostBy,
    /// -1 to 1.
    pub weight: f64,
}

/// What a weight is multiplied with: 0 to 1.
#[derive(Debug, Clone, PartialEq)]
pub enum BoostBy {
    /// A number, from 0 for the least of all candidates to 1 for the greatest; 0 where there is none.
    Attribute(String),
    /// 1 for what passes, otherwise 0.
    Filter(Filter),
}

impl SearchOptions {
    /// The most products, or groups, that one search finds.
    pub const MOST: usize = 100;
    /// How many products are ranked at most: no page goes beyond them, and they are the candidates of boosts and groups.
    pub const HORIZON: usize = 1000;
    /// The most boosts of one search.
    pub const MOST_BOOSTS: usize = 16;
}

impl SearchOptions {
    /// The same search among what is part of a scope.
    ///
    /// # Errors
    /// If its filter has too many conditions with the scope's.
    pub fn within(self, scope: &Scope) -> Result<Self, CatalogueError> {
        let filter = scope.filter(self.filter)?;
        Ok(Self { filter, ..self })
    }
}

impl Default for SearchOptions {
    fn default() -> Self {
        Self {
            k: 10,
            min_score: None,
            exact: false,
            filter: None,
            offset: 0,
            group: None,
            boosts: Vec::new(),
            facets: None,
            next: false,
        }
    }
}

/// A search: the products whose pictures are nearest to one of `embeddings`.
#[derive(Debug, Clone)]
pub struct Nearest {
    /// What made the embeddings. The catalogue refuses any but its own: they could not be compared.
    pub origin: Arc<Origin>,
    /// One or more, as wide as the catalogue's.
    pub embeddings: Vec<Vec<i32>>,
    /// Ids of products that are left out.
    pub without: Vec<String>,
    pub options: SearchOptions,
    /// Whether each match carries its embedding.
    pub with_embeddings: bool,
}

/// A product as answers show it, with its JSON.
#[derive(Debug)]
pub struct Shown {
    product: Product,
    json: Box<RawValue>,
}

impl Shown {
    /// Makes the JSON.
    ///
    /// # Errors
    /// If the product has none, which would be a damaged one.
    pub fn new(product: Product) -> Result<Self, CatalogueError> {
        let json = serde_json::value::to_raw_value(&product);
        let json = json.map_err(|error| CatalogueError::Damaged {
            what: format!("product {:?}: {error}", product.id),
        })?;
        Ok(Self { product, json })
    }

    /// Its JSON.
    #[must_use]
    pub fn json(&self) -> &str {
        self.json.get()
    }
}

impl PartialEq for Shown {
    fn eq(&self, other: &Self) -> bool {
        self.product == other.product
    }
}

impl Deref for Shown {
    type Target = Product;

    fn deref(&self) -> &Product {
        &self.product
    }
}

impl Serialize for Shown {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.json.serialize(serializer)
    }
}

/// How many products of answers were in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShownStats {
    pub hits: u64,
    pub misses: u64,
    /// What is in memory now.
    pub bytes: u64,
}

/// A product that was found, with the picture of it that is nearest.
#[derive(Debug, Clone, PartialEq)]
pub struct Match {
    pub product: Arc<Shown>,
    pub picture_id: String,
    /// Cosine similarity, -1 to 1.
    pub score: f64,
    /// The score with what boosts add, where there are any.
    pub rank_score: Option<f64>,
    /// The value by which it is grouped, null where it has none; `None` where nothing is grouped.
    pub group: Option<Value>,
    /// That picture's embedding, where it was asked for; else empty.
    pub embedding: Vec<i32>,
}

/// What a search finds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Nearby {
    pub matches: Vec<Match>,
    /// Where facets were asked for.
    pub counts: Option<Arc<Counts>>,
}

/// How many products and pictures there are, and the state of the index.
#[derive(Debug, Clone)]
pub struct CatalogueStats {
    pub products: usize,
    pub pictures: usize,
    pub index: IndexStats,
    /// What made the embeddings.
    pub origin: Arc<Origin>,
    pub store: StoreName,
    pub shown: ShownStats,
    /// The last measurement of the index.
    pub recall: Recall,
}

/// The state of the index.
#[derive(Debug, Clone, serde::Serialize)]
pub struct IndexStats {
    /// `graph`, or `exact` while there are few pictures.
    pub search: &'static str,
    /// Values of an embedding.
    pub dimensions: usize,
    /// Distinct embeddings; equal ones are compared once.
    pub embeddings: usize,
    /// Embeddings of removed pictures, which the next rebuild of the index leaves out.
    pub removed: usize,
    /// Embeddings that are compared one by one until they are linked.
    pub unlinked: usize,
    /// Whether the links were kept by an earlier process rather than built.
    #[serde(skip)]
    pub kept: bool,
}

impl Recall {
    /// Before anything was measured.
    pub const NONE: Self = Self {
        k: 10,
        queries: 0,
        recall: None,
        margin: None,
    };
}

/// How much of the exact answer the index finds.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Recall {
    pub k: usize,
    /// Embeddings that were searched for: 0 in an empty catalogue, and before the first measurement.
    pub queries: usize,
    /// The share of the exact search's answers that the index gives; null without queries.
    pub recall: Option<f64>,
    /// How far the recall of all possible queries may be from it, in 19 of 20 measurements; null without queries.
    pub margin: Option<f64>,
}
