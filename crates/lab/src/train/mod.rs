//! Training. In: labelled pictures. Out: an [`Ann`] that classifies them, or a tuned SNN.
//!
//! The same seed gives the same parameters on the same machine, whatever the number of threads: a batch is always
//! split into the same parts, and their gradients are always added in the same order. Absent: files, clocks and
//! output; progress is reported to a callback. Only built with the cargo feature `train`.

mod adam;
mod batch;
mod clip;
mod contrastive;
mod fit;
mod layers;
mod learner;
mod noise;
mod normalise;
mod options;
mod order;
mod pooling;
mod random;
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
use fit::{check_pictures, fit};
use layers::Layers;
use random::Random;

pub use contrastive::Contrast;
pub use options::{EpochReport, Progress, Report, TrainError, TrainOptions};
pub use tune::{TuneOptions, tune};

/// Trains `architecture` to classify `pictures`.
///
/// The epoch with the highest validation accuracy is kept; on a tie the last one, which had the lowest learning rate.
///
/// # Errors
/// [`TrainError`] for options out of range, pictures or labels that do not fit the network, and a loss that is not
/// finite.
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
