//! Training. In: labelled pictures. Out: an [`Ann`] that classifies them, or a tuned SNN.
//!
//! The same seed gives the same parameters on the same machine, whatever the number of threads: a batch is always
//! split into the same parts, and their gradients are always added in the same order. Absent: files, clocks and
//! output; progress is reported to a callback. Only built with the cargo feature `train`.

mod adam;
mod augment;
mod batch;
mod clip;
mod contrastive;
mod cosines;
mod distil;
mod error;
mod fit;
mod fold;
mod layers;
mod learner;
mod noise;
mod normalise;
mod options;
mod order;
mod pooling;
mod random;
mod relation;
mod siblings;
mod slices;
mod spiking;
mod tune;
mod windows;
#[cfg(test)]
mod tests;

use crate::ann::Ann;
use engine::network::Network;
use engine::picture::Picture;

use batch::Data;
use fit::{check_examples, fit};
use layers::Layers;
use random::Random;

pub use adam::AdamW;
pub use augment::Augmentation;
pub use batch::Examples;
pub use contrastive::Contrast;
pub use distil::{Distillation, Tutor};
pub use error::TrainError;
pub use options::{EpochReport, Progress, Report, TrainOptions};
pub use relation::{Relation, Teacher};
pub use tune::{TuneOptions, tune, tune_examples};

/// Trains `architecture` to classify `pictures`, each of which has a label.
///
/// # Errors
/// As [`train_examples`].
pub fn train(
    architecture: &Network,
    pictures: &[Picture],
    labels: &[u8],
    options: &TrainOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<(Ann, Report), TrainError> {
    let labels: Vec<Option<u8>> = labels.iter().copied().map(Some).collect();
    let examples = Examples {
        pictures,
        labels: &labels,
        groups: None,
        teacher: None,
        tutor: None,
    };
    let (ann, report, _) = train_examples(architecture, examples, None, options, progress)?;
    Ok((ann, report))
}

/// Trains `architecture` on `examples`: to classify those that have a label, and to relate all of them as the teacher
/// does where there is one. Layers of `start` that fit are where it starts from; their names are returned.
///
/// The epoch with the highest validation accuracy is kept; on a tie the last one, which had the lowest learning rate.
/// With averaged parameters ([`AdamW`]) it is the last one.
///
/// # Errors
/// [`TrainError`] for options out of range, pictures, labels or a teacher that do not fit the network, and a loss that
/// is not finite.
pub fn train_examples(
    architecture: &Network,
    examples: Examples<'_>,
    start: Option<&Ann>,
    options: &TrainOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<(Ann, Report, Vec<String>), TrainError> {
    let layers = Layers::new(architecture)
        .normalised(options.normalise)
        .dropped_before_the_embedding_only(options.augmentation.is_some());
    let mut random = Random::new(options.seed);
    let mut first = layers.first_parameters(&mut random);
    check_examples(architecture, examples, options)?;
    let data = Data::new(&layers, architecture, examples, options);
    let taken = match start {
        Some(start) => {
            let training = examples.pictures.len() - options.validation;
            layers.start_from(start, &mut first, data.sample(training)?)?
        }
        None => Vec::new(),
    };
    let (parameters, report) = fit(&data, first, random, options, progress)?;
    let ann = Ann {
        network: layers.network_of(&parameters),
        parameters: layers.parameters_of(&parameters),
    };
    Ok((ann, report, taken))
}
