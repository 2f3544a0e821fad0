//! Descriptions of a model and its chip, as `GET /v1/model`, `GET /v1/chip` and `spikelens inspect` return them.

use serde::Serialize;

use crate::chip::cost::Constant;
use crate::chip::place::Core;
use crate::chip::report::{Occupancy, SeveralChips, Split};
use crate::chip::{
    COMPARTMENTS_PER_CORE, CORES_PER_CHIP, FAN_IN, INPUT_AXONS_PER_CORE, OUTPUT_AXONS_PER_CORE,
    SYNAPSE_BITS_PER_CORE,
};

use super::Model;
use super::sample::Membranes;
use crate::chip::width::{LayerWidths, MEMBRANE_MAX, Range, THRESHOLD_MAX, bias_limits, widths};
use crate::network::Probe;

/// The network without its parameters.
#[derive(Debug, Serialize)]
pub struct ModelDescription {
    /// SHA-256 of the model file, in hexadecimal.
    pub id: String,
    /// The network's name.
    pub name: String,
    /// The input layer first.
    pub layers: Vec<LayerDescription>,
    /// The probes that can be requested.
    pub probes: [Probe; 3],
    /// The probe used if none is requested.
    pub default_probe: Probe,
    /// The time steps used if none are requested.
    pub default_time_steps: u32,
    /// The name of the layer that is probed.
    pub embedding_layer: String,
    /// Number of values in an embedding.
    pub dimensions: usize,
    /// The recipe by which pictures are prepared.
    pub prepare: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trained_with: Option<String>,
}

/// One layer of neurons.
#[derive(Debug, Serialize)]
pub struct LayerDescription {
    /// The layer's name.
    pub name: String,
    /// `input`, `conv2d`, `avg_pool2d` or `dense`.
    pub kind: &'static str,
    /// `[channels, height, width]`.
    pub shape: [usize; 3],
    /// Number of neurons.
    pub neurons: usize,
    /// At least 1.
    pub threshold: i32,
    /// Weights and biases.
    pub parameters: usize,
    /// The largest number of inputs of one neuron.
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

/// The chip and the network on it.
#[derive(Debug, Serialize)]
pub struct ChipDescription<'a> {
    /// Chips in use.
    pub chips: usize,
    /// Cores in use.
    pub cores_used: usize,
    /// The limits of a chip and its cores.
    pub limits: Limits,
    /// The cores in use.
    pub cores: &'a [Core],
    /// The number of emulated chips of this server; `None` outside of a server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<usize>,
    /// Copies of the network that fit on the chip.
    pub replicas: usize,
    /// The cost of a picture that has the chip to itself; `None` if the sample pictures cannot be prepared for the
    /// network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub picture: Option<PictureCost>,
    /// The cost with every replica at work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub occupancy: Option<Occupancy>,
    /// Bounds of the cost that include the traffic between chips; `None` on one chip.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub several_chips: Option<SeveralChips>,
    /// The cost model and its constants.
    pub cost_model: CostModelDescription,
}

/// The modelled cost of one picture: the mean of the sample pictures.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct PictureCost {
    /// The number of pictures averaged.
    pub pictures: usize,
    /// Number of time steps.
    pub time_steps: u32,
    /// Time per picture, in ms.
    pub latency_ms: f64,
    /// Pictures one after another.
    pub pictures_per_second: f64,
    /// Energy per picture, in mJ.
    pub energy_mj: Split,
}

/// The chip's limits.
#[derive(Debug, Serialize)]
pub struct Limits {
    pub cores_per_chip: usize,
    pub compartments_per_core: usize,
    pub synapse_bits_per_core: usize,
    pub input_axons_per_core: usize,
    pub output_axons_per_core: usize,
    pub fan_in: usize,
}

/// The cost model that answers use.
#[derive(Debug, Serialize)]
pub struct CostModelDescription {
    /// The cost model's name.
    pub name: &'static str,
    /// Every constant that it uses.
    pub constants: Vec<Constant>,
}

