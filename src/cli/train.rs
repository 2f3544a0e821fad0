//! `train`: an ANN from Fashion-MNIST, on this CPU. Needs the cargo feature `train`.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueEnum};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Recipe {
    Paper,
}

/// Train a network on Fashion-MNIST, on this machine's CPU
#[derive(Debug, Args)]
#[command(after_help = "Example:
  spikelens train --architecture 32-64-10 --dataset dataset/fashion-mnist --out ann.safetensors

Training needs a build with it: cargo build --release --features train")]
pub struct Train {
    /// Convolution channels, then classes, as in the paper's Table 1
    #[arg(long, default_value = "32-64-10", env = "SPIKELENS_ARCHITECTURE")]
    architecture: String,
    /// Folder with Fashion-MNIST's *-ubyte.gz files
    #[arg(long, value_name = "DIR", env = "SPIKELENS_DATASET")]
    dataset: PathBuf,
    /// Where the ANN file goes
    #[arg(long, value_name = "FILE", env = "SPIKELENS_OUT")]
    out: PathBuf,
    /// How often every training picture is seen
    #[arg(long, default_value_t = 15, env = "SPIKELENS_EPOCHS",
          value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=1000))]
    epochs: usize,
    /// Equal seeds give equal networks on one machine
    #[arg(long, default_value_t = 1, env = "SPIKELENS_SEED")]
    seed: u64,
    /// How the network is trained: as the paper's are
    #[arg(long, value_enum, default_value = "paper", env = "SPIKELENS_RECIPE")]
    recipe: Recipe,
    /// Pictures between two steps of the optimiser
    #[arg(long, default_value_t = 64, env = "SPIKELENS_BATCH")]
    batch: usize,
    /// Of Adam, at the start; it falls along half a cosine to zero
    #[arg(long, default_value_t = 2e-3, env = "SPIKELENS_LEARNING_RATE")]
    learning_rate: f32,
    /// Share of the classifier's inputs that is silenced while training
    #[arg(long, default_value_t = 0.5, env = "SPIKELENS_DROPOUT")]
    dropout: f32,
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
        use super::progress;
        use crate::network::architecture;
        use crate::network::tensors::write_ann;
        use crate::picture::idx::CLASS_NAMES;
        use crate::train::{TrainOptions, train};

        let Recipe::Paper = self.recipe;
        let (pictures, labels) = files::fashion_mnist(&self.dataset, Split::Train, self.limit)?;
        let (tests, test_labels) = files::fashion_mnist(&self.dataset, Split::Test, None)?;
        let mut network = architecture::parse(&self.architecture, pictures[0].shape())?;
        network.labels = Some(CLASS_NAMES.map(str::to_owned).to_vec());
        let options = TrainOptions {
            epochs: self.epochs,
            seed: self.seed,
            batch: self.batch,
            learning_rate: self.learning_rate,
            dropout: self.dropout,
            validation: self.validation,
            threads: files::threads(),
        };
        let mut bar: Option<indicatif::ProgressBar> = None;
        let (mut ann, report) = train(&network, &pictures, &labels, &options, &mut |now| {
            let bar = bar.get_or_insert_with(|| progress::bar("training", now.batches * now.epochs));
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
            self.epochs,
            100.0 * kept.train_accuracy
        );
        ann.network.trained_with = Some(format!(
            "spikelens train --architecture {} --epochs {} --seed {} --recipe paper --batch {} \
             --learning-rate {} --dropout {} --validation {}; {} pictures of Fashion-MNIST; {figures}",
            self.architecture,
            self.epochs,
            self.seed,
            self.batch,
            self.learning_rate,
            self.dropout,
            self.validation,
            pictures.len()
        ));
        files::write_whole(&self.out, &write_ann(&ann))?;
        writeln!(std::io::stdout().lock(), "{}: {figures}", self.out.display())?;
        Ok(())
    }
}
