//! The recipe for photos within a plan: float training, conversion, tuning.

use std::time::Instant;

use anyhow::{Context, Result};
use indicatif::ProgressBar;
use ndarray::{Array2, Axis};

use super::plan::{BATCH, LEARNING_RATE, LONG, Plan, Speeds, TUNE_BATCH};
use crate::ann::Ann;
use crate::convert::{ConvertOptions, convert};
use crate::files;
use crate::train::{
    AdamW, Augmentation, Contrast, Examples, Progress, Relation, Report, Teacher, TrainOptions, TuneOptions,
    train_examples, tune_examples,
};
use crate::training::{EpochProgress, photo_network};
use engine::chip::place::Placement;
use engine::network::snn::Snn;
use engine::network::{Network, Probe, TimeSteps};
use engine::picture::{Picture, Shape};

/// Levels of the quantised activations.
const LEVELS: u32 = 8;
/// The initial membrane of the input neurons (docs/photo-network.md).
const INPUT_INITIAL_MEMBRANE: i32 = 190;
/// Pictures that a conversion is calibrated on, at most.
const CALIBRATION: usize = 2_000;
/// Batches that are timed, after one that warms up.
const TIMED: usize = 2;
const TUNE_TIMED: usize = 1;

/// What is learned from, in an order in which any first part is a fair sample.
#[derive(Debug)]
pub struct Lesson {
    /// Larger than the input, for views.
    pub pictures: Vec<Picture>,
    pub labels: Vec<Option<u8>>,
    /// The product of each picture, where products have several.
    pub groups: Option<Vec<u32>>,
    /// The teacher's row of each picture.
    pub teacher: Option<Array2<f32>>,
}

/// How it is learned.
#[derive(Debug)]
pub struct Course<'a> {
    pub lesson: &'a Lesson,
    /// The first ones of the pictures at the size of the input, as the server prepares them.
    pub calibration: &'a [Picture],
    /// Where training starts, as far as layers fit.
    pub start: Option<&'a Ann>,
    pub seed: u64,
}

/// The network of the recipe for photos.
///
/// # Errors
/// If the name is not that of an architecture, or does not fit the input.
pub fn network(name: &str, side: usize, classes: &[String]) -> Result<Network> {
    let input = Shape {
        channels: 3,
        height: side,
        width: side,
    };
    let mut network = photo_network(name, input, LEVELS, classes.len())?;
    network.labels = (!classes.is_empty()).then(|| classes.to_vec());
    Ok(network)
}

impl Lesson {
    /// A teacher of the first `count` pictures.
    fn teacher(&self, count: usize) -> Result<Option<Teacher>> {
        let Some(rows) = &self.teacher else {
            return Ok(None);
        };
        let (first, _) = rows.view().split_at(Axis(0), count);
        Ok(Some(Teacher::new(first, count)?))
    }

    /// Views of each picture in a batch: two where they, not labels, say what is alike.
    fn views(&self) -> usize {
        let labelled = self.labels.iter().flatten().count();
        if 2 * labelled < self.labels.len() && self.teacher.is_none() {
            2
        } else {
            1
        }
    }

    fn examples<'run>(&'run self, count: usize, teacher: Option<&'run Teacher>) -> Examples<'run> {
        Examples {
            pictures: &self.pictures[..count],
            labels: &self.labels[..count],
            groups: self.groups.as_ref().map(|groups| &groups[..count]),
            teacher,
            tutor: None,
        }
    }
}

