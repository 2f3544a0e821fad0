//! What a model is, in the form that `GET /v1/model` and `spikelens inspect` both give.

use serde::Serialize;

use super::model::Model;
use crate::network::Probe;

/// The network, whole but for its parameters.
#[derive(Debug, Serialize)]
pub struct ModelDescription {
    pub id: String,
    pub name: String,
    /// The input layer first.
    pub layers: Vec<LayerDescription>,
    pub probes: [Probe; 3],
    pub default_probe: Probe,
    pub default_time_steps: u32,
    pub embedding_layer: String,
    pub dimensions: usize,
    pub prepare: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trained_with: Option<String>,
}

/// One layer of neurons.
#[derive(Debug, Serialize)]
pub struct LayerDescription {
    pub name: String,
    pub kind: &'static str,
    /// `[channels, height, width]`.
    pub shape: [usize; 3],
    pub neurons: usize,
    pub threshold: i32,
    /// Weights and biases.
    pub parameters: usize,
    /// The most inputs that one of its neurons has.
    pub fan_in: usize,
}

/// Describes a model.
pub fn describe(model: &Model) -> ModelDescription {
    let snn = &model.snn;
    let network = &snn.network;
    let shape = |shape: crate::picture::Shape| [shape.channels, shape.height, shape.width];
    let input = LayerDescription {
        name: "input".to_owned(),
        kind: "input",
        shape: shape(network.input),
        neurons: network.input.len(),
        threshold: snn.input_threshold,
        parameters: 0,
        fan_in: 1,
    };
    let layers = snn.layers().map(|(layer, parameters)| LayerDescription {
        name: layer.name.clone(),
        kind: layer.kind.as_str(),
        shape: shape(layer.output),
        neurons: layer.neurons(),
        threshold: parameters.threshold,
        parameters: parameters.count(),
        fan_in: layer.fan_in(),
    });
    ModelDescription {
        id: model.id.clone(),
        name: network.name.clone(),
        layers: std::iter::once(input).chain(layers).collect(),
        probes: Probe::ALL,
        default_probe: network.probe(),
        default_time_steps: network.time_steps().get(),
        embedding_layer: network.layers[network.embedding_layer].name.clone(),
        dimensions: network.embedding_dimensions(),
        prepare: network.recipe.as_str(),
        labels: network.labels.clone(),
        trained_with: network.trained_with.clone(),
    }
}
