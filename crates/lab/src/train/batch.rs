//! The gradients of a batch, computed in parts.

use std::borrow::Cow;

use candle_core::{D, Device, Tensor, Var};
use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;

use super::augment::Augmentation;
use super::contrastive::{Contrast, contrast};
use super::distil::{Distillation, Tutor, distil};
use super::error::TrainError;
use super::learner::{Learner, Mode, Passed};
use super::noise::{Noise, View, Views};
use super::options::{Progress, TrainOptions};
use super::relation::{Relation, Teacher, relate};
use super::siblings::Siblings;
use engine::network::{Layer, Network};
use engine::picture::{Picture, Shape, stretch};

/// Pictures per part. Results depend on it, because it changes the order in which gradients are added. Measured on
/// Fashion-MNIST: 16 needs a fifth more time, and 64 would leave a second CPU idle at a batch size of 64.
pub(super) const PART: usize = 32;

/// The result of some pictures.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Outcome {
    pub(super) pictures: usize,
    /// The sum of the pictures' losses.
    pub(super) loss: f64,
    /// Pictures that have a label, and those of them that are classified by it.
    pub(super) labelled: usize,
    pub(super) right: usize,
}

impl Outcome {
    pub(super) fn add(&mut self, other: &Self) {
        self.pictures += other.pictures;
        self.loss += other.loss;
        self.labelled += other.labelled;
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
        let loss = self.loss / self.pictures as f64;
        let train_accuracy = self.right as f64 / self.labelled.max(1) as f64;
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

/// What is learned from.
#[derive(Debug, Clone, Copy)]
pub struct Examples<'run> {
    pub pictures: &'run [Picture],
    /// The class of each picture; `None` where it is not known.
    pub labels: &'run [Option<u8>],
    /// The product of each picture, whose other pictures are alike; `None`: each picture is of its own.
    pub groups: Option<&'run [u32]>,
    pub teacher: Option<&'run Teacher>,
    /// A float network with the same input and classes.
    pub tutor: Option<&'run Tutor>,
}

/// What makes two pictures alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Likeness {
    Label(u8),
    /// A product's number, or a picture's where products are not known.
    Product(usize),
}

/// The learner, its data and its losses.
#[derive(Debug)]
pub(super) struct Data<'run, L> {
    learner: &'run L,
    examples: Examples<'run>,
    /// The network's input.
    input: Shape,
    augmentation: Option<Augmentation>,
    contrast: Option<Contrast>,
    relation: Option<Relation>,
    distillation: Option<Distillation>,
    /// Views of a picture in a batch.
    views: usize,
    smoothing: f32,
    /// Loss per million synaptic operations of a picture.
    thrift: f32,
    /// The number of pictures that give the means and variances for settling.
    settling: usize,
}

/// The number of training pictures that give the means and variances for settling.
const SETTLING: usize = 2048;

/// The largest number of values of a layer, over all pictures for settling: a quarter of a gibibyte.
const SETTLING_VALUES: usize = 1 << 26;

/// A part after its forward pass.
struct Part {
    passed: Passed,
    /// The sum of the cross entropies and of the loss for synaptic operations.
    loss: Tensor,
    outcome: Outcome,
}

impl<'run, L: Learner> Data<'run, L> {
    pub(super) fn new(
        learner: &'run L,
        network: &Network,
        examples: Examples<'run>,
        options: &TrainOptions,
    ) -> Self {
        let largest = network.layers.iter().map(Layer::neurons).max();
        let compares =
            options.views > 1 || examples.groups.is_some() || examples.labels.iter().any(Option::is_some);
        Self {
            learner,
            examples,
            input: network.input,
            augmentation: options.augmentation,
            contrast: options.contrast.filter(|_| compares),
            relation: options.relation,
            distillation: options.distillation,
            views: options.views,
            smoothing: options.smoothing,
            thrift: 0.0,
            settling: largest.map_or(SETTLING, |most| SETTLING.min(SETTLING_VALUES / most)),
        }
    }

    pub(super) fn with_thrift(self, thrift: f32) -> Self {
        Self { thrift, ..self }
    }

