//! Networks: layers, the shapes between them and the connections of each neuron.
//!
//! In: the description that a model file carries (`network`, JSON) and the shapes of its tensors. Out: a [`Network`]
//! whose layers fit one another. Absent: parameters (see [`snn`]), the chip's limits (`crate::chip`) and files (bytes
//! come in, bytes go out: [`tensors`]).

pub mod activation;
pub mod description;
mod error;
pub mod file;
mod layer;
mod probe;
mod seal;
pub mod snn;
pub mod tensors;
mod time_steps;

use self::activation::Activation;
use crate::picture::{Shape, prepare::Recipe};

pub use self::error::NetworkError;
pub(crate) use self::layer::bounded;
pub use self::layer::{Kind, Layer, MAX_LAYER_NEURONS};
pub use self::probe::{Probe, UnknownProbe};
pub use self::seal::hex;
pub use self::time_steps::{TimeSteps, TimeStepsError};

/// The largest number of layers of a network.
pub const MAX_LAYERS: usize = 256;

/// A feed-forward network: an input layer and the layers after it, in order. The last one is the classifier.
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    /// The network's name.
    pub name: String,
    /// The input layer's neurons: one for each pixel.
    pub input: Shape,
    /// How pictures are prepared for the network.
    pub recipe: Recipe,
    /// At least one; the input of each is the output of the one before.
    pub layers: Vec<Layer>,
    /// Index into `layers` of the layer whose neurons are probed.
    pub embedding_layer: usize,
    /// The activation of every layer but the last in the float network.
    pub activation: Activation,
    /// Class names, one for each neuron of the last layer.
    pub labels: Option<Vec<String>>,
    /// The probe used if none is requested.
    pub default_probe: Option<Probe>,
    /// The number of time steps used if none is requested.
    pub default_time_steps: Option<TimeSteps>,
    /// Free text about the origin of the parameters.
    pub trained_with: Option<String>,
}

impl Network {
    /// The number of classes: the neurons of the last layer.
    pub fn classes(&self) -> usize {
        self.layers.last().map_or(0, Layer::neurons)
    }

    /// The number of values in an embedding.
    #[must_use]
    pub fn embedding_dimensions(&self) -> usize {
        self.layers[self.embedding_layer].neurons()
    }

    /// The default probe: the file's, or else `membrane`, the paper's.
    #[must_use]
    pub fn probe(&self) -> Probe {
        self.default_probe.unwrap_or(Probe::Membrane)
    }

    /// The default number of time steps: the file's, or else 16.
    #[must_use]
    pub fn time_steps(&self) -> TimeSteps {
        self.default_time_steps.unwrap_or(TimeSteps::DEFAULT)
    }

    /// The name of class `class`, or its index if the network has no labels.
    #[must_use]
    pub fn label(&self, class: usize) -> String {
        self.labels
            .as_ref()
            .and_then(|labels| labels.get(class))
            .cloned()
            .unwrap_or_else(|| class.to_string())
    }

    /// Names and neurons of every layer, the input layer first.
    pub fn populations(&self) -> impl Iterator<Item = (&str, usize)> {
        std::iter::once(("input", self.input.len())).chain(
            self.layers
                .iter()
                .map(|layer| (layer.name.as_str(), layer.neurons())),
        )
    }
}
