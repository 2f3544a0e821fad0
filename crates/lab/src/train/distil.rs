//! Learning from a larger float network: its classes of the same views, softened (Hinton et al. 2015).

use candle_core::{D, Result as TensorResult, Tensor};
use serde::Serialize;

use super::error::TrainError;
use super::layers::{Layers, variables};
use super::learner::{Learner, Mode};
use super::noise::View;
use super::order::values_of;
use crate::ann::Ann;
use engine::network::Network;
use engine::network::activation::Activation;
use engine::picture::Picture;

/// The parameters of the distillation loss.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Distillation {
    /// Weight; the cross entropy of a labelled picture has weight 1.
    pub weight: f32,
    /// Temperature of both networks' classes: the higher it is, the more the classes that are not the picture's count.
    pub temperature: f32,
}

/// A trained float network to learn from.
#[derive(Debug)]
pub struct Tutor {
    layers: Layers,
    parameters: Vec<Tensor>,
}

impl Tutor {
    /// # Errors
    /// [`TrainError::Tensors`] if the tensor library fails.
    pub fn new(ann: &Ann) -> Result<Self, TrainError> {
        let layers = Layers::new(&ann.network);
        let mut values = values_of(&ann.network, &ann.parameters);
        if let Activation::Clipped(clipped) = &ann.network.activation {
            values.push(clipped.ceilings.clone());
        }
        let parameters = variables(&values, layers.parameter_shapes())?;
        let parameters = parameters.iter().map(|parameter| parameter.as_detached_tensor());
        Ok(Self {
            parameters: parameters.collect(),
            layers,
        })
    }

    /// Its network.
    #[must_use]
    pub fn network(&self) -> &Network {
        &self.layers.network
    }

    /// `[pictures, classes]`, without gradients.
    pub(super) fn logits(&self, pictures: &[(&Picture, View)]) -> Result<Tensor, TrainError> {
        let source = self.layers.source(pictures)?;
        let passed = self.layers.forward(&self.parameters, source, Mode::Settled)?;
        Ok(passed.logits.detach())
    }
}

/// The logarithms of each row's softmax over `temperature`.
fn shares(logits: &Tensor, temperature: f64) -> TensorResult<Tensor> {
    let logits = (logits / temperature)?;
    // The largest is subtracted so that no exponential overflows; this does not change the shares.
    let logits = logits.broadcast_sub(&logits.max_keepdim(D::Minus1)?.detach())?;
    logits.broadcast_sub(&logits.exp()?.sum_keepdim(D::Minus1)?.log()?)
}

/// The sum of the pictures' losses: the Kullback-Leibler divergence of the classes from the tutor's, times the square of
/// the temperature, which makes its gradient as large as that of the cross entropy.
pub(super) fn distil(logits: &Tensor, tutor: &Tensor, term: Distillation) -> TensorResult<Tensor> {
    let temperature = f64::from(term.temperature);
    let wanted = shares(tutor, temperature)?;
    let lost = (wanted.exp()? * (&wanted - shares(logits, temperature)?)?)?;
    lost.sum_all()? * (f64::from(term.weight) * temperature * temperature)
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;

    const TERM: Distillation = Distillation {
        weight: 0.5,
        temperature: 2.0,
    };

    #[test]
    fn who_agrees_with_the_tutor_loses_nothing() {
        let logits = Tensor::new(&[[1.0f32, 3.0, -200.0], [0.0, 0.5, 1e4]], &Device::Cpu).unwrap();
        let loss = |own: &Tensor| distil(own, &logits, TERM).unwrap().to_scalar::<f32>().unwrap();
        assert!(loss(&logits).abs() < 1e-5);
        assert!(
            loss(&(&logits + 7.0).unwrap()).abs() < 1e-3,
            "only differences count"
        );
        let other = Tensor::new(&[[3.0f32, 1.0, 0.0], [0.0, 0.5, 1e4]], &Device::Cpu).unwrap();
        assert!(loss(&other) > 0.5);
    }

    #[test]
    fn its_gradient_is_the_difference_of_the_softened_shares() {
        let tutor = Tensor::new(&[[1.0f32, 0.0]], &Device::Cpu).unwrap();
        let own = Var::new(&[[0.0f32, 0.0]], &Device::Cpu).unwrap();
        let loss = distil(own.as_tensor(), &tutor, TERM).unwrap();
        let gradients = loss.backward().unwrap();
        let found = gradients.get(&own).unwrap().to_vec2::<f32>().unwrap();
        // weight x temperature x (own share - tutor's share).
        let wanted = 0.5 * 2.0 * (0.5 - 1.0 / (1.0 + (-0.5f32).exp()));
        assert!((found[0][0] - wanted).abs() < 1e-5, "{found:?} {wanted}");
    }
}
