//! The table's lines, and the paper's.

use serde::Serialize;

use engine::embedding::stopping::Length;
use engine::network::{Probe, TimeSteps};

/// One line of the table. Shares are in percent, mAP is 0 to 1; energy and latency are modelled means per query.
#[derive(Debug, Serialize)]
pub struct Row {
    /// Which one, where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    pub network: &'static str,
    pub time_steps: Option<Length>,
    pub probe: Option<Probe>,
    pub classification: f64,
    pub top_1: f64,
    pub top_3: f64,
    pub map: f64,
    pub spikes: Option<f64>,
    pub synaptic_operations: Option<f64>,
    pub latency_ms: Option<f64>,
    pub energy_mj: Option<f64>,
    /// What the queries took on the mean.
    pub mean_time_steps: Option<f64>,
}

/// The paper's Table 2, with Tables 3 and 5 for the measured chip: time steps, latency and energy.
pub fn paper() -> [Row; 3] {
    [
        Row::paper("ANN", None, [90.07, 87.49, 94.55, 0.5212]),
        Row::paper("SNN", Some((16, 2.984, 2.996)), [85.05, 85.55, 93.56, 0.4797]),
        Row::paper("SNN", Some((128, 11.976, 12.17)), [90.01, 86.58, 93.93, 0.4919]),
    ]
}

impl Row {
    fn paper(
        network: &'static str,
        chip: Option<(u32, f64, f64)>,
        [classification, top_1, top_3, map]: [f64; 4],
    ) -> Self {
        let steps = chip.map(|(steps, ..)| TimeSteps::new(steps).expect("within the range"));
        Self {
            model: None,
            network,
            time_steps: steps.map(Length::Fixed),
            probe: chip.map(|_| Probe::Membrane),
            classification,
            top_1,
            top_3,
            map,
            spikes: None,
            synaptic_operations: None,
            latency_ms: chip.map(|(_, latency_ms, _)| latency_ms),
            energy_mj: chip.map(|(.., energy_mj)| energy_mj),
            mean_time_steps: steps.map(|steps| f64::from(steps.get())),
        }
    }

    /// `SNN (16) membrane`.
    pub fn name(&self) -> String {
        match (self.time_steps, self.probe) {
            (Some(steps), Some(probe)) => format!("{} ({steps}) {probe}", self.network),
            _ => self.network.to_owned(),
        }
    }

    /// Mean time steps, spikes, synaptic operations, latency and energy, as tables show them.
    pub fn costs(&self) -> [String; 5] {
        let shown = |value: Option<f64>, digits: usize| {
            value.map_or("-".to_owned(), |value| format!("{value:.digits$}"))
        };
        [
            shown(self.mean_time_steps, 2),
            shown(self.spikes, 0),
            shown(self.synaptic_operations, 0),
            shown(self.latency_ms, 3),
            shown(self.energy_mj, 4),
        ]
    }
}
