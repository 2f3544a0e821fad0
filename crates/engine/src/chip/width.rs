//! Whether a network's integers fit the chip's number formats.
//!
//! In: an `Snn`. Out: the first value that cannot be represented, and for each layer the range that a membrane can
//! reach. The chip adds a weight `w` as `w x 2^6`: one unit of a weight is 2^6 units of the membrane. All figures here
//! are in units of a weight.

use serde::Serialize;
use thiserror::Error;

use crate::network::TimeSteps;
use crate::network::snn::{InitialMembrane, Parameters, Snn, Weights};
use crate::network::{Kind, Layer};

/// Binary places between a weight and the membrane (nengo-loihi, Brian2Loihi: `w x 2^(6 + exponent)`).
const WEIGHT_SHIFT: u32 = 6;

/// The largest magnitude of a membrane, in units of a weight: 23 bits and a sign (nengo-loihi, NxTF `negVmLimit`).
pub const MEMBRANE_MAX: i64 = ((1 << 23) - 1) >> WEIGHT_SHIFT;

/// The largest threshold, in units of a weight: a mantissa of 17 bits times 2^6 (nengo-loihi, Brian2Loihi).
pub const THRESHOLD_MAX: i32 = (1 << 17) - 1;

/// The largest mantissa of a bias (nengo-loihi `discretize.py`).
const BIAS_MANTISSA_MAX: i64 = 4095;

/// The largest exponent of a bias; the smallest is 0 (nengo-loihi `discretize.py`).
const BIAS_EXPONENT_MAX: u32 = 7;

/// The largest mantissa and exponent of the weight through which a neuron subtracts its threshold after a spike (NxTF
/// `dnn_layers.compileConvlike`).
const RESET_MANTISSA_MAX: i32 = 255;
const RESET_EXPONENT_MAX: u32 = 7;

/// The range of a layer's membranes before the threshold is subtracted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Range {
    /// The smallest value.
    pub low: i64,
    /// The largest value.
    pub high: i64,
}

impl Range {
    /// Whether the chip's membrane can hold every value of the range.
    #[must_use]
    pub fn fits(self) -> bool {
        -MEMBRANE_MAX <= self.low && self.high <= MEMBRANE_MAX
    }

    /// The smallest range that contains both.
    #[must_use]
    pub fn around(self, other: Self) -> Self {
        Self {
            low: self.low.min(other.low),
            high: self.high.max(other.high),
        }
    }
}

/// One layer compared with the chip's formats.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LayerWidths {
    /// The layer's name.
    pub layer: String,
    /// The threshold, in units of a weight.
    pub threshold: i32,
    /// What a spike subtracts from the membrane on the chip: the representable value closest to the threshold. The
    /// emulator subtracts the threshold itself.
    pub reset: i32,
    /// The bias with the largest magnitude.
    pub bias: i32,
    /// A bound on the membranes over the run, for any picture; it follows from weights, biases and initial membranes.
    pub bound: Range,
    /// Whether the bound is within the range of the chip's membrane.
    pub proven: bool,
}

/// Whether a bias is `mantissa x 2^exponent` in the membrane's units, with a mantissa of 12 bits and a sign.
fn is_bias(bias: i32) -> bool {
    let membrane = i64::from(bias) << WEIGHT_SHIFT;
    (0..=BIAS_EXPONENT_MAX).any(|exponent| {
        let mantissa = membrane >> exponent;
        mantissa << exponent == membrane && mantissa.abs() <= BIAS_MANTISSA_MAX
    })
}

/// The value `mantissa x 2^exponent` closest to a threshold; the smaller one on a tie.
fn reset(threshold: i32) -> i32 {
    let closest = |exponent: u32| {
        let below = (threshold >> exponent).min(RESET_MANTISSA_MAX);
        let above = (below + 1).min(RESET_MANTISSA_MAX);
        [below << exponent, above << exponent]
    };
    (0..=RESET_EXPONENT_MAX)
        .flat_map(closest)
        .min_by_key(|reset| (reset - threshold).abs())
        .expect("there are exponents")
}

/// The largest magnitude up to which every bias can be represented, and the largest of all, where only even ones can.
#[must_use]
pub fn bias_limits() -> (i64, i64) {
    (
        BIAS_MANTISSA_MAX,
        BIAS_MANTISSA_MAX << (BIAS_EXPONENT_MAX - WEIGHT_SHIFT),
    )
}

