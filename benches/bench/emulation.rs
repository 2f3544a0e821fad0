//! The emulators against the float network: the same pictures, one thread on one CPU, all candidates in turn on each
//! slice of pictures, so that other load on the machine affects them equally.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use engine::chip::cost::CostModel;
use engine::emulator::kernel::Kernel;
use engine::emulator::{Emulator, Outcome, reference};
use engine::model::Model;
use engine::network::TimeSteps;
use engine::picture::Picture;
use lab::ann::file::read_ann;
use serde::Serialize;

use crate::float_network::FloatNetwork;
use crate::machine::{name, on_one_cpu};
use crate::summary::{Quantiles, Ratio, Sorted};

/// Pictures that each candidate runs before the next one's turn. They are first run once untimed, to warm the caches
/// and branch predictors that the other candidates used.
const SLICE: usize = 50;
/// Pictures of each slice that the reference emulator runs, in the first round alone: it is a thousand times slower.
const REFERENCE_OF_SLICE: usize = 1;
/// Pictures on which the kernels are compared with the reference emulator before anything is timed.
const CHECKED_BY_REFERENCE: usize = 2;

/// The networks that are measured: name, folder and files.
const NETWORKS: [(&str, &str, &str); 2] = [
    (
        "shipped",
        "models/fashion-mnist.snn.safetensors",
        "models/fashion-mnist.ann.safetensors",
    ),
    (
        "reference bundle's 32-64-10",
        "tests/golden/paper-32-64-10/snn.safetensors",
        "tests/golden/paper-32-64-10/ann.safetensors",
    ),
];

/// What to run.
#[derive(Debug)]
pub struct Plan<'a> {
    pub pictures: &'a [Picture],
    pub time_steps: Vec<TimeSteps>,
    pub rounds: usize,
    pub python: &'a Path,
    pub work: &'a Path,
}

#[derive(Debug, Serialize)]
pub struct Emulation {
    pub cpu: usize,
    pub pictures: usize,
    pub rounds: usize,
    pub runtime: String,
    pub networks: Vec<Network>,
}

#[derive(Debug, Serialize)]
pub struct Network {
    pub name: String,
    /// The time of an empty call of the runtime, which is part of every time of the float network.
    pub empty_call_ms: f64,
    pub rows: Vec<Row>,
}

/// The figures of one candidate.
#[derive(Debug, Serialize)]
pub struct Row {
    /// Time steps of the emulators; the float network, which has none, is timed beside each number of time steps.
    pub time_steps: u32,
    pub engine: String,
    pub pictures: usize,
    pub median_ms: f64,
    pub p99_ms: f64,
    /// The median over the pictures of each one's best round, which is disturbed least.
    pub best_ms: f64,
    pub best_p99_ms: f64,
    /// Ratio of this engine's median to the float network's, per slice.
    pub to_float: Ratio,
    /// Ratio to the previous kernel, if there is one.
    pub to_kernel_before: Option<Ratio>,
    pub quantiles_ms: Quantiles,
    /// In the order of the runs.
    pub slice_medians_ms: Vec<f64>,
}

/// The times of one candidate.
#[derive(Debug, Default, Clone)]
struct Times {
    /// `[picture][round]`, empty if it was not run.
    of_picture: Vec<Vec<f64>>,
    /// `(turn, median)`; candidates that ran directly after one another have the same turn.
    slices: Vec<(usize, f64)>,
}

impl Times {
    fn add(&mut self, turn: usize, first: usize, times: &[f64]) {
        let needed = first + times.len();
        self.of_picture
            .resize_with(needed.max(self.of_picture.len()), Vec::new);
        for (index, &time) in times.iter().enumerate() {
            self.of_picture[first + index].push(time);
        }
        self.slices.push((turn, Sorted::new(times.to_vec()).median()));
    }

    /// The ratios of runs of the same turn.
    fn ratio(&self, other: &Self) -> Ratio {
        Ratio::of(self.slices.iter().filter_map(|&(turn, median)| {
            let beside = other.slices.iter().find(|(other, _)| *other == turn)?;
            Some((median, beside.1))
        }))
    }

