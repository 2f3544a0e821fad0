//! Conversion of networks whose activations were clipped and quantised in training.
//!
//! A neuron that spikes in every step represents an activation at its layer's ceiling, so the threshold is the ceiling
//! in the layer's integer units. Only the classifier, which has no ceiling, is calibrated.

use crate::ann::{self, Ann};
use engine::network::Layer;
use engine::network::activation::Clipped;
use engine::network::snn::{self, InitialMembrane, Snn};
use engine::picture::Picture;

use super::options::{ConvertError, ConvertOptions, pool_weight};

/// The input neurons' threshold: the brightest pixel spikes in every step.
const INPUT_THRESHOLD: i32 = 255;

/// Converts `ann`, whose activations are `clipped`. Calls `progress` with the number of layers that a picture has
/// passed.
pub(super) fn convert(
    ann: &Ann,
    clipped: &Clipped,
    pictures: &[Picture],
    options: &ConvertOptions,
    threads: usize,
    progress: &(dyn Fn(usize) + Sync),
) -> Result<Snn, ConvertError> {
    let mut parameters = Vec::with_capacity(ann.parameters.len());
    // The activation that a spike of the source in every step represents.
    let mut source = 1.0;
    for (index, (layer, float)) in ann.network.layers.iter().zip(&ann.parameters).enumerate() {
        let ceiling = clipped.ceilings.get(index).copied().map(f64::from);
        let (mut converted, units) = scaled(layer, float, source, ceiling, options)?;
        converted.threshold = match ceiling {
            // Within 32 bits by construction.
            Some(ceiling) => (units * ceiling).round() as i32,
            None => {
                let largest = largest_logit(ann, pictures, threads, progress) * units;
                if largest < 1.0 {
                    return Err(ConvertError::Silent {
                        layer: layer.name.clone(),
                        largest: largest as f32,
                    });
                }
                largest.min(f64::from(i32::MAX)) as i32
            }
        };
        converted.initial_membrane = initial_membranes(layer, index, &converted);
        parameters.push(converted);
        source = ceiling.unwrap_or(1.0);
    }
    Ok(Snn {
        network: ann.network.clone(),
        input_threshold: INPUT_THRESHOLD,
        input_initial_membrane: options.input_initial_membrane,
        parameters,
    })
}

