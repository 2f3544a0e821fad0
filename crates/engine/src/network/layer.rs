//! One layer: its kind, its shape, and the source positions in the window of each neuron.

use super::error::NetworkError;
use crate::picture::Shape;

/// The largest number of neurons of one layer: far above what a chip can hold, it guards against files with absurd
/// shapes.
pub const MAX_LAYER_NEURONS: usize = 1 << 24;

/// How a layer is connected to its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Each output channel is connected to a window of all input channels. Values are `[y, x]`.
    Conv2d {
        kernel: [usize; 2],
        stride: [usize; 2],
        padding: [usize; 2],
    },
    /// Each neuron is connected to a window of its own channel, with one weight for all inputs. Values are `[y, x]`.
    AvgPool2d { kernel: [usize; 2], stride: [usize; 2] },
    /// Each neuron is connected to every neuron of the source.
    Dense,
}

impl Kind {
    /// The kind's name in files and answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Conv2d { .. } => "conv2d",
            Self::AvgPool2d { .. } => "avg_pool2d",
            Self::Dense => "dense",
        }
    }
}

/// One layer of neurons and the shape of its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// The layer's name, unique in its network.
    pub name: String,
    /// How it is connected to its source.
    pub kind: Kind,
    /// The source layer's shape; a dense layer reads it flattened channel, row, column.
    pub input: Shape,
    /// The shape of this layer; a dense layer is `[neurons, 1, 1]`.
    pub output: Shape,
}

impl Layer {
    /// The number of neurons.
    #[must_use]
    pub fn neurons(&self) -> usize {
        self.output.len()
    }

    /// The largest number of inputs of a neuron of this layer, padding not counted.
    #[must_use]
    pub fn fan_in(&self) -> usize {
        match self.kind {
            Kind::Conv2d { kernel, .. } => {
                let rows = kernel[0].min(self.input.height);
                let columns = kernel[1].min(self.input.width);
                self.input.channels * rows * columns
            }
            Kind::AvgPool2d { kernel, .. } => kernel[0] * kernel[1],
            Kind::Dense => self.input.len(),
        }
    }

    /// The window of a neuron: kernel, stride and padding, `[y, x]` each. A dense layer has one window, the whole
    /// source.
    #[must_use]
    pub fn window(&self) -> [[usize; 2]; 3] {
        match self.kind {
            Kind::Conv2d {
                kernel,
                stride,
                padding,
            } => [kernel, stride, padding],
            Kind::AvgPool2d { kernel, stride } => [kernel, stride, [0, 0]],
            Kind::Dense => [[self.input.height, self.input.width], [1, 1], [0, 0]],
        }
    }

    /// The window of the neurons at output position `position` (row by row): source positions with their index in the
    /// kernel, by ascending index. Padding is left out.
    pub fn seen_from(&self, position: usize) -> impl Iterator<Item = (usize, usize)> {
        let input = self.input;
        let [kernel, stride, padding] = self.window();
        let (row, column) = (position / self.output.width, position % self.output.width);
        (0..kernel[0] * kernel[1]).filter_map(move |place| {
            let y = (row * stride[0] + place / kernel[1]).checked_sub(padding[0])?;
            let x = (column * stride[1] + place % kernel[1]).checked_sub(padding[1])?;
            (y < input.height && x < input.width).then_some((y * input.width + x, place))
        })
    }

