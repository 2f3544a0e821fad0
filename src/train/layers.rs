//! The network's layers as differentiable operations on a batch of pictures.
//!
//! A batch is a matrix `[pictures, neurons]`, and within a picture neurons stand row, column, channel: all channels
//! of a window's row then lie side by side, and gathering windows is copying runs. `crate::network` orders
//! channel, row, column instead; [`Layers::parameters_of`] translates.
//!
//! A convolution is one operation, not a chain of the library's: its own `conv2d` takes three times as long backward,
//! and a chain of gathering, product, bias and ReLU keeps and adds up gradients that nobody asks for.

use std::sync::Arc;

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, CustomOp3, Device, Layout, Result, Storage, Tensor, bail};
use ndarray::{Array1, Array2, Array4};

use super::random::Random;
use crate::network::ann::{Parameters, Weights};
use crate::network::{Kind, Layer, Network};
use crate::picture::Shape;

/// A stretch of a picture's neurons that lies unbroken in a window.
#[derive(Debug, Clone, Copy)]
struct Run {
    /// Where it starts among the picture's windows, all laid end to end.
    column: usize,
    /// Where it starts among the picture's neurons.
    source: usize,
    length: usize,
}

/// What a layer's neurons see: one window of the source for each position of the output.
#[derive(Debug)]
struct Windows {
    input: Shape,
    /// Windows a picture.
    positions: usize,
    /// Values a window, padding included.
    length: usize,
    runs: Vec<Run>,
}

impl Windows {
    fn new(layer: &Layer) -> Self {
        let (input, output) = (layer.input, layer.output);
        let [kernel, stride, padding] = layer.window();
        let length = kernel[0] * kernel[1] * input.channels;
        let mut runs = Vec::new();
        for position in 0..output.height * output.width {
            let (top, left) = (
                position / output.width * stride[0],
                position % output.width * stride[1],
            );
            // What lies in the padding is skipped on every side; `first` and `end` are columns of the padded source.
            let first = left.max(padding[1]);
            let end = (left + kernel[1]).min(padding[1] + input.width);
            if first >= end {
                continue;
            }
            for ky in 0..kernel[0] {
                let Some(y) = (top + ky).checked_sub(padding[0]).filter(|&y| y < input.height) else {
                    continue;
                };
                runs.push(Run {
                    column: position * length + (ky * kernel[1] + first - left) * input.channels,
                    source: (y * input.width + first - padding[1]) * input.channels,
                    length: (end - first) * input.channels,
                });
            }
        }
        Self {
            input,
            positions: output.height * output.width,
            length,
            runs,
        }
    }

    /// Every window of every picture as a row: `[pictures x positions, length]`, zero where padding is.
    fn gather(&self, sources: &[f32]) -> Vec<f32> {
        let pictures = sources.len() / self.input.len();
        let size = self.positions * self.length;
        let mut columns = vec![0.0; pictures * size];
        for (columns, source) in columns
            .chunks_exact_mut(size)
            .zip(sources.chunks_exact(self.input.len()))
        {
            for run in &self.runs {
                columns[run.column..run.column + run.length]
                    .copy_from_slice(&source[run.source..run.source + run.length]);
            }
        }
        columns
    }

    /// The reverse for gradients: what each neuron adds up over all the windows that see it.
    fn scatter(&self, columns: &[f32]) -> Vec<f32> {
        let size = self.positions * self.length;
        let pictures = columns.len() / size;
        let mut sources = vec![0.0; pictures * self.input.len()];
        for (columns, source) in columns
            .chunks_exact(size)
            .zip(sources.chunks_exact_mut(self.input.len()))
        {
            for run in &self.runs {
                let seen = &columns[run.column..run.column + run.length];
                for (sum, value) in source[run.source..run.source + run.length].iter_mut().zip(seen) {
                    *sum += value;
                }
            }
        }
        sources
    }
}

/// Weights times window, plus bias, and ReLU if `rectified`: a convolution or a dense layer.
///
/// Its arguments are the source, the weights `[window, out]` and the bias `[out]`.
#[derive(Debug, Clone)]
struct Connection {
    windows: Arc<Windows>,
    rectified: bool,
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
                // A comparison, not `max`: a value that is not a number must stay one to be noticed.
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
        // Gathering anew is cheaper than keeping every layer's windows from the forward pass in memory.
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

/// The mean of each window, channel by channel.
#[derive(Debug, Clone)]
struct Pooling {
    windows: Arc<Windows>,
}

/// The gradient of [`Pooling`]: each neuron gets its share of what its windows' means got.
#[derive(Debug, Clone)]
struct PoolingGradient {
    windows: Arc<Windows>,
}

impl Windows {
    fn share(&self) -> f32 {
        self.input.channels as f32 / self.length as f32
    }