/// A value that the chip cannot represent.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum WidthError {
    #[error("layer {layer}: its threshold is {threshold}; the chip's are at most {limit}", limit = THRESHOLD_MAX)]
    Threshold { layer: String, threshold: i32 },
    #[error(
        "layer {layer}: it has a bias of {bias}; the chip's are up to {0} in magnitude, or even and up to {1}",
        bias_limits().0, bias_limits().1
    )]
    Bias { layer: String, bias: i32 },
    #[error(
        "layer {layer}: a membrane starts at {membrane}; the chip's keep within {limit} in magnitude",
        limit = MEMBRANE_MAX
    )]
    InitialMembrane { layer: String, membrane: i32 },
}

/// Checks every threshold, bias and initial membrane.
///
/// # Errors
/// [`WidthError`] with the first value that the chip cannot represent.
pub fn check(snn: &Snn) -> Result<(), WidthError> {
    threshold("input", snn.input_threshold)?;
    initial("input", snn.input_initial_membrane)?;
    for (layer, parameters) in snn.layers() {
        threshold(&layer.name, parameters.threshold)?;
        let bad = parameters.bias.iter().flatten().find(|bias| !is_bias(**bias));
        if let Some(&bias) = bad {
            return Err(WidthError::Bias {
                layer: layer.name.clone(),
                bias,
            });
        }
        let range = initial_range(&parameters.initial_membrane);
        for membrane in [range.low, range.high] {
            initial(&layer.name, i32::try_from(membrane).expect("read as 32 bits"))?;
        }
    }
    Ok(())
}

fn threshold(layer: &str, threshold: i32) -> Result<(), WidthError> {
    if threshold > THRESHOLD_MAX {
        return Err(WidthError::Threshold {
            layer: layer.to_owned(),
            threshold,
        });
    }
    Ok(())
}

fn initial(layer: &str, membrane: i32) -> Result<(), WidthError> {
    if i64::from(membrane).abs() > MEMBRANE_MAX {
        return Err(WidthError::InitialMembrane {
            layer: layer.to_owned(),
            membrane,
        });
    }
    Ok(())
}

/// Compares every layer with the chip's formats over a run of `time_steps`, the input layer first.
pub fn widths(snn: &Snn, time_steps: TimeSteps) -> Vec<LayerWidths> {
    let start = i64::from(snn.input_initial_membrane);
    // Pixels are 0 to 255, in the first step too.
    let pixel = Range { low: 0, high: 255 };
    let input = bound(
        Range {
            low: start,
            high: start,
        },
        snn.input_threshold,
        [pixel, pixel],
        time_steps,
    );
    let mut found = vec![of_layer("input", snn.input_threshold, 0, input)];
    for (layer, parameters) in snn.layers() {
        let start = initial_range(&parameters.initial_membrane);
        let bound = (0..layer.output.channels)
            .map(|channel| {
                let drives = drives(layer, parameters, channel);
                bound(start, parameters.threshold, drives, time_steps)
            })
            .reduce(Range::around)
            .expect("a layer has channels");
        let biases = parameters.bias.iter().flatten().copied();
        let bias = biases.max_by_key(|bias| bias.unsigned_abs()).unwrap_or(0);
        found.push(of_layer(&layer.name, parameters.threshold, bias, bound));
    }
    found
}

fn of_layer(layer: &str, threshold: i32, bias: i32, bound: Range) -> LayerWidths {
    LayerWidths {
        layer: layer.to_owned(),
        threshold,
        reset: reset(threshold),
        bias,
        bound,
        proven: bound.fits(),
    }
}

/// The range of what spikes can add to a neuron of `channel` in one step: the sum of its negative weights to the sum
/// of its positive ones.
fn arriving(layer: &Layer, parameters: &Parameters, channel: usize) -> (i64, i64) {
    let sums = |weights: &mut dyn Iterator<Item = i16>| {
        weights.fold((0, 0), |(low, high), weight| {
            let weight = i64::from(weight);
            (low + weight.min(0), high + weight.max(0))
        })
    };
    match (&parameters.weights, layer.kind) {
        (Weights::Conv2d(weights), _) => {
            sums(&mut weights.index_axis(ndarray::Axis(0), channel).iter().copied())
        }
        (Weights::Dense(weights), _) => sums(&mut weights.row(channel).iter().copied()),
        (Weights::AvgPool2d(weight), Kind::AvgPool2d { kernel, .. }) => {
            sums(&mut std::iter::repeat_n(*weight, kernel[0] * kernel[1]))
        }
        (Weights::AvgPool2d(weight), _) => sums(&mut std::iter::repeat_n(*weight, layer.fan_in())),
    }
}

