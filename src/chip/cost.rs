//! Events times cited prices: modelled energy and latency.
//!
//! The model `loihi1-cores` uses published constants alone. It is a lower bound: the published energy of a synaptic
//! operation is a minimum, no host, input or reset is inside, and each layer's work is taken as spread evenly over
//! its cores.

use serde::Serialize;

use super::events::Events;
use super::place::Placement;
use super::{COMPARTMENTS_PER_NEURON, CORES_PER_CHIP};

/// How far a constant can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    Published,
    Fitted,
    Assumed,
}

/// One constant of a cost model.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Constant {
    pub name: &'static str,
    pub value: f64,
    pub unit: &'static str,
    pub source: &'static str,
    pub evidence: Evidence,
}

const DAVIES: &str = "Davies 2018, IEEE Micro 38(1), Table 2 (pre-silicon, 0.75 V)";

const fn published(name: &'static str, value: f64, unit: &'static str) -> Constant {
    Constant {
        name,
        value,
        unit,
        source: DAVIES,
        evidence: Evidence::Published,
    }
}

/// Energy of one synaptic operation; the published figure is a minimum.
pub const SYNAPTIC_OPERATION_PJ: Constant = published("e_synop", 23.6, "pJ");
/// Time of one synaptic operation; the published figure is a maximum.
pub const SYNAPTIC_OPERATION_NS: Constant = published("t_synop", 3.5, "ns");
/// Energy of updating an active compartment. Every neuron here integrates a bias or an input in every step.
pub const UPDATE_PJ: Constant = published("e_update", 81.0, "pJ");
/// Time of updating an active compartment.
pub const UPDATE_NS: Constant = published("t_update", 8.4, "ns");
/// Energy of one spike within its tile.
pub const SPIKE_PJ: Constant = published("e_spike", 1.7, "pJ");
/// The barrier between time steps, lower end (1 tile).
pub const BARRIER_MIN_NS: Constant = published("t_barrier_1_tile", 113.0, "ns");
/// The barrier between time steps, upper end (32 tiles: a whole chip).
pub const BARRIER_MAX_NS: Constant = published("t_barrier_32_tiles", 465.0, "ns");
/// Standing power of one chip, all cores powered.
pub const STATIC_MW: Constant = Constant {
    name: "p_static",
    value: 104.0,
    unit: "mW per chip",
    source: "Frady 2020, NICE, Table 1: 3.34 W for 32 chips (derived)",
    evidence: Evidence::Published,
};

/// A cost model that a user can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CostModel {
    /// Published constants alone.
    Loihi1Cores,
}

impl CostModel {
    /// The model's name in options and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Loihi1Cores => "loihi1-cores",
        }
    }

    /// Every constant that the model multiplies with, each with its source.
    pub fn constants(self) -> &'static [Constant] {
        match self {
            Self::Loihi1Cores => &[
                SYNAPTIC_OPERATION_PJ,
                SYNAPTIC_OPERATION_NS,
                UPDATE_PJ,
                UPDATE_NS,
                SPIKE_PJ,
                BARRIER_MIN_NS,
                BARRIER_MAX_NS,
                STATIC_MW,
            ],
        }
    }

    /// What the chip would have spent on one picture.
    pub fn price(self, events: &Events, placement: &Placement) -> Cost {
        match self {
            Self::Loihi1Cores => price_cores(events, placement),
        }
    }
}

/// The modelled cost of one picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cost {
    pub latency_ms: f64,
    pub static_mj: f64,
    pub dynamic_mj: f64,
}

impl Cost {
    /// Static plus dynamic energy, in mJ.
    pub fn total_mj(&self) -> f64 {
        self.static_mj + self.dynamic_mj
    }
}

fn price_cores(events: &Events, placement: &Placement) -> Cost {
    let compartments = float(COMPARTMENTS_PER_NEURON);
    let mut latency_ns = 0.0;
    let steps = events
        .layers
        .first()
        .map_or(0, |layer| layer.spikes_per_step.len());
    for step in 0..steps {
        let busiest = events
            .layers
            .iter()
            .zip(&placement.cores_per_layer)
            .map(|(layer, &cores)| {
                let operations = counted(layer.synaptic_operations_per_step[step]);
                (counted(layer.neurons) * compartments * UPDATE_NS.value
                    + operations * SYNAPTIC_OPERATION_NS.value)
                    / float(cores)
            })
            .fold(0.0, f64::max);
        latency_ns += barrier_ns(placement.cores()) + busiest;
    }
    let dynamic_pj = counted(events.neuron_updates()) * compartments * UPDATE_PJ.value
        + counted(events.synaptic_operations()) * SYNAPTIC_OPERATION_PJ.value
        + counted(events.spikes()) * SPIKE_PJ.value;
    let latency_ms = latency_ns * 1e-6;
    Cost {
        latency_ms,
        // mW x ms = uJ.
        static_mj: STATIC_MW.value * float(placement.chips()) * latency_ms * 1e-3,
        dynamic_mj: dynamic_pj * 1e-9,
    }
}

/// The barrier grows with the tiles in use, four cores each; between the two published ends we draw a straight line.
fn barrier_ns(cores: usize) -> f64 {
    let tiles = cores.min(CORES_PER_CHIP).div_ceil(4).clamp(1, 32);
    let share = (float(tiles) - 1.0) / 31.0;
    BARRIER_MIN_NS.value + share * (BARRIER_MAX_NS.value - BARRIER_MIN_NS.value)
}

/// Counts stay far below 2^53, so that f64 holds them exactly.
fn counted(count: u64) -> f64 {
    count as f64
}

fn float(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chip::events::LayerEvents;

    #[test]
    fn the_price_is_the_sum_of_its_published_parts() {
        let layer = |spikes, operations| LayerEvents {
            neurons: 512,
            spikes_per_step: vec![spikes],
            synaptic_operations_per_step: vec![operations],
        };
        let events = Events {
            layers: vec![layer(10, 0), layer(5, 1000)],
        };
        let placement = Placement {
            cores_per_layer: vec![1, 1],
        };
        let cost = CostModel::Loihi1Cores.price(&events, &placement);
        // 2 x 1,024 compartment updates, 1,000 synaptic operations, 15 spikes.
        let dynamic_pj = 2048.0 * 81.0 + 1000.0 * 23.6 + 15.0 * 1.7;
        assert!((cost.dynamic_mj - dynamic_pj * 1e-9).abs() < 1e-15);
        // The busiest core updates 1,024 compartments and takes 1,000 operations; two cores are one tile.
        let latency_ns = 113.0 + 1024.0 * 8.4 + 1000.0 * 3.5;
        assert!((cost.latency_ms - latency_ns * 1e-6).abs() < 1e-12);
        assert!((cost.static_mj - 0.104 * cost.latency_ms).abs() < 1e-12);
        assert_eq!(cost.total_mj(), cost.static_mj + cost.dynamic_mj);
    }
}
