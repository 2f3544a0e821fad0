//! The outcome of a run, and why there is none.

use thiserror::Error;

use crate::chip::events::Events;
use crate::picture::Shape;

/// Why a picture could not be run.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum EmulatorError {
    #[error("the picture is {given:?}, the network takes {wanted:?}: prepare it first")]
    PictureShape { given: Shape, wanted: Shape },
    #[error(
        "layer {layer}: in time step {step} the membrane of neuron {neuron} is {membrane}, beyond 32 bits; \
         the network's weights or biases are too large for that many time steps"
    )]
    MembraneOverflow {
        layer: String,
        neuron: usize,
        step: u32,
        membrane: i64,
    },
}

/// The state of a layer's neurons after the last time step, flattened channel, row, column.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LayerState {
    /// `[neuron]`: after the last time step, after the reset.
    pub membranes: Vec<i32>,
    /// Spikes fired by each neuron.
    pub spike_counts: Vec<u32>,
}

/// The outcome of running one picture.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The layer that is probed.
    pub embedding_layer: LayerState,
    /// The classifier.
    pub output_layer: LayerState,
    /// The counts of all layers.
    pub events: Events,
}

/// The index in the emulator's order (row, column, channel) of neuron `index` (flattened channel, row, column). In the
/// emulator's order the channels of a position are adjacent, and a spike adds one contiguous run of weights to each
/// position.
pub(super) fn interleaved(shape: Shape, index: usize) -> usize {
    let plane = shape.height * shape.width;
    (index % plane) * shape.channels + index / plane
}
