//! The float network's layers as differentiable operations on a batch of pictures.
//!
//! A batch is a matrix `[pictures, neurons]` with neurons in the order row, column, channel: all channels of a
//! window's row are then adjacent, and windows are gathered by copying runs. `engine::network` orders channel, row,
//! column instead; `order` translates.
//!
//! A convolution is one custom operation: the library's `conv2d` takes three times as long backward, and a chain of
//! gathering, product, bias and ReLU computes gradients that are not needed.

use std::sync::Arc;

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp3, Device, Layout, Result, Tensor, Var, bail};

use super::clip::Clip;
use super::error::TrainError;
use super::learner::{Learner, Mode, Passed};
use super::noise::View;
use super::normalise::Normalise;
use super::order::parameters_of;
use super::pooling::Pooling;
use super::random::Random;
use super::slices::{read, values};
use super::windows::Windows;
use crate::ann::Parameters;
use engine::network::activation::{Activation, Clipped};
use engine::network::{Kind, Layer, Network};
use engine::picture::{Picture, Shape};

/// Weights times window, plus bias, and ReLU if `rectified`: a convolution or a dense layer.
///
/// Its arguments are the source, the weights `[window, out]` and the bias `[out]`.
#[derive(Debug, Clone)]
pub(super) struct Connection {
    pub(super) windows: Arc<Windows>,
    pub(super) rectified: bool,
}

impl Connection {
    /// The same connection without ReLU.
    pub(super) fn driven(&self) -> Self {
        Self {
            rectified: false,
            ..self.clone()
        }
    }
}

impl CustomOp3 for Connection {
    fn name(&self) -> &'static str {
        "connection"
    }

    fn cpu_fwd(
        &self,
        source: &CpuStorage,
        source_layout: &Layout,
        weights: &CpuStorage,
        weights_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, candle_core::Shape)> {
        let bias = values(bias, bias_layout)?;
        let columns = self.windows.gather(values(source, source_layout)?);
        let rows = columns.len() / self.windows.length;
        let columns_layout = Layout::contiguous((rows, self.windows.length));
        let sizes = (1, rows, bias.len(), self.windows.length);
        let product = CpuStorage::F32(columns).matmul(weights, sizes, &columns_layout, weights_layout)?;
        let CpuStorage::F32(mut driven) = product else {
            bail!("a product of f32 matrices is of another type");
        };
        for row in driven.chunks_exact_mut(bias.len()) {
            for (value, bias) in row.iter_mut().zip(bias) {
                *value += bias;
                // A comparison instead of `max`, so that NaN is preserved and noticed.
                if self.rectified && *value < 0.0 {
                    *value = 0.0;
                }
            }
        }
        let neurons = self.windows.positions * bias.len();
        Ok((
            CpuStorage::F32(driven),
            (rows / self.windows.positions, neurons).into(),
        ))
    }

    fn bwd(
        &self,
        source: &Tensor,
        weights: &Tensor,
        bias: &Tensor,
        result: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let out = bias.elem_count();
        let mut errors = read(gradient, <[f32]>::to_vec)?;
        if self.rectified {
            read(result, |result| {
                for (error, &value) in errors.iter_mut().zip(result) {
                    if value <= 0.0 {
                        *error = 0.0;
                    }
                }
            })?;
        }
        let mut bias_gradient = vec![0.0; out];
        for row in errors.chunks_exact(out) {
            for (sum, error) in bias_gradient.iter_mut().zip(row) {
                *sum += error;
            }
        }
        let rows = errors.len() / out;
        let errors = Tensor::from_vec(errors, (rows, out), &Device::Cpu)?;
        // Gathering again is cheaper than keeping every layer's windows of the forward pass in memory.
        let columns = read(source, |source| self.windows.gather(source))?;
        let columns = Tensor::from_vec(columns, (rows, self.windows.length), &Device::Cpu)?;
        let weights_gradient = columns.t()?.matmul(&errors)?;
        // The pictures themselves need no gradient.
        let source_gradient = if source.track_op() {
            let columns = errors.matmul(&weights.detach().t()?)?;
            let gradient = read(&columns, |columns| self.windows.scatter(columns))?;
            Some(Tensor::from_vec(gradient, source.dims(), &Device::Cpu)?)
        } else {
            None
        };
        let bias_gradient = Tensor::from_vec(bias_gradient, out, &Device::Cpu)?;
        Ok((source_gradient, Some(weights_gradient), Some(bias_gradient)))
    }
}

#[derive(Debug, Clone)]
pub(super) enum Operation {
    Connection(Connection),
    Pooling(Pooling),
}

/// A network as operations, in order.
#[derive(Debug)]
pub(super) struct Layers {
    pub(super) network: Network,
    pub(super) operations: Vec<Operation>,
    /// Whether the input of hidden layers is normalised during training.
    pub(super) normalised: bool,
    /// Whether the classifier's input is spared from dropout.
    spares_classifier: bool,
}

