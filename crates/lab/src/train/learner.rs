//! The interface of what can be trained: a differentiable function with parameters.

use candle_core::{Tensor, Var};

use super::error::TrainError;
use super::noise::{Dropout, View};
use engine::picture::Picture;

/// A differentiable function from pictures to embeddings and logits, with parameters.
pub(super) trait Learner: Sync {
    /// The parameters as variables of the computation graph.
    fn variables(&self, parameters: &[Vec<f32>]) -> Result<Vec<Var>, TrainError>;

    /// As [`Learner::variables`], for a forward pass without gradients.
    fn constants(&self, parameters: &[Vec<f32>]) -> Result<Vec<Tensor>, TrainError> {
        let variables = self.variables(parameters)?;
        Ok(variables.iter().map(Var::as_detached_tensor).collect())
    }

    /// Views of pictures, as [`Learner::forward`] takes them.
    fn source(&self, pictures: &[(&Picture, View)]) -> Result<Tensor, TrainError>;

    fn forward(&self, parameters: &[Tensor], source: Tensor, mode: Mode) -> Result<Passed, TrainError>;

    /// Converts parameters in training to those of the finished network; `sample` returns sources of training
    /// pictures.
    fn settle(
        &self,
        parameters: &[Vec<f32>],
        _sample: impl FnOnce() -> Result<Vec<Tensor>, TrainError>,
    ) -> Result<Vec<Vec<f32>>, TrainError> {
        Ok(parameters.to_vec())
    }

    /// Converts gradients with respect to [`Learner::variables`] to gradients with respect to the parameters.
    fn rescale(&self, _gradients: &mut [Vec<f32>]) {}

    /// Clamps parameters to their range after a step of the optimiser.
    fn constrain(&self, _parameters: &mut [Vec<f32>]) {}
}

/// The purpose of a forward pass.
#[derive(Debug)]
pub(super) enum Mode {
    Learning(Option<Dropout>),
    /// Evaluation: with settled parameters, without dropout.
    Settled,
}

/// The result of a forward pass.
#[derive(Debug)]
pub(super) struct Passed {
    /// `[pictures, dimensions]`.
    pub(super) embeddings: Tensor,
    /// `[pictures, classes]`.
    pub(super) logits: Tensor,
    /// Synaptic operations of all pictures in millions, without those that do not depend on parameters; `None` for a
    /// float network.
    pub(super) operations: Option<Tensor>,
}
