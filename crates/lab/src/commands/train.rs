//! `train`: trains an ANN on a data set, on the CPU. Needs the cargo feature `train`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use crate::dataset::DATASET_HELP;
use crate::recipe::Recipe;

/// Train a network on Fashion-MNIST or a data set of your own, on this machine's CPU
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  spikelens train --architecture 32-64-10 --dataset dataset/fashion-mnist --out ann.safetensors
  spikelens train --recipe metric --dataset dataset/fashion-mnist --out ann.safetensors
  spikelens train --recipe metric --architecture 32-64-128-10 --dataset dataset/fashion-mnist --out ann.safetensors

Training needs a build that includes it: cargo build --release --features train")]
pub struct Train {
    /// Convolution channels, then classes, as in the paper's Table 1; metric: with the embedding's neurons before the
    /// classes, and 48k5s2p2 is a convolution of 48 channels, 5 x 5, stride 2, padding 2 [default: 32-64-10; metric:
    /// 48k5s2p2-80k5s2p2-128-10]
    #[arg(long, env = "SPIKELENS_ARCHITECTURE")]
    architecture: Option<String>,
    #[arg(long, value_name = "DATASET", env = "SPIKELENS_DATASET", help = DATASET_HELP)]
    dataset: PathBuf,
    /// The ANN file to write
    #[arg(long, value_name = "FILE", env = "SPIKELENS_OUT")]
    out: PathBuf,
    /// Number of epochs [default: 15; metric: 20]
    #[arg(long, env = "SPIKELENS_EPOCHS",
          value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=1000))]
    epochs: Option<usize>,
    /// Random seed; equal seeds give equal networks on one machine
    #[arg(long, default_value_t = 1, env = "SPIKELENS_SEED")]
    seed: u64,
    /// The training recipe. paper: like the paper's networks. metric: for search in few time steps, with a dense
    /// embedding, clipped and quantised activations, a contrastive loss and mirrored pictures
    #[arg(long, value_enum, default_value = "paper", env = "SPIKELENS_RECIPE")]
    recipe: Recipe,
    /// Batch size [default: 64; metric: 128]
    #[arg(long, env = "SPIKELENS_BATCH")]
    batch: Option<usize>,
    /// Initial learning rate of Adam; it decays to zero along half a cosine
    #[arg(long, default_value_t = 2e-3, env = "SPIKELENS_LEARNING_RATE")]
    learning_rate: f32,
    /// Dropout rate of the inputs of dense layers [default: 0.5; metric: 0.2]
    #[arg(long, env = "SPIKELENS_DROPOUT")]
    dropout: Option<f32>,
    /// Largest random shift of pictures, in pixels, in each direction
    #[arg(long, default_value_t = 0, env = "SPIKELENS_SHIFT",
          value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(0..=8))]
    shift: usize,
    /// Batch normalisation in the hidden layers while training [default: false; metric: true]
    #[arg(long, env = "SPIKELENS_NORMALISE")]
    normalise: Option<bool>,
    /// Metric: levels of the quantised activations
    #[arg(long, default_value_t = 8, env = "SPIKELENS_LEVELS")]
    levels: u32,
    /// Metric: weight of the contrastive loss; the cross entropy has weight 1
    #[arg(long, default_value_t = 0.5, env = "SPIKELENS_CONTRAST")]
    contrast: f32,
    /// Metric: temperature of the contrastive loss
    #[arg(long, default_value_t = 0.1, env = "SPIKELENS_TEMPERATURE")]
    temperature: f32,
    /// Number of training pictures, the last ones, held out to choose the epoch to keep; a data set's own validation
    /// pictures, or a tenth, if it is not Fashion-MNIST
    #[arg(long, default_value_t = 6000, env = "SPIKELENS_VALIDATION")]
    validation: usize,
    /// Only the first N training pictures; N spread evenly, if it is not Fashion-MNIST
    #[arg(long, value_name = "N", env = "SPIKELENS_LIMIT")]
    limit: Option<usize>,
}

#[cfg(not(feature = "train"))]
impl Train {
    pub fn run(self) -> Result<()> {
        anyhow::bail!(
            "this build does not include training; build one that does with: cargo build --release --features train"
        )
    }
}

#[cfg(feature = "train")]
impl Train {
    pub fn run(self) -> Result<()> {
        use std::io::Write;

        let training = self.training();
        let figures = training.run()?;
        writeln!(std::io::stdout().lock(), "{}: {figures}", training.out.display())?;
        Ok(())
    }

    fn training(self) -> crate::training::Training {
        use crate::train::{Contrast, TrainOptions};

        let defaults = self.recipe.defaults();
        let metric = self.recipe == Recipe::Metric;
        crate::training::Training {
            recipe: self.recipe,
            architecture: self
                .architecture
                .unwrap_or_else(|| defaults.architecture.to_owned()),
            levels: self.levels,
            options: TrainOptions {
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
                threads: crate::files::threads(),
                ..TrainOptions::default()
            },
            dataset: self.dataset,
            limit: self.limit,
            out: self.out,
        }
    }
}
