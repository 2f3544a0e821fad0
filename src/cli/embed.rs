//! `embed` and `bench`: pictures on the emulated chip, without a catalogue.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use serde_json::json;

use super::{files, network, progress};
use crate::admission::Work;
use crate::chips::{Embedder, RunOptions};
use engine::chip::cost::CostModel;
use engine::embedding::stopping::Length;
use engine::emulator::{Emulator, reference};
use engine::model::built_in::Asked;
use engine::network::{Probe, TimeSteps};
use engine::picture::{DecodeLimits, Mode, Picture, npy};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum EmbedFormat {
    Jsonl,
    Npy,
}

/// Run pictures on the emulated chip and print their embeddings (integers) and modelled cost
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  spikelens embed shoe.png bag.jpg --time-steps 16
  spikelens embed shoe.png --model fashion-mnist
  spikelens embed pictures.npy --probe membrane --format npy --out embeddings.npy")]
pub struct Embed {
    /// PNG, JPEG, WebP, GIF or BMP files, or .npy files of u8 pixels [c,h,w] or [n,c,h,w]
    #[arg(required = true, value_name = "PICTURE")]
    pictures: Vec<PathBuf>,
    /// An SNN file, or a built-in network: photos, clothing, fashion-mnist, paper-32-64-10
    #[arg(long, value_name = "MODEL", default_value = network::NEW.name(), env = "SPIKELENS_MODEL")]
    model: Asked,
    /// Time steps, 1 to 1024, or auto: run each picture until its answer is settled [default: the model's]
    #[arg(long, value_name = "T", env = "SPIKELENS_TIME_STEPS")]
    time_steps: Option<Length>,
    /// spike_count, membrane or integrated [default: the model's]
    #[arg(long, env = "SPIKELENS_PROBE")]
    probe: Option<Probe>,
    /// auto: the model's own preparation; as_is: only convert to the network's channels and resize
    #[arg(long, default_value = "auto", env = "SPIKELENS_PREPARE")]
    prepare: Mode,
    /// One JSON object per line, or one int32 array [pictures, dimensions]
    #[arg(long, value_enum, default_value = "jsonl", env = "SPIKELENS_FORMAT")]
    format: EmbedFormat,
    /// Output file [default: stdout]
    #[arg(long, value_name = "FILE", env = "SPIKELENS_OUT")]
    out: Option<PathBuf>,
    /// Include a trace of each run: spikes by time step, counts by core, the prepared picture (jsonl only)
    #[arg(long, env = "SPIKELENS_TRACE")]
    trace: bool,
    /// loihi1-paper or loihi1-cores
    #[arg(long, default_value = "loihi1-paper", env = "SPIKELENS_COST_MODEL")]
    cost_model: CostModel,
}

