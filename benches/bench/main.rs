//! `make bench`: measures all parts in one run, as ratios where absolute times depend on the machine.
//!
//! The page goes to stdout and, with the figures behind it, into `benches/record/`; `benches/README.md` explains it.
//! Speeds are not asserted; the correctness of what is timed is.

mod emulation;
mod float_network;
mod http;
mod indexing;
mod large;
mod load;
mod machine;
mod page;
mod peers;
mod python;
mod search;
mod summary;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use engine::network::TimeSteps;
use engine::picture::Picture;
use engine::picture::idx::CLASS_NAMES;
use lab::dataset::{Split, fashion_mnist};
use serde::Serialize;

use machine::Machine;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    Emulation,
    Indexing,
    Search,
    Http,
    /// The server beside one in Python; by name, also the emulator beside libraries for spiking networks
    Peers,
    /// A large catalogue; only on request
    Large,
}

/// Measures the speed of the emulators, the search, the server and the indexing on this machine.
#[derive(Debug, Parser)]
#[command(max_term_width = 110)]
struct Arguments {
    /// Few pictures, one round: checks in a minute that everything runs
    #[arg(long)]
    quick: bool,
    /// Only these parts; search and http then use the catalogue that the last indexing left, peers makes one if there is none
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    /// Products of the large catalogue
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    products: usize,
    /// The directory with the four official *-ubyte.gz files of Fashion-MNIST
    #[arg(long, env = "SPIKELENS_DATASET")]
    dataset: PathBuf,
    /// Directory for page and figures [default: benches/record; the build directory for quick or partial runs]
    #[arg(long, value_name = "DIR")]
    record: Option<PathBuf>,
    /// Passed by cargo bench
    #[arg(long, hide = true)]
    bench: bool,
}

/// The extent of a run.
struct Size {
    test_pictures: usize,
    rounds: usize,
    time_steps: &'static [u32],
    indexed: usize,
    /// Duration of each load in each round.
    load: Duration,
    peers: PeersSize,
}

struct PeersSize {
    rounds: usize,
    load: Duration,
    checked: usize,
    spiking_pictures: usize,
    spiking_rounds: usize,
}

const FULL: Size = Size {
    test_pictures: 1000,
    rounds: 5,
    time_steps: &[4, 8, 16, 32, 128],
    indexed: 60_000,
    load: Duration::from_secs(2),
    peers: PeersSize {
        rounds: 30,
        load: Duration::from_secs(1),
        checked: 300,
        spiking_pictures: 300,
        spiking_rounds: 5,
    },
};

const QUICK: Size = Size {
    test_pictures: 100,
    rounds: 1,
    time_steps: &[4, 16],
    indexed: 5000,
    load: Duration::from_secs(1),
    peers: PeersSize {
        rounds: 2,
        load: Duration::from_millis(500),
        checked: 100,
        spiking_pictures: 50,
        spiking_rounds: 1,
    },
};

/// The results of a run.
#[derive(Debug, Serialize)]
struct Record {
    machine: Machine,
    quick: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    emulation: Option<emulation::Emulation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    search: Option<search::Search>,
    #[serde(skip_serializing_if = "Option::is_none")]
    http: Option<http::Http>,
    #[serde(skip_serializing_if = "Option::is_none")]
    indexing: Option<indexing::Indexing>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peers: Option<peers::Peers>,
    #[serde(skip_serializing_if = "Option::is_none")]
    large: Option<large::Large>,
    took: Vec<Took>,
}

#[derive(Debug, Serialize)]
struct Took {
    part: String,
    seconds: f64,
}