/// Describes the chip that a model is placed on; `pool` is the number of emulated chips.
pub fn describe_chip(model: &Model, pool: Option<usize>) -> ChipDescription<'_> {
    let sample = model.sample().as_ref().ok();
    let (prices, placement) = (model.cost_model, &model.placement);
    let picture = sample.map(|sample| {
        let cost = prices.price_terms(&sample.terms, placement.cores());
        PictureCost {
            pictures: sample.pictures,
            time_steps: sample.time_steps.get(),
            latency_ms: cost.latency_ms,
            pictures_per_second: 1e3 / cost.latency_ms,
            energy_mj: Split::of(&cost),
        }
    });
    ChipDescription {
        picture,
        occupancy: sample.map(|sample| Occupancy::of(&sample.terms, placement, prices)),
        several_chips: sample.and_then(|sample| SeveralChips::of(&sample.terms, placement, prices)),
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

/// A model's integers compared with the chip's number formats.
#[derive(Debug, Serialize)]
pub struct WidthsDescription {
    /// The chip's limits.
    pub limits: WidthLimits,
    /// Number of time steps of the bounds.
    pub time_steps: u32,
    /// The input layer first.
    pub layers: Vec<LayerWidthsDescription>,
    /// One sentence on the membranes of all layers.
    pub verdict: String,
}

/// The largest magnitudes, in units of a weight. Networks with a larger threshold or bias are rejected.
#[derive(Debug, Serialize)]
pub struct WidthLimits {
    /// Of a membrane.
    pub membrane: i64,
    /// Of a threshold.
    pub threshold: i32,
    /// Of a bias.
    pub bias: i64,
    /// Of an even bias.
    pub even_bias: i64,
}

/// One layer.
#[derive(Debug, Serialize)]
pub struct LayerWidthsDescription {
    #[serde(flatten)]
    pub widths: LayerWidths,
    /// The range reached with the sample pictures; `None` if they were not run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reached: Option<Range>,
}

/// Describes a model's widths at its default number of time steps.
pub fn describe_widths(model: &Model, membranes: Option<&Membranes>) -> WidthsDescription {
    let time_steps = model.snn.network.time_steps();
    let (bias, even_bias) = bias_limits();
    let layers: Vec<LayerWidthsDescription> = widths(&model.snn, time_steps)
        .into_iter()
        .enumerate()
        .map(|(index, widths)| LayerWidthsDescription {
            widths,
            reached: membranes.map(|membranes| membranes.layers[index]),
        })
        .collect();
    WidthsDescription {
        limits: WidthLimits {
            membrane: MEMBRANE_MAX,
            threshold: THRESHOLD_MAX,
            bias,
            even_bias,
        },
        time_steps: time_steps.get(),
        verdict: verdict(&layers, membranes, time_steps.get()),
        layers,
    }
}

fn verdict(layers: &[LayerWidthsDescription], membranes: Option<&Membranes>, time_steps: u32) -> String {
    let named = |which: &dyn Fn(&LayerWidthsDescription) -> bool| {
        let names = layers.iter().filter(|layer| which(layer));
        names
            .map(|layer| layer.widths.layer.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    };
    let open = named(&|layer| !layer.widths.proven);
    let left = named(&|layer| layer.reached.is_some_and(|reached| !reached.fits()));
    if open.is_empty() {
        return format!(
            "No membrane can leave the chip's range in {time_steps} steps: the weights prove it."
        );
    }
    let Some(membranes) = membranes else {
        return format!(
            "Membranes of {open} could leave the chip's range; no picture was run to see whether they do."
        );
    };
    let looked = format!(
        "{} sample pictures, {}",
        membranes.pictures,
        if membranes.every_step {
            "looked at in every step"
        } else {
            "looked at in some of their steps"
        }
    );
    if left.is_empty() {
        format!(
            "Membranes of {open} could leave the chip's range if spikes came as badly as they can; none did ({looked})."
        )
    } else {
        format!(
            "Membranes of {left} LEFT the chip's range ({looked}): there the chip would clamp them and this emulation, \
             which has 32 bits, differs from it."
        )
    }
}