/// The range by which bias and spikes can change a membrane of the layer in one time step.
pub fn drive(layer: &Layer, parameters: &Parameters) -> Range {
    (0..layer.output.channels)
        .flat_map(|channel| drives(layer, parameters, channel))
        .reduce(Range::around)
        .expect("a layer has channels")
}

/// The ranges that the first step, in which no spike arrives, and each later step can add to a neuron of `channel`.
fn drives(layer: &Layer, parameters: &Parameters, channel: usize) -> [Range; 2] {
    let bias = i64::from(parameters.bias_of(channel));
    let (low, high) = arriving(layer, parameters, channel);
    let first = Range {
        low: bias,
        high: bias,
    };
    let later = Range {
        low: bias + low,
        high: bias + high,
    };
    [first, later]
}

/// The range of a neuron's membrane when it is compared with the threshold, over all steps. `drives` are the ranges
/// that the first step and each later one can add.
fn bound(start: Range, threshold: i32, drives: [Range; 2], time_steps: TimeSteps) -> Range {
    let threshold = i64::from(threshold);
    let mut kept = start;
    let mut seen = start;
    for step in 1..=time_steps.get() {
        let drive = drives[usize::from(step > 1)];
        let reached = Range {
            low: kept.low + drive.low,
            high: kept.high + drive.high,
        };
        seen = seen.around(reached);
        // At most one threshold is subtracted per step, and only from a membrane that has reached it.
        kept = if reached.high < threshold {
            reached
        } else if reached.low >= threshold {
            Range {
                low: reached.low - threshold,
                high: reached.high - threshold,
            }
        } else {
            Range {
                low: reached.low.min(0),
                high: (reached.high - threshold).max(threshold - 1),
            }
        };
    }
    seen
}

/// The range of a layer's initial membranes.
pub fn initial_range(initial: &InitialMembrane) -> Range {
    let of = |membrane: i32| Range {
        low: i64::from(membrane),
        high: i64::from(membrane),
    };
    match initial {
        InitialMembrane::Shared(membrane) => of(*membrane),
        InitialMembrane::PerNeuron(membranes) => membranes
            .iter()
            .map(|&membrane| of(membrane))
            .reduce(Range::around)
            .unwrap_or(of(0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chip_s_formats_in_units_of_a_weight() {
        assert_eq!((MEMBRANE_MAX, THRESHOLD_MAX), (131_071, 131_071));
        assert_eq!(bias_limits(), (4095, 8190));
        for bias in [0, 1, -1, 4095, -4095, 4096, 8190, -8190] {
            assert!(is_bias(bias), "{bias}");
        }
        for bias in [4097, -4099, 8189, 8191, 8192, i32::MAX, i32::MIN] {
            assert!(!is_bias(bias), "{bias}");
        }
    }

    #[test]
    fn a_spike_takes_off_the_closest_that_one_weight_can_say() {
        // The last two are thresholds that NxTF printed for case B, with mantissa and exponent 145 and 1, 192 and 2.
        for (threshold, expected) in [
            (1, 1),
            (255, 255),
            (256, 256),
            (257, 256),
            (397, 396),
            (511, 510),
            (131_071, 32_640),
            (290, 290),
            (768, 768),
        ] {
            assert_eq!(reset(threshold), expected, "{threshold}");
        }
        for threshold in 1..=32_640 {
            let error = f64::from((reset(threshold) - threshold).abs()) / f64::from(threshold);
            assert!(error < 0.004, "{threshold}");
        }
    }

    #[test]
    fn a_bound_holds_every_run_of_a_small_neuron() {
        // Each of 3 steps after the first adds what it likes between -5 and 7; the threshold is 6.
        let drives = [Range { low: 2, high: 2 }, Range { low: -5, high: 7 }];
        let start = Range { low: 1, high: 1 };
        let found = bound(start, 6, drives, TimeSteps::new(4).unwrap());
        let mut seen = start;
        for code in 0..13i64.pow(3) {
            let mut membrane = 1;
            for step in 0..4u32 {
                let added = if step == 0 {
                    2
                } else {
                    code / 13i64.pow(step - 1) % 13 - 5
                };
                membrane += added;
                seen = seen.around(Range {
                    low: membrane,
                    high: membrane,
                });
                if membrane >= 6 {
                    membrane -= 6;
                }
            }
        }
        assert_eq!(found, seen);
    }
}
