//! Early stopping: how many time steps a picture runs for.
//!
//! In: an emulator and a picture. Out: a number of time steps; the answer is that of an ordinary run of that length.
//! The rule uses only what the chip knows in the current step, so that a chip could apply it. `docs/early-stopping.md`
//! has measurements.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Serialize, Serializer};
use thiserror::Error;

use super::Prediction;
use crate::emulator::{Emulator, EmulatorError, Outcome};
use crate::network::TimeSteps;
use crate::network::snn::Snn;
use crate::picture::Picture;

/// The length of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Length {
    /// A number of time steps.
    Fixed(TimeSteps),
    /// `auto`: until the answer is settled by the rule.
    Auto(Rule),
}

/// When an answer is settled: the neurons of the embedding layer have fired `evidence` spikes each on average, and the
/// classifier's highest score exceeds the second by 2 x `evidence` thresholds.
///
/// Cosines of spike counts are coarse while there are few spikes; the second condition continues runs whose class is
/// still open. Both are in units of their layer, so that one parameter controls both.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rule {
    evidence: f64,
}

/// The error for a word that is not a length of a run.
#[derive(Debug, Error)]
#[error(
    "{given} is not a whole number from 1 to {most}, nor `auto`, nor `auto:X` with X from {low} to {high}",
    most = TimeSteps::MAX,
    low = Rule::LEAST,
    high = Rule::MOST
)]
pub struct LengthError {
    given: String,
}

impl Rule {
    /// The smallest number of time steps: with fewer, hardly any spike reaches the classifier.
    pub const FIRST: u32 = 8;
    /// The largest number of time steps, settled or not.
    pub const LAST: u32 = 32;
    /// The rule of `auto`. On average it costs as much as 16 time steps with the paper's network 32-64-10 (measured on
    /// 2,000 held-out training pictures).
    pub const DEFAULT: Self = Self { evidence: 0.22 };
    const LEAST: f64 = 0.01;
    const MOST: f64 = 10.0;
    /// Required lead of the classifier, in thresholds, for each spike per neuron.
    const LEAD: f64 = 2.0;

    /// A rule with another `evidence`; `None` outside of 0.01 to 10.
    #[must_use]
    pub fn new(evidence: f64) -> Option<Self> {
        (Self::LEAST..=Self::MOST)
            .contains(&evidence)
            .then_some(Self { evidence })
    }

    /// Whether a run with this outcome is settled.
    pub fn settled(self, snn: &Snn, outcome: &Outcome) -> bool {
        let counts = &outcome.embedding_layer.spike_counts;
        let spikes = counts.iter().copied().map(u64::from).sum();
        self.enough(spikes, counts.len()) && self.leads(snn, outcome)
    }

    /// Whether the embedding layer has fired enough spikes.
    fn enough(self, spikes: u64, neurons: usize) -> bool {
        spikes as f64 >= self.evidence * neurons as f64
    }

    /// Whether the classifier's lead is large enough.
    fn leads(self, snn: &Snn, outcome: &Outcome) -> bool {
        let threshold = snn.parameters.last().expect("a network has layers").threshold;
        let mut scores = Prediction::read(snn, outcome).scores;
        scores.sort_unstable_by(|a, b| b.cmp(a));
        match scores[..] {
            [first, second, ..] => {
                (first - second) as f64 >= Self::LEAD * self.evidence * f64::from(threshold)
            }
            // With a single class there is no second score.
            _ => true,
        }
    }

    /// The number of time steps after which `picture` is settled, at most [`Rule::LAST`].
    ///
    /// # Errors
    /// [`EmulatorError`] for a picture of another shape, and for a membrane that exceeds 32 bits within [`Rule::LAST`]
    /// steps.
    pub fn settle(self, emulator: &mut Emulator, picture: &Picture) -> Result<TimeSteps, EmulatorError> {
        let snn = Arc::clone(emulator.snn());
        // A run of T steps is the prefix of every longer one, so repeated runs give the states of one long run after
        // each of its steps.
        let first = self.first_with_enough(emulator, picture)?;
        for after in (first..Self::LAST).map(steps) {
            if self.leads(&snn, emulator.run(picture, after)?) {
                return Ok(after);
            }
        }
        Ok(steps(Self::LAST))
    }

