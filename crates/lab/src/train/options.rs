//! The options, reports and errors of training.

use serde::Serialize;
use thiserror::Error;

use super::contrastive::Contrast;
use engine::picture::Shape;

/// Why training fails.
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

/// The options of training.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TrainOptions {
    /// Number of epochs, at least 1.
    pub epochs: usize,
    /// Seed of the initial parameters, the order of the pictures, the views and the dropout.
    pub seed: u64,
    /// Batch size, at least 1.
    pub batch: usize,
    /// Initial learning rate of Adam; it decays to zero along half a cosine.
    pub learning_rate: f32,
    /// Dropout rate of the inputs of dense layers, 0 to below 1.
    pub dropout: f32,
    /// Whether pictures are mirrored left to right with probability 1/2.
    pub mirror: bool,
    /// Largest random shift of pictures in pixels, in each direction; uncovered pixels are black.
    pub shift: usize,
    /// Batch normalisation in every hidden layer, folded into weights and biases at the end.
    pub normalise: bool,
    /// A contrastive loss on the embeddings, in addition to the classifier's cross entropy.
    pub contrast: Option<Contrast>,
    /// The number of pictures, the last ones, held out to choose the epoch whose parameters are kept.
    pub validation: usize,
    /// Number of threads, at least 1; the result does not depend on it.
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

/// Progress, reported after every batch and, with `validation_accuracy`, after every epoch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// From 1.
    pub epoch: usize,
    pub epochs: usize,
    /// From 1; batches of this epoch that are done.
    pub batch: usize,
    pub batches: usize,
    /// Mean loss over this epoch's pictures so far: cross entropy plus the weighted contrastive loss.
    pub loss: f64,
    /// Accuracy over this epoch's pictures so far, before the update from each, 0 to 1.
    pub train_accuracy: f64,
    pub validation_accuracy: Option<f64>,
}

/// The result of one epoch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct EpochReport {
    /// From 1.
    pub epoch: usize,
    /// Mean loss over the training pictures.
    pub loss: f64,
    pub train_accuracy: f64,
    /// `None` if no pictures are held out.
    pub validation_accuracy: Option<f64>,
}

/// The result of training.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    pub training_pictures: usize,
    pub validation_pictures: usize,
    pub epochs: Vec<EpochReport>,
    /// The epoch, from 1, whose parameters were kept: the best on the validation pictures, or the last if there are
    /// none.
    pub kept_epoch: usize,
}

pub(super) fn check_options(options: &TrainOptions) -> Result<(), TrainError> {
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
