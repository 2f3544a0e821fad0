//! Training an ordinary network: labelled pictures in, an [`Ann`] that classifies them out.
//!
//! The same seed gives the same parameters on the same machine, whatever the number of threads: a batch is always cut
//! into the same parts, and the parts' gradients are always added in the same order. Absent: files, clocks and
//! printing; progress goes to a callback. Only built with the cargo feature `train`.

mod adam;
mod layers;
mod random;
#[cfg(test)]
mod tests;

use candle_core::{D, DType, Device, Tensor, Var};
use rayon::prelude::*;
use serde::Serialize;
use thiserror::Error;

use crate::network::Network;
use crate::network::ann::Ann;
use crate::picture::{Picture, Shape};

use adam::{Adam, cosine};
use layers::{Dropout, Layers};
use random::Random;

/// Pictures that one thread takes at a time. Part of what a seed stands for: another number adds gradients in another
/// order. Measured on Fashion-MNIST: 16 take a fifth more time, and 64 would leave a second core idle at a batch of 64.
const PART: usize = 32;

/// Why a network is not trained.
#[derive(Debug, Error)]
pub enum TrainError {
    #[error("there are {pictures} pictures and {labels} labels; each picture needs one label")]
    LabelCount { pictures: usize, labels: usize },
    #[error(
        "{validation} of {pictures} pictures are held out for validation; at least one must be left to train on"
    )]
    TooFewPictures { pictures: usize, validation: usize },
    #[error("picture {index} is {found}, the network takes {expected}")]
    PictureShape {
        index: usize,
        found: Shape,
        expected: Shape,
    },
    #[error("picture {index} is labelled {label}; the network's last layer has the classes 0 to {}", classes - 1)]
    Label { index: usize, label: u8, classes: usize },
    #[error("{setting} is {given}; it must be {range}")]
    Setting {
        setting: &'static str,
        given: String,
        range: &'static str,
    },
    #[error("the loss of batch {batch} in epoch {epoch} is not finite; try a lower learning rate")]
    Diverged { epoch: usize, batch: usize },
    #[error("{threads} threads cannot be started: {source}")]
    Threads {
        threads: usize,
        source: rayon::ThreadPoolBuildError,
    },
    #[error("the tensor library failed: {source}")]
    Tensors {
        #[from]
        source: candle_core::Error,
    },
}

/// How a network is trained.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TrainOptions {
    /// How often every training picture is seen.
    pub epochs: usize,
    /// Decides the first parameters, the order of the pictures and the neurons dropped out.
    pub seed: u64,
    /// Pictures between two steps of the optimiser.
    pub batch: usize,
    /// Of Adam at the start; it falls along half a cosine to zero.
    pub learning_rate: f32,
    /// The share of a dense layer's source that is silenced while training, from 0.
    pub dropout: f32,
    /// The last so many pictures are not trained on: they choose the epoch whose parameters are kept.
    pub validation: usize,
    /// Processor cores to use; the outcome does not depend on it.
    pub threads: usize,
}

impl Default for TrainOptions {
    fn default() -> Self {
        Self {
            epochs: 15,
            seed: 0,
            batch: 64,
            learning_rate: 2e-3,
            dropout: 0.5,
            validation: 6_000,
            threads: 1,
        }
    }
}

/// How far training is: reported after every batch, and with `validation_accuracy` once more after every epoch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// From 1.
    pub epoch: usize,
    pub epochs: usize,
    /// From 1; batches of this epoch that are done.
    pub batch: usize,
    pub batches: usize,
    /// Mean cross entropy over this epoch's pictures so far.
    pub loss: f64,
    /// Over this epoch's pictures so far, each as the network saw it just before learning from it.
    pub train_accuracy: f64,
    pub validation_accuracy: Option<f64>,
}

/// What one epoch came to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct EpochReport {
    /// From 1.
    pub epoch: usize,
    /// Mean cross entropy over the training pictures.
    pub loss: f64,
    pub train_accuracy: f64,
    /// None where no pictures are held out.
    pub validation_accuracy: Option<f64>,
}

/// What training came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    pub training_pictures: usize,
    pub validation_pictures: usize,
    pub epochs: Vec<EpochReport>,
    /// The epoch, from 1, whose parameters were kept: the best on the validation pictures, else the last.
    pub kept_epoch: usize,
}

