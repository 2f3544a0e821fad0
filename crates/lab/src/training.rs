//! One training run: a data set and a recipe in, the file of a float network out.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use indicatif::ProgressBar;

use crate::ann::architecture;
use crate::ann::file::write_ann;
use crate::dataset::{Lessons, Request, lessons};
use crate::recipe::Recipe;
use crate::train::{Contrast, Progress, TrainOptions, train};
use crate::{files, progress};

/// What is trained, on what, and the file to write.
#[derive(Debug, Clone)]
pub struct Training {
    pub recipe: Recipe,
    /// As `crate::ann::architecture` reads it.
    pub architecture: String,
    /// Levels of the quantised activations; only the metric recipe has them.
    pub levels: u32,
    pub options: TrainOptions,
    /// The data set, as `crate::dataset` reads it.
    pub dataset: PathBuf,
    /// Only the first so many training pictures; `None`: all of them.
    pub limit: Option<usize>,
    /// The file that is written.
    pub out: PathBuf,
}

/// How long a network of the paper's is trained, and on what.
#[derive(Debug, Clone, Copy)]
pub struct Course {
    pub epochs: usize,
    pub validation: usize,
    pub limit: Option<usize>,
}

impl Training {
    /// The paper's recipe for one of its architectures.
    #[must_use]
    pub fn of_the_paper(architecture: &str, dataset: &Path, out: &Path, course: Course, seed: u64) -> Self {
        let defaults = Recipe::Paper.defaults();
        Self {
            recipe: Recipe::Paper,
            architecture: architecture.to_owned(),
            levels: 8,
            options: TrainOptions {
                epochs: course.epochs,
                seed,
                batch: defaults.batch,
                learning_rate: 2e-3,
                dropout: defaults.dropout,
                mirror: false,
                shift: 0,
                normalise: false,
                contrast: None,
                validation: course.validation,
                threads: files::threads(),
                ..TrainOptions::default()
            },
            dataset: dataset.to_owned(),
            limit: course.limit,
            out: out.to_owned(),
        }
    }

    /// The beginning of the `trained_with` of a network trained on this many pictures: everything that determines its
    /// parameters.
    #[must_use]
    pub fn provenance(&self, dataset: &str, options: &TrainOptions, pictures: usize) -> String {
        let mut further = String::new();
        if let Some(Contrast { weight, temperature }) = options.contrast {
            further = format!(
                " --levels {} --contrast {weight} --temperature {temperature}",
                self.levels
            );
        }
        if options.shift > 0 {
            further += &format!(" --shift {}", options.shift);
        }
        if options.normalise {
            further += " --normalise true";
        }
        format!(
            "spikelens train --architecture {} --epochs {} --seed {} --recipe {} --batch {} --learning-rate {} \
             --dropout {}{further} --validation {}; {pictures} pictures of {dataset}; ",
            self.architecture,
            options.epochs,
            options.seed,
            self.recipe.as_str(),
            options.batch,
            options.learning_rate,
            options.dropout,
            options.validation,
        )
    }

    /// Trains and writes the file; returns the accuracies of the epoch that is kept.
    ///
    /// # Errors
    /// If the data set or the architecture is invalid, training fails, or the file cannot be written.
    pub fn run(&self) -> Result<String> {
        let lessons = lessons(
            &self.dataset,
            &Request {
                input: None,
                limit: self.limit,
                validation: self.options.validation,
                tests: true,
            },
        )?;
        let Lessons {
            name,
            classes,
            pictures,
            labels,
            validation,
            tests,
            test_labels,
        } = lessons;
        let options = TrainOptions {
            validation,
            ..self.options.clone()
        };
        let shape = pictures
            .first()
            .context("there are no training pictures")?
            .shape();
        let mut network = match self.recipe {
            Recipe::Paper => architecture::parse(&self.architecture, shape)?,
            Recipe::Metric => architecture::parse_metric(&self.architecture, shape, self.levels)?,
        };
        if network.classes() != classes.len() {
            bail!(
                "--architecture {} ends in {} classes, {name} has {}: {}",
                self.architecture,
                network.classes(),
                classes.len(),
                classes.join(", ")
            );
        }
        network.labels = Some(classes);
        let mut follow = EpochProgress::new("training");
        let (mut ann, report) = train(&network, &pictures, &labels, &options, &mut |now| {
            follow.show(&now)
        })?;
        let pairs = tests.iter().zip(&test_labels);
        let right = pairs.filter(|(picture, label)| ann.forward(picture).class() == usize::from(**label));
        let right = right.count();
        let test = match tests.len() {
            0 => "none".to_owned(),
            count => format!("{:.2} %", 100.0 * right as f64 / count as f64),
        };
        let kept = &report.epochs[report.kept_epoch - 1];
        let validation = kept
            .validation_accuracy
            .map_or("none".to_owned(), |share| format!("{:.2} %", 100.0 * share));
        let figures = format!(
            "epoch {} of {} kept: training {:.2} %, validation {validation}, test {test}",
            report.kept_epoch,
            report.epochs.len(),
            100.0 * kept.train_accuracy
        );
        ann.network.trained_with = Some(self.provenance(&name, &options, pictures.len()) + &figures);
        files::write_whole(&self.out, &write_ann(&ann))?;
        Ok(figures)
    }
}

/// A progress bar over all batches, and a line per epoch.
#[derive(Debug)]
pub struct EpochProgress {
    what: &'static str,
    bar: Option<ProgressBar>,
}

impl EpochProgress {
    #[must_use]
    pub fn new(what: &'static str) -> Self {
        Self { what, bar: None }
    }

    pub fn show(&mut self, now: &Progress) {
        let what = self.what;
        let bar = self
            .bar
            .get_or_insert_with(|| progress::bar(what, now.batches * now.epochs));
        bar.set_position(progress::steps((now.epoch - 1) * now.batches + now.batch));
        if let Some(accuracy) = now.validation_accuracy {
            let line = format!(
                "epoch {:2} of {}: loss {:.4}, training {:.2} %, validation {:.2} %",
                now.epoch,
                now.epochs,
                now.loss,
                100.0 * now.train_accuracy,
                100.0 * accuracy
            );
            // A hidden bar prints nothing, but logs should contain the epochs.
            bar.suspend(|| eprintln!("{line}"));
        }
    }
}
