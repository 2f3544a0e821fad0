//! The spiking network: integer weights, biases, thresholds and initial membranes.
//!
//! In: the parameters of a model file or of the conversion. Out: an [`Snn`] that an emulator can run.
//! Absent: dynamics (`crate::emulator`) and placement on cores (`crate::chip`).

use ndarray::{Array2, Array4};

use super::{Layer, Network};

/// The weights of one layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Weights {
    /// `[out, in, kernel_y, kernel_x]`.
    Conv2d(Array4<i16>),
    /// One weight for every input of a window.
    AvgPool2d(i16),
    /// `[out, in]`.
    Dense(Array2<i16>),
}

impl Weights {
    /// All stored weights.
    #[must_use]
    pub fn values(&self) -> Box<dyn Iterator<Item = i16> + '_> {
        match self {
            Self::Conv2d(weights) => Box::new(weights.iter().copied()),
            Self::AvgPool2d(weight) => Box::new(std::iter::once(*weight)),
            Self::Dense(weights) => Box::new(weights.iter().copied()),
        }
    }
}

/// The initial membranes of a layer's neurons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InitialMembrane {
    /// One value for all neurons.
    Shared(i32),
    /// One value per neuron, flattened channel, row, column.
    PerNeuron(Vec<i32>),
}

impl InitialMembrane {
    /// The initial membrane of neuron `index`.
    #[must_use]
    pub fn of(&self, index: usize) -> i32 {
        match self {
            Self::Shared(membrane) => *membrane,
            Self::PerNeuron(membranes) => membranes[index],
        }
    }
}

/// The parameters of one layer of spiking neurons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameters {
    /// The weights, -255 to 255 on the chip.
    pub weights: Weights,
    /// `[out]`: added to every neuron of a channel in every time step.
    pub bias: Option<Vec<i32>>,
    /// At least 1. A neuron whose membrane reaches it spikes, and it is subtracted from the membrane.
    pub threshold: i32,
    /// The membranes before the first time step.
    pub initial_membrane: InitialMembrane,
}

impl Parameters {
    /// The number of weights and biases.
    pub fn count(&self) -> usize {
        let weights = match &self.weights {
            Weights::Conv2d(weights) => weights.len(),
            Weights::AvgPool2d(_) => 1,
            Weights::Dense(weights) => weights.len(),
        };
        weights + self.bias.as_ref().map_or(0, Vec::len)
    }

    /// The bias of channel `channel`; 0 if the layer has no biases.
    #[must_use]
    pub fn bias_of(&self, channel: usize) -> i32 {
        self.bias.as_ref().map_or(0, |bias| bias[channel])
    }
}

/// A network of integrate-and-fire neurons with soft reset.
#[derive(Debug, Clone, PartialEq)]
pub struct Snn {
    /// The layers, their shapes and the metadata.
    pub network: Network,
    /// The input neurons' threshold, at least 1; their drive is the pixel, 0 to 255, in every time step.
    pub input_threshold: i32,
    /// The membrane of every input neuron before the first time step.
    pub input_initial_membrane: i32,
    /// One entry per layer of `network.layers`.
    pub parameters: Vec<Parameters>,
}

impl Snn {
    /// The layers with their parameters, in order.
    pub fn layers(&self) -> impl Iterator<Item = (&Layer, &Parameters)> {
        self.network.layers.iter().zip(&self.parameters)
    }
}
