//! An [`Ann`] and calibration pictures in, an [`Snn`] out: Algorithm 1 of the paper, or, for a network that was trained
//! with clipped activations, thresholds from its ceilings ([`clipped`]).
//!
//! Line numbers in comments are those of Algorithm 1. Truncation is toward zero. Absent: files, and any training.

mod clipped;

use ndarray::Array1;
use serde::Serialize;
use thiserror::Error;

use crate::ann::{self, Ann, drive};
use engine::chip::WEIGHT_MAX;
use engine::network::activation::Activation;
use engine::network::snn::{self, InitialMembrane, Snn};
use engine::network::{Kind, Layer};
use engine::picture::Picture;

/// Why a network cannot be converted.
#[derive(Debug, Error, PartialEq)]
pub enum ConvertError {
    #[error("--weight-bits is {given}; the chip's weights have 2 to {most} bits, sign included")]
    WeightBits { given: u32, most: u32 },
    #[error("--bias-bits is {given}; the chip's biases have 2 to {most} bits, sign included")]
    BiasBits { given: u32, most: u32 },
    #[error("--percentile is {given}; it must be above 0 and at most 100")]
    Percentile { given: f64 },
    #[error("there are no calibration pictures; at least one is needed")]
    NoPictures,
    #[error("calibration picture {index} is {given}, the network takes {wanted}")]
    PictureShape {
        index: usize,
        given: String,
        wanted: String,
    },
    #[error("layer {layer}: all its weights are zero, nothing can be scaled")]
    ZeroWeights { layer: String },
    #[error(
        "layer {layer}: the largest input that its neurons receive over the calibration pictures is {largest}; \
         it must be at least 1 to be a threshold: calibrate with pictures like those the network was trained on"
    )]
    Silent { layer: String, largest: f32 },
    #[error(
        "layer {layer}: its activation's ceiling would be a threshold of {threshold} beside its largest weight or bias; \
         it must be at least 1 and within 32 bits"
    )]
    Ceiling { layer: String, threshold: f64 },
    #[error("layer {layer}: its threshold would be {threshold}, beyond 32 bits")]
    Threshold { layer: String, threshold: f32 },
}

/// Bits of a weight on the chip, sign included: 255 is the largest 9-bit magnitude.
pub const MOST_WEIGHT_BITS: u32 = (WEIGHT_MAX + 1).ilog2() + 1;

/// Bits of a bias on the chip, sign included: a mantissa of at most 4,095 (nengo-loihi `builder/discretize.py`).
pub const MOST_BIAS_BITS: u32 = 13;

/// What Algorithm 1 leaves open.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ConvertOptions {
    /// Sign included; 9 on the chip.
    pub weight_bits: u32,
    /// Sign included; the paper sets it as for weights.
    pub bias_bits: u32,
    /// Which percentile of a layer's input becomes its threshold; 100 is Algorithm 1's maximum.
    pub percentile: f64,
    /// The membrane that every input neuron starts from; half a threshold (127) rounds pixels instead of cutting them.
    pub input_initial_membrane: i32,
}

impl Default for ConvertOptions {
    fn default() -> Self {
        Self {
            weight_bits: 9,
            bias_bits: 9,
            percentile: 100.0,
            input_initial_membrane: 0,
        }
    }
}

impl ConvertOptions {
    /// The largest magnitudes (line 1).
    fn weight_max(&self) -> f64 {
        f64::from(2u32.pow(self.weight_bits - 1) - 1)
    }

    fn bias_max(&self) -> f64 {
        f64::from(2u32.pow(self.bias_bits - 1) - 1)
    }

    fn check(&self) -> Result<(), ConvertError> {
        if !(2..=MOST_WEIGHT_BITS).contains(&self.weight_bits) {
            return Err(ConvertError::WeightBits {
                given: self.weight_bits,
                most: MOST_WEIGHT_BITS,
            });
        }
        if !(2..=MOST_BIAS_BITS).contains(&self.bias_bits) {
            return Err(ConvertError::BiasBits {
                given: self.bias_bits,
                most: MOST_BIAS_BITS,
            });
        }
        if !(self.percentile > 0.0 && self.percentile <= 100.0) {
            return Err(ConvertError::Percentile {
                given: self.percentile,
            });
        }
        Ok(())
    }
}