    /// Neurons of a layer that pools.
    fn pooled(&self) -> usize {
        self.positions * self.input.channels
    }
}

impl CustomOp1 for Pooling {
    fn name(&self) -> &'static str {
        "pooling"
    }

    fn cpu_fwd(&self, source: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, candle_core::Shape)> {
        let windows = &*self.windows;
        let (neurons, channels, share) = (windows.input.len(), windows.input.channels, windows.share());
        let sources = values(source, layout)?;
        let pictures = sources.len() / neurons;
        let mut means = vec![0.0; pictures * windows.pooled()];
        for (means, source) in means
            .chunks_exact_mut(windows.pooled())
            .zip(sources.chunks_exact(neurons))
        {
            for run in &windows.runs {
                let position = run.column / windows.length * channels;
                for pixel in source[run.source..run.source + run.length].chunks_exact(channels) {
                    for (mean, value) in means[position..position + channels].iter_mut().zip(pixel) {
                        *mean += share * value;
                    }
                }
            }
        }
        Ok((CpuStorage::F32(means), (pictures, windows.pooled()).into()))
    }

    fn bwd(&self, _source: &Tensor, _result: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let reverse = PoolingGradient {
            windows: Arc::clone(&self.windows),
        };
        gradient.contiguous()?.apply_op1_no_bwd(&reverse).map(Some)
    }
}

impl CustomOp1 for PoolingGradient {
    fn name(&self) -> &'static str {
        "pooling-gradient"
    }

    fn cpu_fwd(&self, gradient: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, candle_core::Shape)> {
        let windows = &*self.windows;
        let (neurons, channels, share) = (windows.input.len(), windows.input.channels, windows.share());
        let gradients = values(gradient, layout)?;
        let pictures = gradients.len() / windows.pooled();
        let mut sources = vec![0.0; pictures * neurons];
        for (source, means) in sources
            .chunks_exact_mut(neurons)
            .zip(gradients.chunks_exact(windows.pooled()))
        {
            for run in &windows.runs {
                let position = run.column / windows.length * channels;
                for pixel in source[run.source..run.source + run.length].chunks_exact_mut(channels) {
                    for (sum, value) in pixel.iter_mut().zip(&means[position..position + channels]) {
                        *sum += share * value;
                    }
                }
            }
        }
        Ok((CpuStorage::F32(sources), (pictures, neurons).into()))
    }
}

fn values<'storage>(storage: &'storage CpuStorage, layout: &Layout) -> Result<&'storage [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<f32>()?[start..end]),
        None => bail!("the values of a layer do not lie in one run"),
    }
}

/// Lends a tensor's values without copying them.
fn read<T>(tensor: &Tensor, use_values: impl FnOnce(&[f32]) -> T) -> Result<T> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => Ok(use_values(values(storage, layout)?)),
        _ => bail!("training runs on the processor, this tensor lies elsewhere"),
    }
}

#[derive(Debug, Clone)]
enum Operation {
    Connection(Connection),
    Pooling(Pooling),
}

/// Silences a share of the neurons that a dense layer sees, anew for each batch, while training.
#[derive(Debug)]
pub(super) struct Dropout {
    pub(super) rate: f32,
    pub(super) random: Random,
}

impl Dropout {
    fn apply(&mut self, source: &Tensor) -> Result<Tensor> {
        // The neurons that are left count for the silenced ones too, so nothing changes on average.
        let kept = 1.0 / (1.0 - self.rate);
        let mask: Vec<f32> = (0..source.elem_count())
            .map(|_| if self.random.unit() < self.rate { 0.0 } else { kept })
            .collect();
        source.mul(&Tensor::from_vec(mask, source.dims(), &Device::Cpu)?)
    }
}

/// A network as operations, in order.
#[derive(Debug)]
pub(super) struct Layers {
    network: Network,
    operations: Vec<Operation>,
}

impl Layers {
    pub(super) fn new(network: &Network) -> Self {
        let last = network.layers.len() - 1;
        let operation = |(index, layer): (usize, &Layer)| {
            let windows = Arc::new(Windows::new(layer));
            match layer.kind {
                Kind::AvgPool2d { .. } => Operation::Pooling(Pooling { windows }),
                // ReLU follows every layer but the last.
                _ => Operation::Connection(Connection {
                    windows,
                    rectified: index != last,
                }),
            }
        };
        let operations = network.layers.iter().enumerate().map(operation).collect();
        Self {
            network: network.clone(),
            operations,
        }
    }

