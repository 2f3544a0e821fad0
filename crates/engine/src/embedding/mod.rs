//! Reads the embedding and the predicted class from the outcome of a run.
//!
//! In: an [`Outcome`]. Out: an [`Embedding`] of whole numbers and a [`Prediction`]. Absent: search.

pub mod stopping;

use serde::Serialize;
use thiserror::Error;

use crate::emulator::{LayerState, Outcome};
use crate::network::snn::{Parameters, Snn};
use crate::network::{Probe, TimeSteps};

/// Why an embedding cannot be read.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum EmbeddingError {
    #[error(
        "neuron {neuron} of the embedding layer integrated {value}, beyond 32 bits; read the spike_count or membrane probe, or run fewer time steps"
    )]
    Overflow { neuron: usize, value: i64 },
}

/// An embedding: one integer per neuron of the embedding layer, in the order channel, row, column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Embedding {
    /// What was read.
    pub probe: Probe,
    /// The length of the run.
    pub time_steps: TimeSteps,
    /// `[neuron]`.
    pub values: Vec<i32>,
}

impl Embedding {
    /// Reads `probe` from the embedding layer.
    ///
    /// # Errors
    /// [`EmbeddingError::Overflow`] if an `integrated` value exceeds 32 bits.
    pub fn read(
        snn: &Snn,
        outcome: &Outcome,
        probe: Probe,
        time_steps: TimeSteps,
    ) -> Result<Self, EmbeddingError> {
        let state = &outcome.embedding_layer;
        let values = match probe {
            Probe::Membrane => state.membranes.clone(),
            Probe::SpikeCount => state
                .spike_counts
                .iter()
                .map(|&count| i32::try_from(count).expect("at most 1,024 spikes"))
                .collect(),
            Probe::Integrated => integrated(state, &snn.parameters[snn.network.embedding_layer])
                .enumerate()
                .map(|(neuron, value)| {
                    i32::try_from(value).map_err(|_| EmbeddingError::Overflow { neuron, value })
                })
                .collect::<Result<_, _>>()?,
        };
        Ok(Self {
            probe,
            time_steps,
            values,
        })
    }
}

/// Whether all values are zero. The cosine of a zero vector is undefined.
#[must_use]
pub fn is_zero(values: &[i32]) -> bool {
    values.iter().all(|&value| value == 0)
}

/// The sum of the input that each neuron of a layer received.
fn integrated<'a>(state: &'a LayerState, parameters: &'a Parameters) -> impl Iterator<Item = i64> + 'a {
    let threshold = i64::from(parameters.threshold);
    state
        .membranes
        .iter()
        .zip(&state.spike_counts)
        .enumerate()
        .map(move |(neuron, (&membrane, &count))| {
            i64::from(membrane) + threshold * i64::from(count)
                - i64::from(parameters.initial_membrane.of(neuron))
        })
}

/// The classifier's result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Prediction {
    /// The class's name, or its index if the model has no labels.
    pub label: String,
    /// Index of the class.
    pub class: usize,
    /// The `integrated` value of each output neuron. The class is the highest, the first one on a tie.
    pub scores: Vec<i64>,
}

impl Prediction {
    /// Reads the output layer.
    #[must_use]
    pub fn read(snn: &Snn, outcome: &Outcome) -> Self {
        let parameters = snn.parameters.last().expect("a network has layers");
        let scores: Vec<i64> = integrated(&outcome.output_layer, parameters).collect();
        let class = first_of_highest(&scores);
        Self {
            label: snn.network.label(class),
            class,
            scores,
        }
    }
}

fn first_of_highest(scores: &[i64]) -> usize {
    let highest = scores.iter().max();
    scores
        .iter()
        .position(|score| Some(score) == highest)
        .unwrap_or(0)
}
