//! The part of an answer about the chip: the counts of one run and their modelled cost.

use serde::Serialize;

use super::cost::{CHIPS_STEP_MAX_US, CHIPS_STEP_MIN_US, Cost, CostModel, Evidence, Terms};
use super::events::Events;
use super::place::Placement;
use crate::network::Network;

/// Modelled only; contains no time measured on this host.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Emulation {
    /// `loihi1`.
    pub chip: &'static str,
    /// The name of the cost model.
    pub cost_model: &'static str,
    /// Number of time steps.
    pub time_steps: u64,
    /// Modelled time of the picture, in ms.
    pub latency_ms: f64,
    /// Energy of the picture, in mJ.
    pub energy_mj: Split,
    /// Mean power over the latency, in W.
    pub power_w: Split,
    /// Spikes fired in all time steps by all layers, the input layer included.
    pub spikes: u64,
    /// Weights added to membranes because of delivered spikes.
    pub synaptic_operations: u64,
    /// Neurons times time steps.
    pub neuron_updates: u64,
    /// Updates whose membrane exceeded the chip's 23 bits. The chip would have clamped them, so its answer may differ.
    pub saturated_updates: u64,
    /// Cores in use.
    pub cores: usize,
    /// Chips in use.
    pub chips: usize,
    /// The input layer first.
    pub layers: Vec<LayerEmulation>,
}

/// A total and its two parts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Split {
    /// The sum of the parts.
    pub total: f64,
    /// The part that does not depend on events.
    #[serde(rename = "static")]
    pub standing: f64,
    /// The part of the operations.
    pub dynamic: f64,
}

impl Split {
    /// The energy of a picture, in mJ.
    #[must_use]
    pub fn of(cost: &Cost) -> Self {
        Self {
            total: cost.total_mj(),
            standing: cost.static_mj,
            dynamic: cost.dynamic_mj,
        }
    }
}

/// The chip with as many copies of the network as fit, each working on a picture of its own.
///
/// The board's static power is shared by the copies; dynamic energy is not. [`Emulation`] reports the cost of a
/// picture that has the chip to itself.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Occupancy {
    /// Copies of the network on the chip.
    pub replicas: usize,
    /// Throughput of all copies together.
    pub pictures_per_second: f64,
    /// Energy per picture, in mJ.
    pub energy_mj_per_picture: Split,
    /// The assumptions behind the figures.
    pub assumes: &'static str,
}

impl Occupancy {
    /// The assumptions about copies that run at the same time, for which no measurement exists.
    pub const ASSUMES: &'static str = "Assumed: the copies run independently and in step, pictures take \
        equally long, and loading and reading them in parallel costs no time";

    /// From the mean terms of one picture.
    #[must_use]
    pub fn of(terms: &Terms, placement: &Placement, model: CostModel) -> Self {
        let replicas = placement.replicas();
        // The barrier waits for the cores of every copy.
        let cost = model.price_terms(terms, placement.cores() * replicas);
        let shared = Cost {
            static_mj: cost.static_mj / replicas as f64,
            ..cost
        };
        Self {
            replicas,
            pictures_per_second: replicas as f64 * 1e3 / cost.latency_ms,
            energy_mj_per_picture: Split::of(&shared),
            assumes: Self::ASSUMES,
        }
    }
}

/// Bounds for a network on several chips, beside the one-chip formula that all other figures use.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct SeveralChips {
    /// Lower and upper bound, as in every field here.
    pub step_us: [f64; 2],
    /// In ms.
    pub latency_ms: [f64; 2],
    /// In mJ.
    pub energy_mj: [f64; 2],
    /// How far the bounds can be trusted.
    pub evidence: Evidence,
}

impl SeveralChips {
    /// From the mean terms of one picture; `None` for a network on one chip.
    #[must_use]
    pub fn of(terms: &Terms, placement: &Placement, model: CostModel) -> Option<Self> {
        let costs = model.price_on_several_chips(terms, placement.cores())?;
        Some(Self {
            step_us: [CHIPS_STEP_MIN_US.value, CHIPS_STEP_MAX_US.value],
            latency_ms: costs.map(|cost| cost.latency_ms),
            energy_mj: costs.map(|cost| cost.total_mj()),
            evidence: Evidence::Assumed,
        })
    }
}

/// The counts of one layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LayerEmulation {
    /// The layer's name.
    pub name: String,
    /// Number of neurons.
    pub neurons: u64,
    /// Spikes fired in all time steps.
    pub spikes: u64,
    /// Synaptic operations that arrived at this layer.
    pub synaptic_operations: u64,
    /// Cores in use.
    pub cores: usize,
}

impl Emulation {
    /// Prices one run's events.
    #[must_use]
    pub fn of(network: &Network, events: &Events, placement: &Placement, model: CostModel) -> Self {
        let cost = model.price(events, placement);
        // mJ / ms = W.
        let power = |energy_mj: f64| energy_mj / cost.latency_ms;
        let layers = network
            .populations()
            .zip(&events.layers)
            .zip(&placement.layers)
            .map(|(((name, _), events), placed)| LayerEmulation {
                name: name.to_owned(),
                neurons: events.neurons,
                spikes: events.spikes(),
                synaptic_operations: events.synaptic_operations(),
                cores: placed.tiling.cores(),
            })
            .collect();
        Self {
            chip: "loihi1",
            cost_model: model.as_str(),
            time_steps: events.time_steps(),
            latency_ms: cost.latency_ms,
            energy_mj: Split::of(&cost),
            power_w: Split {
                total: power(cost.total_mj()),
                standing: power(cost.static_mj),
                dynamic: power(cost.dynamic_mj),
            },
            spikes: events.spikes(),
            synaptic_operations: events.synaptic_operations(),
            neuron_updates: events.neuron_updates(),
            saturated_updates: events.saturated_updates(),
            cores: placement.cores(),
            chips: placement.chips(),
            layers,
        }
    }
}