impl Layers {
    pub(super) fn new(network: &Network) -> Self {
        let last = network.layers.len() - 1;
        let rectifies = network.activation == Activation::Relu;
        let operation = |(index, layer): (usize, &Layer)| {
            let windows = Arc::new(Windows::new(layer));
            match layer.kind {
                Kind::AvgPool2d { .. } => Operation::Pooling(Pooling {
                    share: windows.share(),
                    windows,
                }),
                // The activation follows every layer but the last.
                _ => Operation::Connection(Connection {
                    windows,
                    rectified: rectifies && index != last,
                }),
            }
        };
        let operations = network.layers.iter().enumerate().map(operation).collect();
        Self {
            network: network.clone(),
            operations,
            normalised: false,
            spares_classifier: false,
        }
    }

    /// The same network, with dropout of the inputs of dense layers up to the embedding instead of all.
    pub(super) fn dropped_before_the_embedding_only(self, spares_classifier: bool) -> Self {
        Self {
            spares_classifier,
            ..self
        }
    }

    /// The same network with batch normalisation in every hidden layer.
    pub(super) fn normalised(self, normalised: bool) -> Self {
        Self { normalised, ..self }
    }

    /// The normalisation's scales among the parameters.
    fn scales<'parameters, T>(&self, parameters: &'parameters [T]) -> &'parameters [T] {
        let ceilings = usize::from(self.clipped().is_some());
        let (end, count) = (parameters.len() - ceilings, self.hidden().count());
        &parameters[end - if self.normalised { count } else { 0 }..end]
    }

    /// The values of layer `layer`, clipped and quantised.
    pub(super) fn clip(&self, flow: &Tensor, ceilings: &Tensor, layer: usize) -> Result<Tensor> {
        let levels = self.clipped().map_or(1, |clipped| clipped.levels);
        // At most 1,024, which f32 represents exactly.
        let levels = levels as f32;
        flow.apply_op2(ceilings, Clip { layer, levels })
    }

    pub(super) fn clipped(&self) -> Option<&Clipped> {
        match &self.network.activation {
            Activation::Relu => None,
            Activation::Clipped(clipped) => Some(clipped),
        }
    }

    /// Layers with weights, except for the classifier.
    pub(super) fn hidden(&self) -> impl Iterator<Item = &Layer> {
        let last = self.network.layers.len() - 1;
        let weighted = |layer: &&Layer| !matches!(layer.kind, Kind::AvgPool2d { .. });
        self.network.layers[..last].iter().filter(weighted)
    }

    /// The shapes of the parameters, in the order that [`Learner::forward`] takes them: weights and bias of every layer
    /// that has some, in turn, then the normalisation's scales of every hidden one, then the activation's ceilings.
    pub(super) fn parameter_shapes(&self) -> Vec<Vec<usize>> {
        let shapes = |(layer, operation): (&Layer, &Operation)| match operation {
            Operation::Pooling(_) => vec![],
            Operation::Connection(connection) => {
                let out = layer.output.channels;
                vec![vec![connection.windows.length, out], vec![out]]
            }
        };
        let ceilings = self.clipped().map(|clipped| vec![clipped.ceilings.len()]);
        let scales = self.hidden().map(|layer| vec![layer.output.channels]);
        self.network
            .layers
            .iter()
            .zip(&self.operations)
            .flat_map(shapes)
            .chain(scales.filter(|_| self.normalised))
            .chain(ceilings)
            .collect()
    }

    /// Initial parameters: uniform weights that preserve the variance of the activations (He et al. 2015), zero
    /// biases.
    pub(super) fn first_parameters(&self, random: &mut Random) -> Vec<Vec<f32>> {
        let mut parameters = Vec::new();
        let last = &self.network.layers[self.network.layers.len() - 1];
        for (layer, operation) in self.network.layers.iter().zip(&self.operations) {
            let Operation::Connection(connection) = operation else {
                continue;
            };
            // Clipping at 0 halves the variance, which is compensated by twice the variance of the weights.
            let gain = if layer != last { 2.0 } else { 1.0 };
            let bound = (3.0 * gain / layer.fan_in() as f32).sqrt();
            let count = connection.windows.length * layer.output.channels;
            parameters.push((0..count).map(|_| bound * (2.0 * random.unit() - 1.0)).collect());
            parameters.push(vec![0.0; layer.output.channels]);
        }
        if self.normalised {
            parameters.extend(self.hidden().map(|layer| vec![1.0; layer.output.channels]));
        }
        parameters.extend(self.clipped().map(|clipped| clipped.ceilings.clone()));
        parameters
    }

    /// The network with the activation that `values` hold.
    pub(super) fn network_of(&self, values: &[Vec<f32>]) -> Network {
        let mut network = self.network.clone();
        if let (Activation::Clipped(clipped), Some(ceilings)) = (&mut network.activation, values.last()) {
            clipped.ceilings.clone_from(ceilings);
        }
        network
    }

    /// The parameters as `engine::network` orders them.
    pub(super) fn parameters_of(&self, values: &[Vec<f32>]) -> Vec<Parameters> {
        parameters_of(&self.network, values)
    }
}

