//! The float network for comparison: a `float_network.py` process that runs one slice of pictures at a time, so that
//! its rounds alternate with those of the emulators.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use engine::network::activation::Activation;
use engine::picture::Picture;
use lab::ann::Ann;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::machine::read;

/// The largest difference of two float networks by rounding, relative to the largest score.
const ROUNDING: f32 = 1e-4;

/// The runtime's process; ended when dropped.
#[derive(Debug)]
pub struct FloatNetwork {
    child: Child,
    ask: ChildStdin,
    answers: BufReader<ChildStdout>,
    /// The runtime with its version.
    pub runtime: String,
    pictures: usize,
}

#[derive(Deserialize)]
struct Loaded {
    runtime: String,
    pictures: usize,
}

#[derive(Deserialize)]
struct Times {
    ms: Vec<f64>,
}

#[derive(Deserialize)]
struct Scores {
    logits: Vec<Vec<f32>>,
}

impl FloatNetwork {
    /// Loads an ANN file with `python`; `work` is a directory for the pictures that it reads.
    pub fn start(python: &Path, ann: &Path, pictures: &[Picture], work: &Path) -> Result<Self> {
        let raw = work.join("pictures.u8");
        let pixels: Vec<u8> = pictures
            .iter()
            .flat_map(|picture| picture.as_slice())
            .copied()
            .collect();
        std::fs::write(&raw, pixels).with_context(|| format!("{} cannot be written", raw.display()))?;
        let mut child = Command::new(python)
            .arg(source("float_network.py"))
            .args([ann, &raw])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("{} cannot be run", python.display()))?;
        let ask = child.stdin.take().context("a pipe was asked for")?;
        let answers = BufReader::new(child.stdout.take().context("a pipe was asked for")?);
        let mut network = Self {
            child,
            ask,
            answers,
            runtime: String::new(),
            pictures: pictures.len(),
        };
        let loaded: Loaded = network.answer()?;
        ensure!(
            loaded.pictures == pictures.len(),
            "the float network read {} pictures, {} were written",
            loaded.pictures,
            pictures.len()
        );
        network.runtime = loaded.runtime;
        Ok(network)
    }

    /// Fails unless the runtime's results equal those of the program's float network.
    pub fn check(&mut self, ann: &Ann, pictures: &[Picture]) -> Result<()> {
        writeln!(self.ask, "logits")?;
        let Scores { logits } = self.answer()?;
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
                self.runtime
            );
        }
        Ok(())
    }

    /// Milliseconds for each of `count` pictures from `first` on; all are run once untimed before.
    pub fn run(&mut self, first: usize, count: usize) -> Result<Vec<f64>> {
        ensure!(
            first + count <= self.pictures,
            "there are {} pictures",
            self.pictures
        );
        writeln!(self.ask, "run {first} {count}")?;
        self.times(count)
    }

    /// Milliseconds for calls that compute nothing.
    pub fn empty(&mut self, count: usize) -> Result<Vec<f64>> {
        writeln!(self.ask, "empty {count}")?;
        self.times(count)
    }

    fn times(&mut self, count: usize) -> Result<Vec<f64>> {
        let Times { ms } = self.answer()?;
        ensure!(ms.len() == count, "{} times for {count} pictures", ms.len());
        Ok(ms)
    }

    fn answer<T: DeserializeOwned>(&mut self) -> Result<T> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        if line.is_empty() {
            bail!(
                "the float network's process ended ({}); it says why above",
                self.child.wait()?
            );
        }
        serde_json::from_str(&line).with_context(|| format!("the float network said {line:?}"))
    }
}

impl Drop for FloatNetwork {
    fn drop(&mut self) {
        // It may have exited already.
        let _ = self.child.kill();
        let _ = self.child.wait();
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

/// Installs a Python with the pinned packages into `folder`, if it is missing; returns its path.
pub fn python(folder: &Path) -> Result<PathBuf> {
    let python = folder.join("bin/python");
    let installed = folder.join("installed.txt");
    let wanted = read(source("requirements.txt"))?;
    if python.exists() && std::fs::read_to_string(&installed).is_ok_and(|found| found == wanted) {
        return Ok(python);
    }
    eprintln!("installing the float network's runtime into {}", folder.display());
    let run = |command: &mut Command, what: &str| -> Result<()> {
        // Standard output is reserved for the page.
        let status = command.stdout(Stdio::null()).status();
        let status = status.with_context(|| format!("{what}: {:?} cannot be run", command.get_program()))?;
        ensure!(status.success(), "{what} failed ({status}); it says why above");
        Ok(())
    };
    run(
        Command::new("python3")
            .args(["-m", "venv", "--clear"])
            .arg(folder),
        "making a Python environment (Debian: python3-venv)",
    )?;
    run(
        Command::new(&python)
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "-r",
            ])
            .arg(source("requirements.txt")),
        "installing benches/requirements.txt from the Python package index",
    )?;
    std::fs::write(&installed, wanted)?;
    Ok(python)
}

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches").join(name)
}
