//! Converts parameters between the order of `engine::network` (channel, row, column) and that of a batch (row, column,
//! channel).

use ndarray::{Array1, Array2, Array4};

use crate::ann::{Parameters, Weights};
use engine::network::{Kind, Layer, Network};

/// Where each weight of a layer with `channels` source channels stands in `[window, out]`, by its place in
/// `engine::network`'s order: output, source channel, then position in the window of `plane` positions.
fn place(layer: &Layer, plane: usize, out: usize, channel: usize, position: usize) -> usize {
    debug_assert!(position < plane);
    (position * layer.input.channels + channel) * layer.output.channels + out
}

/// Weights and biases of every layer that has them, in the order of `engine::network`.
pub(super) fn parameters_of(network: &Network, values: &[Vec<f32>]) -> Vec<Parameters> {
    let mut pairs = values.chunks_exact(2);
    let parameters = |layer: &Layer| {
        if matches!(layer.kind, Kind::AvgPool2d { .. }) {
            return Parameters {
                weights: Weights::AvgPool2d,
                bias: None,
            };
        }
        let Some([weights, bias]) = pairs.next() else {
            unreachable!("every layer but a pooling one has weights and a bias");
        };
        let (out, channels) = (layer.output.channels, layer.input.channels);
        let weights = match layer.kind {
            Kind::Conv2d { kernel, .. } => {
                let plane = kernel[0] * kernel[1];
                let at = |(o, i, y, x)| weights[place(layer, plane, o, i, y * kernel[1] + x)];
                Weights::Conv2d(Array4::from_shape_fn((out, channels, kernel[0], kernel[1]), at))
            }
            _ => {
                let plane = layer.input.height * layer.input.width;
                let at = |(o, i): (usize, usize)| weights[place(layer, plane, o, i / plane, i % plane)];
                Weights::Dense(Array2::from_shape_fn((out, layer.input.len()), at))
            }
        };
        Parameters {
            weights,
            bias: Some(Array1::from_vec(bias.clone())),
        }
    };
    network.layers.iter().map(parameters).collect()
}

/// The reverse; a layer without biases gets zeros.
pub(super) fn values_of(network: &Network, parameters: &[Parameters]) -> Vec<Vec<f32>> {
    let mut values = Vec::new();
    for (layer, parameters) in network.layers.iter().zip(parameters) {
        let mut ordered = vec![0.0; layer.window()[0].iter().product::<usize>() * layer.input.channels];
        ordered.resize(ordered.len() * layer.output.channels, 0.0);
        match &parameters.weights {
            Weights::Conv2d(weights) => {
                let [kernel, ..] = layer.window();
                for ((o, i, y, x), &weight) in weights.indexed_iter() {
                    ordered[place(layer, kernel[0] * kernel[1], o, i, y * kernel[1] + x)] = weight;
                }
            }
            Weights::Dense(weights) => {
                let plane = layer.input.height * layer.input.width;
                for ((o, i), &weight) in weights.indexed_iter() {
                    ordered[place(layer, plane, o, i / plane, i % plane)] = weight;
                }
            }
            Weights::AvgPool2d => continue,
        }
        values.push(ordered);
        values.push(match &parameters.bias {
            Some(bias) => bias.to_vec(),
            None => vec![0.0; layer.output.channels],
        });
    }
    values
}
