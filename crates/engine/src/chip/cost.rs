//! Modelled energy and latency: counted events times prices.
//!
//! Events are counted elsewhere; here the counts are multiplied by constants, once. `loihi1-cores` uses published
//! constants alone, without the overhead of a board; `loihi1-paper` scales the same operations to the board that the
//! paper measured. `docs/cost-model.md` says how far each can be trusted.

use serde::Serialize;

use super::events::Events;
use super::place::Placement;
use super::{CORES_PER_CHIP, CORES_PER_TILE};

/// How far a constant can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// Published by the chip's makers, or derived from what they published.
    Published,
    /// Fitted to the paper's measurements.
    Fitted,
    /// Assumed, without a measurement of this network.
    Assumed,
}

/// One constant of a cost model.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Constant {
    /// The constant's name, such as `e_synop`.
    pub name: &'static str,
    /// The value, in `unit`.
    pub value: f64,
    /// The unit, such as `pJ`.
    pub unit: &'static str,
    /// Where the value comes from.
    pub source: &'static str,
    /// How far it can be trusted.
    pub evidence: Evidence,
}

const DAVIES: &str = "Davies 2018, IEEE Micro 38(1), Table 2 (pre-silicon, 0.75 V)";
const FIT: &str = "spikelens inspect --fit: Liu et al., Tables 3 and 4, over 1,000 test pictures";

const fn published(name: &'static str, value: f64, unit: &'static str) -> Constant {
    Constant {
        name,
        value,
        unit,
        source: DAVIES,
        evidence: Evidence::Published,
    }
}

const fn fitted(name: &'static str, value: f64, unit: &'static str) -> Constant {
    Constant {
        name,
        value,
        unit,
        source: FIT,
        evidence: Evidence::Fitted,
    }
}

/// Energy of one synaptic operation; the published figure is a minimum.
pub const SYNAPTIC_OPERATION_PJ: Constant = published("e_synop", 23.6, "pJ");
/// Time of one synaptic operation; the published figure is a maximum.
pub const SYNAPTIC_OPERATION_NS: Constant = published("t_synop", 3.5, "ns");
/// Energy of updating an active compartment, charged once per neuron and time step, because every neuron integrates a
/// bias or an input in every step. The additional energy of the second compartment, which implements the soft reset,
/// is part of the fitted gain.
pub const UPDATE_PJ: Constant = published("e_update", 81.0, "pJ");
/// Time of updating an active compartment.
pub const UPDATE_NS: Constant = published("t_update", 8.4, "ns");
/// Energy of one spike within its tile.
pub const SPIKE_PJ: Constant = published("e_spike", 1.7, "pJ");
/// Energy of one hop to the tile east or west.
pub const HOP_EAST_WEST_PJ: Constant = published("e_hop_east_west", 3.0, "pJ");
/// Energy of one hop to the tile north or south.
pub const HOP_NORTH_SOUTH_PJ: Constant = published("e_hop_north_south", 4.0, "pJ");
/// The barrier between time steps, lower end (1 tile).
pub const BARRIER_MIN_NS: Constant = published("t_barrier_1_tile", 113.0, "ns");
/// The barrier between time steps, upper end (32 tiles: a whole chip).
pub const BARRIER_MAX_NS: Constant = published("t_barrier_32_tiles", 465.0, "ns");
/// Static power of one chip with all cores powered.
pub const STATIC_MW: Constant = Constant {
    name: "p_static",
    value: 104.0,
    unit: "mW per chip",
    source: "Frady 2020, NICE, Table 1: 3.34 W for 32 chips (derived)",
    evidence: Evidence::Published,
};

/// The fitted constants.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Fitted {
    /// Latency per image that does not depend on the number of time steps, in ms.
    pub latency_ms: f64,
    /// Latency per time step that does not depend on the events in it, in ns.
    pub step_ns: f64,
    /// Dynamic energy per image that does not depend on its events, in mJ.
    pub energy_mj: f64,
    /// Ratio of the board's dynamic energy to the published energy of its operations.
    pub gain: f64,
    /// Static power of the board, in W.
    pub static_w: f64,
}

/// The output of `spikelens inspect --fit` for the reference network (`tests/golden/paper-32-64-10`).
pub const FITTED: Fitted = Fitted {
    latency_ms: 1.8305468978285724,
    step_ns: 46968.661685714236,
    energy_mj: 0.05712987091185261,
    gain: 3.343432571892801,
    static_w: 0.949,
};

const LATENCY_MS: Constant = fitted("l0", FITTED.latency_ms, "ms per image");
const STEP_NS: Constant = fitted("t_sync", FITTED.step_ns, "ns per time step");
const ENERGY_MJ: Constant = fitted("e0", FITTED.energy_mj, "mJ per image");
const GAIN: Constant = fitted("g", FITTED.gain, "board over published operations");
const BOARD_STATIC_W: Constant = fitted("p_static", FITTED.static_w, "W");

