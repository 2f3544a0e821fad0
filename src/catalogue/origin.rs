//! What made the embeddings of a catalogue.

use engine::network::{Probe, TimeSteps};

/// What made the embeddings of a catalogue: they are never mixed with others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// SHA-256 of the model's file.
    pub model_id: String,
    pub probe: Probe,
    pub time_steps: TimeSteps,
}
