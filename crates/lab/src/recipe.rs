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
}

/// What a recipe sets where the options leave it open.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Defaults {
    pub architecture: &'static str,
    pub epochs: usize,
    pub batch: usize,
    pub dropout: f32,
}

impl Recipe {
    /// The recipe's name in options and files.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Paper => "paper",
            Self::Metric => "metric",
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
