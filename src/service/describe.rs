//! What a model is, in the form that `GET /v1/model` and `spikelens inspect` both give.

use serde::Serialize;

use crate::chip::cost::Constant;
use crate::chip::place::Core;
use crate::chip::{
    COMPARTMENTS_PER_CORE, CORES_PER_CHIP, FAN_IN, INPUT_AXONS_PER_CORE, OUTPUT_AXONS_PER_CORE,
    SYNAPSE_BITS_PER_CORE,
};

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

/// The chip and what is on it.
#[derive(Debug, Serialize)]
pub struct ChipDescription<'a> {
    pub chips: usize,
    pub cores_used: usize,
    pub limits: Limits,
    pub cores: &'a [Core],
    /// Emulated chips of this server, none outside of one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<usize>,
    /// Copies of the network that fit the chip.
    pub replicas: usize,
    pub cost_model: CostModelDescription,
}

/// What the chip has of everything.
#[derive(Debug, Serialize)]
pub struct Limits {
    pub cores_per_chip: usize,
    pub compartments_per_core: usize,
    pub synapse_bits_per_core: usize,
    pub input_axons_per_core: usize,
    pub output_axons_per_core: usize,
    pub fan_in: usize,
}

/// The prices that answers are made with.
#[derive(Debug, Serialize)]
pub struct CostModelDescription {
    pub name: &'static str,
    pub constants: Vec<Constant>,
}

/// Describes the chip that a model is placed on.
pub fn describe_chip(model: &Model, pool: Option<usize>) -> ChipDescription<'_> {
    ChipDescription {
        chips: model.placement.chips(),
        cores_used: model.placement.cores(),
        limits: Limits {
            cores_per_chip: CORES_PER_CHIP,
            compartments_per_core: COMPARTMENTS_PER_CORE,
            synapse_bits_per_core: SYNAPSE_BITS_PER_CORE,
            input_axons_per_core: INPUT_AXONS_PER_CORE,
            output_axons_per_core: OUTPUT_AXONS_PER_CORE,
            fan_in: FAN_IN,
        },
        cores: &model.placement.cores,
        pool,
        replicas: model.placement.replicas(),
        cost_model: CostModelDescription {
            name: model.cost_model.as_str(),
            constants: model.cost_model.constants(),
        },
    }
}
