//! What an answer says of one picture on the chip: the counts of that very run, and what they would have cost.

use serde::Serialize;

use super::cost::{CHIPS_STEP_MAX_US, CHIPS_STEP_MIN_US, Cost, CostModel, Evidence, Terms};
use super::events::Events;
use super::place::Placement;
use crate::network::Network;

/// Modelled, never measured: no time of this host is in here.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Emulation {
    pub chip: &'static str,
    pub cost_model: &'static str,
    pub time_steps: u64,
    pub latency_ms: f64,
    pub energy_mj: Split,
    pub power_w: Split,
    /// Fired in all time steps by all layers, the input layer included.
    pub spikes: u64,
    pub synaptic_operations: u64,
    pub neuron_updates: u64,
    /// Those whose membrane the chip's 23 bits would have clamped: with any of them, the chip may answer otherwise.
    pub saturated_updates: u64,
    pub cores: usize,
    pub chips: usize,
    /// The input layer first.
    pub layers: Vec<LayerEmulation>,
}

/// A figure and its two parts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Split {
    pub total: f64,
    #[serde(rename = "static")]
    pub standing: f64,
    pub dynamic: f64,
}

impl Split {
    /// The energy of a picture, in mJ.
    pub fn of(cost: &Cost) -> Self {
        Self {
            total: cost.total_mj(),
            standing: cost.static_mj,
            dynamic: cost.dynamic_mj,
        }
    }
}

/// Every copy of the network that fits the chip at work on a picture of its own.
///
/// The board's static power flows once, however many copies work: each picture bears its share of that energy, and all
/// of its own dynamic energy. A picture that has the chip to itself costs what [`Emulation`] says, whatever else would
/// have fitted beside it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Occupancy {
    pub replicas: usize,
    pub pictures_per_second: f64,
    pub energy_mj_per_picture: Split,
    pub assumes: &'static str,
}

impl Occupancy {
    /// What nobody measured about copies side by side.
    pub const ASSUMES: &'static str = "Assumed: the copies run independently and in step, pictures take \
        equally long, and loading and reading them in parallel costs no time";

    /// From the mean terms of one picture.
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

/// The band of a network on several chips, beside the one-chip formula that every other figure keeps to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct SeveralChips {
    /// The least and the most, as in every field here.
    pub step_us: [f64; 2],
    pub latency_ms: [f64; 2],
    pub energy_mj: [f64; 2],
    pub evidence: Evidence,
}

impl SeveralChips {
    /// From the mean terms of one picture; none for a network on one chip.
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

/// One layer's share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LayerEmulation {
    pub name: String,
    pub neurons: u64,
    pub spikes: u64,
    /// Those that arrived at this layer.
    pub synaptic_operations: u64,
    pub cores: usize,
}

impl Emulation {
    /// Prices one run's events.
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
