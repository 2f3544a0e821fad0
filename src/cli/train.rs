//! `train`: an ANN from Fashion-MNIST, on this CPU. Needs the cargo feature `train`.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueEnum};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Recipe {
    Paper,
    Metric,
}

/// What a recipe says where the options say nothing.
#[cfg(feature = "train")]
struct Defaults {
    architecture: &'static str,
    epochs: usize,
    batch: usize,
    dropout: f32,
}

#[cfg(feature = "train")]
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

/// Train a network on Fashion-MNIST, on this machine's CPU
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  spikelens train --architecture 32-64-10 --dataset dataset/fashion-mnist --out ann.safetensors
  spikelens train --recipe metric --dataset dataset/fashion-mnist --out ann.safetensors
  spikelens train --recipe metric --architecture 32-64-128-10 --dataset dataset/fashion-mnist --out ann.safetensors

Training needs a build with it: cargo build --release --features train")]
pub struct Train {
    /// Convolution channels, then classes, as in the paper's Table 1; metric: the embedding's neurons stand before the
    /// classes, and 48k5s2p2 is a convolution of 48 channels, 5 x 5, stride 2, padding 2 [default: 32-64-10; metric:
    /// 48k5s2p2-80k5s2p2-128-10]
    #[arg(long, env = "SPIKELENS_ARCHITECTURE")]
    architecture: Option<String>,
    /// Folder with Fashion-MNIST's *-ubyte.gz files
    #[arg(long, value_name = "DIR", env = "SPIKELENS_DATASET")]
    dataset: PathBuf,
    /// Where the ANN file goes
    #[arg(long, value_name = "FILE", env = "SPIKELENS_OUT")]
    out: PathBuf,
    /// How often every training picture is seen [default: 15; metric: 20]
    #[arg(long, env = "SPIKELENS_EPOCHS",
          value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=1000))]
    epochs: Option<usize>,
    /// Equal seeds give equal networks on one machine
    #[arg(long, default_value_t = 1, env = "SPIKELENS_SEED")]
    seed: u64,
    /// How the network is trained. paper: as the paper's are. metric: for search in few time steps, with a dense
    /// embedding, activations clipped and quantised, a contrastive term and mirrored pictures
    #[arg(long, value_enum, default_value = "paper", env = "SPIKELENS_RECIPE")]
    recipe: Recipe,
    /// Pictures between two steps of the optimiser [default: 64; metric: 128]
    #[arg(long, env = "SPIKELENS_BATCH")]
    batch: Option<usize>,
    /// Of Adam, at the start; it falls along half a cosine to zero
    #[arg(long, default_value_t = 2e-3, env = "SPIKELENS_LEARNING_RATE")]
    learning_rate: f32,
    /// Share of a dense layer's inputs that is silenced while training [default: 0.5; metric: 0.2]
    #[arg(long, env = "SPIKELENS_DROPOUT")]
    dropout: Option<f32>,
    /// Most pixels that pictures are moved by at random, each way
    #[arg(long, default_value_t = 0, env = "SPIKELENS_SHIFT",
          value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(0..=8))]
    shift: usize,
    /// Batch normalisation in the hidden layers while training [default: false; metric: true]
    #[arg(long, env = "SPIKELENS_NORMALISE")]
    normalise: Option<bool>,
    /// Metric: levels of the quantised activations
    #[arg(long, default_value_t = 8, env = "SPIKELENS_LEVELS")]
    levels: u32,
    /// Metric: weight of the contrastive term, beside a cross entropy of weight 1
    #[arg(long, default_value_t = 0.5, env = "SPIKELENS_CONTRAST")]
    contrast: f32,
    /// Metric: divides the cosines in the contrastive term
    #[arg(long, default_value_t = 0.1, env = "SPIKELENS_TEMPERATURE")]
    temperature: f32,
    /// Training pictures, the last ones, that choose the epoch to keep and are not trained on
    #[arg(long, default_value_t = 6000, env = "SPIKELENS_VALIDATION")]
    validation: usize,
    /// Only the first N training pictures
    #[arg(long, value_name = "N", env = "SPIKELENS_LIMIT")]
    limit: Option<usize>,
}

