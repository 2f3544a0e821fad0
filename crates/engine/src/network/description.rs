//! The `network` JSON of a model file, and its conversion to and from a [`Network`].

use serde::{Deserialize, Serialize};

use super::activation::Activation;
use super::{Kind, Layer, MAX_LAYERS, Network, NetworkError, TimeSteps, bounded};
use crate::picture::{Shape, prepare::Recipe};

/// The JSON. Only an SNN has thresholds and initial membranes.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Description {
    pub name: String,
    pub input: Input,
    pub layers: Vec<LayerDescription>,
    pub embedding_layer: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_probe: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_time_steps: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activation: Option<serde_json::Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trained_with: Option<String>,
}

/// The input layer.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// `[channels, height, width]`.
    pub shape: [usize; 3],
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial_membrane: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prepare: Option<String>,
}

/// One layer; `kernel`, `stride` and `padding` are `[y, x]`.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct LayerDescription {
    pub name: String,
    pub kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<[usize; 2]>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stride: Option<[usize; 2]>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub padding: Option<[usize; 2]>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<i32>,
}

impl Description {
    /// Parses the JSON of the metadata key `network`.
    ///
    /// # Errors
    /// [`NetworkError::Metadata`] for JSON that is invalid or has unknown fields.
    pub fn parse(json: &str) -> Result<Self, NetworkError> {
        serde_json::from_str(json).map_err(|error| refuse(format!("is invalid: {error}")))
    }

    /// Connects the layers and checks that they fit one another. `out_channels(layer, kind)` returns the first axis of
    /// the layer's weight tensor.
    ///
    /// # Errors
    /// [`NetworkError`] for layers that do not fit one another, and for names, labels and defaults that are invalid.
    pub fn connect(
        &self,
        mut out_channels: impl FnMut(&LayerDescription, Kind) -> Result<usize, NetworkError>,
    ) -> Result<Network, NetworkError> {
        let [channels, height, width] = self.input.shape;
        let input = Shape {
            channels,
            height,
            width,
        };
        bounded("input", input)?;
        if self.layers.is_empty() {
            return Err(refuse("has no layers; it must have at least one"));
        }
        if self.layers.len() > MAX_LAYERS {
            return Err(refuse(format!(
                "has {} layers; it may have at most {MAX_LAYERS}",
                self.layers.len()
            )));
        }
        let activation = Activation::parse(self.activation.as_ref())?;
        let mut layers: Vec<Layer> = Vec::with_capacity(self.layers.len());
        for layer in &self.layers {
            let taken = layer.name == "input" || layers.iter().any(|seen| seen.name == layer.name);
            if taken || layer.name.is_empty() {
                return Err(NetworkError::layer(
                    &layer.name,
                    "its name is empty or already in use; every layer needs a unique name (`input` is the input layer)",
                ));
            }
            let kind = layer.kind()?;
            let source = layers.last().map_or(input, |previous| previous.output);
            let out_channels = out_channels(layer, kind)?;
            layers.push(Layer::connect(&layer.name, kind, source, out_channels)?);
        }
        let embedding_layer = layers
            .iter()
            .position(|layer| layer.name == self.embedding_layer)
            .ok_or_else(|| {
                refuse(format!(
                    "names the embedding layer {:?}, which is not among its layers",
                    self.embedding_layer
                ))
            })?;
        activation.check(&layers)?;
        let network = Network {
            name: self.name.clone(),
            input,
            recipe: self.recipe()?,
            layers,
            embedding_layer,
            activation,
            labels: self.labels.clone(),
            default_probe: match &self.default_probe {
                None => None,
                Some(word) => Some(word.parse().map_err(|error: super::UnknownProbe| {
                    refuse(format!("has an invalid default_probe: {error}"))
                })?),
            },
            default_time_steps: match self.default_time_steps {
                None => None,
                Some(steps) => Some(
                    TimeSteps::new(steps)
                        .map_err(|error| refuse(format!("has an invalid default_time_steps: {error}")))?,
                ),
            },
            trained_with: self.trained_with.clone(),
        };
        self.check_classes(&network)?;
        Ok(network)
    }