impl Course<'_> {
    fn options(&self, epochs: usize, pictures: usize) -> TrainOptions {
        TrainOptions {
            epochs,
            seed: self.seed,
            batch: BATCH.min(pictures) * self.lesson.views(),
            learning_rate: LEARNING_RATE,
            dropout: 0.1,
            normalise: true,
            contrast: Some(Contrast {
                weight: 0.5,
                temperature: 0.3,
            }),
            augmentation: Some(Augmentation::default()),
            adam_w: Some(AdamW {
                decay: 0.05,
                warm_up: 0.15,
                average: 0.995,
            }),
            smoothing: 0.1,
            views: self.lesson.views(),
            relation: self.lesson.teacher.as_ref().map(|_| Relation {
                weight: 1.0,
                temperature: 0.1,
            }),
            validation: 0,
            threads: files::threads(),
            ..TrainOptions::default()
        }
    }

    /// Trains the float network; also returns the layers that it took from where it starts.
    ///
    /// # Errors
    /// If training fails.
    pub fn train(
        &self,
        network: &Network,
        epochs: usize,
        pictures: usize,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(Ann, Report, Vec<String>)> {
        let teacher = self.lesson.teacher(pictures)?;
        let examples = self.lesson.examples(pictures, teacher.as_ref());
        let options = self.options(epochs, pictures);
        Ok(train_examples(network, examples, self.start, &options, progress)?)
    }

    /// Converts a float network.
    ///
    /// # Errors
    /// If it cannot be converted, or the chip cannot hold it.
    pub fn convert(&self, ann: &Ann, bar: &ProgressBar) -> Result<Snn> {
        let pictures = &self.calibration[..self.calibration.len().min(CALIBRATION)];
        let options = ConvertOptions {
            bias_bits: 13,
            input_initial_membrane: INPUT_INITIAL_MEMBRANE,
            ..ConvertOptions::default()
        };
        let snn = convert(ann, pictures, &options, files::threads(), &|count| {
            bar.inc(crate::progress::steps(count));
        })?;
        Placement::of(&snn).context("the chip cannot hold this network")?;
        Ok(snn)
    }

    /// Pictures that a conversion passes through layers, for its progress.
    #[must_use]
    pub fn conversion(&self, network: &Network) -> usize {
        self.calibration.len().min(CALIBRATION) * network.layers.len()
    }

    /// Tunes a spiking network through its time steps.
    ///
    /// # Errors
    /// If tuning fails.
    pub fn tune(
        &self,
        snn: &Snn,
        epochs: usize,
        pictures: usize,
        time_steps: TimeSteps,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(Snn, Report)> {
        let teacher = self.lesson.teacher(pictures)?;
        let examples = self.lesson.examples(pictures, teacher.as_ref());
        let options = TuneOptions {
            time_steps,
            thrift: 0.05,
            training: TrainOptions {
                batch: TUNE_BATCH.min(pictures * self.lesson.views()),
                learning_rate: 5e-4,
                dropout: 0.0,
                normalise: false,
                augmentation: Some(Augmentation::mild()),
                adam_w: Some(AdamW {
                    decay: 0.0,
                    warm_up: 0.05,
                    average: 0.0,
                }),
                ..self.options(epochs, pictures)
            },
        };
        let (mut tuned, report) = tune_examples(snn, examples, &options, progress)?;
        tuned.network.default_probe = Some(Probe::SpikeCount);
        tuned.network.default_time_steps = Some(time_steps);
        Ok((tuned, report))
    }

    /// Measures what a picture costs in float training and in tuning, with a network that is hardly trained; also returns
    /// that network, whose emulation can be timed.
    ///
    /// # Errors
    /// If training, conversion or tuning fails, or the chip cannot hold the network.
    pub fn measure(&self, network: &Network, bar: &ProgressBar) -> Result<(Speeds, Snn)> {
        let all = self.lesson.pictures.len();
        let count = ((TIMED + 1) * BATCH).min(all);
        let mut watch = Watch::new();
        let (ann, ..) = self.train(network, 1, count, &mut |now| watch.see(&now))?;
        let float_s = watch.batch_s() / BATCH.min(count) as f64;
        bar.inc(1);
        let sample = Self {
            calibration: &self.calibration[..self.calibration.len().min(BATCH)],
            ..*self
        };
        let snn = sample.convert(&ann, &ProgressBar::hidden())?;
        bar.inc(1);
        let count = ((TUNE_TIMED + 1) * TUNE_BATCH).min(all);
        let mut watch = Watch::new();
        let time_steps = TimeSteps::new(LONG)?;
        let (tuned, _) = self.tune(&snn, 1, count, time_steps, &mut |now| watch.see(&now))?;
        let views = self.lesson.views();
        let tune_s = watch.batch_s() * views as f64 / TUNE_BATCH.min(count * views) as f64;
        bar.inc(1);
        let speeds = Speeds {
            float_s,
            tune_s,
            judge_s: 0.0,
        };
        Ok((speeds, tuned))
    }

    /// Trains, converts and tunes by the plan, whose tuning is planned again by `again` after float training, from
    /// the seconds that it took.
    ///
    /// # Errors
    /// If a step fails.
    pub fn run(
        &self,
        network: &Network,
        plan: &mut Plan,
        again: impl FnOnce(&mut Plan, f64),
    ) -> Result<Learned> {
        let begun = Instant::now();
        let mut follow = EpochProgress::new("training");
        let (ann, trained, taken) =
            self.train(network, plan.float_epochs, plan.float_pictures, &mut |now| {
                follow.show(&now);
            })?;
        let bar = crate::progress::bar("calibrating", self.conversion(network));
        let snn = self.convert(&ann, &bar)?;
        bar.finish_and_clear();
        again(plan, begun.elapsed().as_secs_f64());
        let time_steps = TimeSteps::new(plan.time_steps)?;
        let mut follow = EpochProgress::new("tuning");
        let (snn, tuned) = self.tune(
            &snn,
            plan.tune_epochs,
            plan.tune_pictures,
            time_steps,
            &mut |now| {
                follow.show(&now);
            },
        )?;
        Ok(Learned {
            snn,
            trained,
            tuned,
            taken,
        })
    }
}

/// A network and how it was made.
#[derive(Debug)]
pub struct Learned {
    pub snn: Snn,
    pub trained: Report,
    pub tuned: Report,
    /// Layers taken from the network in use.
    pub taken: Vec<String>,
}

/// Times batches.
#[derive(Debug)]
struct Watch {
    started: Instant,
    /// When each batch was done.
    done: Vec<Instant>,
}

impl Watch {
    fn new() -> Self {
        Self {
            started: Instant::now(),
            done: Vec::new(),
        }
    }

    fn see(&mut self, now: &Progress) {
        // The end of the epoch is reported as its last batch again.
        if now.batch > self.done.len() {
            self.done.push(Instant::now());
        }
    }

    /// Seconds of a batch: without the first one, which warms up, if there are others.
    fn batch_s(&self) -> f64 {
        match self.done.as_slice() {
            [] => 0.0,
            [only] => only.duration_since(self.started).as_secs_f64(),
            [first, .., last] => last.duration_since(*first).as_secs_f64() / (self.done.len() - 1) as f64,
        }
    }
}
