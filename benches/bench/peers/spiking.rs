//! The emulator beside libraries for spiking networks, driven by `benches/peers/spiking.py`: the same network and
//! pictures, one picture at a time, all on one thread of one CPU, in turn on each slice of pictures.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, ensure};
use engine::chip::cost::CostModel;
use engine::emulator::Emulator;
use engine::model::Model;
use engine::model::built_in::BuiltIn;
use engine::network::TimeSteps;
use engine::picture::Picture;
use serde::{Deserialize, Serialize};

use crate::machine::on_one_cpu;
use crate::peers::Outcome;
use crate::python::{Script, environment, write_pictures};
use crate::summary::{Ratio, Sorted};

const LIBRARIES: [&str; 2] = ["spikingjelly", "snntorch"];
const SNN: &str = "models/fashion-mnist.snn.safetensors";
/// The network's own number of time steps.
const TIME_STEPS: u32 = 8;
/// Pictures of one turn.
const SLICE: usize = 25;
/// Pictures whose spike counts are compared.
const CHECKED: usize = 100;
/// How far the spikes of all neurons together may differ.
const APART: f64 = 0.01;

/// What to run.
#[derive(Debug)]
pub struct Plan<'a> {
    pub pictures: &'a [Picture],
    pub rounds: usize,
    /// A folder for the Python environment and the pictures.
    pub work: &'a Path,
}

/// The emulator beside one library.
#[derive(Debug, Serialize)]
pub struct Beside {
    pub library: &'static str,
    pub outcome: Outcome<Measured>,
}

#[derive(Debug, Serialize)]
pub struct Measured {
    pub runtime: String,
    pub time_steps: u32,
    pub pictures: usize,
    pub rounds: usize,
    pub checked: usize,
    /// Pictures for which every neuron spiked as often as ours.
    pub equal: usize,
    /// The difference of all spikes together, relative to ours.
    pub spikes_apart: f64,
    pub ours_ms: f64,
    pub ours_p99_ms: f64,
    pub library_ms: f64,
    pub library_p99_ms: f64,
    /// Of the library's time to ours, per slice.
    pub ratio: Ratio,
}

#[derive(Deserialize)]
struct Counts {
    /// `[picture][layer][neuron]`, the input layer first.
    counts: Vec<Vec<Vec<u32>>>,
}

pub fn measure(plan: &Plan<'_>) -> Result<Vec<Beside>> {
    let python = match environment(&plan.work.join("venv-spiking"), "peers/requirements-spiking.txt") {
        Ok(python) => python,
        Err(error) => {
            eprintln!("  {error:#}");
            let missing = |library| Beside {
                library,
                outcome: Outcome::Missing(format!("{error:#}")),
            };
            return Ok(LIBRARIES.map(missing).into());
        }
    };
    let snn = Path::new(env!("CARGO_MANIFEST_DIR")).join(SNN);
    let raw = write_pictures(plan.pictures, plan.work)?;
    let steps = TIME_STEPS.to_string();
    let beside = LIBRARIES.map(|library| {
        eprintln!("  {library}");
        let arguments = [Path::new(library), &snn, &raw, Path::new(&steps)];
        let (outcome, _) = on_one_cpu(|| {
            match Script::start(&python, "peers/spiking.py", &arguments, plan.pictures.len()) {
                Ok(script) => run(plan, script).map(Outcome::Measured),
                Err(error) => Ok(Outcome::Missing(format!("{error:#}"))),
            }
        })?;
        Ok(Beside { library, outcome })
    });
    beside.into_iter().collect()
}

fn run(plan: &Plan<'_>, mut script: Script) -> Result<Measured> {
    let model = Model::read(BuiltIn::FashionMnist.file(), CostModel::Loihi1Paper)?;
    let mut emulator = Emulator::new(Arc::clone(&model.snn), &model.placement.tilings());
    let time_steps = TimeSteps::new(TIME_STEPS)?;
    let checked = CHECKED.min(plan.pictures.len());
    let (equal, spikes_apart) = compare(&mut emulator, time_steps, &plan.pictures[..checked], &mut script)?;
    ensure!(
        spikes_apart <= APART,
        "{} runs another network: its neurons spike {:.1} % more or less than ours",
        script.runtime,
        100.0 * spikes_apart
    );
    let (mut ours, mut library, mut turns) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..plan.rounds {
        for (index, slice) in plan.pictures.chunks(SLICE).enumerate() {
            let first = index * SLICE;
            let (own, other) = if (round + index) % 2 == 0 {
                let own = timed(&mut emulator, slice, time_steps)?;
                (own, script.run(first, slice.len())?)
            } else {
                let other = script.run(first, slice.len())?;
                (timed(&mut emulator, slice, time_steps)?, other)
            };
            turns.push((
                Sorted::new(other.clone()).median(),
                Sorted::new(own.clone()).median(),
            ));
            ours.extend(own);
            library.extend(other);
        }
    }
    let (ours, library) = (Sorted::new(ours), Sorted::new(library));
    Ok(Measured {
        runtime: script.runtime.clone(),
        time_steps: TIME_STEPS,
        pictures: plan.pictures.len(),
        rounds: plan.rounds,
        checked,
        equal,
        spikes_apart,
        ours_ms: ours.median(),
        ours_p99_ms: ours.p99(),
        library_ms: library.median(),
        library_p99_ms: library.p99(),
        ratio: Ratio::of(turns.into_iter()),
    })
}

/// Pictures with equal spike counts of all neurons, and the relative difference of all spikes.
fn compare(
    emulator: &mut Emulator,
    time_steps: TimeSteps,
    pictures: &[Picture],
    script: &mut Script,
) -> Result<(usize, f64)> {
    let Counts { counts } = script.ask(&format!("counts 0 {}", pictures.len()))?;
    ensure!(
        counts.len() == pictures.len(),
        "spike counts of {} pictures",
        counts.len()
    );
    let (mut equal, mut own, mut apart) = (0, 0u64, 0u64);
    for (picture, found) in pictures.iter().zip(&counts) {
        emulator.run(picture, time_steps)?;
        let mut same = true;
        for (index, found) in found.iter().enumerate() {
            let wanted = emulator.state(index).spike_counts;
            ensure!(
                wanted.len() == found.len(),
                "layer {index} has {} neurons, {} is right",
                found.len(),
                wanted.len()
            );
            same &= wanted == *found;
            own += wanted.iter().map(|&count| u64::from(count)).sum::<u64>();
            let pairs = wanted.iter().zip(found);
            apart += pairs.map(|(&a, &b)| u64::from(a.abs_diff(b))).sum::<u64>();
        }
        equal += usize::from(same);
    }
    Ok((equal, apart as f64 / own as f64))
}

/// Milliseconds of each picture; all are run once untimed before.
fn timed(emulator: &mut Emulator, pictures: &[Picture], time_steps: TimeSteps) -> Result<Vec<f64>> {
    for picture in pictures {
        emulator.run(picture, time_steps)?;
    }
    let times = pictures.iter().map(|picture| {
        let start = Instant::now();
        std::hint::black_box(emulator.run(picture, time_steps)?);
        Ok(start.elapsed().as_secs_f64() * 1e3)
    });
    times.collect()
}
