//! The rows of the table, and the paper's.

use serde::Serialize;

use super::asked::QuerySet;
use crate::published::{CHIP, Chip, TABLE_2};
use engine::embedding::stopping::Length;
use engine::network::{Probe, TimeSteps};

/// One row of the table. Shares are in percent, mAP is 0 to 1; energy and latency are modelled means per query.
#[derive(Debug, Serialize)]
pub struct Row {
    /// The model's label, if there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The queries, if they are not all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queries: Option<QuerySet>,
    pub network: &'static str,
    pub time_steps: Option<Length>,
    pub probe: Option<Probe>,
    /// `None` if the network's labels are not the data set's classes.
    pub classification: Option<f64>,
    pub top_1: f64,
    pub top_3: f64,
    pub map: f64,
    pub spikes: Option<f64>,
    pub synaptic_operations: Option<f64>,
    pub latency_ms: Option<f64>,
    pub energy_mj: Option<f64>,
    /// The mean number of time steps of the queries.
    pub mean_time_steps: Option<f64>,
    /// Of a data set other than Fashion-MNIST.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub by_class: Vec<ByClass>,
    /// The first matches of each query, as indices of the corpus; of a data set other than Fashion-MNIST.
    #[serde(skip)]
    pub matches: Vec<Vec<usize>>,
}

/// The queries of one class.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ByClass {
    pub class: String,
    pub queries: usize,
    /// Training pictures of the class.
    pub corpus: usize,
    /// In percent.
    pub top_1: f64,
}

/// The paper's Table 2, with Tables 3 and 5 for the measured chip: time steps, latency and energy.
#[must_use]
pub fn paper() -> [Row; 3] {
    let [float, short, long] = TABLE_2;
    [
        Row::paper("ANN", None, float),
        Row::paper("SNN", Some(&CHIP[0]), short),
        Row::paper("SNN", Some(&CHIP[1]), long),
    ]
}

impl Row {
    fn paper(
        network: &'static str,
        chip: Option<&Chip>,
        [classification, top_1, top_3, map]: [f64; 4],
    ) -> Self {
        let steps = chip.map(|chip| TimeSteps::new(chip.time_steps).expect("within the range"));
        Self {
            model: None,
            queries: None,
            network,
            time_steps: steps.map(Length::Fixed),
            probe: chip.map(|_| Probe::Membrane),
            classification: Some(classification),
            top_1,
            top_3,
            map,
            spikes: None,
            synaptic_operations: None,
            latency_ms: chip.map(|chip| chip.latency_ms),
            energy_mj: chip.map(|chip| chip.energy_mj),
            mean_time_steps: steps.map(|steps| f64::from(steps.get())),
            by_class: Vec::new(),
            matches: Vec::new(),
        }
    }

    /// `SNN (16) membrane`, and which queries, if they are not all of them.
    #[must_use]
    pub fn name(&self) -> String {
        let name = match (self.time_steps, self.probe) {
            (Some(steps), Some(probe)) => format!("{} ({steps}) {probe}", self.network),
            _ => self.network.to_owned(),
        };
        match self.queries {
            None => name,
            Some(QuerySet { of, count }) => format!("{name}, {count} of {of}"),
        }
    }

    /// The share of queries classified right, in percent, as tables show it.
    #[must_use]
    pub fn classified(&self) -> String {
        self.classification
            .map_or("-".to_owned(), |share| format!("{share:.2}"))
    }

    /// Mean time steps, spikes, synaptic operations, latency and energy, as tables show them.
    #[must_use]
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
