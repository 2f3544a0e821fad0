//! Python for comparisons: environments of pinned packages, and scripts that answer a line with a line of JSON.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use engine::picture::Picture;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::machine::read;

/// A script that loaded pictures and answers questions about them; ended when dropped.
#[derive(Debug)]
pub struct Script {
    name: &'static str,
    child: Child,
    ask: ChildStdin,
    answers: BufReader<ChildStdout>,
    /// What it runs, with versions.
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

impl Script {
    /// Starts `name`, a file of `benches`. Its arguments contain the file that `write_pictures` made of `pictures`.
    pub fn start(python: &Path, name: &'static str, arguments: &[&Path], pictures: usize) -> Result<Self> {
        let mut child = Command::new(python)
            .arg(source(name))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("{} cannot be run", python.display()))?;
        let ask = child.stdin.take().context("a pipe was asked for")?;
        let answers = BufReader::new(child.stdout.take().context("a pipe was asked for")?);
        let mut script = Self {
            name,
            child,
            ask,
            answers,
            runtime: String::new(),
            pictures,
        };
        let loaded: Loaded = script.answer()?;
        ensure!(
            loaded.pictures == pictures,
            "{name} read {} pictures, {pictures} were written",
            loaded.pictures
        );
        script.runtime = loaded.runtime;
        Ok(script)
    }

    /// The answer to one line.
    pub fn ask<T: DeserializeOwned>(&mut self, line: &str) -> Result<T> {
        writeln!(self.ask, "{line}").with_context(|| format!("{} cannot be asked", self.name))?;
        self.answer()
    }

    /// Milliseconds for each of `count` pictures from `first` on; all are run once untimed before.
    pub fn run(&mut self, first: usize, count: usize) -> Result<Vec<f64>> {
        ensure!(
            first + count <= self.pictures,
            "there are {} pictures",
            self.pictures
        );
        self.times(&format!("run {first} {count}"), count)
    }

    /// The answer to a line that asks for `count` times.
    pub fn times(&mut self, line: &str, count: usize) -> Result<Vec<f64>> {
        let Times { ms } = self.ask(line)?;
        ensure!(
            ms.len() == count,
            "{}: {} times, {count} were asked for",
            self.name,
            ms.len()
        );
        Ok(ms)
    }

    fn answer<T: DeserializeOwned>(&mut self) -> Result<T> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        if line.is_empty() {
            bail!("{} ended ({}); it says why above", self.name, self.child.wait()?);
        }
        serde_json::from_str(&line).with_context(|| format!("{} said {line:?}", self.name))
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        // It may have exited already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A file of the pictures' raw pixels in the folder `work`, for a script.
pub fn write_pictures(pictures: &[Picture], work: &Path) -> Result<PathBuf> {
    let raw = work.join("pictures.u8");
    let pixels = pictures.iter().flat_map(|picture| picture.as_slice());
    let pixels: Vec<u8> = pixels.copied().collect();
    std::fs::write(&raw, pixels).with_context(|| format!("{} cannot be written", raw.display()))?;
    Ok(raw)
}

/// Installs a Python with the packages of `requirements`, a file of `benches`, into `folder`, if it is missing; returns
/// its path.
pub fn environment(folder: &Path, requirements: &str) -> Result<PathBuf> {
    let python = folder.join("bin/python");
    let installed = folder.join("installed.txt");
    let wanted = read(source(requirements))?;
    if python.exists() && std::fs::read_to_string(&installed).is_ok_and(|found| found == wanted) {
        return Ok(python);
    }
    eprintln!("installing benches/{requirements} into {}", folder.display());
    run(
        Command::new("python3")
            .args(["-m", "venv", "--clear"])
            .arg(folder),
        "making a Python environment (Debian: python3-venv)",
    )?;
    run(
        Command::new(&python)
            .args(["-m", "pip", "install", "--quiet", "--no-cache-dir"])
            .args(["--disable-pip-version-check", "-r"])
            .arg(source(requirements)),
        &format!("installing benches/{requirements} from the Python package index"),
    )?;
    std::fs::write(&installed, wanted)?;
    Ok(python)
}

/// Runs a command to its end; `what` names it in errors.
pub fn run(command: &mut Command, what: &str) -> Result<()> {
    // Standard output is reserved for the page.
    let status = command.stdout(Stdio::null()).status();
    let status = status.with_context(|| format!("{what}: {:?} cannot be run", command.get_program()))?;
    ensure!(status.success(), "{what} failed ({status}); it says why above");
    Ok(())
}

/// A file of `benches`.
pub fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches").join(name)
}
