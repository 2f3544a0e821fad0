//! Conversion to a spiking network. In: an [`Ann`] and calibration pictures. Out: an [`Snn`]. Uses Algorithm 1 of the
//! paper, or, for a network trained with clipped activations, the ceilings of the activations (`clipped`).
//!
//! Line numbers in comments are those of Algorithm 1. Truncation is toward zero. Absent: files and training.

mod clipped;
mod options;

use ndarray::Array1;

use crate::ann::{self, Ann, drive};
use engine::network::activation::Activation;
use engine::network::snn::{self, InitialMembrane, Snn};
use engine::network::{Kind, Layer};
use engine::picture::Picture;
use options::pool_weight;

pub use options::{ConvertError, ConvertOptions, MOST_BIAS_BITS, MOST_WEIGHT_BITS};

/// Converts `ann`, calibrated on `pictures`. Calls `progress` with the number of pictures that have passed a layer.
///
/// For a network with clipped activations, thresholds and initial membranes follow from the ceilings.
///
/// # Errors
/// [`ConvertError`] for options out of range, pictures of another shape, and layers from which no threshold follows.
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
    // Integers of at most 13 bits, which f32 represents exactly.
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

/// Scales are within the range of f32.
fn float32(value: f64) -> f32 {
    value as f32
}
