//! Tuning a spiking network through the very time steps that it will run for.
//!
//! In: an [`Snn`] and labelled pictures. Out: the same network with other weights, biases and initial membranes. Forward,
//! a batch runs as the emulator runs it, spike for spike: what learns are float copies in units of each layer's threshold,
//! rounded to the chip's integers before every step (straight-through: gradients pass the rounding as if there were none).
//! Thresholds stay.

use std::sync::Arc;

use candle_core::{Device, Result as TensorResult, Tensor, Var};
use ndarray::{Array1, Array2, Array4};

use super::batch::{Data, Learner, Mode, Passed};
use super::layers::{Connection, View, extend_source, variables};
use super::order::{parameters_of, values_of};
use super::pooling::Pooling;
use super::random::Random;
use super::spiking::Spiking;
use super::windows::Windows;
use super::{Progress, Report, TrainError, TrainOptions, check_pictures, fit};
use crate::ann;
use engine::chip::WEIGHT_MAX;
use engine::chip::width::{MEMBRANE_MAX, bias_limits};
use engine::network::snn::{InitialMembrane, Parameters, Snn, Weights};
use engine::network::{Kind, Layer, TimeSteps};
use engine::picture::Picture;

/// How a spiking network is tuned.
#[derive(Debug, Clone, PartialEq)]
pub struct TuneOptions {
    /// What it is tuned for. It must leave the input time to reach the classifier: one step a layer.
    pub time_steps: TimeSteps,
    /// What a million synaptic operations a picture add to the loss: spikes are energy. 0 lets the network spike as it
    /// pleases.
    pub thrift: f32,
    /// The share of dropout must be 0: a chip's neurons cannot be silenced.
    pub training: TrainOptions,
}

/// What logits are taken for, where the classifier fires in every step: a class that a float network is sure of.
const FULL_LOGIT: f64 = 16.0;

/// Tunes `snn`.
///
/// Pictures are classified by what the classifier integrated, and compared by the spike counts of the embedding layer.
pub fn tune(
    snn: &Snn,
    pictures: &[Picture],
    labels: &[u8],
    options: &TuneOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<(Snn, Report), TrainError> {
    check(snn, options)?;
    check_pictures(&snn.network, pictures, labels, options.training.validation)?;
    let tuner = Tuner::new(snn, options.time_steps);
    let data = Data {
        learner: &tuner,
        pictures,
        labels,
        contrast: options.training.contrast,
        thrift: options.thrift,
    };
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
            "more than the network has layers, or no input reaches the classifier",
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

/// A layer's way from its source's spikes to what arrives.
#[derive(Debug)]
enum Operation {
    Connection(Connection),
    Pooling(Pooling),
}

/// A number that learns is one in units of its layer's threshold; as the chip holds it, it is whole and within a limit.
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
    /// Weights that a spike of each layer but the last adds, on the mean over its neurons.
    fan_outs: Vec<f64>,
    /// In how many steps each pixel's neuron fires, as 0 and 1: `[pixel][step]`.
    trains: Vec<Vec<f32>>,
}

impl<'run> Tuner<'run> {
    pub(super) fn new(snn: &'run Snn, time_steps: TimeSteps) -> Self {
        let mut roles = Vec::new();
        let operation = |(layer, parameters): (&Layer, &Parameters)| {
            let windows = Arc::new(Windows::new(layer));
            match parameters.weights {
                // An input of the window counts the layer's one weight, so sums stay whole.
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

    /// What the chip would hold: whole numbers within their limits.
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

    /// What arrives from the spikes of some steps, bias apart.
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
                // Integrating is linear: all that the classifier received is what its source fired in all steps.
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
    // Integers of at most 14 bits, which f32 holds exactly.
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
