//! How networks are trained: what a recipe sets where the options leave it open.

use clap::ValueEnum;

/// How a network is trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Recipe {
    /// As the paper's networks.
    Paper,
    /// For search in few time steps: a dense embedding, clipped and quantised activations, a contrastive term and mirrored
    /// pictures.
    Metric,
    /// For photos in colour: as metric, on random views of the pictures, with AdamW, averaged parameters and smoothed
    /// labels.
    Photos,
}

/// What a recipe sets where the options leave it open.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Defaults {
    /// For photos without the number of classes, which is the data set's.
    pub architecture: &'static str,
    pub epochs: usize,
    pub batch: usize,
    pub learning_rate: f32,
    pub dropout: f32,
    /// The temperature of the contrastive loss.
    pub temperature: f32,
    /// Training pictures held out to choose the epoch to keep.
    pub validation: usize,
}

impl Recipe {
    /// The recipe's name in options and files.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Paper => "paper",
            Self::Metric => "metric",
            Self::Photos => "photos",
        }
    }

    /// What the recipe sets.
    #[must_use]
    pub fn defaults(self) -> Defaults {
        match self {
            Self::Paper => Defaults {
                architecture: "32-64-10",
                epochs: 15,
                batch: 64,
                learning_rate: 2e-3,
                dropout: 0.5,
                temperature: 0.1,
                validation: 6_000,
            },
            Self::Metric => Defaults {
                architecture: "48k5s2p2-80k5s2p2-128-10",
                epochs: 20,
                batch: 128,
                learning_rate: 2e-3,
                dropout: 0.2,
                temperature: 0.1,
                validation: 6_000,
            },
            // 121 cores for a picture of 3 x 64 x 64. Training keeps the last epoch, so it holds nothing out.
            Self::Photos => Defaults {
                architecture: "48k7s4p3-64k3s1p1-96k3s2p1-192k3s2p1-128",
                epochs: 100,
                batch: 128,
                learning_rate: 6e-3,
                dropout: 0.1,
                temperature: 0.2,
                validation: 0,
            },
        }
    }
}
