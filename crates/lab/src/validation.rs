//! Compares the cost models with measurements that the fit does not use.
//!
//! In: the published cases. Out: each measurement beside the figures of both models for the same network, with the
//! error. If a count was not published, the models are given an assumed lower and upper bound, and the result is a
//! band.

use serde::Serialize;

use crate::cases::{CASES, Case, Quantity, Size, Spikes};
use engine::chip::cost::{
    CostModel, FITTED, SPIKE_PJ, SYNAPTIC_OPERATION_NS, SYNAPTIC_OPERATION_PJ, Terms, UPDATE_NS, UPDATE_PJ,
};
use engine::chip::{COMPARTMENTS_PER_CORE, CORES_PER_CHIP};

/// Assumed spikes per neuron and time step where they are not published, lower and upper bound: a fifth to twice the
/// rate of the paper's network, which is 0.046 at T = 16 and 0.058 at T = 128 over 1,000 test pictures.
pub const ASSUMED_RATE: [f64; 2] = [0.01, 0.1];

/// Lower and upper bound; equal for a single value.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Band {
    pub low: f64,
    pub high: f64,
}

impl Band {
    fn of(low: f64, high: f64) -> Self {
        Self { low, high }
    }

    fn map(self, each: impl Fn(f64) -> f64) -> Self {
        Self::of(each(self.low), each(self.high))
    }
}

/// One model's figure for one measurement.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Modelled {
    pub model: &'static str,
    pub value: Band,
    pub error_percent: Band,
}

/// One measurement beside the modelled figures.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    pub case: &'static str,
    pub network: &'static str,
    pub time_steps: u32,
    pub quantity: &'static str,
    pub measured: f64,
    pub modelled: Vec<Modelled>,
    pub source: &'static str,
}

/// The models' input for one case.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Inputs {
    pub case: &'static str,
    pub network: &'static str,
    pub source: &'static str,
    pub neurons: usize,
    /// Weights between neurons, each counted at both ends once; padding included.
    pub synapses: usize,
    pub cores: [usize; 2],
    pub spikes: String,
    pub note: &'static str,
}

/// The whole comparison.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Validation {
    pub cases: Vec<Inputs>,
    pub rows: Vec<Row>,
}

/// Cores needed by these layers if only compartments limit them: `sum over layers of ceil(c n / 1024)` with `c`
/// compartments a neuron. It gives the 157 cores that Intel's compiler printed for case B.
#[must_use]
pub fn cores_by_rule(layers: &[Size], compartments: usize) -> usize {
    let cores = |size: &Size| (compartments * size.neurons).div_ceil(COMPARTMENTS_PER_CORE);
    layers.iter().map(cores).sum()
}

/// Compares every case.
pub fn validate() -> Validation {
    Validation {
        cases: CASES.iter().map(inputs).collect(),
        rows: CASES.iter().flat_map(rows).collect(),
    }
}

fn inputs(case: &Case) -> Inputs {
    let spikes = match case.spikes {
        Spikes::Unknown => format!(
            "assumed: {} to {} of all neurons in each step",
            ASSUMED_RATE[0], ASSUMED_RATE[1]
        ),
        Spikes::OncePerNeuron => "published: each neuron once an image".to_owned(),
        Spikes::ToAll([low, high]) => format!("published: {low} to {high}, each to all neurons"),
    };
    Inputs {
        case: case.key,
        network: case.network,
        source: case.source,
        neurons: neurons(case),
        synapses: synapses(case),
        cores: extremes(case).map(|extreme| extreme.cores),
        spikes,
        note: case.note,
    }
}

fn neurons(case: &Case) -> usize {
    case.layers.iter().map(|size| size.neurons).sum()
}

fn synapses(case: &Case) -> usize {
    case.layers.iter().map(|size| size.neurons * size.fan_in).sum()
}

/// One bound of the assumptions about a case.
#[derive(Debug, Clone, Copy)]
struct Extreme {
    most: bool,
    cores: usize,
    compartments: usize,
}

/// Lower and upper bound.
fn extremes(case: &Case) -> [Extreme; 2] {
    [false, true].map(|most| {
        let compartments = case.compartments[usize::from(most)];
        Extreme {
            most,
            cores: case
                .cores
                .unwrap_or_else(|| cores_by_rule(case.layers, compartments)),
            compartments,
        }
    })
}

