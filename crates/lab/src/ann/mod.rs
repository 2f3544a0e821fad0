//! The float network (ANN): parameters and forward pass.
//!
//! In: pictures, scaled to `[0, 1]` by 1/255. Out: the embedding layer's activations and the classifier's logits.
//! The network's activation follows every layer but the last. Absent: training (`crate::train`).

pub mod architecture;
pub mod built_in;
pub mod file;

use ndarray::{Array1, Array2, Array4, ArrayView1, ArrayView2, Axis};

use engine::network::{Kind, Layer, Network};
use engine::picture::Picture;

/// The weights of one layer.
#[derive(Debug, Clone, PartialEq)]
pub enum Weights {
    /// `[out, in, kernel_y, kernel_x]`.
    Conv2d(Array4<f32>),
    /// No parameters: each input has the weight `1 / (kernel_y x kernel_x)`.
    AvgPool2d,
    /// `[out, in]`.
    Dense(Array2<f32>),
}

/// The parameters of one layer; `bias` is `[out]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameters {
    pub weights: Weights,
    pub bias: Option<Array1<f32>>,
}

/// A network with float parameters, one entry per layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Ann {
    pub network: Network,
    pub parameters: Vec<Parameters>,
}

/// The result of a forward pass.
#[derive(Debug, Clone, PartialEq)]
pub struct Activations {
    /// The embedding layer's output, flattened channel, row, column.
    pub embedding: Array1<f32>,
    /// The last layer's output, before any activation.
    pub logits: Array1<f32>,
}

impl Activations {
    /// The class with the highest logit; the first one on a tie.
    pub fn class(&self) -> usize {
        let most = self.logits.iter().copied().fold(f32::MIN, f32::max);
        self.logits.iter().position(|&logit| logit == most).unwrap_or(0)
    }
}

impl Ann {
    /// The forward pass for one picture of the network's input shape.
    ///
    /// # Panics
    /// If the picture's shape is not the network's input.
    #[must_use]
    pub fn forward(&self, picture: &Picture) -> Activations {
        assert_eq!(picture.shape(), self.network.input, "a prepared picture");
        let mut values: Array1<f32> = picture
            .pixels()
            .iter()
            .map(|&pixel| f32::from(pixel) / 255.0)
            .collect();
        let mut embedding = None;
        let last = self.network.layers.len() - 1;
        for (index, (layer, parameters)) in self.network.layers.iter().zip(&self.parameters).enumerate() {
            values = drive(
                layer,
                &parameters.weights,
                parameters.bias.as_ref(),
                values.view(),
            );
            if index != last {
                let values = values
                    .as_slice_mut()
                    .expect("a layer's activations lie in one run");
                self.network.activation.apply(index, values);
            }
            if index == self.network.embedding_layer {
                embedding = Some(values.clone());
            }
        }
        Activations {
            embedding: embedding.expect("a network's embedding layer is one of its layers"),
            logits: values,
        }
    }
}

/// The input of a layer's neurons for the activations `source`: weights times source, plus bias.
///
/// Source and result are flattened channel, row, column. Also used by the calibration of Algorithm 1, with integer
/// weights.
#[must_use]
pub fn drive(
    layer: &Layer,
    weights: &Weights,
    bias: Option<&Array1<f32>>,
    source: ArrayView1<'_, f32>,
) -> Array1<f32> {
    let positions = layer.output.height * layer.output.width;
    let mut driven = match (weights, layer.kind) {
        (
            Weights::Conv2d(weights),
            Kind::Conv2d {
                kernel,
                stride,
                padding,
            },
        ) => {
            let columns = windows(layer, kernel, stride, padding, source);
            let rows = layer.output.channels;
            let matrix = weights
                .view()
                .into_shape_with_order((rows, layer.input.channels * kernel[0] * kernel[1]))
                .expect("weights are stored in standard order");
            flattened(matrix.dot(&columns))
        }
        (Weights::AvgPool2d, Kind::AvgPool2d { kernel, stride }) => pooled(layer, kernel, stride, source),
        (Weights::Dense(weights), Kind::Dense) => weights.dot(&source),
        _ => unreachable!("a layer's weights are of its kind: both come from one description"),
    };
    if let Some(bias) = bias {
        for (channel, &value) in bias.iter().enumerate() {
            driven
                .slice_mut(ndarray::s![channel * positions..(channel + 1) * positions])
                .mapv_inplace(|sum| sum + value);
        }
    }
    driven
}

