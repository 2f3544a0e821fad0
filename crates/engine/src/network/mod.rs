//! What a network is: its layers, the shapes that flow between them and what each neuron is connected to.
//!
//! In: the description that a model file carries (`network`, JSON) and the shapes of its tensors.
//! Out: a [`Network`] whose layers are known to fit one another. Absent: parameters (see [`snn`]),
//! the chip's limits (`crate::chip`) and files (bytes come in, bytes go out: [`tensors`]).

pub mod activation;
pub mod description;
pub mod file;
mod seal;
pub mod snn;
pub mod tensors;

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use thiserror::Error;

use self::activation::Activation;
use crate::picture::{Shape, prepare::Recipe};

pub use self::seal::hex;

/// The most neurons that one layer may have: a guard against files that claim absurd shapes, far above any chip.
pub const MAX_LAYER_NEURONS: usize = 1 << 24;

/// The most layers that one network may have.
pub const MAX_LAYERS: usize = 256;

/// Why a network or a model file is refused.
#[derive(Debug, Error)]
pub enum NetworkError {
    #[error("not a safetensors file: {reason}")]
    NotSafetensors { reason: String },
    #[error("tensor {tensor}: {reason}")]
    Tensor { tensor: String, reason: String },
    #[error("the model file's metadata `{key}` {reason}")]
    Metadata { key: &'static str, reason: String },
    #[error("layer {layer}: {reason}")]
    Layer { layer: String, reason: String },
}

impl NetworkError {
    /// A refusal of a layer by its name.
    #[must_use]
    pub fn layer(layer: &str, reason: impl Into<String>) -> Self {
        Self::Layer {
            layer: layer.to_owned(),
            reason: reason.into(),
        }
    }

    /// A refusal of a tensor by its name.
    #[must_use]
    pub fn tensor(tensor: &str, reason: impl Into<String>) -> Self {
        Self::Tensor {
            tensor: tensor.to_owned(),
            reason: reason.into(),
        }
    }
}

/// What is read from the embedding layer after the last time step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Probe {
    /// The spikes that each neuron fired.
    SpikeCount,
    /// Each neuron's membrane (the paper's choice).
    Membrane,
    /// All the input that each neuron received: `membrane + threshold x spike_count - initial_membrane`.
    Integrated,
}

impl Probe {
    /// Every probe, in the order in which they are listed to users.
    pub const ALL: [Self; 3] = [Self::SpikeCount, Self::Membrane, Self::Integrated];

    /// The probe's name in files, options and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SpikeCount => "spike_count",
            Self::Membrane => "membrane",
            Self::Integrated => "integrated",
        }
    }
}

impl fmt::Display for Probe {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// A word that names no probe.
#[derive(Debug, Error)]
#[error("{given:?} is no probe; it is spike_count, membrane or integrated")]
pub struct UnknownProbe {
    given: String,
}

impl FromStr for Probe {
    type Err = UnknownProbe;

    fn from_str(word: &str) -> Result<Self, UnknownProbe> {
        Self::ALL
            .into_iter()
            .find(|probe| probe.as_str() == word)
            .ok_or_else(|| UnknownProbe {
                given: word.chars().take(64).collect(),
            })
    }
}

/// How many time steps a picture may run for: 1 to [`TimeSteps::MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TimeSteps(u32);

/// A number of time steps outside of the range.
#[derive(Debug, Error)]
#[error("{given} is not a whole number from 1 to {max}", max = TimeSteps::MAX)]
pub struct TimeStepsError {
    given: String,
}

impl TimeSteps {
    /// The largest number of time steps that a picture may run for.
    pub const MAX: u32 = 1024;
    /// Where a model file is silent: the paper's shorter run.
    pub const DEFAULT: Self = Self(16);

    /// Checks the range.
    pub fn new(steps: u32) -> Result<Self, TimeStepsError> {
        if (1..=Self::MAX).contains(&steps) {
            Ok(Self(steps))
        } else {
            Err(TimeStepsError {
                given: steps.to_string(),
            })
        }
    }

    /// The number, 1 to [`TimeSteps::MAX`].
    pub fn get(self) -> u32 {
        self.0
    }

    /// The number as a count of entries.
    pub fn count(self) -> usize {
        usize::try_from(self.0).expect("at most 1,024")
    }
}

impl fmt::Display for TimeSteps {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

impl FromStr for TimeSteps {
    type Err = TimeStepsError;