/// Trains `architecture` to tell the classes of `pictures` apart.
///
/// Of epochs that do equally well on the validation pictures the latest is kept: its learning rate was the lowest.
pub fn train(
    architecture: &Network,
    pictures: &[Picture],
    labels: &[u8],
    options: &TrainOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<(Ann, Report), TrainError> {
    check_options(options)?;
    check_pictures(architecture, pictures, labels, options.validation)?;
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(options.threads)
        .build()
        .map_err(|source| TrainError::Threads {
            threads: options.threads,
            source,
        })?;
    let layers = Layers::new(architecture);
    let data = Data {
        layers: &layers,
        pictures,
        labels,
    };
    let mut random = Random::new(options.seed);
    let mut parameters = layers.first_parameters(&mut random);
    let mut adam = Adam::new(&parameters);

    let held_out = pictures.len() - options.validation;
    let mut order: Vec<usize> = (0..held_out).collect();
    let validation: Vec<usize> = (held_out..pictures.len()).collect();
    let batches = held_out.div_ceil(options.batch);
    let steps = batches * options.epochs;
    let mut reports: Vec<EpochReport> = Vec::with_capacity(options.epochs);
    let mut best: Option<(f64, usize, Vec<Vec<f32>>)> = None;
    for epoch in 0..options.epochs {
        random.shuffle(&mut order);
        let mut seen = Outcome::default();
        for (index, batch) in order.chunks(options.batch).enumerate() {
            let step = epoch * batches + index;
            let learning_rate = cosine(options.learning_rate, step, steps);
            let variables = data.variables(&parameters)?;
            let dropout = |part: usize| {
                let words = [epoch as u64, index as u64, part as u64];
                let random = Random::stream(options.seed, words);
                (options.dropout > 0.0).then_some(Dropout {
                    rate: options.dropout,
                    random,
                })
            };
            let (outcome, gradients) = pool.install(|| data.batch_gradients(&variables, batch, dropout))?;
            if !outcome.loss.is_finite() {
                return Err(TrainError::Diverged {
                    epoch: epoch + 1,
                    batch: index + 1,
                });
            }
            adam.step(&mut parameters, &gradients, learning_rate);
            seen.add(&outcome);
            progress(seen.progress(epoch + 1, options.epochs, index + 1, batches, None));
        }
        let accuracy = match validation.is_empty() {
            true => None,
            false => Some(pool.install(|| data.accuracy(&parameters, &validation))?),
        };
        let done = seen.progress(epoch + 1, options.epochs, batches, batches, accuracy);
        reports.push(EpochReport {
            epoch: epoch + 1,
            loss: done.loss,
            train_accuracy: done.train_accuracy,
            validation_accuracy: accuracy,
        });
        progress(done);
        // Without validation pictures every epoch counts as equally good, so the last one is kept.
        let accuracy = accuracy.unwrap_or(0.0);
        if best.as_ref().is_none_or(|(most, ..)| accuracy >= *most) {
            best = Some((accuracy, epoch + 1, parameters.clone()));
        }
    }
    let Some((_, kept_epoch, parameters)) = best else {
        unreachable!("there is at least one epoch, and the first is always kept");
    };
    let ann = Ann {
        network: architecture.clone(),
        parameters: layers.parameters_of(&parameters),
    };
    let report = Report {
        training_pictures: held_out,
        validation_pictures: options.validation,
        epochs: reports,
        kept_epoch,
    };
    Ok((ann, report))
}

fn check_options(options: &TrainOptions) -> Result<(), TrainError> {
    let require = |holds: bool, setting, given: String, range| match holds {
        true => Ok(()),
        false => Err(TrainError::Setting {
            setting,
            given,
            range,
        }),
    };
    let TrainOptions {
        epochs,
        batch,
        threads,
        learning_rate,
        dropout,
        ..
    } = options;
    require(*epochs > 0, "epochs", epochs.to_string(), "at least 1")?;
    require(*batch > 0, "batch", batch.to_string(), "at least 1")?;
    require(*threads > 0, "threads", threads.to_string(), "at least 1")?;
    let learns = learning_rate.is_finite() && *learning_rate > 0.0;
    require(learns, "learning_rate", learning_rate.to_string(), "above 0")?;
    require(
        (0.0..1.0).contains(dropout),
        "dropout",
        dropout.to_string(),
        "at least 0 and below 1",
    )
}

fn check_pictures(
    network: &Network,
    pictures: &[Picture],
    labels: &[u8],
    validation: usize,
) -> Result<(), TrainError> {
    if pictures.len() != labels.len() {
        return Err(TrainError::LabelCount {
            pictures: pictures.len(),
            labels: labels.len(),
        });
    }
    if validation >= pictures.len() {
        return Err(TrainError::TooFewPictures {
            pictures: pictures.len(),
            validation,
        });
    }
    let classes = network.classes();
    for (index, (picture, &label)) in pictures.iter().zip(labels).enumerate() {
        if picture.shape() != network.input {
            let (found, expected) = (picture.shape(), network.input);
            return Err(TrainError::PictureShape {
                index,
                found,
                expected,
            });
        }
        if usize::from(label) >= classes {
            return Err(TrainError::Label {
                index,
                label,
                classes,
            });
        }
    }
    Ok(())
}

/// What the network made of some pictures.
#[derive(Debug, Default, Clone, Copy)]
struct Outcome {
    pictures: usize,
    /// Sum of the pictures' cross entropies.
    loss: f64,
    right: usize,
}

impl Outcome {
    fn add(&mut self, other: &Self) {
        self.pictures += other.pictures;
        self.loss += other.loss;
        self.right += other.right;
    }

    fn progress(
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

/// The network and what it learns from.
#[derive(Debug)]
struct Data<'run> {
    layers: &'run Layers,
    pictures: &'run [Picture],
    labels: &'run [u8],
}

impl Data<'_> {
    fn variables(&self, parameters: &[Vec<f32>]) -> Result<Vec<Var>, TrainError> {
        let shapes = self.layers.parameter_shapes();
        let variable =
            |(values, shape): (&Vec<f32>, Vec<usize>)| Ok(Var::from_slice(values, shape, &Device::Cpu)?);
        parameters.iter().zip(shapes).map(variable).collect()
    }

    /// The gradients of the batch's mean loss.
    fn batch_gradients(
        &self,
        variables: &[Var],
        batch: &[usize],
        dropout: impl Fn(usize) -> Option<Dropout> + Sync,
    ) -> Result<(Outcome, Vec<Vec<f32>>), TrainError> {
        let parts: Vec<(Outcome, Vec<Vec<f32>>)> = batch
            .par_chunks(PART)
            .enumerate()
            .map(|(index, part)| self.part_gradients(variables, part, dropout(index)))
            .collect::<Result<_, TrainError>>()?;
        let share = 1.0 / batch.len() as f32;
        let mut outcome = Outcome::default();
        let mut sums: Vec<Vec<f32>> = variables
            .iter()
            .map(|variable| vec![0.0; variable.elem_count()])
            .collect();
        for (part, gradients) in &parts {
            outcome.add(part);
            for (sums, gradients) in sums.iter_mut().zip(gradients) {
                for (sum, gradient) in sums.iter_mut().zip(gradients) {
                    *sum += share * gradient;
                }
            }
        }
        Ok((outcome, sums))
    }

    /// The gradients of the part's summed loss.
    fn part_gradients(
        &self,
        variables: &[Var],
        part: &[usize],
        dropout: Option<Dropout>,
    ) -> Result<(Outcome, Vec<Vec<f32>>), TrainError> {
        let parameters: Vec<Tensor> = variables
            .iter()
            .map(|variable| variable.as_tensor().clone())
            .collect();
        let logits = self.layers.forward(&parameters, self.source(part)?, dropout)?;
        let labels = self.labels(part)?;
        let loss = cross_entropy(&logits, &labels)?;
        let gradients = loss.backward()?;
        let flattened = |variable: &Var| match gradients.get(variable) {
            Some(gradient) => Ok(gradient.flatten_all()?.to_vec1()?),
            None => Ok(vec![0.0; variable.elem_count()]),
        };
        let gradients = variables
            .iter()
            .map(flattened)
            .collect::<Result<_, TrainError>>()?;
        let outcome = Outcome {
            pictures: part.len(),
            loss: f64::from(loss.to_scalar::<f32>()?),
            right: right(&logits, &labels)?,
        };
        Ok((outcome, gradients))
    }

    /// The share of the pictures `chosen` whose class the network tells right.
    fn accuracy(&self, parameters: &[Vec<f32>], chosen: &[usize]) -> Result<f64, TrainError> {
        let variables = self.variables(parameters)?;
        let parameters: Vec<Tensor> = variables.iter().map(Var::as_detached_tensor).collect();
        let hits: Vec<usize> = chosen
            .par_chunks(PART)
            .map(|part| {
                let logits = self.layers.forward(&parameters, self.source(part)?, None)?;
                right(&logits, &self.labels(part)?)
            })
            .collect::<Result<_, TrainError>>()?;
        Ok(hits.into_iter().sum::<usize>() as f64 / chosen.len() as f64)
    }

    fn source(&self, part: &[usize]) -> Result<Tensor, TrainError> {
        let mut source = Vec::new();
        for &index in part {
            self.layers
                .extend_source(&mut source, self.pictures[index].as_slice());
        }
        let neurons = source.len() / part.len();
        Ok(Tensor::from_vec(source, (part.len(), neurons), &Device::Cpu)?)
    }

    fn labels(&self, part: &[usize]) -> Result<Tensor, TrainError> {
        let labels: Vec<u32> = part.iter().map(|&index| u32::from(self.labels[index])).collect();
        Ok(Tensor::from_vec(labels, part.len(), &Device::Cpu)?)
    }
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
