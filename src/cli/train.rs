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
}

#[cfg(not(feature = "train"))]
impl Train {
    pub fn run(self) -> Result<()> {
        anyhow::bail!(
            "this build has no training in it; get one with: cargo build --release --features train"
        )
    }
}