/// Converts `ann`, calibrated on `pictures`; `progress` is told of every picture that has passed a layer.
///
/// A network of clipped activations brings its thresholds with it, and its initial membranes follow from them.
pub fn convert(
    ann: &Ann,
    pictures: &[Picture],
    options: &ConvertOptions,
    threads: usize,
    progress: &(dyn Fn(usize) + Sync),
) -> Result<Snn, ConvertError> {
    options.check()?;
    check_pictures(ann, pictures)?;
    if let Activation::Clipped(activation) = &ann.network.activation {
        return clipped::convert(ann, activation, pictures, options, threads, progress);
    }
    // Line 1.
    let (weight_max, bias_max) = (options.weight_max(), options.bias_max());
    let mut slope = 1.0f64;
    // Lines 3 to 5, and 16 to 19 for the input layer.
    let input_scale = weight_max;
    let mut rates: Vec<Array1<f32>> = pictures
        .iter()
        .map(|picture| {
            let pixels = picture.as_slice().iter();
            pixels.map(|&pixel| f32::from(pixel) / 255.0).collect()
        })
        .collect();
    scale_all(&mut rates, float32(input_scale));
    let input_threshold = threshold("input", &rates, options.percentile)?;
    to_rates(&mut rates, input_threshold);
    slope *= input_scale / f64::from(input_threshold);

    let mut parameters = Vec::with_capacity(ann.parameters.len());
    for (layer, float) in ann.network.layers.iter().zip(&ann.parameters) {
        // Lines 7 to 13.
        let scaling = Scaling::of(layer, float, slope, weight_max, bias_max)?;
        let weights = scaling.weights(layer, float);
        let bias: Option<Vec<i32>> = float.bias.as_ref().map(|bias| {
            let scaled = bias.iter();
            scaled
                .map(|&bias| scaling.bias(f64::from(bias) * slope))
                .collect()
        });
        // Line 14.
        integrate(layer, &weights, bias.as_deref(), &mut rates, threads, progress);
        // Lines 16 to 19.
        let threshold = threshold(&layer.name, &rates, options.percentile)?;
        to_rates(&mut rates, threshold);
        slope *= scaling.param_scale / f64::from(threshold);
        parameters.push(snn::Parameters {
            weights,
            bias,
            threshold,
            initial_membrane: InitialMembrane::Shared(0),
        });
    }
    Ok(Snn {
        network: ann.network.clone(),
        input_threshold,
        input_initial_membrane: options.input_initial_membrane,
        parameters,
    })
}

fn check_pictures(ann: &Ann, pictures: &[Picture]) -> Result<(), ConvertError> {
    if pictures.is_empty() {
        return Err(ConvertError::NoPictures);
    }
    let wanted = ann.network.input;
    match pictures.iter().position(|picture| picture.shape() != wanted) {
        None => Ok(()),
        Some(index) => Err(ConvertError::PictureShape {
            index,
            given: pictures[index].shape().to_string(),
            wanted: wanted.to_string(),
        }),
    }
}

/// Lines 9 to 11: the factor that makes a layer's parameters as large as their bits allow.
struct Scaling {
    param_scale: f64,
    /// The largest integer over the float that becomes it: dividing last keeps the largest weight whole.
    largest: f64,
    norm: f64,
}

impl Scaling {
    fn of(
        layer: &Layer,
        float: &ann::Parameters,
        slope: f64,
        weight_max: f64,
        bias_max: f64,
    ) -> Result<Self, ConvertError> {
        let norm =
            |values: &mut dyn Iterator<Item = f64>| values.fold(0.0f64, |most, value| most.max(value.abs()));
        let weight_norm = match &float.weights {
            ann::Weights::Conv2d(weights) => norm(&mut weights.iter().map(|&w| f64::from(w))),
            ann::Weights::Dense(weights) => norm(&mut weights.iter().map(|&w| f64::from(w))),
            ann::Weights::AvgPool2d => pool_weight(layer),
        };
        if weight_norm == 0.0 {
            return Err(ConvertError::ZeroWeights {
                layer: layer.name.clone(),
            });
        }
        let bias_norm = float
            .bias
            .as_ref()
            .map_or(0.0, |bias| norm(&mut bias.iter().map(|&b| f64::from(b) * slope)));
        let weight_ratio = weight_max / weight_norm;
        let bias_ratio = bias_max / bias_norm;
        Ok(if weight_ratio <= bias_ratio {
            Self {
                param_scale: weight_ratio,
                largest: weight_max,
                norm: weight_norm,
            }
        } else {
            Self {
                param_scale: bias_ratio,
                largest: bias_max,
                norm: bias_norm,
            }
        })
    }

