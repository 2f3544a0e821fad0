//! What an answer says of one picture on the chip: the counts of that very run, and what they would have cost.

use serde::Serialize;

use super::cost::CostModel;
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
            energy_mj: Split {
                total: cost.total_mj(),
                standing: cost.static_mj,
                dynamic: cost.dynamic_mj,
            },
            power_w: Split {
                total: power(cost.total_mj()),
                standing: power(cost.static_mj),
                dynamic: power(cost.dynamic_mj),
            },
            spikes: events.spikes(),
            synaptic_operations: events.synaptic_operations(),
            neuron_updates: events.neuron_updates(),
            cores: placement.cores(),
            chips: placement.chips(),
            layers,
        }
    }
}
