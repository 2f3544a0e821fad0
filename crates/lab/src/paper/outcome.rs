//! The result of a reproduction.

use std::sync::Arc;

use super::figures::Example;
use super::measure::{Host, Searched, Trained};
use engine::model::Model;

/// Everything that the page shows.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) networks: Vec<Trained>,
    /// The best architecture's seed with the highest validation accuracy.
    pub(super) seed: u64,
    pub(super) searches: Vec<(u64, Vec<Searched>)>,
    pub(super) full: Vec<Searched>,
    /// The chosen seed's search with membranes that start at half a threshold.
    pub(super) half: Vec<Searched>,
    pub(super) examples: Vec<Example>,
    pub(super) host: Host,
    pub(super) model: Arc<Model>,
}

impl Outcome {
    /// The chosen seed's search at the paper's size.
    pub(super) fn search(&self) -> &[Searched] {
        let mut searches = self.searches.iter();
        let chosen = searches.find(|(seed, _)| *seed == self.seed);
        chosen.map_or(&[], |(_, rows)| rows)
    }
}