#[cfg(not(feature = "train"))]
impl Train {
    pub fn run(self) -> Result<()> {
        anyhow::bail!(
            "this build has no training in it; get one with: cargo build --release --features train"
        )
    }
}

#[cfg(feature = "train")]
impl Train {
    pub fn run(self) -> Result<()> {
        use std::io::Write;

        use super::files::{self, Split};
        use crate::network::architecture;
        use crate::network::tensors::write_ann;
        use crate::picture::idx::CLASS_NAMES;
        use crate::train::{Contrast, TrainOptions, train};

        let defaults = self.recipe.defaults();
        let metric = self.recipe == Recipe::Metric;
        let name = self.architecture.as_deref().unwrap_or(defaults.architecture);
        let (pictures, labels) = files::fashion_mnist(&self.dataset, Split::Train, self.limit)?;
        let (tests, test_labels) = files::fashion_mnist(&self.dataset, Split::Test, None)?;
        let shape = pictures[0].shape();
        let mut network = match self.recipe {
            Recipe::Paper => architecture::parse(name, shape)?,
            Recipe::Metric => architecture::parse_metric(name, shape, self.levels)?,
        };
        network.labels = Some(CLASS_NAMES.map(str::to_owned).to_vec());
        let options = TrainOptions {
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
        };
        let mut follow = Follow::new("training");
        let (mut ann, report) = train(&network, &pictures, &labels, &options, &mut |now| {
            follow.show(&now)
        })?;
        let right = tests.iter().zip(&test_labels).filter(|(picture, label)| {
            let logits = ann.forward(picture).logits;
            let highest = logits.iter().copied().fold(f32::MIN, f32::max);
            logits.iter().position(|&logit| logit == highest) == Some(usize::from(**label))
        });
        let test_accuracy = 100.0 * right.count() as f64 / tests.len() as f64;
        let kept = &report.epochs[report.kept_epoch - 1];
        let validation = kept
            .validation_accuracy
            .map_or("none".to_owned(), |share| format!("{:.2} %", 100.0 * share));
        let figures = format!(
            "epoch {} of {} kept: training {:.2} %, validation {validation}, test {test_accuracy:.2} %",
            report.kept_epoch,
            options.epochs,
            100.0 * kept.train_accuracy
        );
        let of_metric = match options.contrast {
            None => String::new(),
            Some(Contrast { weight, temperature }) => {
                format!(
                    " --levels {} --contrast {weight} --temperature {temperature}",
                    self.levels
                )
            }
        };
        ann.network.trained_with = Some(format!(
            "spikelens train --architecture {name} --epochs {} --seed {} --recipe {} --batch {} \
             --learning-rate {} --dropout {} --shift {} --normalise {}{of_metric} --validation {}; {} pictures of Fashion-MNIST; {figures}",
            options.epochs,
            self.seed,
            self.recipe.as_str(),
            options.batch,
            self.learning_rate,
            options.dropout,
            options.shift,
            options.normalise,
            self.validation,
            pictures.len()
        ));
        files::write_whole(&self.out, &write_ann(&ann))?;
        writeln!(std::io::stdout().lock(), "{}: {figures}", self.out.display())?;
        Ok(())
    }
}

/// A bar over all batches, and a line an epoch.
#[cfg(feature = "train")]
#[derive(Debug)]
pub struct Follow {
    what: &'static str,
    bar: Option<indicatif::ProgressBar>,
}

#[cfg(feature = "train")]
impl Follow {
    pub fn new(what: &'static str) -> Self {
        Self { what, bar: None }
    }

    pub fn show(&mut self, now: &crate::train::Progress) {
        use super::progress;

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
