//! What a batch teaches: the gradients of its loss, part by part.

use candle_core::{D, DType, Device, Tensor, Var};
use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;

use super::contrastive::{Contrast, contrast};
use super::layers::Dropout;
use super::random::Random;
use super::{Progress, TrainError};
use crate::picture::Picture;

/// Pictures that one thread takes at a time. Part of what a seed stands for: another number adds gradients in another
/// order. Measured on Fashion-MNIST: 16 take a fifth more time, and 64 would leave a second core idle at a batch of 64.
pub(super) const PART: usize = 32;

/// What learns: parameters as rows of numbers, and a differentiable way from pictures to embeddings and classes.
pub(super) trait Learner: Sync {
    /// The parameters as the graph sees them.
    fn variables(&self, parameters: &[Vec<f32>]) -> Result<Vec<Var>, TrainError>;

    /// Pictures, each mirrored or not, as [`Learner::forward`] takes them.
    fn source(&self, pictures: &[(&Picture, bool)]) -> Result<Tensor, TrainError>;

    fn forward(
        &self,
        parameters: &[Tensor],
        source: Tensor,
        dropout: Option<Dropout>,
    ) -> Result<Passed, TrainError>;

    /// Turns gradients by [`Learner::variables`] into gradients by the parameters.
    fn rescale(&self, _gradients: &mut [Vec<f32>]) {}

    /// Moves parameters that a step of the optimiser took out of their range back into it.
    fn constrain(&self, _parameters: &mut [Vec<f32>]) {}
}

/// What a learner makes of some pictures.
#[derive(Debug)]
pub(super) struct Passed {
    /// `[pictures, dimensions]`.
    pub(super) embeddings: Tensor,
    /// `[pictures, classes]`.
    pub(super) logits: Tensor,
}

/// What makes one part of a batch differ from epoch to epoch.
#[derive(Debug, Default)]
pub(super) struct Noise {
    pub(super) dropout: Option<Dropout>,
    /// Decides which pictures are mirrored, left to right: every second one on average.
    pub(super) mirror: Option<Random>,
}

/// What the network made of some pictures.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Outcome {
    pub(super) pictures: usize,
    /// Sum of the pictures' losses.
    pub(super) loss: f64,
    pub(super) right: usize,
}

impl Outcome {
    pub(super) fn add(&mut self, other: &Self) {
        self.pictures += other.pictures;
        self.loss += other.loss;
        self.right += other.right;
    }

    pub(super) fn progress(
        &self,
        epoch: usize,
        epochs: usize,
        batch: usize,
        batches: usize,
        validation_accuracy: Option<f64>,
    ) -> Progress {
        let pictures = self.pictures as f64;
        let (loss, train_accuracy) = (self.loss / pictures, self.right as f64 / pictures);
        Progress {
            epoch,
            epochs,
            batch,
            batches,
            loss,
            train_accuracy,
            validation_accuracy,
        }
    }
}

/// The learner and what it learns from.
#[derive(Debug)]
pub(super) struct Data<'run, L> {
    pub(super) learner: &'run L,
    pub(super) pictures: &'run [Picture],
    pub(super) labels: &'run [u8],
    pub(super) contrast: Option<Contrast>,
}

/// A part that has gone forward and waits for what the whole batch has to say.
struct Part {
    passed: Passed,
    cross_entropy: Tensor,
    outcome: Outcome,
}

