//! What makes the embeddings of a catalogue: a model, a probe and a number of time steps.

use std::sync::Arc;

use engine::model::Model;
use engine::network::{Probe, TimeSteps};

use super::options::RunOptions;
use crate::catalogue::Origin;

/// A model, and how its embeddings are read.
#[derive(Debug, Clone)]
pub struct Maker {
    pub model: Arc<Model>,
    /// The model's id, with the probe and T of a catalogue.
    pub origin: Arc<Origin>,
}

impl Maker {
    /// The maker of a catalogue's embeddings: with the probe and T that are asked for, else those that this model made
    /// them with before, else the model's own defaults.
    #[must_use]
    pub fn new(
        model: Arc<Model>,
        before: Option<&Origin>,
        probe: Option<Probe>,
        time_steps: Option<TimeSteps>,
    ) -> Self {
        let network = &model.snn.network;
        let before = before.filter(|before| before.model_id == model.id);
        let origin = Origin {
            model_id: model.id.clone(),
            probe: probe
                .or(before.map(|before| before.probe))
                .unwrap_or(network.probe()),
            time_steps: time_steps
                .or(before.map(|before| before.time_steps))
                .unwrap_or(network.time_steps()),
        };
        Self {
            model,
            origin: Arc::new(origin),
        }
    }

    /// How a picture of the catalogue is run.
    #[must_use]
    pub fn options(&self) -> RunOptions {
        RunOptions {
            time_steps: self.origin.time_steps.into(),
            probe: self.origin.probe,
            ..RunOptions::of(&self.model)
        }
    }

    /// Values of an embedding.
    #[must_use]
    pub fn dimensions(&self) -> usize {
        self.model.snn.network.embedding_dimensions()
    }
}
