//! Batch normalisation and the weights of a finished network, in both directions: it is folded into weights and biases
//! at the end of training, and layers of a finished network get one to start from that changes nothing.

use candle_core::{Device, Result as TensorResult, Tensor};
use rayon::prelude::*;

use super::error::TrainError;
use super::layers::{Layers, Operation};
use super::normalise::{Statistics, affine};
use super::order::values_of;
use super::slices::read;
use crate::ann::Ann;
use engine::network::activation::Activation;
use engine::network::{Kind, Layer};

impl Layers {
    /// Folds the normalisation into the weights and biases, layer by layer, with the statistics of `flows`, the sources
    /// of training pictures.
    ///
    /// The layers `finished` (counted among those with weights) have weights and biases into which a normalisation was
    /// folded already: their scales and biases in `parameters` are set so that normalising does not change what they
    /// compute for these pictures.
    pub(super) fn fold(
        &self,
        parameters: &mut [Vec<f32>],
        mut flows: Vec<Tensor>,
        finished: &[usize],
    ) -> Result<Vec<Vec<f32>>, TrainError> {
        let mut settled = parameters.to_vec();
        let shapes = self.parameter_shapes();
        let tensor = |values: &[f32], shape: &[usize]| Tensor::from_slice(values, shape, &Device::Cpu);
        let ceilings = parameters
            .last()
            .map(|ceilings| tensor(ceilings, &[ceilings.len()]))
            .transpose()?;
        let first_scale = parameters.len() - usize::from(self.clipped().is_some()) - self.hidden().count();
        let last = self.network.layers.len() - 1;
        let mut pair = 0;
        for (index, operation) in self.operations[..last].iter().enumerate() {
            let connection = match operation {
                Operation::Pooling(pooling) => {
                    let pool = |flow: &Tensor| flow.apply_op1(pooling.clone());
                    flows = flows.par_iter().map(pool).collect::<TensorResult<_>>()?;
                    None
                }
                Operation::Connection(connection) => Some(connection),
            };
            if let Some(connection) = connection {
                let (at_weights, at_bias) = (2 * pair, 2 * pair + 1);
                let channels = settled[at_bias].len();
                let weights = tensor(&settled[at_weights], &shapes[at_weights])?;
                let none = tensor(&vec![0.0; channels], &[channels])?;
                let driven: Vec<Tensor> = flows
                    .par_iter()
                    .map(|flow| flow.apply_op3(&weights, &none, connection.driven()))
                    .collect::<TensorResult<_>>()?;
                let mut statistics: Option<Statistics> = None;
                for part in &driven {
                    let of_part = read(part, |part| Statistics::of(part, channels))?;
                    match &mut statistics {
                        None => statistics = Some(of_part),
                        Some(statistics) => statistics.add(&of_part),
                    }
                }
                let Some(statistics) = statistics else {
                    return Ok(settled);
                };
                if finished.contains(&pair) {
                    let (means, factors) = statistics.mean_and_factor();
                    parameters[first_scale + pair] = factors.iter().map(|factor| 1.0 / factor).collect();
                    for (bias, mean) in parameters[at_bias].iter_mut().zip(means) {
                        *bias += mean;
                    }
                    settled[at_bias].clone_from(&parameters[at_bias]);
                }
                let (factors, added) =
                    affine(&statistics, &parameters[first_scale + pair], &settled[at_bias]);
                for row in settled[at_weights].chunks_exact_mut(channels) {
                    for (weight, factor) in row.iter_mut().zip(&factors) {
                        *weight *= factor;
                    }
                }
                settled[at_bias] = added;
                let weights = tensor(&settled[at_weights], &shapes[at_weights])?;
                let bias = tensor(&settled[at_bias], &[channels])?;
                flows = flows
                    .par_iter()
                    .map(|flow| flow.apply_op3(&weights, &bias, connection.clone()))
                    .collect::<TensorResult<_>>()?;
                pair += 1;
            }
            if let Some(ceilings) = ceilings.as_ref().filter(|_| self.clipped().is_some()) {
                let clip = |flow: &Tensor| self.clip(flow, ceilings, index);
                flows = flows.par_iter().map(clip).collect::<TensorResult<_>>()?;
            }
        }
        Ok(settled)
    }

    /// Replaces the parameters of those layers that `start` has at the same place with the same shape; returns their
    /// names. `sample` are sources of training pictures.
    pub(super) fn start_from(
        &self,
        start: &Ann,
        parameters: &mut [Vec<f32>],
        sample: Vec<Tensor>,
    ) -> Result<Vec<String>, TrainError> {
        let theirs = values_of(&start.network, &start.parameters);
        let weighted = |layers: &[Layer]| -> Vec<(usize, Layer)> {
            let layers = layers.iter().cloned().enumerate();
            layers
                .filter(|(_, layer)| !matches!(layer.kind, Kind::AvgPool2d { .. }))
                .collect()
        };
        let (ours, others) = (weighted(&self.network.layers), weighted(&start.network.layers));
        let mut taken = Vec::new();
        for (pair, ((index, layer), (at, other))) in ours.iter().zip(&others).enumerate() {
            let dense_fits = layer.kind != Kind::Dense || layer.input == other.input;
            let channels = |layer: &Layer| (layer.input.channels, layer.output.channels);
            if layer.kind != other.kind || channels(layer) != channels(other) || !dense_fits {
                continue;
            }
            parameters[2 * pair].clone_from(&theirs[2 * pair]);
            parameters[2 * pair + 1].clone_from(&theirs[2 * pair + 1]);
            if let (Some(_), Activation::Clipped(clipped)) = (self.clipped(), &start.network.activation)
                && let (Some(ceilings), Some(&ceiling)) = (parameters.last_mut(), clipped.ceilings.get(*at))
                && let Some(own) = ceilings.get_mut(*index)
            {
                *own = ceiling;
            }
            taken.push(pair);
        }
        if self.normalised {
            self.fold(parameters, sample, &taken)?;
        }
        Ok(taken.iter().map(|&pair| ours[pair].1.name.clone()).collect())
    }
}