/// A layer's integers, and the number of integer units of an input of 1. The threshold is set by the caller.
fn scaled(
    layer: &Layer,
    float: &ann::Parameters,
    source: f64,
    ceiling: Option<f64>,
    options: &ConvertOptions,
) -> Result<(snn::Parameters, f64), ConvertError> {
    let largest = |values: &mut dyn Iterator<Item = f32>| {
        values.fold(0.0f64, |most, value| most.max(f64::from(value).abs()))
    };
    let weight_norm = source
        * match &float.weights {
            ann::Weights::Conv2d(weights) => largest(&mut weights.iter().copied()),
            ann::Weights::Dense(weights) => largest(&mut weights.iter().copied()),
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
        .map_or(0.0, |bias| largest(&mut bias.iter().copied()));
    let mut units = (options.weight_max() / weight_norm).min(options.bias_max() / bias_norm);
    if let Some(ceiling) = ceiling {
        // The threshold is rounded here: rounding it later would change the scale of the layer relative to its
        // ceiling.
        let threshold = (units * ceiling).floor();
        if !(1.0..=f64::from(i32::MAX)).contains(&threshold) {
            return Err(ConvertError::Ceiling {
                layer: layer.name.clone(),
                threshold,
            });
        }
        units = threshold / ceiling;
    }
    // Magnitudes are at most 2^8 - 1 and 2^12 - 1 by construction.
    let weight = |weight: f64| (weight * source * units).round() as i16;
    let weights = match &float.weights {
        ann::Weights::Conv2d(weights) => snn::Weights::Conv2d(weights.mapv(|w| weight(f64::from(w)))),
        ann::Weights::Dense(weights) => snn::Weights::Dense(weights.mapv(|w| weight(f64::from(w)))),
        ann::Weights::AvgPool2d => snn::Weights::AvgPool2d(weight(pool_weight(layer))),
    };
    let bias = float.bias.as_ref().map(|bias| {
        let rounded = bias.iter().map(|&bias| (f64::from(bias) * units).round() as i32);
        rounded.collect()
    });
    let parameters = snn::Parameters {
        weights,
        bias,
        threshold: 1,
        initial_membrane: InitialMembrane::Shared(0),
    };
    Ok((parameters, units))
}

/// Half a threshold, which rounds spike counts to the nearest instead of down, minus the bias of the steps before
/// input arrives: spikes take one step per layer, the bias acts from the first step.
fn initial_membranes(layer: &Layer, index: usize, parameters: &snn::Parameters) -> InitialMembrane {
    let half = parameters.threshold / 2;
    let early = i32::try_from(index + 1).expect("a network has at most 256 layers");
    let plane = layer.output.height * layer.output.width;
    match &parameters.bias {
        None => InitialMembrane::Shared(half),
        Some(bias) => InitialMembrane::PerNeuron(
            bias.iter()
                .flat_map(|bias| std::iter::repeat_n(half - early * bias, plane))
                .collect(),
        ),
    }
}

/// The largest logit over the calibration pictures, which will be represented by a spike in every step.
fn largest_logit(ann: &Ann, pictures: &[Picture], threads: usize, progress: &(dyn Fn(usize) + Sync)) -> f64 {
    let share = pictures.len().div_ceil(threads.max(1));
    let largest = |part: &[Picture]| {
        part.iter().fold(f32::MIN, |most, picture| {
            progress(ann.network.layers.len());
            ann.forward(picture).logits.iter().copied().fold(most, f32::max)
        })
    };
    let largest = std::thread::scope(|scope| {
        let parts: Vec<_> = pictures
            .chunks(share)
            .map(|part| scope.spawn(move || largest(part)))
            .collect();
        parts
            .into_iter()
            .map(|part| {
                part.join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
            .fold(f32::MIN, f32::max)
    });
    f64::from(largest)
}

#[cfg(test)]
mod tests {
    use ndarray::{Array1, Array2, arr1, arr2};

    use super::super::convert as convert_any;
    use super::*;
    use crate::ann::architecture;
    use engine::network::activation::Activation;
    use engine::picture::Shape;

    /// Two pixels, a convolution that takes both, an embedding of one neuron and two classes.
    fn small() -> Ann {
        let input = Shape {
            channels: 1,
            height: 3,
            width: 3,
        };
        let mut network = architecture::parse_metric("1-1-2", input, 4).unwrap();
        network.activation = Activation::Clipped(Clipped::new(4, vec![0.5, 3.0]));
        let mut first = ndarray::Array4::zeros((1, 1, 3, 3));
        first[[0, 0, 0, 0]] = 0.25;
        first[[0, 0, 1, 1]] = -0.125;
        let layer = |weights, bias: Array1<f32>| ann::Parameters {
            weights,
            bias: Some(bias),
        };
        let dense = |weights: Array2<f32>, bias| layer(ann::Weights::Dense(weights), bias);
        Ann {
            parameters: vec![
                layer(ann::Weights::Conv2d(first), arr1(&[0.0625])),
                dense(arr2(&[[6.0]]), arr1(&[-0.5])),
                dense(arr2(&[[1.0], [-2.0]]), arr1(&[0.0, 0.5])),
            ],
            network,
        }
    }

    #[test]
    fn thresholds_are_ceilings_and_membranes_wait_for_input() {
        let ann = small();
        let options = ConvertOptions {
            bias_bits: 13,
            input_initial_membrane: 127,
            ..ConvertOptions::default()
        };
        let mut pixels = vec![0; 9];
        pixels[0] = 255;
        let picture = Picture::from_vec(ann.network.input, pixels).unwrap();
        let snn = convert_any(&ann, &[picture], &options, 2, &|_| ()).unwrap();
        assert_eq!((snn.input_threshold, snn.input_initial_membrane), (255, 127));
        // 0.25 becomes 255, so 0.5 becomes 510.
        let first = &snn.parameters[0];
        assert_eq!((first.threshold, first.bias_of(0)), (510, 64));
        assert_eq!(first.initial_membrane, InitialMembrane::PerNeuron(vec![255 - 64]));
        // A spike stands for 0.5 x 6, which is the ceiling.
        let second = &snn.parameters[1];
        assert_eq!((second.threshold, second.bias_of(0)), (255, -43));
        assert_eq!(second.weights.values().collect::<Vec<_>>(), [255]);
        assert_eq!(
            second.initial_membrane,
            InitialMembrane::PerNeuron(vec![127 + 2 * 43])
        );
        // The picture's embedding is (0.375 x 6 - 0.5) / 3 of 4 levels: 2, that is 1.5; a spike stands for 3.
        let third = &snn.parameters[2];
        assert_eq!(third.weights.values().collect::<Vec<_>>(), [128, -255]);
        assert_eq!(third.threshold, 63);
    }

    #[test]
    fn a_ceiling_that_no_threshold_can_say_is_refused() {
        let mut ann = small();
        ann.network.activation = Activation::Clipped(Clipped::new(4, vec![1e-6, 3.0]));
        let picture = Picture::from_vec(ann.network.input, vec![255; 9]).unwrap();
        let refusal = convert_any(&ann, &[picture], &ConvertOptions::default(), 1, &|_| ()).unwrap_err();
        assert_eq!(
            refusal.to_string(),
            "layer conv1: its activation's ceiling would be a threshold of 0 beside its largest weight or bias; it must \
             be at least 1 and within 32 bits"
        );
    }
}