fn main() -> ExitCode {
    // `cargo test --benches` runs this too; it does nothing there.
    if !std::env::args().any(|word| word == "--bench") {
        return ExitCode::SUCCESS;
    }
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let size = if arguments.quick { QUICK } else { FULL };
    let wants = |part: Part| arguments.only.is_empty() || arguments.only.contains(&part);
    let work = work_folder()?;
    let data = work.join(if arguments.quick { "data-quick" } else { "data" });
    let (test, classes) = fashion_mnist(&arguments.dataset, Split::Test, Some(size.test_pictures))?;
    let mut record = Record {
        machine: Machine::look()?,
        quick: arguments.quick,
        emulation: None,
        search: None,
        http: None,
        indexing: None,
        peers: None,
        large: None,
        took: Vec::new(),
    };
    let mut took = Vec::new();
    if wants(Part::Emulation) {
        let python = python::environment(&work.join("venv"), "requirements.txt")?;
        let time_steps = size.time_steps.iter().map(|&steps| TimeSteps::new(steps));
        let plan = emulation::Plan {
            pictures: &test,
            time_steps: time_steps.collect::<Result<_, _>>()?,
            rounds: size.rounds,
            python: &python,
            work: &work,
        };
        record.emulation = Some(part("emulation", &mut took, || emulation::measure(&plan))?);
    }
    if wants(Part::Indexing) {
        let training = pictures(&arguments.dataset, Split::Train, size.indexed)?;
        let found = part("indexing", &mut took, || {
            indexing::measure(&arguments.dataset, &data, &training)
        });
        record.indexing = Some(found?);
    }
    if wants(Part::Search) {
        record.search = Some(part("search", &mut took, || search::measure(&data, &test))?);
    }
    if wants(Part::Http) {
        let found = part("http", &mut took, || {
            http::measure(&data, &test, size.rounds, size.load)
        });
        record.http = Some(found?);
    }
    if wants(Part::Peers) {
        let names = classes
            .iter()
            .map(|&class| CLASS_NAMES[usize::from(class)].to_owned());
        let names: Vec<String> = names.collect();
        let service = match peers::service::python(&work.join("venv-peers")) {
            Ok(python) => {
                let plan = peers::service::Plan {
                    dataset: &arguments.dataset,
                    data: &data,
                    products: size.indexed,
                    pictures: &test,
                    classes: &names,
                    checked: size.peers.checked,
                    rounds: size.peers.rounds,
                    load: size.peers.load,
                    python: &python,
                    work: &work,
                };
                peers::Outcome::Measured(part("peers", &mut took, || peers::service::measure(&plan))?)
            }
            Err(error) => peers::Outcome::Missing(format!("{error:#}")),
        };
        let plan = peers::spiking::Plan {
            pictures: &test[..size.peers.spiking_pictures],
            rounds: size.peers.spiking_rounds,
            work: &work,
        };
        // Their environment takes 6 GB.
        let spiking = if arguments.only.contains(&Part::Peers) {
            part("spiking libraries", &mut took, || peers::spiking::measure(&plan))?
        } else {
            Vec::new()
        };
        record.peers = Some(peers::Peers { service, spiking });
    }
    if arguments.only.contains(&Part::Large) {
        let training = pictures(&arguments.dataset, Split::Train, 60_000)?;
        let data = work.join("data-large");
        let found = part("large", &mut took, || {
            large::measure(&data, &training, &test, arguments.products, size.load)
        });
        record.large = Some(found?);
    }
    record.took = took;
    let page = page::page(&record);
    write!(std::io::stdout().lock(), "{page}")?;
    let folder = arguments.record.clone().unwrap_or_else(|| {
        if arguments.quick || !arguments.only.is_empty() {
            work.join("record")
        } else {
            Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/record")
        }
    });
    keep(&folder, &record, &page)
}

/// Runs one part and records its duration.
fn part<T>(name: &str, took: &mut Vec<Took>, work: impl FnOnce() -> Result<T>) -> Result<T> {
    eprintln!("{name}");
    let start = Instant::now();
    let found = work().with_context(|| name.to_owned())?;
    took.push(Took {
        part: name.to_owned(),
        seconds: start.elapsed().as_secs_f64(),
    });
    Ok(found)
}

/// A directory for the benchmark beside the executables.
fn work_folder() -> Result<PathBuf> {
    let target = Path::new(env!("CARGO_BIN_EXE_spikelens")).ancestors().nth(2);
    let folder = target
        .context("executables lie in the build folder")?
        .join("bench");
    std::fs::create_dir_all(&folder).with_context(|| format!("{} cannot be created", folder.display()))?;
    Ok(folder)
}

/// The first `count` pictures of a split.
fn pictures(dataset: &Path, split: Split, count: usize) -> Result<Vec<Picture>> {
    Ok(fashion_mnist(dataset, split, Some(count))?.0)
}

fn keep(folder: &Path, record: &Record, page: &str) -> Result<()> {
    let machine = &record.machine;
    let day = machine.date.split('T').next().unwrap_or(&machine.date);
    let name = format!("{day}-{}", machine.commit);
    std::fs::create_dir_all(folder).with_context(|| format!("{} cannot be created", folder.display()))?;
    let json = serde_json::to_vec(record)?;
    for (ending, bytes) in [("md", page.as_bytes()), ("json", &json)] {
        let path = folder.join(format!("{name}.{ending}"));
        std::fs::write(&path, bytes).with_context(|| format!("{} cannot be written", path.display()))?;
        eprintln!("kept {}", path.display());
    }
    Ok(())
}
