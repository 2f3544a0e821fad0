//! What a model is, in the form that `GET /v1/model` and `spikelens inspect` both give.

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
    /// One picture that has the chip to itself; none where the sample pictures do not suit the network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub picture: Option<PictureCost>,
    /// Every replica at work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub occupancy: Option<Occupancy>,
    /// What the time between chips may make of it; none on one chip.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub several_chips: Option<SeveralChips>,
    pub cost_model: CostModelDescription,
}

/// The modelled cost of one picture: the mean of a few built-in ones.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct PictureCost {
    /// How many pictures the mean is of.
    pub pictures: usize,
    pub time_steps: u32,
    pub latency_ms: f64,
    pub pictures_per_second: f64,
    pub energy_mj: Split,
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

/// A model's integers beside the widths that the chip keeps them in.
#[derive(Debug, Serialize)]
pub struct WidthsDescription {
    pub limits: WidthLimits,
    pub time_steps: u32,
    /// The input layer first.
    pub layers: Vec<LayerWidthsDescription>,
    /// One sentence on the membranes of all layers.
    pub verdict: String,
}

/// The largest magnitudes, in units of a weight. A network with a threshold or a bias beyond them is refused.
#[derive(Debug, Serialize)]
pub struct WidthLimits {
    pub membrane: i64,
    pub threshold: i32,
    pub bias: i64,
    pub even_bias: i64,
}

/// One layer.
#[derive(Debug, Serialize)]
pub struct LayerWidthsDescription {
    #[serde(flatten)]
    pub widths: LayerWidths,
    /// By the membranes of the sample pictures; none where they could not be run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reached: Option<Range>,
}

/// Describes a model's widths at its own number of time steps.
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