const fn several_chips(name: &'static str, value: f64, source: &'static str) -> Constant {
    Constant {
        name,
        value,
        unit: "us per time step",
        source,
        evidence: Evidence::Assumed,
    }
}

/// Duration of a time step of a network on several chips, lower bound: the fastest of three measured networks.
pub const CHIPS_STEP_MIN_US: Constant = several_chips(
    "t_step_several_chips_min",
    137.0,
    "measured once on 2 chips (Intel, NxTF CIFAR notebook); assumed of all",
);
/// Duration of a time step of a network on several chips, upper bound: the slowest of the three. The third, on 14
/// chips, took 278 us.
pub const CHIPS_STEP_MAX_US: Constant = several_chips(
    "t_step_several_chips_max",
    850.0,
    "measured once on 7 chips (NxTF MobileNet: 340 ms, about 400 steps); assumed of all",
);

/// A cost model that a user can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CostModel {
    /// The published operations, scaled to the paper's board.
    Loihi1Paper,
    /// Published constants alone.
    Loihi1Cores,
}

/// The error for a name that is not a cost model.
#[derive(Debug, thiserror::Error)]
#[error("no such cost model: {given:?}; it is loihi1-paper or loihi1-cores")]
pub struct UnknownCostModel {
    given: String,
}

impl std::str::FromStr for CostModel {
    type Err = UnknownCostModel;

    fn from_str(word: &str) -> Result<Self, UnknownCostModel> {
        let found = Self::ALL.into_iter().find(|model| model.as_str() == word);
        found.ok_or_else(|| UnknownCostModel {
            given: word.chars().take(64).collect(),
        })
    }
}

impl CostModel {
    /// Every model, the default first.
    pub const ALL: [Self; 2] = [Self::Loihi1Paper, Self::Loihi1Cores];

    /// The model's name in options and answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Loihi1Paper => "loihi1-paper",
            Self::Loihi1Cores => "loihi1-cores",
        }
    }

    /// Every constant that the model uses, each with its source.
    #[must_use]
    pub fn constants(self) -> Vec<Constant> {
        let mut constants = vec![
            SYNAPTIC_OPERATION_PJ,
            SYNAPTIC_OPERATION_NS,
            UPDATE_PJ,
            UPDATE_NS,
            SPIKE_PJ,
            HOP_EAST_WEST_PJ,
            HOP_NORTH_SOUTH_PJ,
        ];
        constants.extend(match self {
            Self::Loihi1Paper => vec![LATENCY_MS, STEP_NS, ENERGY_MJ, GAIN, BOARD_STATIC_W],
            Self::Loihi1Cores => vec![BARRIER_MIN_NS, BARRIER_MAX_NS, STATIC_MW],
        });
        constants.extend([CHIPS_STEP_MIN_US, CHIPS_STEP_MAX_US]);
        constants
    }

    /// The modelled cost of one picture.
    #[must_use]
    pub fn price(self, events: &Events, placement: &Placement) -> Cost {
        self.price_terms(&Terms::of(events, placement), placement.cores())
    }

    /// The modelled cost of one picture, from its terms and the number of cores in use.
    #[must_use]
    pub fn price_terms(self, terms: &Terms, cores: usize) -> Cost {
        match self {
            Self::Loihi1Paper => paper(terms, &FITTED),
            Self::Loihi1Cores => published_alone(terms, cores),
        }
    }

    /// Lower and upper bound of the cost of one picture for a network on several chips; `None` for a network on one
    /// chip.
    ///
    /// No constant is published for traffic between chips, so [`Self::price_terms`] excludes it. The bounds use the
    /// measured step times of other networks instead, where those are longer.
    #[must_use]
    pub fn price_on_several_chips(self, terms: &Terms, cores: usize) -> Option<[Cost; 2]> {
        if cores <= CORES_PER_CHIP {
            return None;
        }
        let alone = self.price_terms(terms, cores);
        let image_ms = match self {
            Self::Loihi1Paper => FITTED.latency_ms,
            Self::Loihi1Cores => 0.0,
        };
        Some([CHIPS_STEP_MIN_US, CHIPS_STEP_MAX_US].map(|step| {
            let measured_ms = image_ms + terms.time_steps * step.value * 1e-3;
            let latency_ms = alone.latency_ms.max(measured_ms);
            Cost {
                latency_ms,
                static_mj: alone.static_mj / alone.latency_ms * latency_ms,
                dynamic_mj: alone.dynamic_mj,
            }
        }))
    }
}

/// The modelled cost of one picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cost {
    /// Modelled time of the picture, in ms.
    pub latency_ms: f64,
    /// Static power times latency, in mJ.
    pub static_mj: f64,
    /// Energy of the operations, in mJ.
    pub dynamic_mj: f64,
}

impl Cost {
    /// Static plus dynamic energy, in mJ.
    #[must_use]
    pub fn total_mj(&self) -> f64 {
        self.static_mj + self.dynamic_mj
    }
}

