//! The result of an evaluation.

use std::sync::Arc;

use super::protocol::Photos;
use super::row::Row;
use crate::dataset::{LeftOut, Listing};
use engine::model::Model;

/// A spiking network and the label of its rows.
#[derive(Debug)]
pub struct Named {
    pub label: String,
    pub model: Arc<Model>,
}

/// The result of an evaluation.
#[derive(Debug)]
pub struct Measured {
    pub models: Vec<Named>,
    pub rows: Vec<Row>,
    pub queries: usize,
    pub corpus: usize,
    /// The splits of the queries, in words.
    pub queries_from: &'static str,
    /// `None`: Fashion-MNIST.
    pub own: Option<Own>,
}

/// A data set of photos, and its pictures that were used.
#[derive(Debug)]
pub struct Own {
    pub listing: Listing,
    pub photos: Photos,
    pub left_out: LeftOut,
}
