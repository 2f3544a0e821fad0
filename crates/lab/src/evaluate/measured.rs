//! The result of an evaluation.

use std::sync::Arc;

use super::row::Row;
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
}
