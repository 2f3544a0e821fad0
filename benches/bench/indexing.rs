//! Indexing as an operator does it, on all CPUs: `spikelens import` with the real executable, then the graph, which
//! the first start builds.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use engine::chip::cost::CostModel;
use engine::model::Model;
use engine::picture::{DecodeLimits, Picture};
use serde::Serialize;
use spikelens::catalogue::store::Store;
use spikelens::service::Progress;
use spikelens::service::embed::{Embedder, RunOptions};
use spikelens::service::index::Index;

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
    let mut command = Command::new(env!("CARGO_BIN_EXE_spikelens"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SPIKELENS_") {
            command.env_remove(name);
        }
    }
    command
}

/// Opens the index of a data directory on all CPUs.
pub fn open(data: &Path, model: &Model) -> Result<Index> {
    let store = Store::open(data)?;
    let origin = store
        .origin()?
        .with_context(|| format!("{} is empty; leave `indexing` in, it fills it", data.display()))?;
    ensure!(
        origin.model_id == model.id,
        "{} was made by another model; leave `indexing` in, it fills it again",
        data.display()
    );
    let dimensions = model.snn.network.embedding_dimensions();
    Ok(Index::open(
        &store,
        &origin,
        dimensions,
        cpus()?,
        &Progress::default(),
    )?)
}

/// Recreates `data` from `pictures`, which are the first of the data set's training pictures.
pub fn measure(dataset: &Path, data: &Path, pictures: &[Picture]) -> Result<Indexing> {
    if data.exists() {
        std::fs::remove_dir_all(data).with_context(|| format!("{} cannot be removed", data.display()))?;
    }
    let cpus = cpus()?;
    let model = Arc::new(Model::read(Model::SHIPPED, CostModel::Loihi1Paper)?);

    eprintln!("  {} pictures through the emulators alone", pictures.len());
    let start = Instant::now();
    emulate(&model, pictures, cpus)?;
    let emulation_s = start.elapsed().as_secs_f64();

    eprintln!("  spikelens import");
    let start = Instant::now();
    let status = spikelens()
        .arg("import")
        .arg(dataset)
        .arg("--data-dir")
        .arg(data)
        .args(["--limit", &pictures.len().to_string()])
        .stdout(Stdio::null())
        .status()?;
    let import_s = start.elapsed().as_secs_f64();
    ensure!(status.success(), "spikelens import failed; it says why above");

    eprintln!("  the graph");
    let start = Instant::now();
    let built = open(data, &model)?;
    let graph_s = start.elapsed().as_secs_f64();
    ensure!(!built.from_cache, "the graph was to be built, it was found");
    ensure!(
        built.neighbours.live() == pictures.len(),
        "{} of {} pictures are in the index",
        built.neighbours.live(),
        pictures.len()
    );
    drop(built);
    let start = Instant::now();
    let kept = open(data, &model)?;
    let reopen_s = start.elapsed().as_secs_f64();
    ensure!(
        kept.from_cache || !kept.neighbours.has_graph(),
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