/// The events of one image at published prices, spread evenly over a layer's cores.
fn terms(case: &Case, time_steps: u32, extreme: Extreme) -> Terms {
    let steps = f64::from(time_steps);
    let end = usize::from(extreme.most);
    // Spikes of one neuron in one step, and the targets of one spike in all, where the case says them together.
    let rate = match case.spikes {
        Spikes::Unknown => ASSUMED_RATE[end],
        Spikes::OncePerNeuron => 1.0 / steps,
        Spikes::ToAll(_) => 0.0,
    };
    let (spikes, operations) = match case.spikes {
        Spikes::ToAll(spikes) => (spikes[end], spikes[end] * float(neurons(case))),
        Spikes::Unknown | Spikes::OncePerNeuron => (
            rate * steps * float(neurons(case)),
            rate * steps * float(synapses(case)),
        ),
    };
    // If the number of cores is published, all layers are spread over them.
    let busiest_ns = match case.cores {
        Some(cores) => {
            let compartments =
                float(extreme.compartments * neurons(case)).min(float(cores * COMPARTMENTS_PER_CORE));
            let share = float(cores);
            compartments / share * UPDATE_NS.value + operations / steps / share * SYNAPTIC_OPERATION_NS.value
        }
        None => case
            .layers
            .iter()
            .map(|size| {
                let cores = float(cores_by_rule(&[*size], extreme.compartments));
                let compartments = (float(extreme.compartments * size.neurons) / cores).ceil();
                let arriving = rate * float(size.neurons * size.fan_in) / cores;
                compartments * UPDATE_NS.value + arriving * SYNAPTIC_OPERATION_NS.value
            })
            .fold(0.0, f64::max),
    };
    // A case whose neurons take an unknown number of compartments may update each of them.
    let updates = match (case.spikes, case.cores) {
        (Spikes::OncePerNeuron, Some(cores)) => {
            float(extreme.compartments * neurons(case)).min(float(cores * COMPARTMENTS_PER_CORE))
        }
        _ => float(neurons(case)),
    };
    Terms {
        time_steps: steps,
        busiest_ns: busiest_ns * steps,
        updates_pj: updates * steps * UPDATE_PJ.value,
        synaptic_operations_pj: operations * SYNAPTIC_OPERATION_PJ.value,
        spikes_pj: spikes * SPIKE_PJ.value,
        // The positions of the cores are not published; in the paper's network hops are 0.3 % of the energy.
        hops_pj: 0.0,
    }
}

fn rows(case: &Case) -> Vec<Row> {
    let mut rows = Vec::new();
    for run in case.runs {
        for measured in run.measured {
            let modelled = modelled(case, run.time_steps, measured.quantity)
                .into_iter()
                .map(|(model, value)| Modelled {
                    model,
                    value,
                    error_percent: value.map(|value| 100.0 * (value / measured.value - 1.0)),
                })
                .collect();
            rows.push(Row {
                case: case.key,
                network: case.network,
                time_steps: run.time_steps,
                quantity: measured.quantity.as_str(),
                measured: measured.value,
                modelled,
                source: case.source,
            });
        }
    }
    rows
}

fn modelled(case: &Case, time_steps: u32, quantity: Quantity) -> Vec<(&'static str, Band)> {
    let ends = extremes(case);
    CostModel::ALL
        .into_iter()
        .map(|model| {
            let [low, high] = ends.map(|extreme| value(case, time_steps, extreme, model, quantity));
            // A power decreases if the time increases, so the bounds may swap.
            (model.as_str(), Band::of(low.min(high), low.max(high)))
        })
        .collect()
}

fn value(case: &Case, time_steps: u32, extreme: Extreme, model: CostModel, quantity: Quantity) -> f64 {
    let terms = terms(case, time_steps, extreme);
    let cost = model.price_terms(&terms, extreme.cores);
    let image_ms = match model {
        CostModel::Loihi1Paper => FITTED.latency_ms,
        CostModel::Loihi1Cores => 0.0,
    };
    match quantity {
        Quantity::SpikingStepUs => (cost.latency_ms - image_ms) * 1e3 / terms.time_steps,
        Quantity::StepUs => cost.latency_ms * 1e3 / terms.time_steps,
        Quantity::ImageMs => cost.latency_ms,
        Quantity::EnergyMj => cost.total_mj(),
        Quantity::DynamicMj => cost.dynamic_mj,
        // mJ / ms = W.
        Quantity::DynamicMw => cost.dynamic_mj / cost.latency_ms * 1e3,
        // Both models price the same placement.
        Quantity::Cores => float(extreme.cores),
        Quantity::Chips => float(extreme.cores.div_ceil(CORES_PER_CHIP)),
    }
}

fn float(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases::PSEUDO_MOBILE_NET;

    #[test]
    fn the_rule_gives_what_intel_s_compiler_printed_for_case_b() {
        let neurons: usize = PSEUDO_MOBILE_NET.iter().map(|size| size.neurons).sum();
        // The notebook prints 76,810 neurons, its input not among them.
        assert_eq!(neurons - PSEUDO_MOBILE_NET[0].neurons, 76_810);
        assert_eq!(cores_by_rule(&PSEUDO_MOBILE_NET, 2), 157);
        assert_eq!(cores_by_rule(&PSEUDO_MOBILE_NET, 2).div_ceil(CORES_PER_CHIP), 2);
    }

    #[test]
    fn case_j_s_energy_is_its_counts_times_the_published_prices() {
        let validation = validate();
        let row = validation.rows.iter().find(|row| row.case == "J").unwrap();
        let cores = &row.modelled[1];
        assert_eq!(cores.model, "loihi1-cores");
        // 76,800 neurons x 60 steps x 81 pJ, and 667 to 750 spikes to each at 23.6 pJ.
        let updates = 76_800.0 * 60.0 * 81e-9;
        for (found, spikes) in [(cores.value.low, 667.0), (cores.value.high, 750.0)] {
            let expected = updates + spikes * 76_800.0 * 23.6e-9;
            assert!((found / expected - 1.0).abs() < 1e-4, "{found} for {expected}");
        }
    }

    #[test]
    fn every_measurement_has_both_models_and_bands_in_order() {
        for row in validate().rows {
            assert_eq!(row.modelled.len(), CostModel::ALL.len());
            for modelled in row.modelled {
                assert!(
                    modelled.value.low > 0.0 && modelled.value.low <= modelled.value.high,
                    "{modelled:?}"
                );
                let back = row.measured * (1.0 + modelled.error_percent.high / 100.0);
                assert!((back / modelled.value.high - 1.0).abs() < 1e-9);
            }
        }
    }
}