impl<L: Learner> Data<'_, L> {
    /// The gradients of the batch's mean loss.
    ///
    /// Parts go forward side by side; then the contrastive term looks at the embeddings of all of them, exactly, as if
    /// the batch were one; then each part takes its share of that term's gradient backward. Cut into parts, the term
    /// would see three pictures of a class instead of a dozen.
    pub(super) fn batch_gradients(
        &self,
        variables: &[Var],
        batch: &[usize],
        noise: impl Fn(usize) -> Noise + Sync,
    ) -> Result<(Outcome, Vec<Vec<f32>>), TrainError> {
        let parts: Vec<Part> = batch
            .par_chunks(PART)
            .enumerate()
            .map(|(index, part)| self.forward(variables, part, noise(index)))
            .collect::<Result<_, TrainError>>()?;
        let mut outcome = Outcome::default();
        for part in &parts {
            outcome.add(&part.outcome);
        }
        let pulls = match self.contrast {
            None => None,
            Some(term) => {
                let (loss, pulls) = self.pulls(&parts, batch, term)?;
                outcome.loss += loss;
                Some(pulls)
            }
        };
        let gradients: Vec<Vec<Vec<f32>>> = parts
            .into_par_iter()
            .enumerate()
            .map(|(index, part)| {
                let first = index * PART;
                let pulls = pulls
                    .as_ref()
                    .map(|pulls| pulls.slice(ndarray::s![first..first + part.outcome.pictures, ..]));
                backward(variables, &part, pulls)
            })
            .collect::<Result<_, TrainError>>()?;
        let share = 1.0 / batch.len() as f32;
        let mut sums: Vec<Vec<f32>> = variables
            .iter()
            .map(|variable| vec![0.0; variable.elem_count()])
            .collect();
        for gradients in &gradients {
            for (sums, gradients) in sums.iter_mut().zip(gradients) {
                for (sum, gradient) in sums.iter_mut().zip(gradients) {
                    *sum += share * gradient;
                }
            }
        }
        self.learner.rescale(&mut sums);
        Ok((outcome, sums))
    }

    fn forward(&self, variables: &[Var], part: &[usize], noise: Noise) -> Result<Part, TrainError> {
        let parameters: Vec<Tensor> = variables
            .iter()
            .map(|variable| variable.as_tensor().clone())
            .collect();
        let source = self.source(part, noise.mirror)?;
        let passed = self.learner.forward(&parameters, source, noise.dropout)?;
        let labels = self.labels(part)?;
        let cross_entropy = cross_entropy(&passed.logits, &labels)?;
        let outcome = Outcome {
            pictures: part.len(),
            loss: f64::from(cross_entropy.to_scalar::<f32>()?),
            right: right(&passed.logits, &labels)?,
        };
        Ok(Part {
            passed,
            cross_entropy,
            outcome,
        })
    }

    /// The contrastive term over a whole batch and its gradient by the embeddings.
    fn pulls(
        &self,
        parts: &[Part],
        batch: &[usize],
        term: Contrast,
    ) -> Result<(f64, Array2<f32>), TrainError> {
        let mut embeddings = Vec::new();
        for part in parts {
            embeddings.extend(part.passed.embeddings.flatten_all()?.to_vec1::<f32>()?);
        }
        let dimensions = embeddings.len() / batch.len();
        let embeddings = ArrayView2::from_shape((batch.len(), dimensions), &embeddings)
            .expect("every picture has an embedding");
        let labels: Vec<u8> = batch.iter().map(|&index| self.labels[index]).collect();
        let (loss, pulls) = contrast(embeddings, &labels, term.temperature);
        Ok((f64::from(term.weight) * loss, pulls * term.weight))
    }

    /// The share of the pictures `chosen` whose class the network tells right.
    pub(super) fn accuracy(&self, parameters: &[Vec<f32>], chosen: &[usize]) -> Result<f64, TrainError> {
        let variables = self.learner.variables(parameters)?;
        let parameters: Vec<Tensor> = variables.iter().map(Var::as_detached_tensor).collect();
        let hits: Vec<usize> = chosen
            .par_chunks(PART)
            .map(|part| {
                let source = self.source(part, None)?;
                let passed = self.learner.forward(&parameters, source, None)?;
                right(&passed.logits, &self.labels(part)?)
            })
            .collect::<Result<_, TrainError>>()?;
        Ok(hits.into_iter().sum::<usize>() as f64 / chosen.len() as f64)
    }

    pub(super) fn source(&self, part: &[usize], mut mirror: Option<Random>) -> Result<Tensor, TrainError> {
        let pictures: Vec<(&Picture, bool)> = part
            .iter()
            .map(|&index| {
                let mirrored = mirror.as_mut().is_some_and(|random| random.unit() < 0.5);
                (&self.pictures[index], mirrored)
            })
            .collect();
        self.learner.source(&pictures)
    }

    fn labels(&self, part: &[usize]) -> Result<Tensor, TrainError> {
        let labels: Vec<u32> = part.iter().map(|&index| u32::from(self.labels[index])).collect();
        Ok(Tensor::from_vec(labels, part.len(), &Device::Cpu)?)
    }
}

/// The gradients of a part's summed loss.
fn backward(
    variables: &[Var],
    part: &Part,
    pulls: Option<ArrayView2<'_, f32>>,
) -> Result<Vec<Vec<f32>>, TrainError> {
    let loss = match pulls {
        None => part.cross_entropy.clone(),
        // A sum whose gradient by the embeddings is what the batch's contrastive term pulls at them.
        Some(pulls) => {
            let embeddings = &part.passed.embeddings;
            let pulls = Tensor::from_iter(pulls.iter().copied(), &Device::Cpu)?;
            let pulled = (embeddings * pulls.reshape(embeddings.dims())?)?.sum_all()?;
            (&part.cross_entropy + pulled)?
        }
    };
    let gradients = loss.backward()?;
    let flattened = |variable: &Var| match gradients.get(variable) {
        Some(gradient) => Ok(gradient.flatten_all()?.to_vec1()?),
        None => Ok(vec![0.0; variable.elem_count()]),
    };
    variables.iter().map(flattened).collect()
}

/// The sum of the pictures' cross entropies.
fn cross_entropy(logits: &Tensor, labels: &Tensor) -> Result<Tensor, TrainError> {
    // The largest logit is taken off first so that no exponential overflows; the loss does not change by it.
    let logits = logits.broadcast_sub(&logits.max_keepdim(D::Minus1)?.detach())?;
    let normaliser = logits.exp()?.sum(D::Minus1)?.log()?;
    let chosen = logits.gather(&labels.unsqueeze(1)?, 1)?.squeeze(1)?;
    Ok((normaliser - chosen)?.sum_all()?)
}

/// How many pictures have their largest logit where their label is.
fn right(logits: &Tensor, labels: &Tensor) -> Result<usize, TrainError> {
    let hits = logits
        .argmax(D::Minus1)?
        .eq(labels)?
        .to_dtype(DType::U32)?
        .sum_all()?
        .to_scalar::<u32>()?;
    Ok(hits as usize)
}
