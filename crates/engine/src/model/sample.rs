//! What a typical picture does: a few built-in pictures, run through the event-driven emulator.
//!
//! In: a model. Out: the mean of their priced events, and the membranes that they reach. The pictures are the first of
//! each class in Fashion-MNIST's test split, prepared for the network as any picture is.

use std::sync::Arc;

use thiserror::Error;

use super::Model;
use crate::chip::cost::Terms;
use crate::chip::width::Range;
use crate::emulator::{Emulator, EmulatorError};
use crate::network::TimeSteps;
use crate::network::snn::Snn;
use crate::picture::{DecodeLimits, Mode, Picture, PictureError, decode, npy, prepare};

/// The pictures, u8, `[10, 1, 28, 28]`.
const PICTURES: &[u8] = include_bytes!("../../../../models/sample-pictures.npy");

/// Up to so many time steps, every one is looked at; of longer runs about so many.
const STEPS_LOOKED_AT: u32 = 64;

/// Why the pictures say nothing of a network.
#[derive(Debug, Clone, Error)]
pub enum SampleError {
    #[error("the sample pictures cannot be prepared for this network: {0}")]
    Picture(String),
    #[error("a sample picture cannot be run: {0}")]
    Emulator(String),
}

impl From<PictureError> for SampleError {
    fn from(error: PictureError) -> Self {
        Self::Picture(error.to_string())
    }
}

impl From<EmulatorError> for SampleError {
    fn from(error: EmulatorError) -> Self {
        Self::Emulator(error.to_string())
    }
}

/// The mean of the sample pictures at the model's own number of time steps.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    pub pictures: usize,
    pub time_steps: TimeSteps,
    pub terms: Terms,
}

/// The sample pictures as a network takes them.
pub fn pictures(snn: &Snn) -> Result<Vec<Picture>, SampleError> {
    let (input, recipe) = (snn.network.input, snn.network.recipe);
    let stored = npy::pictures(PICTURES)?;
    stored
        .into_iter()
        .map(|picture| {
            if picture.shape() == input {
                return Ok(picture);
            }
            let decoded = decode(&picture.to_png()?, &DecodeLimits::default())?;
            Ok(prepare(&decoded, input, recipe, Mode::Auto)?)
        })
        .collect()
}

/// Runs the sample pictures.
pub fn measure(model: &Model) -> Result<Sample, SampleError> {
    let pictures = pictures(&model.snn)?;
    let time_steps = model.snn.network.time_steps();
    let mut emulator = Emulator::new(Arc::clone(&model.snn), &model.placement.tilings());
    let terms = pictures
        .iter()
        .map(|picture| {
            Ok(Terms::of(
                &emulator.run(picture, time_steps)?.events,
                &model.placement,
            ))
        })
        .collect::<Result<Vec<_>, SampleError>>()?;
    Ok(Sample {
        pictures: pictures.len(),
        time_steps,
        terms: Terms::mean(&terms),
    })
}

/// How far the membranes of each layer went, the input layer first, when they were compared with the threshold.
#[derive(Debug)]
pub struct Membranes {
    pub pictures: usize,
    pub layers: Vec<Range>,
    /// Whether every time step was looked at.
    pub every_step: bool,
}

/// Looks at every membrane of the sample pictures, step by step; `advance` hears of each picture done.
///
/// An emulator tells what is left after the last step alone, so each step is the end of a run of its own. What was
/// compared in a step is what is left after it, and the threshold again where the neuron spiked in it.
pub fn membranes(model: &Model, advance: &dyn Fn()) -> Result<Membranes, SampleError> {
    let pictures = pictures(&model.snn)?;
    let most = model.snn.network.time_steps().get();
    let thresholds: Vec<i64> = std::iter::once(model.snn.input_threshold)
        .chain(model.snn.parameters.iter().map(|parameters| parameters.threshold))
        .map(i64::from)
        .collect();
    let mut emulator = Emulator::new(Arc::clone(&model.snn), &model.placement.tilings());
    let mut seen: Vec<Option<Range>> = vec![None; thresholds.len()];
    let stride = most.div_ceil(STEPS_LOOKED_AT);
    for picture in &pictures {
        let mut before: Vec<Vec<u32>> = vec![Vec::new(); thresholds.len()];
        let mut last = 0;
        // The last step is looked at in any case, and from there back.
        for step in (1..=most).filter(|step| (most - step).is_multiple_of(stride)) {
            if step - last > 1 {
                emulator.run(picture, TimeSteps::new(step - 1).expect("within the model's own"))?;
                for (layer, counts) in before.iter_mut().enumerate() {
                    *counts = emulator.state(layer).spike_counts;
                }
            }
            emulator.run(picture, TimeSteps::new(step).expect("within the model's own"))?;
            for (layer, counts) in before.iter_mut().enumerate() {
                let state = emulator.state(layer);
                for (neuron, (&membrane, &count)) in
                    state.membranes.iter().zip(&state.spike_counts).enumerate()
                {
                    let earlier = counts.get(neuron).copied().unwrap_or(0);
                    let compared = i64::from(membrane) + i64::from(count - earlier) * thresholds[layer];
                    let here = Range {
                        low: compared,
                        high: compared,
                    };
                    seen[layer] = Some(seen[layer].map_or(here, |range| range.around(here)));
                }
                *counts = state.spike_counts;
            }
            last = step;
        }
        advance();
    }
    let layers = seen.into_iter().map(|range| range.expect("layers have neurons"));
    Ok(Membranes {
        pictures: pictures.len(),
        layers: layers.collect(),
        every_step: stride == 1,
    })
}

/// How many sample pictures there are.
pub fn count() -> usize {
    npy::pictures(PICTURES).map_or(0, |pictures| pictures.len())
}