    pub(super) fn learner(&self) -> &'run L {
        self.learner
    }

    pub(super) fn pictures(&self) -> usize {
        self.examples.pictures.len()
    }

    /// The pictures of the products of the first `training` pictures.
    pub(super) fn siblings(&self, training: usize) -> Siblings {
        Siblings::new(self.examples.groups.map(|groups| &groups[..training]))
    }

    /// The gradients of the batch's mean loss.
    ///
    /// The forward passes of the parts run in parallel. The losses that compare pictures are then computed over the
    /// embeddings of the whole batch, and their gradient is split over the backward passes of the parts. Computed per part, it would
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
        let pulls = self.pulls(&parts, batch)?.map(|(loss, pulls)| {
            outcome.loss += loss;
            pulls
        });
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
        let drawn = self.drawn(part, noise.views)?;
        let views = pairs(&drawn);
        let source = self.learner.source(&views)?;
        let passed = self
            .learner
            .forward(&parameters, source, Mode::Learning(noise.dropout))?;
        let labels = self.labels(part);
        let mut loss = cross_entropy(&passed.logits, &labels, self.smoothing)?;
        if let Some((term, tutor)) = self.distillation.zip(self.examples.tutor) {
            loss = (loss + distil(&passed.logits, &tutor.logits(&views)?, term)?)?;
        }
        if let Some(operations) = passed.operations.as_ref().filter(|_| self.thrift > 0.0) {
            loss = (loss + (operations * f64::from(self.thrift))?)?;
        }
        let outcome = Outcome {
            pictures: part.len(),
            loss: f64::from(loss.to_scalar::<f32>()?),
            labelled: labels.iter().flatten().count(),
            right: right(&passed.logits, &labels)?,
        };
        Ok(Part {
            passed,
            loss,
            outcome,
        })
    }

    /// The losses that compare the pictures of a batch, and their gradient with respect to the embeddings.
    fn pulls(&self, parts: &[Part], batch: &[usize]) -> Result<Option<(f64, Array2<f32>)>, TrainError> {
        let relation = self.relation.zip(self.examples.teacher);
        if self.contrast.is_none() && relation.is_none() {
            return Ok(None);
        }
        let mut embeddings = Vec::new();
        for part in parts {
            embeddings.extend(part.passed.embeddings.flatten_all()?.to_vec1::<f32>()?);
        }
        let dimensions = embeddings.len() / batch.len();
        let embeddings = ArrayView2::from_shape((batch.len(), dimensions), &embeddings)
            .expect("every picture has an embedding");
        let contrast = self.contrast.map(|term| {
            let (loss, pulls) = contrast(embeddings, &self.likenesses(batch), term.temperature);
            (f64::from(term.weight) * loss, pulls * term.weight)
        });
        let relation = relation.map(|(term, teacher)| {
            let (loss, pulls) = relate(embeddings, teacher.cosines(batch), term.temperature);
            (f64::from(term.weight) * loss, pulls * term.weight)
        });
        Ok(match (contrast, relation) {
            (Some((loss, pulls)), Some((further, more))) => Some((loss + further, pulls + more)),
            (one, other) => one.or(other),
        })
    }

    /// The parameters as they would be if training ended here; the first ones of `training` are the sample for settling.
    pub(super) fn settled(
        &self,
        parameters: &[Vec<f32>],
        training: &[usize],
    ) -> Result<Vec<Vec<f32>>, TrainError> {
        let sample = &training[..self.settling.min(training.len())];
        self.learner.settle(parameters, || {
            let parts = sample.par_chunks(PART);
            parts.map(|part| self.source(part, None)).collect()
        })
    }

    /// Sources of some of the first `training` pictures, evenly spread.
    pub(super) fn sample(&self, training: usize) -> Result<Vec<Tensor>, TrainError> {
        let step = training.div_ceil(self.settling).max(1);
        let chosen: Vec<usize> = (0..training).step_by(step).collect();
        let parts = chosen.par_chunks(PART);
        parts.map(|part| self.source(part, None)).collect()
    }

    /// The accuracy on those of the pictures `chosen` that have a label, 0 to 1; `None` if there are none.
    pub(super) fn accuracy(
        &self,
        parameters: &[Vec<f32>],
        chosen: &[usize],
    ) -> Result<Option<f64>, TrainError> {
        let labelled = self.labels(chosen).iter().flatten().count();
        if labelled == 0 {
            return Ok(None);
        }
        let parameters = self.learner.constants(parameters)?;
        let hits: Vec<usize> = chosen
            .par_chunks(PART)
            .map(|part| {
                let source = self.source(part, None)?;
                let passed = self.learner.forward(&parameters, source, Mode::Settled)?;
                right(&passed.logits, &self.labels(part))
            })
            .collect::<Result<_, TrainError>>()?;
        Ok(Some(hits.into_iter().sum::<usize>() as f64 / labelled as f64))
    }

    pub(super) fn source(&self, part: &[usize], views: Option<Views>) -> Result<Tensor, TrainError> {
        self.learner.source(&pairs(&self.drawn(part, views)?))
    }

    /// The pictures of a part as the network is shown them.
    fn drawn(&self, part: &[usize], mut views: Option<Views>) -> Result<Vec<Drawn<'run>>, TrainError> {
        let pictures = self.examples.pictures;
        let Some(augmentation) = self.augmentation else {
            let draw = |&index: &usize| {
                let view = views.as_mut().map_or_else(View::default, Views::draw);
                (Cow::Borrowed(&pictures[index]), view)
            };
            return Ok(part.iter().map(draw).collect());
        };
        let Shape { height, width, .. } = self.input;
        let draw = |&index: &usize| {
            let picture = match &mut views {
                Some(views) => augmentation.view(&pictures[index], [height, width], &mut views.random),
                None => stretch(&pictures[index], height, width)
                    .map_err(|source| TrainError::Picture { index, source })?,
            };
            Ok((Cow::Owned(picture), View::default()))
        };
        part.iter().map(draw).collect()
    }

    /// What pictures have in common: a label; or, without one, a product, where the batch may hold another view of it.
    fn likenesses(&self, batch: &[usize]) -> Vec<Option<Likeness>> {
        let own = |index: usize| match self.examples.groups {
            Some(groups) => Some(Likeness::Product(groups[index] as usize)),
            None => (self.views > 1).then_some(Likeness::Product(index)),
        };
        let of = |&index: &usize| self.examples.labels[index].map(Likeness::Label).or(own(index));
        batch.iter().map(of).collect()
    }

    fn labels(&self, part: &[usize]) -> Vec<Option<u8>> {
        part.iter().map(|&index| self.examples.labels[index]).collect()
    }
}

