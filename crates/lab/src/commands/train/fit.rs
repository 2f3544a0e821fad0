//! `train` in a build that has training in it.

use std::path::Path;

use anyhow::Result;

use super::{Recipe, Train};
use crate::ann::architecture;
use crate::ann::file::write_ann;
use crate::files::{self, Split};
use crate::train::{Contrast, TrainOptions, train};
use engine::picture::idx::CLASS_NAMES;

/// What a recipe says where the options say nothing.
struct Defaults {
    architecture: &'static str,
    epochs: usize,
    batch: usize,
    dropout: f32,
}

impl Recipe {
    fn as_str(self) -> &'static str {
        match self {
            Self::Paper => "paper",
            Self::Metric => "metric",
        }
    }

    fn defaults(self) -> Defaults {
        match self {
            Self::Paper => Defaults {
                architecture: "32-64-10",
                epochs: 15,
                batch: 64,
                dropout: 0.5,
            },
            Self::Metric => Defaults {
                architecture: "48k5s2p2-80k5s2p2-128-10",
                epochs: 20,
                batch: 128,
                dropout: 0.2,
            },
        }
    }
}

impl Train {
    /// The paper's recipe for one of its architectures.
    pub(crate) fn paper(architecture: &str, dataset: &Path, out: &Path, course: Course, seed: u64) -> Self {
        Self {
            architecture: Some(architecture.to_owned()),
            dataset: dataset.to_owned(),
            out: out.to_owned(),
            epochs: Some(course.epochs),
            seed,
            recipe: Recipe::Paper,
            batch: None,
            learning_rate: 2e-3,
            dropout: None,
            shift: 0,
            normalise: None,
            levels: 8,
            contrast: 0.5,
            temperature: 0.1,
            validation: course.validation,
            limit: course.limit,
        }
    }

    fn architecture(&self) -> &str {
        self.architecture
            .as_deref()
            .unwrap_or(self.recipe.defaults().architecture)
    }

    fn options(&self) -> TrainOptions {
        let defaults = self.recipe.defaults();
        let metric = self.recipe == Recipe::Metric;
        TrainOptions {
            epochs: self.epochs.unwrap_or(defaults.epochs),
            seed: self.seed,
            batch: self.batch.unwrap_or(defaults.batch),
            learning_rate: self.learning_rate,
            dropout: self.dropout.unwrap_or(defaults.dropout),
            mirror: metric,
            shift: self.shift,
            normalise: self.normalise.unwrap_or(metric),
            contrast: metric.then_some(Contrast {
                weight: self.contrast,
                temperature: self.temperature,
            }),
            validation: self.validation,
            threads: files::threads(),
        }
    }

    /// What a network that this trains on so many pictures says of itself first: all that decides its parameters.
    pub(crate) fn words(&self, pictures: usize) -> String {
        let options = self.options();
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
             --dropout {}{further} --validation {}; {pictures} pictures of Fashion-MNIST; ",
            self.architecture(),
            options.epochs,
            self.seed,
            self.recipe.as_str(),
            options.batch,
            self.learning_rate,
            options.dropout,
            self.validation,
        )
    }

    pub fn run(self) -> Result<()> {
        use std::io::Write;

        let figures = self.train()?;
        writeln!(std::io::stdout().lock(), "{}: {figures}", self.out.display())?;
        Ok(())
    }

    /// Trains and writes the file; the figures of the epoch that is kept.
    pub(crate) fn train(&self) -> Result<String> {
        let (pictures, labels) = files::fashion_mnist(&self.dataset, Split::Train, self.limit)?;
        let (tests, test_labels) = files::fashion_mnist(&self.dataset, Split::Test, None)?;
        let shape = pictures[0].shape();
        let mut network = match self.recipe {
            Recipe::Paper => architecture::parse(self.architecture(), shape)?,
            Recipe::Metric => architecture::parse_metric(self.architecture(), shape, self.levels)?,
        };
        network.labels = Some(CLASS_NAMES.map(str::to_owned).to_vec());
        let mut follow = Follow::new("training");
        let (mut ann, report) = train(&network, &pictures, &labels, &self.options(), &mut |now| {
            follow.show(&now)
        })?;
        let pairs = tests.iter().zip(&test_labels);
        let right = pairs.filter(|(picture, label)| ann.forward(picture).class() == usize::from(**label));
        let test_accuracy = 100.0 * right.count() as f64 / tests.len() as f64;
        let kept = &report.epochs[report.kept_epoch - 1];
        let validation = kept
            .validation_accuracy
            .map_or("none".to_owned(), |share| format!("{:.2} %", 100.0 * share));
        let figures = format!(
            "epoch {} of {} kept: training {:.2} %, validation {validation}, test {test_accuracy:.2} %",
            report.kept_epoch,
            report.epochs.len(),
            100.0 * kept.train_accuracy
        );
        ann.network.trained_with = Some(self.words(pictures.len()) + &figures);
        files::write_whole(&self.out, &write_ann(&ann))?;
        Ok(figures)
    }
}

/// How long a network of the paper's is trained, and on what.
#[derive(Debug, Clone, Copy)]
pub struct Course {
    pub epochs: usize,
    pub validation: usize,
    pub limit: Option<usize>,
}

/// A bar over all batches, and a line an epoch.
#[derive(Debug)]
pub struct Follow {
    what: &'static str,
    bar: Option<indicatif::ProgressBar>,
}

impl Follow {
    pub fn new(what: &'static str) -> Self {
        Self { what, bar: None }
    }

    pub fn show(&mut self, now: &crate::train::Progress) {
        use crate::progress;

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
            // A hidden bar prints nothing, and who looks into a log wants to see the epochs too.
            bar.suspend(|| eprintln!("{line}"));
        }
    }
}