    /// Lays a picture out as a row of the first layer's source, scaled as `crate::network::ann` does.
    pub(super) fn extend_source(&self, source: &mut Vec<f32>, pixels: &[u8]) {
        let Shape {
            channels,
            height,
            width,
        } = self.network.input;
        let plane = height * width;
        for position in 0..plane {
            source.extend((0..channels).map(|channel| f32::from(pixels[channel * plane + position]) / 255.0));
        }
    }

    /// The logits `[pictures, classes]`; `parameters` are weights and bias of every layer that has some, in turn.
    pub(super) fn forward(
        &self,
        parameters: &[Tensor],
        source: Tensor,
        mut dropout: Option<Dropout>,
    ) -> Result<Tensor> {
        let mut pairs = parameters.chunks_exact(2);
        let mut flow = source;
        for (layer, operation) in self.network.layers.iter().zip(&self.operations) {
            match operation {
                // Means of what is not negative are not negative, so pooling needs no ReLU.
                Operation::Pooling(pooling) => flow = flow.apply_op1(pooling.clone())?,
                Operation::Connection(connection) => {
                    if let (Kind::Dense, Some(dropout)) = (layer.kind, &mut dropout) {
                        flow = dropout.apply(&flow)?;
                    }
                    let Some([weights, bias]) = pairs.next() else {
                        bail!("layer {} has no parameters", layer.name);
                    };
                    flow = flow.apply_op3(weights, bias, connection.clone())?;
                }
            }
        }
        Ok(flow)
    }

    /// The shapes of the parameters, in the order that [`Layers::forward`] takes them.
    pub(super) fn parameter_shapes(&self) -> Vec<Vec<usize>> {
        let shapes = |(layer, operation): (&Layer, &Operation)| match operation {
            Operation::Pooling(_) => vec![],
            Operation::Connection(connection) => {
                let out = layer.output.channels;
                vec![vec![connection.windows.length, out], vec![out]]
            }
        };
        self.network
            .layers
            .iter()
            .zip(&self.operations)
            .flat_map(shapes)
            .collect()
    }

    /// First values: uniform weights whose variance keeps that of the activations (He et al. 2015), no biases.
    pub(super) fn first_parameters(&self, random: &mut Random) -> Vec<Vec<f32>> {
        let mut parameters = Vec::new();
        for (layer, operation) in self.network.layers.iter().zip(&self.operations) {
            let Operation::Connection(connection) = operation else {
                continue;
            };
            // ReLU halves the variance, which twice the weights' variance makes up for.
            let gain = if connection.rectified { 2.0 } else { 1.0 };
            let bound = (3.0 * gain / layer.fan_in() as f32).sqrt();
            let count = connection.windows.length * layer.output.channels;
            parameters.push((0..count).map(|_| bound * (2.0 * random.unit() - 1.0)).collect());
            parameters.push(vec![0.0; layer.output.channels]);
        }
        parameters
    }

    /// The parameters as `crate::network` orders them.
    pub(super) fn parameters_of(&self, values: &[Vec<f32>]) -> Vec<Parameters> {
        let mut pairs = values.chunks_exact(2);
        let parameters = |layer: &Layer| {
            let none = Parameters {
                weights: Weights::AvgPool2d,
                bias: None,
            };
            if matches!(layer.kind, Kind::AvgPool2d { .. }) {
                return none;
            }
            let Some([weights, bias]) = pairs.next() else {
                unreachable!("every layer but a pooling one has weights and a bias");
            };
            let (out, channels) = (layer.output.channels, layer.input.channels);
            let weights = match layer.kind {
                Kind::Conv2d { kernel, .. } => {
                    let at = |(o, i, y, x)| weights[((y * kernel[1] + x) * channels + i) * out + o];
                    Weights::Conv2d(Array4::from_shape_fn((out, channels, kernel[0], kernel[1]), at))
                }
                _ => {
                    let plane = layer.input.height * layer.input.width;
                    let at = |(o, i): (usize, usize)| weights[(i % plane * channels + i / plane) * out + o];
                    Weights::Dense(Array2::from_shape_fn((out, layer.input.len()), at))
                }
            };
            Parameters {
                weights,
                bias: Some(Array1::from_vec(bias.clone())),
            }
        };
        self.network.layers.iter().map(parameters).collect()
    }
}