    fn from_str(word: &str) -> Result<Self, TimeStepsError> {
        let refused = || TimeStepsError {
            given: format!("{:?}", word.chars().take(64).collect::<String>()),
        };
        let steps: u32 = word.trim().parse().map_err(|_| refused())?;
        Self::new(steps)
    }
}

/// How a layer is connected to its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Every output channel sees a window of all input channels. `[y, x]` each.
    Conv2d {
        kernel: [usize; 2],
        stride: [usize; 2],
        padding: [usize; 2],
    },
    /// Every neuron sees a window of its own channel, all of it with one weight. `[y, x]` each.
    AvgPool2d { kernel: [usize; 2], stride: [usize; 2] },
    /// Every neuron sees every neuron of the source.
    Dense,
}

impl Kind {
    /// The kind's name in files and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Conv2d { .. } => "conv2d",
            Self::AvgPool2d { .. } => "avg_pool2d",
            Self::Dense => "dense",
        }
    }
}

/// One layer of neurons and the shape of what reaches it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    pub name: String,
    pub kind: Kind,
    /// The source layer's shape; a dense layer sees it flattened channel, row, column.
    pub input: Shape,
    /// This layer's neurons; a dense layer's are all channels.
    pub output: Shape,
}

impl Layer {
    /// How many neurons the layer has.
    pub fn neurons(&self) -> usize {
        self.output.len()
    }

    /// The most inputs that a neuron of this layer has, padding not counted.
    pub fn fan_in(&self) -> usize {
        match self.kind {
            Kind::Conv2d { kernel, .. } => {
                let rows = kernel[0].min(self.input.height);
                let columns = kernel[1].min(self.input.width);
                self.input.channels * rows * columns
            }
            Kind::AvgPool2d { kernel, .. } => kernel[0] * kernel[1],
            Kind::Dense => self.input.len(),
        }
    }

    /// The window that a neuron has on its source: kernel, stride and padding, `[y, x]` each. A dense layer's only window
    /// is the whole source.
    pub fn window(&self) -> [[usize; 2]; 3] {
        match self.kind {
            Kind::Conv2d {
                kernel,
                stride,
                padding,
            } => [kernel, stride, padding],
            Kind::AvgPool2d { kernel, stride } => [kernel, stride, [0, 0]],
            Kind::Dense => [[self.input.height, self.input.width], [1, 1], [0, 0]],
        }
    }

    /// What the neurons at output position `position` (row by row) see: source positions, each with its place in the
    /// kernel, by rising place. Padding is seen by nobody.
    pub fn seen_from(&self, position: usize) -> impl Iterator<Item = (usize, usize)> {
        let input = self.input;
        let [kernel, stride, padding] = self.window();
        let (row, column) = (position / self.output.width, position % self.output.width);
        (0..kernel[0] * kernel[1]).filter_map(move |place| {
            let y = (row * stride[0] + place / kernel[1]).checked_sub(padding[0])?;
            let x = (column * stride[1] + place % kernel[1]).checked_sub(padding[1])?;
            (y < input.height && x < input.width).then_some((y * input.width + x, place))
        })
    }

    /// Works out the output shape, or says why the layer does not fit its source.
    ///
    /// `out_channels` is the first axis of the weight tensor (ignored for pooling, which keeps its channels).
    pub fn connect(name: &str, kind: Kind, input: Shape, out_channels: usize) -> Result<Self, NetworkError> {
        let refuse = |reason: String| NetworkError::layer(name, reason);
        let output = match kind {
            Kind::Conv2d {
                kernel,
                stride,
                padding,
            } => Shape {
                channels: out_channels,
                height: windows(input.height, kernel[0], stride[0], padding[0]).map_err(refuse)?,
                width: windows(input.width, kernel[1], stride[1], padding[1]).map_err(refuse)?,
            },
            Kind::AvgPool2d { kernel, stride } => Shape {
                channels: input.channels,
                height: windows(input.height, kernel[0], stride[0], 0).map_err(refuse)?,
                width: windows(input.width, kernel[1], stride[1], 0).map_err(refuse)?,
            },
            Kind::Dense => Shape {
                channels: out_channels,
                height: 1,
                width: 1,
            },
        };
        bounded(name, output)?;
        Ok(Self {
            name: name.to_owned(),
            kind,
            input,
            output,
        })
    }
}

/// How many windows of `kernel` fit into `length` with `padding` on both sides.
fn windows(length: usize, kernel: usize, stride: usize, padding: usize) -> Result<usize, String> {
    if kernel == 0 || stride == 0 {
        return Err("kernel and stride must be at least 1".to_owned());
    }
    if kernel > MAX_LAYER_NEURONS || stride > MAX_LAYER_NEURONS || padding > MAX_LAYER_NEURONS {
        return Err(format!(
            "kernel {kernel}, stride {stride} or padding {padding} is beyond any picture"
        ));
    }
    let padded = length + 2 * padding;
    if kernel > padded {
        return Err(format!(
            "a kernel of {kernel} does not fit an input of {length} with padding {padding}"
        ));
    }
    Ok((padded - kernel) / stride + 1)
}