/// Appends a view of a picture as a row of the first layer's source, in the order row, column, channel.
pub(super) fn extend_source<T>(source: &mut Vec<T>, picture: &Picture, view: View, value: impl Fn(u8) -> T) {
    let Shape {
        channels,
        height,
        width,
    } = picture.shape();
    let pixels = picture.as_slice();
    let [down, right] = view.moved;
    for row in 0..height {
        let row = row.checked_add_signed(-down).filter(|&row| row < height);
        for column in 0..width {
            let column = column
                .checked_add_signed(-right)
                .filter(|&column| column < width)
                .map(|column| if view.mirrored { width - 1 - column } else { column });
            let place = row.zip(column).map(|(row, column)| row * width + column);
            let pixel = |channel: usize| place.map_or(0, |place| pixels[channel * height * width + place]);
            source.extend((0..channels).map(|channel| value(pixel(channel))));
        }
    }
}

/// Variables of these shapes.
pub(super) fn variables(parameters: &[Vec<f32>], shapes: Vec<Vec<usize>>) -> Result<Vec<Var>> {
    let variable = |(values, shape): (&Vec<f32>, Vec<usize>)| Var::from_slice(values, shape, &Device::Cpu);
    parameters.iter().zip(shapes).map(variable).collect()
}

impl Learner for Layers {
    fn variables(&self, parameters: &[Vec<f32>]) -> std::result::Result<Vec<Var>, TrainError> {
        Ok(variables(parameters, self.parameter_shapes())?)
    }

    fn source(&self, pictures: &[(&Picture, View)]) -> std::result::Result<Tensor, TrainError> {
        let mut source = Vec::with_capacity(pictures.len() * self.network.input.len());
        for &(picture, view) in pictures {
            // The scaling of `crate::ann`.
            extend_source(&mut source, picture, view, |pixel| f32::from(pixel) / 255.0);
        }
        let shape = (pictures.len(), self.network.input.len());
        Ok(Tensor::from_vec(source, shape, &Device::Cpu)?)
    }

    fn forward(
        &self,
        parameters: &[Tensor],
        source: Tensor,
        mut mode: Mode,
    ) -> std::result::Result<Passed, TrainError> {
        let mut pairs = parameters.chunks_exact(2);
        let mut scales = self.scales(parameters).iter();
        let ceilings = self.clipped().zip(parameters.last());
        let last = self.network.layers.len() - 1;
        let mut flow = source;
        let mut embeddings = None;
        for (index, (layer, operation)) in self.network.layers.iter().zip(&self.operations).enumerate() {
            match operation {
                // The mean of non-negative values is not negative, so pooling needs no ReLU.
                Operation::Pooling(pooling) => flow = flow.apply_op1(pooling.clone())?,
                Operation::Connection(connection) => {
                    if let (Kind::Dense, Mode::Learning(Some(dropout))) = (layer.kind, &mut mode)
                        && !(self.spares_classifier && index == last)
                    {
                        flow = dropout.apply(&flow)?;
                    }
                    let Some([weights, bias]) = pairs.next() else {
                        unreachable!("every layer but a pooling one has weights and a bias");
                    };
                    let scale = scales.next().filter(|_| matches!(mode, Mode::Learning(_)));
                    flow = match scale {
                        None => flow.apply_op3(weights, bias, connection.clone())?,
                        Some(scale) => {
                            let driven = flow.apply_op3(weights, &bias.zeros_like()?, connection.driven())?;
                            let normalised = driven.apply_op3(scale, bias, Normalise)?;
                            if connection.rectified {
                                normalised.relu()?
                            } else {
                                normalised
                            }
                        }
                    };
                }
            }
            if let Some((_, ceilings)) = ceilings.filter(|_| index != last) {
                flow = self.clip(&flow, ceilings, index)?;
            }
            if index == self.network.embedding_layer {
                embeddings = Some(flow.clone());
            }
        }
        Ok(Passed {
            embeddings: embeddings.expect("a network's embedding layer is one of its layers"),
            logits: flow,
            operations: None,
        })
    }

    fn settle(
        &self,
        parameters: &[Vec<f32>],
        sample: impl FnOnce() -> std::result::Result<Vec<Tensor>, TrainError>,
    ) -> std::result::Result<Vec<Vec<f32>>, TrainError> {
        if !self.normalised {
            return Ok(parameters.to_vec());
        }
        self.fold(&mut parameters.to_vec(), sample()?, &[])
    }

    fn constrain(&self, parameters: &mut [Vec<f32>]) {
        if let (Some(_), Some(ceilings)) = (self.clipped(), parameters.last_mut()) {
            for ceiling in ceilings {
                *ceiling = ceiling.max(LEAST_CEILING);
            }
        }
    }
}

/// The smallest ceiling: a smaller one would cause too large values in the next layer. No training came near it.
const LEAST_CEILING: f32 = 1e-3;
