//! The events of a typical picture: the mean of a few built-in pictures on the event-driven emulator.
//!
//! In: a network and its placement. Out: the mean of their priced events, and the range of the membranes. The pictures
//! are prepared for the network like any other picture: for a gray network the first of each class in Fashion-MNIST's test
//! split, for one that takes colour the first photo of each class in the training split of a public data set of clothes.

use std::sync::Arc;

use thiserror::Error;

use crate::chip::cost::Terms;
use crate::chip::place::Placement;
use crate::chip::width::Range;
use crate::emulator::{Emulator, EmulatorError};
use crate::network::TimeSteps;
use crate::network::snn::Snn;
use crate::picture::{DecodeLimits, Mode, Picture, PictureError, decode, npy, prepare};

/// The photos (CC0, github.com/alexeygrigorev/clothing-dataset), u8, `[10, 3, 64, 64]`.
const PHOTOS: &[u8] = include_bytes!("../../../../models/sample-photos.npy");

/// The gray pictures, u8, `[10, 1, 28, 28]`.
const PICTURES: &[u8] = include_bytes!("../../../../models/sample-pictures.npy");

/// Runs up to this length are examined in every time step; longer ones in about this many of their steps.
const STEPS_LOOKED_AT: u32 = 64;

/// Why the sample pictures cannot be run.
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

/// The mean of the sample pictures at the model's default number of time steps.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// The number of pictures.
    pub pictures: usize,
    /// The length of each run.
    pub time_steps: TimeSteps,
    /// The mean of their terms.
    pub terms: Terms,
}

/// The sample pictures, prepared for a network.
///
/// # Errors
/// [`SampleError::Picture`] if pictures cannot be prepared for the network's input.
pub fn pictures(snn: &Snn) -> Result<Vec<Picture>, SampleError> {
    let (input, recipe) = (snn.network.input, snn.network.recipe);
    let stored = npy::pictures(if input.channels == 3 { PHOTOS } else { PICTURES })?;
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

/// Runs the sample pictures and averages their events.
///
/// # Errors
/// [`SampleError`] if the pictures cannot be prepared or run.
pub fn measure(snn: &Arc<Snn>, placement: &Placement) -> Result<Sample, SampleError> {
    let pictures = pictures(snn)?;
    let time_steps = snn.network.time_steps();
    let mut emulator = Emulator::new(Arc::clone(snn), &placement.tilings());
    let terms = pictures
        .iter()
        .map(|picture| Ok(Terms::of(&emulator.run(picture, time_steps)?.events, placement)))
        .collect::<Result<Vec<_>, SampleError>>()?;
    Ok(Sample {
        pictures: pictures.len(),
        time_steps,
        terms: Terms::mean(&terms),
    })
}

/// The range of each layer's membranes when they were compared with the threshold, the input layer first.
#[derive(Debug)]
pub struct Membranes {
    /// The number of pictures.
    pub pictures: usize,
    /// `[layer]`.
    pub layers: Vec<Range>,
    /// Whether every time step was examined.
    pub every_step: bool,
}

/// Examines the membranes of the sample pictures, step by step; calls `advance` after each picture.
///
/// An emulator reports membranes after its last step only, so each step is examined by a run that ends there. The
/// membrane that was compared is the reported one, plus the threshold if the neuron spiked in that step.
///
/// # Errors
/// [`SampleError`] if the pictures cannot be prepared or run.
pub fn membranes(
    snn: &Arc<Snn>,
    placement: &Placement,
    advance: &dyn Fn(),
) -> Result<Membranes, SampleError> {
    let pictures = pictures(snn)?;
    let most = snn.network.time_steps().get();
    let thresholds: Vec<i64> = std::iter::once(snn.input_threshold)
        .chain(snn.parameters.iter().map(|parameters| parameters.threshold))
        .map(i64::from)
        .collect();
    let mut emulator = Emulator::new(Arc::clone(snn), &placement.tilings());
    let mut seen: Vec<Option<Range>> = vec![None; thresholds.len()];
    let stride = most.div_ceil(STEPS_LOOKED_AT);
    for picture in &pictures {
        let mut before: Vec<Vec<u32>> = vec![Vec::new(); thresholds.len()];
        let mut last = 0;
        // Counted back from the last step, which is always examined.
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

/// The number of sample pictures, which is the same for every network.
#[must_use]
pub fn count() -> usize {
    npy::pictures(PICTURES).map_or(0, |pictures| pictures.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_photos_as_gray_pictures() {
        let gray = npy::pictures(PICTURES).unwrap();
        let photos = npy::pictures(PHOTOS).unwrap();
        assert_eq!((gray.len(), photos.len()), (count(), count()));
        assert!(photos.iter().all(|photo| photo.shape().channels == 3));
    }
}
