//! From what a run left behind to a vector, and from the classifier's membranes to a class.
//!
//! In: an [`Outcome`]. Out: an [`Embedding`] of whole numbers and a [`Prediction`]. Absent: search.

pub mod stopping;

use serde::Serialize;
use thiserror::Error;

use crate::emulator::{LayerState, Outcome};
use crate::network::snn::{Parameters, Snn};
use crate::network::{Probe, TimeSteps};

/// Where no embedding can be read.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum EmbeddingError {
    #[error(
        "neuron {neuron} of the embedding layer integrated {value}, beyond 32 bits; read the spike_count or membrane probe, or run fewer time steps"
    )]
    Overflow { neuron: usize, value: i64 },
}

/// What was read from the embedding layer: one whole number a neuron, flattened channel, row, column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Embedding {
    pub probe: Probe,
    pub time_steps: TimeSteps,
    pub values: Vec<i32>,
}

impl Embedding {
    /// Reads `probe` from the embedding layer.
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

/// Whether there is nothing to compare: cosine has no meaning for the zero vector.
pub fn is_zero(values: &[i32]) -> bool {
    values.iter().all(|&value| value == 0)
}

/// All the input that each neuron of a layer received.
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

/// The classifier's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Prediction {
    /// The class's name; its number where the model names none.
    pub label: String,
    pub class: usize,
    /// What each output neuron integrated; the highest is the class, the first of equals.
    pub scores: Vec<i64>,
}

impl Prediction {
    /// Reads the output layer.
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