    fn row(&self, engine: String, time_steps: TimeSteps, float: &Self, kernel_before: Option<&Self>) -> Row {
        let all = Sorted::new(self.of_picture.iter().flatten().copied().collect());
        let best = self.of_picture.iter().filter(|times| !times.is_empty());
        let best = best.map(|times| times.iter().copied().fold(f64::INFINITY, f64::min));
        let best = Sorted::new(best.collect());
        Row {
            time_steps: time_steps.get(),
            engine,
            pictures: best.len(),
            median_ms: all.median(),
            p99_ms: all.p99(),
            best_ms: best.median(),
            best_p99_ms: best.p99(),
            to_float: self.ratio(float),
            to_kernel_before: kernel_before.map(|before| self.ratio(before)),
            quantiles_ms: all.quantiles(),
            slice_medians_ms: self.slices.iter().map(|(_, median)| *median).collect(),
        }
    }
}

/// A candidate of the comparison at one number of time steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Candidate {
    Float,
    Reference,
    /// Index in [`Kernel::available`].
    Kernel(usize),
}

/// Measures every network.
pub fn measure(plan: &Plan<'_>) -> Result<Emulation> {
    let ((networks, runtime), cpu) = on_one_cpu(|| networks(plan))?;
    Ok(Emulation {
        cpu,
        pictures: plan.pictures.len(),
        rounds: plan.rounds,
        runtime,
        networks,
    })
}

/// The networks' figures, and the float network's runtime.
fn networks(plan: &Plan<'_>) -> Result<(Vec<Network>, String)> {
    let mut networks = Vec::new();
    let mut runtime = String::new();
    for (label, snn, ann) in NETWORKS {
        let model = Model::read(&bytes(snn)?, CostModel::Loihi1Paper).with_context(|| snn.to_owned())?;
        let mut float = FloatNetwork::start(plan.python, &path(ann), plan.pictures, plan.work)?;
        float.check(
            &read_ann(&bytes(ann)?).with_context(|| ann.to_owned())?,
            plan.pictures,
        )?;
        runtime = float.runtime().to_owned();
        networks.push(Bench::new(&model, float, plan)?.run(label)?);
    }
    Ok((networks, runtime))
}

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn bytes(name: &str) -> Result<Vec<u8>> {
    std::fs::read(path(name)).with_context(|| format!("{name} cannot be read"))
}

/// All candidates of one network.
struct Bench<'a> {
    plan: &'a Plan<'a>,
    model: &'a Model,
    kernels: Vec<Kernel>,
    emulators: Vec<Emulator>,
    float: FloatNetwork,
}

impl<'a> Bench<'a> {
    fn new(model: &'a Model, float: FloatNetwork, plan: &'a Plan<'a>) -> Result<Self> {
        let kernels = Kernel::available();
        let tilings = model.placement.tilings();
        let emulators = kernels
            .iter()
            .map(|&kernel| Emulator::with_kernel(Arc::clone(&model.snn), &tilings, kernel))
            .collect();
        Ok(Self {
            plan,
            model,
            kernels,
            emulators,
            float,
        })
    }

    fn run(mut self, label: &str) -> Result<Network> {
        eprintln!("  {label}: every kernel against the reference emulator");
        self.check()?;
        let mut candidates = vec![Candidate::Float];
        candidates.extend((0..self.kernels.len()).map(Candidate::Kernel));
        let steps = self.plan.time_steps.clone();
        let mut times = vec![vec![Times::default(); self.kernels.len() + 2]; steps.len()];
        let mut empty = Vec::new();
        let slices = self.plan.pictures.len().div_ceil(SLICE);
        for turn in 0..self.plan.rounds * slices {
            let (round, slice) = (turn / slices, turn % slices);
            if slice == 0 {
                eprintln!("  {label}: round {} of {}", round + 1, self.plan.rounds);
                empty.extend(self.float.empty(SLICE)?);
            }
            for (index, (&time_steps, times)) in steps.iter().zip(&mut times).enumerate() {
                let turn = turn * steps.len() + index;
                // The order rotates, so that each candidate is first equally often and has different predecessors.
                candidates.rotate_left(1);
                for &candidate in &candidates {
                    let (place, run) = self.slice(candidate, slice, time_steps)?;
                    times[place].add(turn, slice * SLICE, &run);
                }
                if round == 0 {
                    let (place, run) = self.slice(Candidate::Reference, slice, time_steps)?;
                    times[place].add(turn, slice * SLICE, &run);
                }
            }
        }
        let mut rows = Vec::new();
        for (&time_steps, times) in steps.iter().zip(&times) {
            let (float, reference) = (&times[0], &times[1]);
            rows.push(float.row("float".to_owned(), time_steps, float, None));
            rows.push(reference.row("reference".to_owned(), time_steps, float, None));
            for (place, kernel) in self.kernels.iter().enumerate() {
                let before = (place > 0).then(|| &times[place + 1]);
                rows.push(times[place + 2].row(name(*kernel), time_steps, float, before));
            }
        }
        Ok(Network {
            name: label.to_owned(),
            empty_call_ms: Sorted::new(empty).median(),
            rows,
        })
    }

