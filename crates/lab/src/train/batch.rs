//! The gradients of a batch, computed in parts.

use candle_core::{D, DType, Device, Tensor, Var};
use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;

use super::contrastive::{Contrast, contrast};
use super::learner::{Learner, Mode, Passed};
use super::noise::{Noise, View, Views};
use super::options::{Progress, TrainError};
use engine::picture::Picture;

/// Pictures per part. Results depend on it, because it changes the order in which gradients are added. Measured on
/// Fashion-MNIST: 16 needs a fifth more time, and 64 would leave a second CPU idle at a batch size of 64.
pub(super) const PART: usize = 32;

/// The result of some pictures.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Outcome {
    pub(super) pictures: usize,
    /// The sum of the pictures' losses.
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

/// The learner and its data.
#[derive(Debug)]
pub(super) struct Data<'run, L> {
    pub(super) learner: &'run L,
    pub(super) pictures: &'run [Picture],
    pub(super) labels: &'run [u8],
    pub(super) contrast: Option<Contrast>,
    /// Loss per million synaptic operations of a picture.
    pub(super) thrift: f32,
}

/// A part after its forward pass.
struct Part {
    passed: Passed,
    /// The sum of the cross entropies and of the loss for synaptic operations.
    loss: Tensor,
    outcome: Outcome,
}

impl<L: Learner> Data<'_, L> {
    /// The gradients of the batch's mean loss.
    ///
    /// The forward passes of the parts run in parallel. The contrastive loss is then computed over the embeddings of
    /// the whole batch, and its gradient is split over the backward passes of the parts. Computed per part, it would
    /// compare three pictures of a class instead of a dozen.
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
        let source = self.source(part, noise.views)?;
        let passed = self
            .learner
            .forward(&parameters, source, Mode::Learning(noise.dropout))?;
        let labels = self.labels(part)?;
        let mut loss = cross_entropy(&passed.logits, &labels)?;
        if let Some(operations) = passed.operations.as_ref().filter(|_| self.thrift > 0.0) {
            loss = (loss + (operations * f64::from(self.thrift))?)?;
        }
        let outcome = Outcome {
            pictures: part.len(),
            loss: f64::from(loss.to_scalar::<f32>()?),
            right: right(&passed.logits, &labels)?,
        };
        Ok(Part {
            passed,
            loss,
            outcome,
        })
    }

    /// The contrastive loss of a batch, and its gradient with respect to the embeddings.
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

    /// The parameters as they would be if training ended here; `sample` are training pictures.
    pub(super) fn settled(
        &self,
        parameters: &[Vec<f32>],
        sample: &[usize],
    ) -> Result<Vec<Vec<f32>>, TrainError> {
        self.learner.settle(parameters, || {
            let parts = sample.par_chunks(PART);
            parts.map(|part| self.source(part, None)).collect()
        })
    }

    /// The accuracy on the pictures `chosen`, 0 to 1.
    pub(super) fn accuracy(&self, parameters: &[Vec<f32>], chosen: &[usize]) -> Result<f64, TrainError> {
        let variables = self.learner.variables(parameters)?;
        let parameters: Vec<Tensor> = variables.iter().map(Var::as_detached_tensor).collect();
        let hits: Vec<usize> = chosen
            .par_chunks(PART)
            .map(|part| {
                let source = self.source(part, None)?;
                let passed = self.learner.forward(&parameters, source, Mode::Settled)?;
                right(&passed.logits, &self.labels(part)?)
            })
            .collect::<Result<_, TrainError>>()?;
        Ok(hits.into_iter().sum::<usize>() as f64 / chosen.len() as f64)
    }

    pub(super) fn source(&self, part: &[usize], mut views: Option<Views>) -> Result<Tensor, TrainError> {
        let pictures: Vec<(&Picture, View)> = part
            .iter()
            .map(|&index| {
                let view = views.as_mut().map_or_else(View::default, Views::draw);
                (&self.pictures[index], view)
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
        None => part.loss.clone(),
        // A term whose gradient with respect to the embeddings is that of the batch's contrastive loss.
        Some(pulls) => {
            let embeddings = &part.passed.embeddings;
            let pulls = Tensor::from_iter(pulls.iter().copied(), &Device::Cpu)?;
            let pulled = (embeddings * pulls.reshape(embeddings.dims())?)?.sum_all()?;
            (&part.loss + pulled)?
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
    // The largest logit is subtracted so that no exponential overflows; this does not change the loss.
    let logits = logits.broadcast_sub(&logits.max_keepdim(D::Minus1)?.detach())?;
    let normaliser = logits.exp()?.sum(D::Minus1)?.log()?;
    let chosen = logits.gather(&labels.unsqueeze(1)?, 1)?.squeeze(1)?;
    Ok((normaliser - chosen)?.sum_all()?)
}

/// The number of pictures whose largest logit is that of their label.
fn right(logits: &Tensor, labels: &Tensor) -> Result<usize, TrainError> {
    let hits = logits
        .argmax(D::Minus1)?
        .eq(labels)?
        .to_dtype(DType::U32)?
        .sum_all()?
        .to_scalar::<u32>()?;
    Ok(hits as usize)
}
