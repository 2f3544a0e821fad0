//! `train`: trains an ANN on a data set, on the CPU. Needs the cargo feature `train`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use super::teaching::Teaching;
use super::views::ViewOptions;
use crate::dataset::DATASET_HELP;
use crate::recipe::Recipe;

/// Train a network on Fashion-MNIST or a data set of your own, on this machine's CPU
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  spikelens train --architecture 32-64-10 --dataset dataset/fashion-mnist --out ann.safetensors
  spikelens train --recipe metric --dataset dataset/fashion-mnist --out ann.safetensors
  spikelens train --recipe metric --architecture 32-64-128-10 --dataset dataset/fashion-mnist --out ann.safetensors
  spikelens train --recipe photos --dataset dataset/fashion-mnist --side 32 --epochs 10 --out ann.safetensors

Training needs a build that includes it: cargo build --release --features train")]
pub struct Train {
    /// Convolution channels, then classes, as in the paper's Table 1; metric: with the embedding's neurons before the
    /// classes, and 48k5s2p2 is a convolution of 48 channels, 5 x 5, stride 2, padding 2; photos: the classes may be left
    /// out [default: 32-64-10; metric: 48k5s2p2-80k5s2p2-128-10; photos: 48k7s4p3-64k3s1p1-96k3s2p1-192k3s2p1-128]
    #[arg(long, env = "SPIKELENS_ARCHITECTURE")]
    architecture: Option<String>,
    #[arg(long, value_name = "DATASET", env = "SPIKELENS_DATASET", help = DATASET_HELP)]
    dataset: PathBuf,
    /// The ANN file to write
    #[arg(long, value_name = "FILE", env = "SPIKELENS_OUT")]
    out: PathBuf,
    /// Number of epochs [default: 15; metric: 20; photos: 100]
    #[arg(long, env = "SPIKELENS_EPOCHS",
          value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=1000))]
    epochs: Option<usize>,
    /// Random seed; equal seeds give equal networks on one machine
    #[arg(long, default_value_t = 1, env = "SPIKELENS_SEED")]
    seed: u64,
    /// The training recipe. paper: like the paper's networks. metric: for search in few time steps, with a dense
    /// embedding, clipped and quantised activations, a contrastive loss and mirrored pictures. photos: as metric, for
    /// pictures in colour of any size, on random views of them
    #[arg(long, value_enum, default_value = "paper", env = "SPIKELENS_RECIPE")]
    recipe: Recipe,
    /// Batch size [default: 64; metric and photos: 128]
    #[arg(long, env = "SPIKELENS_BATCH")]
    batch: Option<usize>,
    /// Highest learning rate; it decays to zero along half a cosine [default: 0.002; photos: 0.006]
    #[arg(long, env = "SPIKELENS_LEARNING_RATE")]
    learning_rate: Option<f32>,
    /// Dropout rate of the inputs of dense layers, for photos of the embedding alone [default: 0.5; metric: 0.2; photos:
    /// 0.1]
    #[arg(long, env = "SPIKELENS_DROPOUT")]
    dropout: Option<f32>,
    /// Largest random shift of pictures, in pixels, in each direction
    #[arg(long, default_value_t = 0, env = "SPIKELENS_SHIFT",
          value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(0..=8))]
    shift: usize,
    /// Batch normalisation in the hidden layers while training [default: false; metric and photos: true]
    #[arg(long, env = "SPIKELENS_NORMALISE")]
    normalise: Option<bool>,
    /// Metric and photos: levels of the quantised activations
    #[arg(long, default_value_t = 8, env = "SPIKELENS_LEVELS")]
    levels: u32,
    /// Metric and photos: weight of the contrastive loss; the cross entropy has weight 1
    #[arg(long, default_value_t = 0.5, env = "SPIKELENS_CONTRAST")]
    contrast: f32,
    /// Metric and photos: temperature of the contrastive loss [default: 0.1; photos: 0.2]
    #[arg(long, env = "SPIKELENS_TEMPERATURE")]
    temperature: Option<f32>,
    /// Number of training pictures, the last ones, held out to choose the epoch to keep; a data set's own validation
    /// pictures, or a tenth, if it is not Fashion-MNIST; for photos without validation pictures the last epoch is kept
    /// [default: 6000; photos: 0]
    #[arg(long, env = "SPIKELENS_VALIDATION")]
    validation: Option<usize>,
    /// Only the first N training pictures; N spread evenly, if it is not Fashion-MNIST
    #[arg(long, value_name = "N", env = "SPIKELENS_LIMIT")]
    limit: Option<usize>,
    /// Start from the layers of this ANN file that have the same place and shape
    #[arg(long, value_name = "ANN", env = "SPIKELENS_INIT")]
    init: Option<PathBuf>,
    /// Photos: width and height of the network's input
    #[arg(long, value_name = "PIXELS", default_value_t = 64, env = "SPIKELENS_SIDE",
          value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(8..=512))]
    side: usize,
    /// Photos: weight decay of AdamW
    #[arg(long, default_value_t = 0.05, env = "SPIKELENS_DECAY")]
    decay: f32,
    /// Photos: share of all steps in which the learning rate grows to its highest
    #[arg(long, default_value_t = 0.15, env = "SPIKELENS_WARM_UP")]
    warm_up: f32,
    /// Photos: keep the average of all steps' parameters, of which each step's counts so many times that of the next
    #[arg(long, default_value_t = 0.995, env = "SPIKELENS_AVERAGE")]
    average: f32,
    #[command(flatten)]
    teaching: Teaching,
    #[command(flatten)]
    augmentation: ViewOptions,
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

        let training = self.training()?;
        let figures = training.run()?;
        writeln!(std::io::stdout().lock(), "{}: {figures}", training.out.display())?;
        Ok(())
    }

    fn training(self) -> Result<crate::training::Training> {
        use crate::train::{AdamW, Augmentation, Contrast, TrainOptions};

        let defaults = self.recipe.defaults();
        let photos = self.recipe == Recipe::Photos;
        let metric = photos || self.recipe == Recipe::Metric;
        let teaching = &self.teaching;
        for (given, option) in [
            (teaching.teacher.is_some(), "--teacher"),
            (teaching.views > 1, "--views"),
            (teaching.tutor.is_some(), "--tutor"),
        ] {
            if given && !photos {
                anyhow::bail!("{option} needs --recipe photos");
            }
        }
        let options = TrainOptions {
            epochs: self.epochs.unwrap_or(defaults.epochs),
            seed: self.seed,
            batch: self.batch.unwrap_or(defaults.batch),
            learning_rate: self.learning_rate.unwrap_or(defaults.learning_rate),
            dropout: self.dropout.unwrap_or(defaults.dropout),
            mirror: metric && !photos,
            shift: self.shift,
            normalise: self.normalise.unwrap_or(metric),
            contrast: metric.then_some(Contrast {
                weight: self.contrast,
                temperature: self.temperature.unwrap_or(defaults.temperature),
            }),
            augmentation: photos.then(|| self.augmentation.over(Augmentation::default())),
            adam_w: photos.then_some(AdamW {
                decay: self.decay,
                warm_up: self.warm_up,
                average: self.average,
            }),
            smoothing: if photos { self.teaching.smoothing } else { 0.0 },
            views: if photos { self.teaching.views } else { 1 },
            relation: self.teaching.relation(),
            distillation: self.teaching.distillation(),
            validation: self.validation.unwrap_or(defaults.validation),
            threads: crate::files::threads(),
        };
        Ok(crate::training::Training {
            recipe: self.recipe,
            architecture: self
                .architecture
                .unwrap_or_else(|| defaults.architecture.to_owned()),
            levels: self.levels,
            side: self.side,
            siblings: photos && self.teaching.siblings,
            teacher: self.teaching.teacher,
            tutor: self.teaching.tutor,
            init: self.init,
            options,
            dataset: self.dataset,
            limit: self.limit,
            out: self.out,
        })
    }
}
