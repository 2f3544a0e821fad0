//! The options and reports of training.

use serde::Serialize;

use super::adam::AdamW;
use super::augment::Augmentation;
use super::contrastive::Contrast;
use super::distil::Distillation;
use super::error::{TrainError, require};
use super::relation::Relation;

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
    /// How views of photos are drawn, in place of `mirror` and `shift`. Pictures may then have any size; without a view
    /// they are stretched to the network's input. `None`: they must have its shape.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub augmentation: Option<Augmentation>,
    /// AdamW in place of Adam; only its last epoch is judged, and every tenth one. A batch that is not full is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adam_w: Option<AdamW>,
    /// Label smoothing: this share of each picture's label is spread over all classes, 0 to below 1.
    #[serde(skip_serializing_if = "is_zero")]
    pub smoothing: f32,
    /// Views of each picture in a batch, at least 1. With two or more, pictures without a label learn from the contrastive
    /// loss too: their views are alike.
    #[serde(skip_serializing_if = "is_one")]
    pub views: usize,
    /// The distillation loss, where there is a tutor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distillation: Option<Distillation>,
    /// The relation loss, where there is a teacher.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relation: Option<Relation>,
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
            augmentation: None,
            adam_w: None,
            smoothing: 0.0,
            views: 1,
            distillation: None,
            relation: None,
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

// serde passes a reference.
#[expect(clippy::trivially_copy_pass_by_ref)]
fn is_zero(value: &f32) -> bool {
    *value == 0.0
}

#[expect(clippy::trivially_copy_pass_by_ref)]
fn is_one(value: &usize) -> bool {
    *value == 1
}

pub(super) fn check_options(options: &TrainOptions) -> Result<(), TrainError> {
    let TrainOptions {
        epochs,
        batch,
        threads,
        learning_rate,
        dropout,
        contrast,
        augmentation,
        adam_w,
        smoothing,
        views,
        distillation,
        relation,
        ..
    } = options;
    require(*epochs > 0, "epochs", epochs, "at least 1")?;
    require(*batch > 0, "batch", batch, "at least 1")?;
    require(*threads > 0, "threads", threads, "at least 1")?;
    let counted = (1..=*batch).contains(views);
    require(counted, "views", views, "at least 1 and at most the batch size")?;
    let learns = learning_rate.is_finite() && *learning_rate > 0.0;
    require(learns, "learning_rate", learning_rate, "above 0")?;
    let below_one = 0.0..1.0;
    require(
        below_one.contains(dropout),
        "dropout",
        dropout,
        "at least 0 and below 1",
    )?;
    require(
        below_one.contains(smoothing),
        "smoothing",
        smoothing,
        "at least 0 and below 1",
    )?;
    augmentation.map_or(Ok(()), |augmentation| augmentation.check())?;
    adam_w.map_or(Ok(()), |adam_w| adam_w.check())?;
    let terms = [
        contrast.map(|term| ("contrast", term.weight, term.temperature)),
        relation.map(|term| ("relation", term.weight, term.temperature)),
        distillation.map(|term| ("distillation", term.weight, term.temperature)),
    ];
    for (setting, weight, temperature) in terms.into_iter().flatten() {
        let counts = weight.is_finite() && weight >= 0.0;
        require(counts, setting, weight, "at least 0")?;
        let divides = temperature.is_finite() && temperature > 0.0;
        require(divides, "temperature", temperature, "above 0")?;
    }
    Ok(())
}
