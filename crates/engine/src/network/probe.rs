//! What is read from the embedding layer.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use thiserror::Error;

/// What is read from the embedding layer after the last time step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Probe {
    /// The number of spikes that each neuron fired.
    SpikeCount,
    /// Each neuron's membrane (the paper's choice).
    Membrane,
    /// The sum of each neuron's input: `membrane + threshold x spike_count - initial_membrane`.
    Integrated,
}

impl Probe {
    /// Every probe, in the order in which they are listed to users.
    pub const ALL: [Self; 3] = [Self::SpikeCount, Self::Membrane, Self::Integrated];

    /// The probe's name in files, options and answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SpikeCount => "spike_count",
            Self::Membrane => "membrane",
            Self::Integrated => "integrated",
        }
    }
}

impl fmt::Display for Probe {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// The error for a name that is not a probe.
#[derive(Debug, Error)]
#[error("{given:?} is not a probe; expected spike_count, membrane or integrated")]
pub struct UnknownProbe {
    given: String,
}

impl FromStr for Probe {
    type Err = UnknownProbe;

    fn from_str(word: &str) -> Result<Self, UnknownProbe> {
        Self::ALL
            .into_iter()
            .find(|probe| probe.as_str() == word)
            .ok_or_else(|| UnknownProbe {
                given: word.chars().take(64).collect(),
            })
    }
}
