//! `train`: an ANN from Fashion-MNIST, on this CPU. Needs the cargo feature `train`.

#[cfg(feature = "train")]
mod fit;

use std::path::PathBuf;

use clap::{Args, ValueEnum};

#[cfg(feature = "train")]
pub use self::fit::{Course, Follow};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Recipe {
    Paper,
    Metric,
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
    pub fn run(self) -> anyhow::Result<()> {
        anyhow::bail!(
            "this build has no training in it; get one with: cargo build --release --features train"
        )
    }
}