    /// Line 12: `value x param_scale`, truncated toward zero.
    fn scaled(&self, value: f64) -> f64 {
        (value * self.largest / self.norm).trunc()
    }

    fn weight(&self, value: f64) -> i16 {
        // Scaled magnitudes are at most 2^8 - 1 by construction.
        self.scaled(value) as i16
    }

    fn bias(&self, value: f64) -> i32 {
        // Scaled magnitudes are at most 2^12 - 1 by construction.
        self.scaled(value) as i32
    }

    fn weights(&self, layer: &Layer, float: &ann::Parameters) -> snn::Weights {
        match &float.weights {
            ann::Weights::Conv2d(weights) => {
                snn::Weights::Conv2d(weights.mapv(|weight| self.weight(f64::from(weight))))
            }
            ann::Weights::Dense(weights) => {
                snn::Weights::Dense(weights.mapv(|weight| self.weight(f64::from(weight))))
            }
            ann::Weights::AvgPool2d => snn::Weights::AvgPool2d(self.weight(pool_weight(layer))),
        }
    }
}

/// Average pooling is a convolution whose weights are all one over the window.
fn pool_weight(layer: &Layer) -> f64 {
    let window = u32::try_from(layer.fan_in()).expect("a window has at most 2^24 inputs");
    1.0 / f64::from(window)
}

/// Line 14, over all pictures: `rates` become the increments of the layer's membranes, `ReLU(weight . rate + bias)`.
fn integrate(
    layer: &Layer,
    weights: &snn::Weights,
    bias: Option<&[i32]>,
    rates: &mut [Array1<f32>],
    threads: usize,
    progress: &(dyn Fn(usize) + Sync),
) {
    let (weights, gain) = match weights {
        snn::Weights::Conv2d(weights) => (ann::Weights::Conv2d(weights.mapv(f32::from)), 1.0),
        snn::Weights::Dense(weights) => (ann::Weights::Dense(weights.mapv(f32::from)), 1.0),
        snn::Weights::AvgPool2d(weight) => {
            debug_assert!(matches!(layer.kind, Kind::AvgPool2d { .. }));
            let gain = f64::from(*weight) / pool_weight(layer);
            (ann::Weights::AvgPool2d, float32(gain))
        }
    };
    // Integers of at most 13 bits, which f32 holds exactly.
    let bias: Option<Array1<f32>> = bias.map(|bias| bias.iter().map(|&b| b as f32).collect());
    let share = rates.len().div_ceil(threads.max(1));
    std::thread::scope(|scope| {
        for part in rates.chunks_mut(share) {
            let (weights, bias) = (&weights, bias.as_ref());
            scope.spawn(move || {
                for rate in part {
                    let mut driven = drive(layer, weights, bias, rate.view());
                    driven.mapv_inplace(|value| (value * gain).max(0.0));
                    *rate = driven;
                    progress(1);
                }
            });
        }
    });
}

/// Lines 16 and 17.
fn threshold(layer: &str, increments: &[Array1<f32>], percentile: f64) -> Result<i32, ConvertError> {
    let largest = if percentile < 100.0 {
        let mut all: Vec<f32> = increments.iter().flatten().copied().collect();
        // The share of values at or below the threshold; the index is within the list by construction.
        let rank = ((all.len() - 1) as f64 * percentile / 100.0).floor() as usize;
        *all.select_nth_unstable_by(rank, f32::total_cmp).1
    } else {
        increments.iter().flatten().copied().fold(0.0f32, f32::max)
    };
    if largest < 1.0 {
        return Err(ConvertError::Silent {
            layer: layer.to_owned(),
            largest,
        });
    }
    if f64::from(largest) > f64::from(i32::MAX) {
        return Err(ConvertError::Threshold {
            layer: layer.to_owned(),
            threshold: largest,
        });
    }
    Ok(largest.trunc() as i32)
}

/// Line 18.
fn to_rates(increments: &mut [Array1<f32>], threshold: i32) {
    let threshold = threshold as f32;
    for increment in increments {
        increment.mapv_inplace(|value| (value / threshold).min(1.0));
    }
}

fn scale_all(values: &mut [Array1<f32>], factor: f32) {
    for value in values {
        value.mapv_inplace(|value| value * factor);
    }
}

/// Scales are far within the range of f32.
fn float32(value: f64) -> f32 {
    value as f32
}