    /// Times one candidate on one slice; returns the index of its times.
    fn slice(
        &mut self,
        candidate: Candidate,
        slice: usize,
        time_steps: TimeSteps,
    ) -> Result<(usize, Vec<f64>)> {
        let first = slice * SLICE;
        let count = SLICE.min(self.plan.pictures.len() - first);
        let pictures = &self.plan.pictures[first..first + count];
        Ok(match candidate {
            Candidate::Float => (0, self.float.run(first, count)?),
            Candidate::Reference => {
                let tilings = self.model.placement.tilings();
                let pictures = &pictures[..REFERENCE_OF_SLICE.min(count)];
                let run = |picture: &Picture| {
                    keep(reference::run(&self.model.snn, &tilings, picture, time_steps)?);
                    Ok(())
                };
                (1, timed(pictures, run)?)
            }
            Candidate::Kernel(place) => {
                let emulator = &mut self.emulators[place];
                let mut run = |picture: &Picture| -> Result<()> {
                    keep(emulator.run(picture, time_steps)?);
                    Ok(())
                };
                for picture in pictures {
                    run(picture)?;
                }
                (2 + place, timed(pictures, run)?)
            }
        })
    }

    /// Wrong code must not look fast: every kernel must equal the first one, and the first one the reference.
    fn check(&mut self) -> Result<()> {
        let tilings = self.model.placement.tilings();
        let wrong = |kernel: Kernel, index: usize, time_steps: TimeSteps| {
            format!(
                "kernel {} is wrong on test picture {index} at T = {time_steps}",
                name(kernel)
            )
        };
        for &time_steps in &self.plan.time_steps {
            for (index, picture) in self.plan.pictures.iter().enumerate() {
                let mut first: Option<Outcome> = None;
                for (&kernel, emulator) in self.kernels.iter().zip(&mut self.emulators) {
                    let outcome = emulator.run(picture, time_steps)?;
                    let wanted = first.get_or_insert_with(|| outcome.clone());
                    ensure!(outcome == wanted, wrong(kernel, index, time_steps));
                }
                if index >= CHECKED_BY_REFERENCE {
                    continue;
                }
                let (states, events) = reference::run(&self.model.snn, &tilings, picture, time_steps)?;
                ensure!(
                    first.is_some_and(|outcome| outcome.events == events),
                    wrong(self.kernels[0], index, time_steps)
                );
                for (&kernel, emulator) in self.kernels.iter().zip(&self.emulators) {
                    for (layer, wanted) in states.iter().enumerate() {
                        ensure!(emulator.state(layer) == *wanted, wrong(kernel, index, time_steps));
                    }
                }
            }
        }
        Ok(())
    }
}

fn keep<T>(value: T) -> T {
    std::hint::black_box(value)
}

/// Milliseconds of `run` for each picture.
fn timed(pictures: &[Picture], mut run: impl FnMut(&Picture) -> Result<()>) -> Result<Vec<f64>> {
    pictures
        .iter()
        .map(|picture| {
            let start = Instant::now();
            run(picture)?;
            Ok(start.elapsed().as_secs_f64() * 1e3)
        })
        .collect()
}
