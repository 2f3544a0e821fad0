//! Training an ordinary network: labelled pictures in, an [`Ann`] that classifies them out.
//!
//! The same seed gives the same parameters on the same machine, whatever the number of threads: a batch is always cut
//! into the same parts, and the parts' gradients are always added in the same order. Absent: files, clocks and
//! printing; progress goes to a callback. Only built with the cargo feature `train`.

mod adam;
mod batch;
mod clip;
mod contrastive;
mod layers;
mod lend;
mod normalise;
mod order;
mod pooling;
mod random;
mod spiking;
mod tune;
mod windows;
#[cfg(test)]
mod tests;

use serde::Serialize;
use thiserror::Error;

use crate::ann::Ann;
use engine::network::Network;
use engine::picture::{Picture, Shape};

pub use contrastive::Contrast;
pub use tune::{TuneOptions, tune};

use adam::{Adam, cosine};
use batch::{Data, Learner, Noise, Outcome, Views};
use layers::{Dropout, Layers};
use random::Random;

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
    /// Whether every picture is mirrored, left to right, every second time on average.
    pub mirror: bool,
    /// The most pixels that every picture is moved by at random, up or down and left or right; what it leaves is black.
    pub shift: usize,
    /// Batch normalisation in every hidden layer while training, taken into weights and biases at its end.
    pub normalise: bool,
    /// A contrastive term on the embeddings, beside the classifier's cross entropy.
    pub contrast: Option<Contrast>,
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
            mirror: false,
            shift: 0,
            normalise: false,
            contrast: None,
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
    /// Mean loss over this epoch's pictures so far: cross entropy, and the contrastive term by its weight.
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
    /// Mean loss over the training pictures.
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
    let layers = Layers::new(architecture).normalised(options.normalise);
    let mut random = Random::new(options.seed);
    let first = layers.first_parameters(&mut random);
    check_pictures(architecture, pictures, labels, options.validation)?;
    let data = Data {
        learner: &layers,
        pictures,
        labels,
        contrast: options.contrast,
        thrift: 0.0,
    };
    let (parameters, report) = fit(&data, first, random, options, progress)?;
    let ann = Ann {
        network: layers.network_of(&parameters),
        parameters: layers.parameters_of(&parameters),
    };
    Ok((ann, report))
}

/// Moves a learner's parameters, from `first` on, by as many epochs as the options say; `random` shuffles.
fn fit<L: Learner>(
    data: &Data<'_, L>,
    first: Vec<Vec<f32>>,
    mut random: Random,
    options: &TrainOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<(Vec<Vec<f32>>, Report), TrainError> {
    check_options(options)?;
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(options.threads)
        .build()
        .map_err(|source| TrainError::Threads {
            threads: options.threads,
            source,
        })?;
    let mut parameters = first;
    let mut adam = Adam::new(&parameters);

    let count = data.pictures.len();
    let held_out = count - options.validation;
    let mut order: Vec<usize> = (0..held_out).collect();
    let validation: Vec<usize> = (held_out..count).collect();
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
            let variables = data.learner.variables(&parameters)?;
            let noise = |part: usize| {
                let stream = |purpose: u64| {
                    let words = [epoch as u64, index as u64, part as u64];
                    Random::stream(options.seed ^ purpose, words)
                };
                let dropout = (options.dropout > 0.0).then(|| Dropout {
                    rate: options.dropout,
                    random: stream(0),
                });
                let views = (options.mirror || options.shift > 0).then(|| Views {
                    mirror: options.mirror,
                    shift: options.shift,
                    random: stream(VIEWS),
                });
                Noise { dropout, views }
            };
            let (outcome, gradients) = pool.install(|| data.batch_gradients(&variables, batch, noise))?;
            if !outcome.loss.is_finite() {
                return Err(TrainError::Diverged {
                    epoch: epoch + 1,
                    batch: index + 1,
                });
            }
            adam.step(&mut parameters, &gradients, learning_rate);
            data.learner.constrain(&mut parameters);
            seen.add(&outcome);
            progress(seen.progress(epoch + 1, options.epochs, index + 1, batches, None));
        }
        let sample = &order[..SETTLING.min(order.len())];
        let settled = pool.install(|| data.settled(&parameters, sample))?;
        let accuracy = match validation.is_empty() {
            true => None,
            false => Some(pool.install(|| data.accuracy(&settled, &validation))?),
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
            best = Some((accuracy, epoch + 1, settled));
        }
    }
    let Some((_, kept_epoch, parameters)) = best else {
        unreachable!("there is at least one epoch, and the first is always kept");
    };
    let report = Report {
        training_pictures: held_out,
        validation_pictures: options.validation,
        epochs: reports,
        kept_epoch,
    };
    Ok((parameters, report))
}

/// Training pictures, drawn anew after every epoch, whose means and variances a settled network takes.
const SETTLING: usize = 2048;

/// Sets what draws views apart from what decides dropout, which draws from the bare seed.
const VIEWS: u64 = 1 << 63;

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
        contrast,
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
    )?;
    let Some(Contrast { weight, temperature }) = contrast else {
        return Ok(());
    };
    let counts = weight.is_finite() && *weight >= 0.0;
    require(counts, "contrast", weight.to_string(), "at least 0")?;
    let divides = temperature.is_finite() && *temperature > 0.0;
    require(divides, "temperature", temperature.to_string(), "above 0")
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