    fn recipe(&self) -> Result<Recipe, NetworkError> {
        match &self.input.prepare {
            Some(word) => word
                .parse()
                .map_err(|error| refuse(format!("has an invalid input.prepare: {error}"))),
            None => Ok(Recipe::default_for(self.input.shape[0])),
        }
    }

    fn check_classes(&self, network: &Network) -> Result<(), NetworkError> {
        let neurons = network.classes();
        if let Some(classes) = self.classes.filter(|classes| *classes != neurons) {
            return Err(refuse(format!(
                "claims {classes} classes, but its last layer has {neurons} neurons"
            )));
        }
        match &self.labels {
            Some(labels) if labels.len() != neurons => Err(refuse(format!(
                "has {} labels, but its last layer has {neurons} neurons",
                labels.len()
            ))),
            _ => Ok(()),
        }
    }

    /// The description of a network, without thresholds.
    pub fn of(network: &Network) -> Self {
        let Shape {
            channels,
            height,
            width,
        } = network.input;
        let default_recipe = Recipe::default_for(channels);
        Self {
            name: network.name.clone(),
            input: Input {
                shape: [channels, height, width],
                threshold: None,
                initial_membrane: None,
                prepare: (network.recipe != default_recipe).then(|| network.recipe.as_str().to_owned()),
            },
            layers: network.layers.iter().map(LayerDescription::of).collect(),
            embedding_layer: network.layers[network.embedding_layer].name.clone(),
            classes: Some(network.classes()),
            labels: network.labels.clone(),
            default_probe: network.default_probe.map(|probe| probe.as_str().to_owned()),
            default_time_steps: network.default_time_steps.map(TimeSteps::get),
            activation: network.activation.describe(),
            trained_with: network.trained_with.clone(),
        }
    }
}

impl LayerDescription {
    fn of(layer: &Layer) -> Self {
        let (kernel, stride, padding) = match layer.kind {
            Kind::Conv2d {
                kernel,
                stride,
                padding,
            } => (Some(kernel), Some(stride), Some(padding)),
            Kind::AvgPool2d { kernel, stride } => (Some(kernel), Some(stride), None),
            Kind::Dense => (None, None, None),
        };
        Self {
            name: layer.name.clone(),
            kind: layer.kind.as_str().to_owned(),
            kernel,
            stride,
            padding,
            threshold: None,
        }
    }

    fn kind(&self) -> Result<Kind, NetworkError> {
        let kernel = || {
            self.kernel
                .ok_or_else(|| NetworkError::layer(&self.name, "it has no kernel [y, x]"))
        };
        match self.kind.as_str() {
            "conv2d" => Ok(Kind::Conv2d {
                kernel: kernel()?,
                stride: self.stride.unwrap_or([1, 1]),
                padding: self.padding.unwrap_or([0, 0]),
            }),
            "avg_pool2d" => {
                if self.padding.is_some_and(|padding| padding != [0, 0]) {
                    return Err(NetworkError::layer(&self.name, "average pooling has padding 0"));
                }
                let kernel = kernel()?;
                Ok(Kind::AvgPool2d {
                    kernel,
                    stride: self.stride.unwrap_or(kernel),
                })
            }
            "dense" => {
                if self.kernel.is_some() || self.stride.is_some() || self.padding.is_some() {
                    return Err(NetworkError::layer(
                        &self.name,
                        "a dense layer has no kernel, stride or padding",
                    ));
                }
                Ok(Kind::Dense)
            }
            other => Err(NetworkError::layer(
                &self.name,
                format!("its kind is {other:?}; it must be conv2d, avg_pool2d or dense"),
            )),
        }
    }
}

fn refuse(reason: impl Into<String>) -> NetworkError {
    NetworkError::Metadata {
        key: "network",
        reason: reason.into(),
    }
}
