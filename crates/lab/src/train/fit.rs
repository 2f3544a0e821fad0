//! The training loop: epochs of batches, and the choice of the epoch whose parameters are kept.

use super::adam::{Adam, cosine};
use super::batch::{Data, Outcome};
use super::learner::Learner;
use super::noise::{Dropout, Noise, Views};
use super::options::{EpochReport, Progress, Report, TrainError, TrainOptions, check_options};
use super::random::Random;
use engine::network::Network;
use engine::picture::Picture;

/// The number of training pictures, drawn again after every epoch, that give the means and variances for settling.
const SETTLING: usize = 2048;

/// Distinguishes the random stream of the views from that of dropout, which uses the seed itself.
const VIEWS: u64 = 1 << 63;

/// Trains a learner from the parameters `first`; `random` shuffles the pictures.
pub(super) fn fit<L: Learner>(
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
        // Without validation pictures all epochs are equally good, so the last one is kept.
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

pub(super) fn check_pictures(
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
