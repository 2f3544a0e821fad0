//! The float network for comparison: a `float_network.py` process that runs one slice of pictures at a time, so that
//! its rounds alternate with those of the emulators.

use std::path::Path;

use anyhow::{Result, ensure};
use engine::network::activation::Activation;
use engine::picture::Picture;
use lab::ann::Ann;
use serde::Deserialize;

use crate::python::{Script, write_pictures};

/// The largest difference of two float networks by rounding, relative to the largest score.
const ROUNDING: f32 = 1e-4;

#[derive(Debug)]
pub struct FloatNetwork {
    script: Script,
}

#[derive(Deserialize)]
struct Scores {
    logits: Vec<Vec<f32>>,
}

impl FloatNetwork {
    /// Loads an ANN file with `python`; `work` is a directory for the pictures that it reads.
    pub fn start(python: &Path, ann: &Path, pictures: &[Picture], work: &Path) -> Result<Self> {
        let raw = write_pictures(pictures, work)?;
        let script = Script::start(python, "float_network.py", &[ann, &raw], pictures.len())?;
        Ok(Self { script })
    }

    /// The runtime with its version.
    pub fn runtime(&self) -> &str {
        &self.script.runtime
    }

    /// Fails unless the runtime's results equal those of the program's float network.
    pub fn check(&mut self, ann: &Ann, pictures: &[Picture]) -> Result<()> {
        let Scores { logits } = self.script.ask("logits")?;
        ensure!(
            logits.len() == pictures.len(),
            "scores for {} pictures",
            logits.len()
        );
        // A sum close to a step of a quantised activation may be rounded to either side, depending on the order of the
        // additions.
        let quantised = ann.network.activation != Activation::Relu;
        let mut spared = if quantised { pictures.len() / 20 } else { 0 };
        for (index, (picture, found)) in pictures.iter().zip(&logits).enumerate() {
            let wanted = ann.forward(picture).logits.to_vec();
            let largest = wanted.iter().fold(0f32, |most, score| most.max(score.abs()));
            let apart = wanted.iter().zip(found).map(|(a, b)| (a - b).abs());
            let apart = apart.fold(0f32, f32::max);
            if apart > ROUNDING * largest && spared > 0 {
                spared -= 1;
                continue;
            }
            ensure!(
                class(&wanted) == class(found) && wanted.len() == found.len() && apart <= ROUNDING * largest,
                "{} computes another network: test picture {index} scores {found:?}, {wanted:?} is right",
                self.runtime()
            );
        }
        Ok(())
    }

    /// Milliseconds for each of `count` pictures from `first` on; all are run once untimed before.
    pub fn run(&mut self, first: usize, count: usize) -> Result<Vec<f64>> {
        self.script.run(first, count)
    }

    /// Milliseconds for calls that compute nothing.
    pub fn empty(&mut self, count: usize) -> Result<Vec<f64>> {
        self.script.times(&format!("empty {count}"), count)
    }
}

/// The highest score; the first one on a tie.
fn class(scores: &[f32]) -> Option<usize> {
    (0..scores.len()).reduce(
        |best, index| {
            if scores[index] > scores[best] { index } else { best }
        },
    )
}