/// Refuses a shape that is empty or beyond [`MAX_LAYER_NEURONS`].
pub(crate) fn bounded(name: &str, shape: Shape) -> Result<(), NetworkError> {
    let neurons = shape
        .channels
        .checked_mul(shape.height)
        .and_then(|product| product.checked_mul(shape.width));
    match neurons {
        Some(1..=MAX_LAYER_NEURONS) => Ok(()),
        Some(0) => Err(NetworkError::layer(name, "it has no neurons")),
        _ => Err(NetworkError::layer(
            name,
            format!(
                "{} x {} x {} neurons are more than {MAX_LAYER_NEURONS}",
                shape.channels, shape.height, shape.width
            ),
        )),
    }
}

/// A feed-forward network: an input layer and the layers behind it, in order; the last one is the classifier.
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    pub name: String,
    /// The input layer's neurons: one for each pixel.
    pub input: Shape,
    /// How a picture is made into the network's input.
    pub recipe: Recipe,
    /// At least one, each fitting the one before.
    pub layers: Vec<Layer>,
    /// Index into `layers` of the layer whose neurons are probed.
    pub embedding_layer: usize,
    /// What follows every layer but the last in the float network.
    pub activation: Activation,
    /// Class names, one for each neuron of the last layer, or none.
    pub labels: Option<Vec<String>>,
    pub default_probe: Option<Probe>,
    pub default_time_steps: Option<TimeSteps>,
    /// Free text on how the parameters came to be.
    pub trained_with: Option<String>,
}

impl Network {
    /// The number of classes: the neurons of the last layer.
    pub fn classes(&self) -> usize {
        self.layers.last().map_or(0, Layer::neurons)
    }

    /// The number of values in an embedding.
    pub fn embedding_dimensions(&self) -> usize {
        self.layers[self.embedding_layer].neurons()
    }

    /// The probe that is used where nobody names one: the file's, or the paper's.
    pub fn probe(&self) -> Probe {
        self.default_probe.unwrap_or(Probe::Membrane)
    }

    /// The time steps that are used where nobody names them: the file's, or 16.
    pub fn time_steps(&self) -> TimeSteps {
        self.default_time_steps.unwrap_or(TimeSteps::DEFAULT)
    }

    /// The name of class `class`; its number where the file names none.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_convolution_shrinks_its_input_by_kernel_and_stride() {
        let input = Shape {
            channels: 1,
            height: 28,
            width: 28,
        };
        let kind = Kind::Conv2d {
            kernel: [3, 3],
            stride: [2, 2],
            padding: [0, 0],
        };
        let layer = Layer::connect("conv1", kind, input, 32).unwrap();
        assert_eq!(
            layer.output,
            Shape {
                channels: 32,
                height: 13,
                width: 13
            }
        );
        assert_eq!(layer.fan_in(), 9);
    }

    #[test]
    fn padding_is_seen_by_nobody() {
        let input = Shape {
            channels: 2,
            height: 2,
            width: 3,
        };
        let kind = Kind::Conv2d {
            kernel: [2, 2],
            stride: [1, 2],
            padding: [1, 1],
        };
        let layer = Layer::connect("conv", kind, input, 1).unwrap();
        let seen = |position| layer.seen_from(position).collect::<Vec<_>>();
        assert_eq!(seen(0), [(0, 3)]);
        assert_eq!(seen(3), [(1, 0), (2, 1), (4, 2), (5, 3)]);
        let dense = Layer::connect("dense", Kind::Dense, input, 4).unwrap();
        assert_eq!(dense.seen_from(0).count(), 6);
    }

    #[test]
    fn a_window_larger_than_its_input_is_refused_by_layer_and_figure() {
        let input = Shape {
            channels: 1,
            height: 4,
            width: 4,
        };
        let kind = Kind::AvgPool2d {
            kernel: [5, 5],
            stride: [5, 5],
        };
        let refusal = Layer::connect("pool", kind, input, 0).unwrap_err();
        assert_eq!(
            refusal.to_string(),
            "layer pool: a kernel of 5 does not fit an input of 4 with padding 0"
        );
    }

    #[test]
    fn time_steps_are_1_to_1024() {
        assert_eq!("16".parse::<TimeSteps>().unwrap().get(), 16);
        for word in ["0", "1025", "100000", "abc", "-1", "1.5", ""] {
            let refusal = word.parse::<TimeSteps>().unwrap_err().to_string();
            assert!(
                refusal.ends_with("is not a whole number from 1 to 1024"),
                "{word}: {refusal}"
            );
        }
    }
}