impl Embed {
    /// Runs the command.
    ///
    /// # Errors
    /// If a file cannot be read or a picture cannot be run, or the output cannot be written.
    pub fn run(self) -> Result<()> {
        if self.trace && self.format == EmbedFormat::Npy {
            bail!("--trace cannot be written to a .npy file; use --format jsonl");
        }
        let model = files::model(&self.model, self.cost_model)?;
        let options = RunOptions {
            time_steps: self.time_steps.unwrap_or(model.snn.network.time_steps().into()),
            probe: self.probe.unwrap_or(model.snn.network.probe()),
            mode: self.prepare,
            region: None,
            trace: self.trace,
        };
        let dimensions = model.snn.network.embedding_dimensions();
        let mut embedder = Embedder::new(model, DecodeLimits::default());
        let mut stdout = std::io::stdout().lock();
        let mut file = Vec::new();
        let streams = self.out.is_none() && self.format == EmbedFormat::Jsonl;
        let mut rows: Vec<i32> = Vec::new();
        let bar = progress::bar("embedding", self.pictures.len());
        for path in &self.pictures {
            for (name, picture) in pictures(&embedder, path, options.mode)? {
                let embedded = embedder
                    .embed_picture(&picture, options)
                    .with_context(|| name.clone())?;
                if self.format == EmbedFormat::Npy {
                    rows.extend(embedded.embedding.values);
                    continue;
                }
                let mut line = json!({
                    "picture": name,
                    "probe": options.probe,
                    "time_steps": embedded.embedding.time_steps.get(),
                    "embedding": embedded.embedding.values,
                    "prediction": embedded.prediction,
                    "emulation": embedded.emulation,
                });
                if let Some(trace) = embedded.trace {
                    line["trace"] = json!(trace);
                }
                if streams {
                    writeln!(stdout, "{line}")?;
                } else {
                    writeln!(file, "{line}")?;
                }
            }
            bar.inc(1);
        }
        bar.finish_and_clear();
        if self.format == EmbedFormat::Npy {
            let shape = (rows.len() / dimensions, dimensions);
            let array = ndarray::Array2::from_shape_vec(shape, rows)?;
            file = npy::write_i32(array.view());
        }
        match &self.out {
            Some(path) => files::write_whole(path, &file),
            None => Ok(stdout.write_all(&file)?),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum BenchFormat {
    Text,
    Jsonl,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Which {
    EventDriven,
    Reference,
}

/// Measure how fast this machine emulates: one thread, without loading and decoding
#[derive(Debug, Args)]
#[command(after_help = "Example:
  spikelens bench pictures.npy --model fashion-mnist --time-steps 16")]
pub struct Bench {
    /// Picture files, or .npy files of u8 pixels [c,h,w] or [n,c,h,w]
    #[arg(required = true, value_name = "PICTURE")]
    pictures: Vec<PathBuf>,
    /// An SNN file, or a built-in network: photos, clothing, fashion-mnist, paper-32-64-10
    #[arg(long, value_name = "MODEL", default_value = network::NEW.name(), env = "SPIKELENS_MODEL")]
    model: Asked,
    /// Time steps, 1 to 1024 [default: the model's]
    #[arg(long, value_name = "T", env = "SPIKELENS_TIME_STEPS")]
    time_steps: Option<TimeSteps>,
    /// The event-driven emulator, or the slow reference emulator that it is tested against
    #[arg(long, value_enum, default_value = "event-driven", env = "SPIKELENS_EMULATOR")]
    emulator: Which,
    /// Median, p99 and pictures per second, or one line {"ms": x} per picture
    #[arg(long, value_enum, default_value = "text", env = "SPIKELENS_FORMAT")]
    format: BenchFormat,
}

impl Bench {
    /// Runs the command.
    ///
    /// # Errors
    /// If a file cannot be read or a picture cannot be run, or stdout cannot be written.
    pub fn run(self) -> Result<()> {
        let model = files::model(&self.model, CostModel::Loihi1Paper)?;
        let time_steps = self.time_steps.unwrap_or(model.snn.network.time_steps());
        let embedder = Embedder::new(std::sync::Arc::clone(&model), DecodeLimits::default());
        let mut all = Vec::new();
        for path in &self.pictures {
            all.extend(pictures(&embedder, path, Mode::Auto)?);
        }
        let tilings = model.placement.tilings();
        let mut emulator = Emulator::new(std::sync::Arc::clone(&model.snn), &tilings);
        let mut emulate = |name: &str, picture: &Picture| -> Result<Duration> {
            let start = Instant::now();
            match self.emulator {
                Which::EventDriven => {
                    let outcome = emulator
                        .run(picture, time_steps)
                        .with_context(|| name.to_owned())?;
                    std::hint::black_box(outcome);
                }
                Which::Reference => {
                    let outcome = reference::run(&model.snn, &tilings, picture, time_steps)
                        .with_context(|| name.to_owned())?;
                    std::hint::black_box(outcome);
                }
            }
            Ok(start.elapsed())
        };
        // The first pictures warm up caches and buffers, and are run again for the measurement.
        for (name, picture) in all.iter().take(20) {
            emulate(name, picture)?;
        }
        let mut times = Vec::with_capacity(all.len());
        let bar = progress::bar("emulating", all.len());
        for (name, picture) in &all {
            times.push(emulate(name, picture)?.as_secs_f64() * 1e3);
            bar.inc(1);
        }
        bar.finish_and_clear();
        let mut out = std::io::stdout().lock();
        if self.format == BenchFormat::Jsonl {
            for ms in times {
                writeln!(out, "{}", json!({"ms": ms}))?;
            }
            return Ok(());
        }
        let mean = times.iter().sum::<f64>() / times.len() as f64;
        times.sort_by(f64::total_cmp);
        let at = |share: f64| times[((times.len() - 1) as f64 * share).round() as usize];
        writeln!(
            out,
            "{} pictures, T = {time_steps}, one thread: median {:.4} ms, p99 {:.4} ms, {:.0} pictures per second",
            times.len(),
            at(0.5),
            at(0.99),
            1e3 / mean
        )?;
        Ok(())
    }
}

/// The pictures of one file, each with a name. Pictures in a `.npy` file are used as they are, others are decoded and
/// prepared.
///
/// # Errors
/// If the file cannot be read or decoded, or does not have the network's input shape.
pub fn pictures(embedder: &Embedder, path: &Path, mode: Mode) -> Result<Vec<(String, Picture)>> {
    let name = path.display().to_string();
    let bytes = files::read(path)?;
    if !npy::is_npy(&bytes) {
        let (_, picture) = embedder
            .prepare(&bytes, mode, &Work::OWN)
            .with_context(|| name.clone())?;
        return Ok(vec![(name, picture)]);
    }
    let wanted = embedder.model().snn.network.input;
    let pictures = npy::pictures(&bytes).with_context(|| name.clone())?;
    if pictures.is_empty() {
        bail!("{name} contains no pictures");
    }
    let single = pictures.len() == 1;
    pictures
        .into_iter()
        .enumerate()
        .map(|(index, picture)| {
            let name = if single {
                name.clone()
            } else {
                format!("{name}[{index}]")
            };
            let picture = picture.with_shape(wanted).with_context(|| name.clone())?;
            Ok((name, picture))
        })
        .collect()
}
