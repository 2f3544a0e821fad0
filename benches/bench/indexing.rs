//! Indexing as an operator does it, on all CPUs: `spikelens import` with the real executable, then the graph, which
//! the first start builds.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use engine::chip::cost::CostModel;
use engine::model::Model;
use engine::model::built_in::BuiltIn;
use engine::neighbours::Neighbours;
use engine::picture::{DecodeLimits, Picture};
use serde::Serialize;
use spikelens::catalogue::Room;
use spikelens::catalogue::sqlite::Sqlite;
use spikelens::chips::{Embedder, RunOptions};
use spikelens::progress::Progress;
use tokio::runtime::Runtime;

use crate::machine::cpus;

#[derive(Debug, Serialize)]
pub struct Indexing {
    pub pictures: usize,
    pub cpus: usize,
    /// `spikelens import`: read, make PNGs, decode, emulate, commit.
    pub import_s: f64,
    /// Emulation of the same pictures alone.
    pub emulation_s: f64,
    /// Reading the embeddings, building and storing the graph.
    pub graph_s: f64,
    /// The same with the stored graph.
    pub reopen_s: f64,
    /// The size of the data directory.
    pub disk_mib: f64,
}

/// The executable without the caller's `SPIKELENS_*`.
pub fn spikelens() -> Command {
    without_settings(Command::new(env!("CARGO_BIN_EXE_spikelens")))
}

/// The same on one CPU.
pub fn spikelens_on(cpu: usize) -> Command {
    let mut command = without_settings(Command::new("taskset"));
    command.args(["-c", &cpu.to_string(), env!("CARGO_BIN_EXE_spikelens")]);
    command
}

fn without_settings(mut command: Command) -> Command {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SPIKELENS_") {
            command.env_remove(name);
        }
    }
    command
}

/// A catalogue that is loaded, to be measured.
pub struct Opened {
    runtime: Runtime,
    pub catalogue: Sqlite,
}

impl Opened {
    /// Opens the index of a data directory on all CPUs.
    pub fn load(data: &Path, model: &Model) -> Result<Self> {
        let runtime = Runtime::new()?;
        let catalogue = Sqlite::open(data, Room::ONE)?;
        let origin = runtime
            .block_on(catalogue.origin())?
            .with_context(|| format!("{} is empty; leave `indexing` in, it fills it", data.display()))?;
        ensure!(
            origin.model_id == model.id,
            "{} was made by another model; leave `indexing` in, it fills it again",
            data.display()
        );
        let dimensions = model.snn.network.embedding_dimensions();
        let progress = Arc::new(Progress::default());
        runtime.block_on(catalogue.load(origin, dimensions, cpus()?, progress))?;
        Ok(Self { runtime, catalogue })
    }

    /// Whether the graph was kept by an earlier process.
    pub fn kept(&self) -> Result<bool> {
        Ok(self
            .runtime
            .block_on(self.catalogue.stats(spikelens::admission::Work::OWN))?
            .index
            .kept)
    }

    /// How many pictures are searched.
    pub fn pictures(&self) -> Result<usize> {
        self.catalogue.pictures().context("it is loaded")
    }

    /// Reads the neighbours.
    pub fn neighbours<T>(&self, read: impl FnOnce(&Neighbours) -> T) -> T {
        self.catalogue.with_neighbours(read).expect("it is loaded")
    }

    /// Ends the catalogue, so that it can be opened again.
    pub fn close(self) {
        self.runtime.block_on(self.catalogue.close());
    }
}

/// Recreates `data` from `pictures`, which are the first of the data set's training pictures.
pub fn measure(dataset: &Path, data: &Path, pictures: &[Picture]) -> Result<Indexing> {
    let cpus = cpus()?;
    let model = Arc::new(Model::read(BuiltIn::FashionMnist.file(), CostModel::Loihi1Paper)?);

    eprintln!("  {} pictures through the emulators alone", pictures.len());
    let start = Instant::now();
    emulate(&model, pictures, cpus)?;
    let emulation_s = start.elapsed().as_secs_f64();

    let start = Instant::now();
    import(dataset, data, pictures.len())?;
    let import_s = start.elapsed().as_secs_f64();

    eprintln!("  the graph");
    let start = Instant::now();
    let built = Opened::load(data, &model)?;
    let graph_s = start.elapsed().as_secs_f64();
    ensure!(!built.kept()?, "the graph was to be built, it was found");
    ensure!(
        built.pictures()? == pictures.len(),
        "{} of {} pictures are in the index",
        built.pictures()?,
        pictures.len()
    );
    built.close();
    let start = Instant::now();
    let kept = Opened::load(data, &model)?;
    let reopen_s = start.elapsed().as_secs_f64();
    ensure!(
        kept.kept()? || kept.neighbours(|neighbours| neighbours.links().is_none()),
        "the graph that was built was not kept"
    );
    Ok(Indexing {
        pictures: pictures.len(),
        cpus,
        import_s,
        emulation_s,
        graph_s,
        reopen_s,
        disk_mib: size(data)? as f64 / f64::from(1 << 20),
    })
}

/// Recreates `data` from the first `count` of the data set's training pictures.
pub fn import(dataset: &Path, data: &Path, count: usize) -> Result<()> {
    if data.exists() {
        std::fs::remove_dir_all(data).with_context(|| format!("{} cannot be removed", data.display()))?;
    }
    eprintln!("  spikelens import");
    let status = spikelens()
        .arg("import")
        .arg(dataset)
        .arg("--data-dir")
        .arg(data)
        .args(["--limit", &count.to_string()])
        .stdout(Stdio::null())
        .status()?;
    ensure!(status.success(), "spikelens import failed; it says why above");
    Ok(())
}

fn emulate(model: &Arc<Model>, pictures: &[Picture], threads: usize) -> Result<()> {
    let options = RunOptions::of(model);
    std::thread::scope(|scope| {
        let parts: Vec<_> = pictures
            .chunks(pictures.len().div_ceil(threads))
            .map(|part| {
                scope.spawn(move || -> Result<()> {
                    let mut embedder = Embedder::new(Arc::clone(model), DecodeLimits::default());
                    for picture in part {
                        std::hint::black_box(embedder.embed_picture(picture, options)?);
                    }
                    Ok(())
                })
            })
            .collect();
        parts.into_iter().try_for_each(|part| {
            part.join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    })
}

/// Bytes of all files below a folder.
pub fn size(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() {
            size(&entry.path())?
        } else {
            metadata.len()
        };
    }
    Ok(bytes)
}
