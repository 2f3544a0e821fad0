//! Fine-tunes a spiking network through the time steps that it will run for.
//!
//! In: an [`Snn`] and labelled pictures. Out: the same network with other weights, biases and initial membranes. The
//! forward pass equals the emulator's, spike for spike. The trained parameters are float copies in units of each
//! layer's threshold, rounded to the chip's integers before every step (straight-through: gradients ignore the
//! rounding). Thresholds do not change.

use std::sync::Arc;

use candle_core::{Device, Result as TensorResult, Tensor, Var};
use ndarray::{Array1, Array2, Array4};

use super::batch::{Data, Examples};
use super::error::TrainError;
use super::fit::{check_examples, fit};
use super::layers::{Connection, extend_source, variables};
use super::learner::{Learner, Mode, Passed};
use super::noise::View;
use super::options::{Progress, Report, TrainOptions};
use super::order::{parameters_of, values_of};
use super::pooling::Pooling;
use super::random::Random;
use super::spiking::Spiking;
use super::windows::Windows;
use crate::ann;
use engine::chip::WEIGHT_MAX;
use engine::chip::width::{MEMBRANE_MAX, bias_limits};
use engine::network::snn::{InitialMembrane, Parameters, Snn, Weights};
use engine::network::{Kind, Layer, TimeSteps};
use engine::picture::Picture;

/// The options of tuning.
#[derive(Debug, Clone, PartialEq)]
pub struct TuneOptions {
    /// The number of time steps; it must exceed the number of layers, because a spike takes one step per layer.
    pub time_steps: TimeSteps,
    /// Loss per million synaptic operations of a picture, which limits the energy; 0 for no such loss.
    pub thrift: f32,
    /// Its dropout must be 0.
    pub training: TrainOptions,
}

/// The logit of a class whose neuron fires in every step: that of a class of which a float network is certain.
const FULL_LOGIT: f64 = 16.0;