/// A picture, and how it is moved.
type Drawn<'run> = (Cow<'run, Picture>, View);

fn pairs<'a>(drawn: &'a [Drawn<'_>]) -> Vec<(&'a Picture, View)> {
    drawn.iter().map(|(picture, view)| (&**picture, *view)).collect()
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

/// The sum of the cross entropies of the pictures that have a label; `smoothing` is the share of a label that is spread
/// over all classes.
fn cross_entropy(logits: &Tensor, labels: &[Option<u8>], smoothing: f32) -> Result<Tensor, TrainError> {
    let classes = logits.dim(D::Minus1)?;
    let indices: Vec<u32> = labels.iter().map(|label| label.map_or(0, u32::from)).collect();
    let indices = Tensor::from_vec(indices, labels.len(), &Device::Cpu)?;
    // The largest logit is subtracted so that no exponential overflows; this does not change the loss.
    let logits = logits.broadcast_sub(&logits.max_keepdim(D::Minus1)?.detach())?;
    let normaliser = logits.exp()?.sum(D::Minus1)?.log()?;
    let mut chosen = logits.gather(&indices.unsqueeze(1)?, 1)?.squeeze(1)?;
    if smoothing > 0.0 {
        let spread = f64::from(smoothing);
        let mean = (logits.sum(D::Minus1)? * (spread / classes as f64))?;
        chosen = ((chosen * (1.0 - spread))? + mean)?;
    }
    let mut losses = (normaliser - chosen)?;
    if labels.contains(&None) {
        let counts = labels
            .iter()
            .map(|label| if label.is_some() { 1.0f32 } else { 0.0 });
        losses = (losses * Tensor::from_iter(counts, &Device::Cpu)?)?;
    }
    Ok(losses.sum_all()?)
}

/// The number of pictures whose largest logit is that of their label.
fn right(logits: &Tensor, labels: &[Option<u8>]) -> Result<usize, TrainError> {
    let classes = logits.argmax(D::Minus1)?.to_vec1::<u32>()?;
    let hits = classes.iter().zip(labels);
    Ok(hits
        .filter(|(class, label)| label.map(u32::from) == Some(**class))
        .count())
}
