//! What the embeddings of a catalogue are computed by: a model, a probe and a number of time steps.

use std::sync::Arc;

use engine::model::Model;
use engine::network::{Probe, TimeSteps};

use super::options::RunOptions;
use crate::catalogue::Origin;

/// A model, and the probe and T of its embeddings.
#[derive(Debug, Clone)]
pub struct Maker {
    pub model: Arc<Model>,
    /// The model's id, with the probe and T of a catalogue.
    pub origin: Arc<Origin>,
}

impl Maker {
    /// The maker of a catalogue's embeddings. The probe and T are the given ones, else those of the catalogue if its
    /// embeddings are by this model, else the model's defaults.
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

    /// The number of values in an embedding.
    #[must_use]
    pub fn dimensions(&self) -> usize {
        self.model.snn.network.embedding_dimensions()
    }
}