/// Every window of a convolution as a column: `[in x kernel_y x kernel_x, positions]`, zero where padding is.
fn windows(
    layer: &Layer,
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 2],
    source: ArrayView1<'_, f32>,
) -> Array2<f32> {
    let (input, output) = (layer.input, layer.output);
    let mut columns = Array2::zeros((
        input.channels * kernel[0] * kernel[1],
        output.height * output.width,
    ));
    for (index, mut row) in columns.axis_iter_mut(Axis(0)).enumerate() {
        let channel = index / (kernel[0] * kernel[1]);
        let (ky, kx) = (index / kernel[1] % kernel[0], index % kernel[1]);
        let row = row.as_slice_mut().expect("standard order");
        for (oy, line) in row.chunks_exact_mut(output.width).enumerate() {
            let Some(y) = (oy * stride[0] + ky)
                .checked_sub(padding[0])
                .filter(|&y| y < input.height)
            else {
                continue;
            };
            for (ox, value) in line.iter_mut().enumerate() {
                let x = (ox * stride[1] + kx).checked_sub(padding[1]);
                if let Some(x) = x.filter(|&x| x < input.width) {
                    *value = source[(channel * input.height + y) * input.width + x];
                }
            }
        }
    }
    columns
}

fn pooled(layer: &Layer, kernel: [usize; 2], stride: [usize; 2], source: ArrayView1<'_, f32>) -> Array1<f32> {
    let (input, output) = (layer.input, layer.output);
    let planes = source
        .into_shape_with_order((input.channels, input.height, input.width))
        .expect("a source has its layer's shape");
    // A window has at most 2^24 inputs, which f32 represents exactly.
    let share = 1.0 / (kernel[0] * kernel[1]) as f32;
    let mut means = Array1::zeros(layer.neurons());
    for (index, mean) in means.iter_mut().enumerate() {
        let channel = index / (output.height * output.width);
        let (oy, ox) = (index / output.width % output.height, index % output.width);
        let (y, x) = (oy * stride[0], ox * stride[1]);
        *mean = planes
            .slice(ndarray::s![channel, y..y + kernel[0], x..x + kernel[1]])
            .sum()
            * share;
    }
    means
}

fn flattened(matrix: Array2<f32>) -> Array1<f32> {
    let length = matrix.len();
    let matrix: ArrayView2<'_, f32> = matrix.view();
    matrix
        .to_owned()
        .into_shape_with_order(length)
        .expect("a fresh product is in standard order")
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::picture::Shape;

    fn layer(kind: Kind, input: [usize; 3], out_channels: usize) -> Layer {
        let [channels, height, width] = input;
        let input = Shape {
            channels,
            height,
            width,
        };
        Layer::connect("layer", kind, input, out_channels).unwrap()
    }

    #[test]
    fn a_padded_convolution_sums_what_its_windows_see() {
        let layer = layer(
            Kind::Conv2d {
                kernel: [3, 3],
                stride: [2, 2],
                padding: [1, 1],
            },
            [1, 3, 3],
            1,
        );
        let source: Array1<f32> = (1..=9u8).map(f32::from).collect();
        let driven = drive(
            &layer,
            &Weights::Conv2d(Array4::ones((1, 1, 3, 3))),
            Some(&Array1::from_elem(1, 0.5)),
            source.view(),
        );
        assert_eq!(driven.to_vec(), [12.5, 16.5, 24.5, 28.5]);
    }

    #[test]
    fn average_pooling_is_the_mean_of_each_window() {
        let kind = Kind::AvgPool2d {
            kernel: [2, 2],
            stride: [2, 2],
        };
        let layer = layer(kind, [2, 2, 2], 0);
        let source: Array1<f32> = (0..8u8).map(f32::from).collect();
        let driven = drive(&layer, &Weights::AvgPool2d, None, source.view());
        assert_eq!(driven.to_vec(), [1.5, 5.5]);
    }
}