    /// The number of time steps after which there are enough spikes, at most [`Rule::LAST`].
    ///
    /// A run reports the spikes of each of its steps, so one or two runs replace one run per step. An overflow within
    /// the bound is an error even if the rule would have stopped earlier.
    fn first_with_enough(self, emulator: &mut Emulator, picture: &Picture) -> Result<u32, EmulatorError> {
        let layer = emulator.snn().network.embedding_layer + 1;
        let neurons = emulator.snn().network.embedding_dimensions();
        for ahead in [Self::LAST / 2, Self::LAST] {
            let outcome = emulator.run(picture, steps(ahead))?;
            let mut spikes = 0;
            for (after, fired) in (1..).zip(&outcome.events.layers[layer].spikes_per_step) {
                spikes += fired;
                if after >= Self::FIRST && self.enough(spikes, neurons) {
                    return Ok(after);
                }
            }
        }
        Ok(Self::LAST)
    }
}

fn steps(steps: u32) -> TimeSteps {
    TimeSteps::new(steps).expect("the bounds are within the range")
}

impl Length {
    /// The number of time steps for this picture.
    ///
    /// # Errors
    /// Those of [`Rule::settle`].
    pub fn of(self, emulator: &mut Emulator, picture: &Picture) -> Result<TimeSteps, EmulatorError> {
        match self {
            Self::Fixed(time_steps) => Ok(time_steps),
            Self::Auto(rule) => rule.settle(emulator, picture),
        }
    }
}

impl From<TimeSteps> for Length {
    fn from(time_steps: TimeSteps) -> Self {
        Self::Fixed(time_steps)
    }
}

impl FromStr for Length {
    type Err = LengthError;

    fn from_str(word: &str) -> Result<Self, LengthError> {
        let rule = match word.trim().strip_prefix("auto") {
            None => return word.parse().map(Self::Fixed).map_err(|_| refused(word)),
            Some("") => Some(Rule::DEFAULT),
            Some(knob) => knob
                .strip_prefix(':')
                .and_then(|evidence| evidence.parse().ok())
                .and_then(Rule::new),
        };
        rule.map(Self::Auto).ok_or_else(|| refused(word))
    }
}

fn refused(word: &str) -> LengthError {
    LengthError {
        given: format!("{:?}", word.chars().take(64).collect::<String>()),
    }
}

impl fmt::Display for Length {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(time_steps) => time_steps.fmt(out),
            Self::Auto(rule) if *rule == Rule::DEFAULT => out.write_str("auto"),
            Self::Auto(rule) => write!(out, "auto:{}", rule.evidence),
        }
    }
}

impl Serialize for Length {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Fixed(time_steps) => serializer.serialize_u32(time_steps.get()),
            Self::Auto(_) => serializer.collect_str(self),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_a_number_or_auto() {
        for word in ["16", "auto", "auto:0.04", "auto:10"] {
            assert_eq!(word.parse::<Length>().unwrap().to_string(), word);
        }
        assert_eq!(
            "auto:0.22".parse::<Length>().unwrap(),
            Length::Auto(Rule::DEFAULT)
        );
        for word in [
            "0",
            "1025",
            "",
            "automatic",
            "auto:",
            "auto:0",
            "auto:-1",
            "auto:nan",
            "auto:inf",
            "AUTO",
        ] {
            let refusal = word.parse::<Length>().unwrap_err().to_string();
            let expected = format!(
                "{word:?} is not a whole number from 1 to 1024, nor `auto`, nor `auto:X` with X from 0.01 to 10"
            );
            assert_eq!(refusal, expected);
        }
    }
}
