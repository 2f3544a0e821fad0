//! The training loop: epochs of batches, and the choice of the epoch whose parameters are kept.

use super::adam::{Adam, cosine};
use super::batch::{Data, Examples, Outcome};
use super::distil::Tutor;
use super::error::TrainError;
use super::learner::Learner;
use super::noise::{Dropout, Noise, Views};
use super::options::{EpochReport, Progress, Report, TrainOptions, check_options};
use super::random::Random;
use engine::network::Network;

/// With averaged parameters, epochs between two judgements: they take time, and the last epoch is kept.
const JUDGED: usize = 10;

/// Distinguishes the random stream of the views from that of dropout, which uses the seed itself.
const VIEWS: u64 = 1 << 63;

/// The same for the pictures that stand in for their siblings.
const SIBLINGS: u64 = 1 << 62;

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
    let mut adam = match &options.adam_w {
        None => Adam::new(&parameters),
        Some(adam_w) => {
            let variables = data.learner().variables(&parameters)?;
            let matrices: Vec<bool> = variables.iter().map(|variable| variable.rank() > 1).collect();
            Adam::decoupled(adam_w, &parameters, &matrices)
        }
    };
    let mut average = options.adam_w.map(|_| parameters.clone());

    let count = data.pictures();
    let held_out = count - options.validation;
    let mut order: Vec<usize> = (0..held_out).collect();
    let validation: Vec<usize> = (held_out..count).collect();
    let together = options.batch / options.views;
    let batches = match options.adam_w {
        None => held_out.div_ceil(together),
        // A few pictures that are left over would move the parameters as much as a whole batch.
        Some(_) => (held_out / together).max(1),
    };
    let steps = batches * options.epochs;
    let siblings = data.siblings(held_out);
    let mut reports: Vec<EpochReport> = Vec::with_capacity(options.epochs);
    let mut best: Option<(f64, usize, Vec<Vec<f32>>)> = None;
    for epoch in 0..options.epochs {
        random.shuffle(&mut order);
        let mut seen = Outcome::default();
        for (index, chosen) in order.chunks(together).take(batches).enumerate() {
            let step = epoch * batches + index;
            let learning_rate = match &options.adam_w {
                None => cosine(options.learning_rate, step, steps),
                Some(adam_w) => adam_w.rate(options.learning_rate, step, steps),
            };
            let variables = data.learner().variables(&parameters)?;
            let noise = |part: usize| {
                let stream = |purpose: u64| {
                    let words = [epoch as u64, index as u64, part as u64];
                    Random::stream(options.seed ^ purpose, words)
                };
                let dropout = (options.dropout > 0.0).then(|| Dropout {
                    rate: options.dropout,
                    random: stream(0),
                });
                let varies = options.mirror || options.shift > 0 || options.augmentation.is_some();
                let views = varies.then(|| Views {
                    mirror: options.mirror,
                    shift: options.shift,
                    random: stream(VIEWS),
                });
                Noise { dropout, views }
            };
            let words = [epoch as u64, index as u64, 0];
            let batch = siblings.batch(
                chosen,
                options.views,
                Random::stream(options.seed ^ SIBLINGS, words),
            );
            let (outcome, gradients) = pool.install(|| data.batch_gradients(&variables, &batch, noise))?;
            if !outcome.loss.is_finite() {
                return Err(TrainError::Diverged {
                    epoch: epoch + 1,
                    batch: index + 1,
                });
            }
            adam.step(&mut parameters, &gradients, learning_rate);
            data.learner().constrain(&mut parameters);
            if let (Some(adam_w), Some(average)) = (&options.adam_w, &mut average) {
                adam_w.follow(average, &parameters, step);
            }
            seen.add(&outcome);
            progress(seen.progress(epoch + 1, options.epochs, index + 1, batches, None));
        }
        let judged = average.is_none() || (epoch + 1).is_multiple_of(JUDGED) || epoch + 1 == options.epochs;
        let finished = average.as_ref().unwrap_or(&parameters);
        let settled = match judged {
            true => Some(pool.install(|| data.settled(finished, &order))?),
            false => None,
        };
        let accuracy = match &settled {
            Some(settled) => pool.install(|| data.accuracy(settled, &validation))?,
            None => None,
        };
        let done = seen.progress(epoch + 1, options.epochs, batches, batches, accuracy);
        reports.push(EpochReport {
            epoch: epoch + 1,
            loss: done.loss,
            train_accuracy: done.train_accuracy,
            validation_accuracy: accuracy,
        });
        progress(done);
        let Some(settled) = settled else { continue };
        // Without validation pictures all epochs are equally good, so the last one is kept. Averaged parameters are best
        // in the end; another epoch would be chosen by chance.
        let accuracy = accuracy.filter(|_| average.is_none()).unwrap_or(0.0);
        if best.as_ref().is_none_or(|(most, ..)| accuracy >= *most) {
            best = Some((accuracy, epoch + 1, settled));
        }
    }
    let Some((_, kept_epoch, parameters)) = best else {
        unreachable!("there is at least one epoch, and the last is always judged");
    };
    let report = Report {
        training_pictures: held_out,
        validation_pictures: options.validation,
        epochs: reports,
        kept_epoch,
    };
    Ok((parameters, report))
}

pub(super) fn check_examples(
    network: &Network,
    examples: Examples<'_>,
    options: &TrainOptions,
) -> Result<(), TrainError> {
    let Examples {
        pictures,
        labels,
        groups,
        teacher,
        tutor,
    } = examples;
    let validation = options.validation;
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
    if let Some(groups) = groups.filter(|groups| groups.len() != pictures.len()) {
        return Err(TrainError::GroupCount {
            pictures: pictures.len(),
            groups: groups.len(),
        });
    }
    if let Some(teacher) = teacher.filter(|teacher| teacher.pictures() != pictures.len()) {
        return Err(TrainError::TeacherRows {
            rows: teacher.pictures(),
            pictures: pictures.len(),
        });
    }
    let compares = options.contrast.is_some() && (options.views > 1 || groups.is_some());
    let labelled = labels[..pictures.len() - validation].iter().any(Option::is_some);
    if teacher.is_none() && tutor.is_none() && !compares && !labelled {
        return Err(TrainError::NothingToLearn);
    }
    let classes = network.classes();
    if let Some(tutor) = tutor.map(Tutor::network)
        && (tutor.input, tutor.classes()) != (network.input, classes)
    {
        return Err(TrainError::Tutor {
            found: tutor.input,
            found_classes: tutor.classes(),
            expected: network.input,
            classes,
        });
    }
    for (index, (picture, &label)) in pictures.iter().zip(labels).enumerate() {
        let found = picture.shape();
        let fits = match options.augmentation {
            None => found == network.input,
            Some(_) => found.channels == network.input.channels,
        };
        if !fits {
            let expected = network.input;
            return Err(TrainError::PictureShape {
                index,
                found,
                expected,
            });
        }
        if let Some(label) = label.filter(|&label| usize::from(label) >= classes) {
            return Err(TrainError::Label {
                index,
                label,
                classes,
            });
        }
    }
    Ok(())
}
