//! The options of a conversion, and its errors.

use serde::Serialize;
use thiserror::Error;

use engine::chip::WEIGHT_MAX;
use engine::network::Layer;

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

/// The parameters of Algorithm 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ConvertOptions {
    /// Sign included; 9 on the chip.
    pub weight_bits: u32,
    /// Sign included; the paper sets it as for weights.
    pub bias_bits: u32,
    /// The percentile of a layer's input that becomes its threshold; 100 is the maximum, as in Algorithm 1.
    pub percentile: f64,
    /// The initial membrane of every input neuron; half a threshold (127) rounds pixels to the nearest instead of
    /// down.
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
    pub(super) fn weight_max(&self) -> f64 {
        f64::from(2u32.pow(self.weight_bits - 1) - 1)
    }

    pub(super) fn bias_max(&self) -> f64 {
        f64::from(2u32.pow(self.bias_bits - 1) - 1)
    }

    pub(super) fn check(&self) -> Result<(), ConvertError> {
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

/// Average pooling is a convolution whose weights are all one over the window.
pub(super) fn pool_weight(layer: &Layer) -> f64 {
    let window = u32::try_from(layer.fan_in()).expect("a window has at most 2^24 inputs");
    1.0 / f64::from(window)
}