/// Tunes `snn` with pictures each of which has a label.
///
/// # Errors
/// As [`tune_examples`].
pub fn tune(
    snn: &Snn,
    pictures: &[Picture],
    labels: &[u8],
    options: &TuneOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<(Snn, Report), TrainError> {
    let labels: Vec<Option<u8>> = labels.iter().copied().map(Some).collect();
    let examples = Examples {
        pictures,
        labels: &labels,
        groups: None,
        teacher: None,
        tutor: None,
    };
    tune_examples(snn, examples, options, progress)
}

/// Tunes `snn`.
///
/// Classification uses the `integrated` values of the classifier; the losses that compare pictures use the spike counts
/// of the embedding layer.
///
/// # Errors
/// [`TrainError`] for options out of range, pictures, labels or a teacher that do not fit the network, and a loss that
/// is not finite.
pub fn tune_examples(
    snn: &Snn,
    examples: Examples<'_>,
    options: &TuneOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<(Snn, Report), TrainError> {
    check(snn, options)?;
    check_examples(&snn.network, examples, &options.training)?;
    let tuner = Tuner::new(snn, options.time_steps);
    let data = Data::new(&tuner, &snn.network, examples, &options.training).with_thrift(options.thrift);
    let random = Random::new(options.training.seed);
    let (parameters, report) = fit(
        &data,
        tuner.first_parameters(),
        random,
        &options.training,
        progress,
    )?;
    Ok((tuner.snn_of(&parameters), report))
}

fn check(snn: &Snn, options: &TuneOptions) -> Result<(), TrainError> {
    let refuse = |setting, given: String, range| {
        Err(TrainError::Setting {
            setting,
            given,
            range,
        })
    };
    if options.training.dropout != 0.0 {
        return refuse("dropout", options.training.dropout.to_string(), "0 while tuning");
    }
    if !(options.thrift.is_finite() && options.thrift >= 0.0) {
        return refuse("thrift", options.thrift.to_string(), "at least 0");
    }
    if options.time_steps.count() <= snn.network.layers.len() {
        return refuse(
            "time_steps",
            options.time_steps.to_string(),
            "more than the number of layers, or no input reaches the classifier",
        );
    }
    if snn.network.embedding_layer + 1 == snn.network.layers.len() {
        return refuse(
            "embedding_layer",
            "the classifier".to_owned(),
            "a layer before the classifier, whose spikes can be counted",
        );
    }
    Ok(())
}

/// The operation from the spikes of a layer's source to its input.
#[derive(Debug)]
enum Operation {
    Connection(Connection),
    Pooling(Pooling),
}

/// A parameter's shape, unit (its layer's threshold) and limit on the chip.
#[derive(Debug, Clone)]
struct Role {
    shape: Vec<usize>,
    threshold: f32,
    limit: f32,
}

/// The spiking network as operations. Parameters are weights and bias of every layer that has some, in turn, then the
/// initial membranes of every layer but the last, one a channel.
#[derive(Debug)]
pub(super) struct Tuner<'run> {
    snn: &'run Snn,
    time_steps: usize,
    operations: Vec<Operation>,
    roles: Vec<Role>,
    /// For each layer but the last, the mean number of weights that a spike adds.
    fan_outs: Vec<f64>,
    /// `[pixel][step]`: whether the input neuron of a pixel fires, 0 or 1.
    trains: Vec<Vec<f32>>,
}

impl<'run> Tuner<'run> {
    pub(super) fn new(snn: &'run Snn, time_steps: TimeSteps) -> Self {
        let mut roles = Vec::new();
        let operation = |(layer, parameters): (&Layer, &Parameters)| {
            let windows = Arc::new(Windows::new(layer));
            match parameters.weights {
                // Each input of the window counts as the layer's weight, so that sums are integers.
                Weights::AvgPool2d(weight) => Operation::Pooling(Pooling {
                    windows,
                    share: f32::from(weight),
                }),
                _ => Operation::Connection(Connection {
                    windows,
                    rectified: false,
                }),
            }
        };
        let operations: Vec<Operation> = snn.layers().map(operation).collect();
        for ((layer, parameters), operation) in snn.layers().zip(&operations) {
            if let Operation::Connection(connection) = operation {
                let out = layer.output.channels;
                let threshold = parameters.threshold as f32;
                roles.push(Role {
                    shape: vec![connection.windows.length, out],
                    threshold,
                    limit: f32::from(WEIGHT_MAX),
                });
                roles.push(Role {
                    shape: vec![out],
                    threshold,
                    limit: bias_limits().0 as f32,
                });
            }
        }
        for (layer, parameters) in snn.layers().take(operations.len() - 1) {
            roles.push(Role {
                shape: vec![layer.output.channels],
                threshold: parameters.threshold as f32,
                limit: MEMBRANE_MAX as f32,
            });
        }
        let train = |pixel: u8| {
            let mut membrane = i64::from(snn.input_initial_membrane);
            let step = |_| {
                membrane += i64::from(pixel);
                let fires = membrane >= i64::from(snn.input_threshold);
                membrane -= if fires { i64::from(snn.input_threshold) } else { 0 };
                if fires { 1.0 } else { 0.0 }
            };
            (0..time_steps.count()).map(step).collect()
        };
        let fan_outs = snn.network.layers[1..].iter().map(|next| {
            let seen: usize = Windows::new(next).runs.iter().map(|run| run.length).sum();
            let heard_by = match next.kind {
                Kind::AvgPool2d { .. } => 1,
                Kind::Conv2d { .. } | Kind::Dense => next.output.channels,
            };
            (seen * heard_by) as f64 / next.input.len() as f64
        });
        Self {
            snn,
            fan_outs: fan_outs.collect(),
            time_steps: time_steps.count(),
            operations,
            roles,
            trains: (0..=u8::MAX).map(train).collect(),
        }
    }

    /// The network's own parameters, in units of the thresholds.
    pub(super) fn first_parameters(&self) -> Vec<Vec<f32>> {
        let float: Vec<ann::Parameters> = self.snn.layers().map(|(layer, p)| float(layer, p)).collect();
        let mut values = values_of(&self.snn.network, &float);
        for (layer, parameters) in self.snn.layers().take(self.operations.len() - 1) {
            let plane = layer.output.height * layer.output.width;
            // The mean of a channel's neurons; conversion makes them all alike.
            let of_channel = |channel: usize| {
                let sum: i64 = (channel * plane..(channel + 1) * plane)
                    .map(|neuron| i64::from(parameters.initial_membrane.of(neuron)))
                    .sum();
                (sum as f64 / plane as f64) as f32
            };
            values.push((0..layer.output.channels).map(of_channel).collect());
        }
        for (values, role) in values.iter_mut().zip(&self.roles) {
            values.iter_mut().for_each(|value| *value /= role.threshold);
        }
        values
    }

    /// The integers on the chip, within their limits.
    fn rounded(&self, parameters: &[Vec<f32>]) -> Vec<Vec<f32>> {
        let round = |(values, role): (&Vec<f32>, &Role)| {
            let value = |value: &f32| (value * role.threshold).round().clamp(-role.limit, role.limit);
            values.iter().map(value).collect()
        };
        parameters.iter().zip(&self.roles).map(round).collect()
    }

    pub(super) fn snn_of(&self, parameters: &[Vec<f32>]) -> Snn {
        let values = self.rounded(parameters);
        let hidden = self.operations.len() - 1;
        let (pairs, initial) = values.split_at(values.len() - hidden);
        let mut snn = self.snn.clone();
        let float = parameters_of(&snn.network, pairs);
        // Whole numbers within 9 bits, 13 bits and the chip's membrane.
        let weight = |&value: &f32| value as i16;
        let whole = |&value: &f32| value as i32;
        for (tuned, float) in snn.parameters.iter_mut().zip(&float) {
            match &float.weights {
                ann::Weights::Conv2d(weights) => tuned.weights = Weights::Conv2d(weights.map(weight)),
                ann::Weights::Dense(weights) => tuned.weights = Weights::Dense(weights.map(weight)),
                ann::Weights::AvgPool2d => {}
            }
            tuned.bias = float.bias.as_ref().map(|bias| bias.iter().map(whole).collect());
        }
        let layers = snn.network.layers.iter().zip(&mut snn.parameters);
        for ((layer, tuned), initial) in layers.zip(initial) {
            let plane = layer.output.height * layer.output.width;
            let neurons = initial
                .iter()
                .flat_map(|value| std::iter::repeat_n(whole(value), plane));
            tuned.initial_membrane = InitialMembrane::PerNeuron(neurons.collect());
        }
        snn
    }

    /// The input from the spikes of some steps, without the bias.
    fn arriving(
        operation: &Operation,
        spikes: &Tensor,
        pair: Option<(&Tensor, &Tensor)>,
    ) -> TensorResult<Tensor> {
        match (operation, pair) {
            (Operation::Connection(connection), Some((weights, bias))) => {
                spikes.apply_op3(weights, bias, connection.clone())
            }
            (Operation::Pooling(pooling), _) => spikes.apply_op1(pooling.clone()),
            (Operation::Connection(_), None) => {
                unreachable!("every layer but a pooling one has weights and a bias")
            }
        }
    }
}

impl Learner for Tuner<'_> {
    fn variables(&self, parameters: &[Vec<f32>]) -> Result<Vec<Var>, TrainError> {
        let shapes = self.roles.iter().map(|role| role.shape.clone()).collect();
        Ok(variables(&self.rounded(parameters), shapes)?)
    }

    /// The input layer's spikes of every step but the last, whose spikes are never delivered.
    fn source(&self, pictures: &[(&Picture, View)]) -> Result<Tensor, TrainError> {
        let neurons = self.snn.network.input.len();
        let rows = (self.time_steps - 1) * pictures.len();
        let mut spikes = Vec::with_capacity(rows * neurons);
        for step in 0..self.time_steps - 1 {
            for &(picture, view) in pictures {
                extend_source(&mut spikes, picture, view, |pixel| {
                    self.trains[usize::from(pixel)][step]
                });
            }
        }
        Ok(Tensor::from_vec(spikes, (rows, neurons), &Device::Cpu)?)
    }

    fn forward(&self, parameters: &[Tensor], source: Tensor, _mode: Mode) -> Result<Passed, TrainError> {
        let delivered = self.time_steps - 1;
        let rows = source.dim(0)?;
        let pictures = rows / delivered;
        let last = self.operations.len() - 1;
        let (pairs, initial) = parameters.split_at(parameters.len() - last);
        let mut pairs = pairs.chunks_exact(2);
        let mut flow = source;
        let mut embeddings = None;
        let mut operations: Option<Tensor> = None;
        for (index, (layer, operation)) in self.snn.network.layers.iter().zip(&self.operations).enumerate() {
            let pair = match operation {
                Operation::Connection(_) => pairs.next().map(|pair| (&pair[0], &pair[1])),
                Operation::Pooling(_) => None,
            };
            let threshold = self.snn.parameters[index].threshold as f32;
            if index == last {
                // Integration is linear, so the classifier's input follows from the spike counts of its source.
                let counts = flow.reshape((delivered, pictures, layer.input.len()))?.sum(0)?;
                // A bias is added in every step, the first included.
                let bias = pair.map(|(weights, bias)| Ok((weights, (bias * self.time_steps as f64)?)));
                let bias = bias.transpose().map_err(|source: candle_core::Error| source)?;
                let integrated = Self::arriving(
                    operation,
                    &counts,
                    bias.as_ref().map(|(weights, bias)| (*weights, bias)),
                )?;
                let full = f64::from(threshold) * self.time_steps as f64;
                flow = (integrated * (FULL_LOGIT / full))?;
                break;
            }
            let none = Tensor::zeros(layer.output.channels, candle_core::DType::F32, &Device::Cpu)?;
            let arriving = Self::arriving(operation, &flow, pair.map(|(weights, _)| (weights, &none)))?;
            let bias = pair.map_or(&none, |(_, bias)| bias);
            let spiking = Spiking {
                threshold,
                time_steps: self.time_steps,
            };
            let spikes = arriving.apply_op3(bias, &initial[index], spiking)?;
            if index == self.snn.network.embedding_layer {
                let steps = (self.time_steps, pictures, layer.neurons());
                embeddings = Some(spikes.reshape(steps)?.sum(0)?);
            }
            // Spikes of the last step are never delivered.
            flow = spikes.narrow(0, 0, rows)?;
            let delivered = (flow.sum_all()? * (self.fan_outs[index] / 1e6))?;
            operations = Some(match operations {
                None => delivered,
                Some(operations) => (operations + delivered)?,
            });
        }
        Ok(Passed {
            embeddings: embeddings.expect("the embedding layer lies before the classifier"),
            logits: flow,
            operations,
        })
    }

    fn rescale(&self, gradients: &mut [Vec<f32>]) {
        for (gradients, role) in gradients.iter_mut().zip(&self.roles) {
            gradients
                .iter_mut()
                .for_each(|gradient| *gradient *= role.threshold);
        }
    }
}

/// A layer's integers as floats, in the network's own order.
pub(super) fn float(layer: &Layer, parameters: &Parameters) -> ann::Parameters {
    // Integers of at most 14 bits, which f32 represents exactly.
    let bias = (0..layer.output.channels).map(|channel| parameters.bias_of(channel) as f32);
    let weights = match &parameters.weights {
        Weights::Conv2d(weights) => {
            let weights: Array4<f32> = weights.mapv(f32::from);
            ann::Weights::Conv2d(weights)
        }
        Weights::Dense(weights) => {
            let weights: Array2<f32> = weights.mapv(f32::from);
            ann::Weights::Dense(weights)
        }
        Weights::AvgPool2d(_) => ann::Weights::AvgPool2d,
    };
    let pools = matches!(layer.kind, Kind::AvgPool2d { .. });
    ann::Parameters {
        weights,
        bias: (!pools).then(|| bias.collect::<Array1<f32>>()),
    }
}