/// One picture's events multiplied by published prices: the input of both models.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Terms {
    /// Number of time steps.
    pub time_steps: f64,
    /// Sum over all time steps of the time of the core that is busy longest in that step.
    pub busiest_ns: f64,
    /// Energy of neuron updates, in pJ.
    pub updates_pj: f64,
    /// Energy of synaptic operations, in pJ.
    pub synaptic_operations_pj: f64,
    /// Energy of spikes within their tile, in pJ.
    pub spikes_pj: f64,
    /// Energy of hops between tiles, in pJ.
    pub hops_pj: f64,
}

impl Terms {
    /// Multiplies counts by published prices.
    #[must_use]
    pub fn of(events: &Events, placement: &Placement) -> Self {
        let mut busiest_ns = 0.0;
        let steps = events
            .layers
            .first()
            .map_or(0, |layer| layer.spikes_per_step.len());
        for step in 0..steps {
            let mut busiest = 0.0f64;
            for (layer, placed) in events.layers.iter().zip(&placement.layers) {
                let own = &placement.cores[placed.first_core..];
                for (core, &operations) in own.iter().zip(layer.operations_of_step(step)) {
                    let time = float(core.compartments) * UPDATE_NS.value
                        + counted(operations) * SYNAPTIC_OPERATION_NS.value;
                    busiest = busiest.max(time);
                }
            }
            busiest_ns += busiest;
        }
        let mut hops_pj = 0.0;
        for (layer, placed) in events.layers.iter().zip(&placement.layers) {
            // Counts do not say which neurons spiked, so each spike is charged the layer's average distance.
            let share = counted(layer.spikes()) / counted(layer.neurons.max(1));
            hops_pj += share
                * (counted(placed.hops[0]) * HOP_EAST_WEST_PJ.value
                    + counted(placed.hops[1]) * HOP_NORTH_SOUTH_PJ.value);
        }
        Self {
            time_steps: counted(events.time_steps()),
            busiest_ns,
            updates_pj: counted(events.neuron_updates()) * UPDATE_PJ.value,
            synaptic_operations_pj: counted(events.synaptic_operations()) * SYNAPTIC_OPERATION_PJ.value,
            spikes_pj: counted(events.spikes()) * SPIKE_PJ.value,
            hops_pj,
        }
    }

    /// Dynamic energy at published prices, in pJ.
    #[must_use]
    pub fn operations_pj(&self) -> f64 {
        self.updates_pj + self.synaptic_operations_pj + self.spikes_pj + self.hops_pj
    }

    /// The mean of the terms of several pictures; NaN for none.
    #[must_use]
    pub fn mean(all: &[Self]) -> Self {
        let count = float(all.len());
        let mean = |part: fn(&Self) -> f64| all.iter().map(part).sum::<f64>() / count;
        Self {
            time_steps: mean(|terms| terms.time_steps),
            busiest_ns: mean(|terms| terms.busiest_ns),
            updates_pj: mean(|terms| terms.updates_pj),
            synaptic_operations_pj: mean(|terms| terms.synaptic_operations_pj),
            spikes_pj: mean(|terms| terms.spikes_pj),
            hops_pj: mean(|terms| terms.hops_pj),
        }
    }
}

/// The paper's board: `latency = L0 + T x t_sync + busiest`, `dynamic = E0 + g x operations`, `static = P x latency`.
#[must_use]
pub fn paper(terms: &Terms, fitted: &Fitted) -> Cost {
    let latency_ms = fitted.latency_ms + (terms.time_steps * fitted.step_ns + terms.busiest_ns) * 1e-6;
    Cost {
        latency_ms,
        // W x ms = mJ.
        static_mj: fitted.static_w * latency_ms,
        dynamic_mj: fitted.energy_mj + fitted.gain * terms.operations_pj() * 1e-9,
    }
}

fn published_alone(terms: &Terms, cores: usize) -> Cost {
    let chips = cores.div_ceil(CORES_PER_CHIP);
    let latency_ns = terms.time_steps * barrier_ns(cores) + terms.busiest_ns;
    let latency_ms = latency_ns * 1e-6;
    Cost {
        latency_ms,
        // mW x ms = uJ.
        static_mj: STATIC_MW.value * float(chips) * latency_ms * 1e-3,
        dynamic_mj: terms.operations_pj() * 1e-9,
    }
}

/// The barrier takes longer the more tiles are in use; between the two published values it is interpolated linearly.
fn barrier_ns(cores: usize) -> f64 {
    let most = CORES_PER_CHIP / CORES_PER_TILE;
    let tiles = cores.div_ceil(CORES_PER_TILE).clamp(1, most);
    let share = (float(tiles) - 1.0) / (float(most) - 1.0);
    BARRIER_MIN_NS.value + share * (BARRIER_MAX_NS.value - BARRIER_MIN_NS.value)
}

/// Counts stay far below 2^53, so that the conversion to f64 is exact.
fn counted(count: u64) -> f64 {
    count as f64
}

fn float(count: usize) -> f64 {
    count as f64
}