    /// Computes the output shape of a layer on a source of shape `input`.
    ///
    /// `out_channels` is the first axis of the weight tensor (ignored for pooling, which keeps its channels).
    ///
    /// # Errors
    /// [`NetworkError::Layer`] if the kernel does not fit the source, or the layer has no neurons or more than
    /// [`MAX_LAYER_NEURONS`].
    pub fn connect(name: &str, kind: Kind, input: Shape, out_channels: usize) -> Result<Self, NetworkError> {
        let refuse = |reason: String| NetworkError::layer(name, reason);
        let output = match kind {
            Kind::Conv2d {
                kernel,
                stride,
                padding,
            } => Shape {
                channels: out_channels,
                height: windows(input.height, kernel[0], stride[0], padding[0]).map_err(refuse)?,
                width: windows(input.width, kernel[1], stride[1], padding[1]).map_err(refuse)?,
            },
            Kind::AvgPool2d { kernel, stride } => Shape {
                channels: input.channels,
                height: windows(input.height, kernel[0], stride[0], 0).map_err(refuse)?,
                width: windows(input.width, kernel[1], stride[1], 0).map_err(refuse)?,
            },
            Kind::Dense => Shape {
                channels: out_channels,
                height: 1,
                width: 1,
            },
        };
        bounded(name, output)?;
        Ok(Self {
            name: name.to_owned(),
            kind,
            input,
            output,
        })
    }
}

/// The number of windows of `kernel` in `length` with `padding` on both sides.
fn windows(length: usize, kernel: usize, stride: usize, padding: usize) -> Result<usize, String> {
    if kernel == 0 || stride == 0 {
        return Err("kernel and stride must be at least 1".to_owned());
    }
    if kernel > MAX_LAYER_NEURONS || stride > MAX_LAYER_NEURONS || padding > MAX_LAYER_NEURONS {
        return Err(format!(
            "kernel {kernel}, stride {stride} or padding {padding} is beyond any picture"
        ));
    }
    let padded = length + 2 * padding;
    if kernel > padded {
        return Err(format!(
            "a kernel of {kernel} does not fit an input of {length} with padding {padding}"
        ));
    }
    Ok((padded - kernel) / stride + 1)
}

/// Checks that a shape has 1 to [`MAX_LAYER_NEURONS`] neurons.
pub(crate) fn bounded(name: &str, shape: Shape) -> Result<(), NetworkError> {
    let neurons = shape
        .channels
        .checked_mul(shape.height)
        .and_then(|product| product.checked_mul(shape.width));
    match neurons {
        Some(1..=MAX_LAYER_NEURONS) => Ok(()),
        Some(0) => Err(NetworkError::layer(name, "it has no neurons")),
        _ => Err(NetworkError::layer(
            name,
            format!(
                "{} x {} x {} neurons are more than {MAX_LAYER_NEURONS}",
                shape.channels, shape.height, shape.width
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_convolution_shrinks_its_input_by_kernel_and_stride() {
        let input = Shape {
            channels: 1,
            height: 28,
            width: 28,
        };
        let kind = Kind::Conv2d {
            kernel: [3, 3],
            stride: [2, 2],
            padding: [0, 0],
        };
        let layer = Layer::connect("conv1", kind, input, 32).unwrap();
        assert_eq!(
            layer.output,
            Shape {
                channels: 32,
                height: 13,
                width: 13
            }
        );
        assert_eq!(layer.fan_in(), 9);
    }

    #[test]
    fn padding_is_seen_by_nobody() {
        let input = Shape {
            channels: 2,
            height: 2,
            width: 3,
        };
        let kind = Kind::Conv2d {
            kernel: [2, 2],
            stride: [1, 2],
            padding: [1, 1],
        };
        let layer = Layer::connect("conv", kind, input, 1).unwrap();
        let seen = |position| layer.seen_from(position).collect::<Vec<_>>();
        assert_eq!(seen(0), [(0, 3)]);
        assert_eq!(seen(3), [(1, 0), (2, 1), (4, 2), (5, 3)]);
        let dense = Layer::connect("dense", Kind::Dense, input, 4).unwrap();
        assert_eq!(dense.seen_from(0).count(), 6);
    }

    #[test]
    fn a_window_larger_than_its_input_is_refused_by_layer_and_figure() {
        let input = Shape {
            channels: 1,
            height: 4,
            width: 4,
        };
        let kind = Kind::AvgPool2d {
            kernel: [5, 5],
            stride: [5, 5],
        };
        let refusal = Layer::connect("pool", kind, input, 0).unwrap_err();
        assert_eq!(
            refusal.to_string(),
            "layer pool: a kernel of 5 does not fit an input of 4 with padding 0"
        );
    }
}
