//! `tune`: continues training an SNN, through its time steps. Needs the cargo feature `train`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use crate::dataset::DATASET_HELP;
use engine::network::TimeSteps;

/// Fine-tune a spiking network through the time steps that it will run for
#[derive(Debug, Args)]
#[command(after_help = "Example:
  spikelens tune snn.safetensors --dataset dataset/fashion-mnist --time-steps 8 --out tuned.safetensors

Weights, biases and initial membranes learn, as the chip's integers; thresholds stay. Pictures are classified by what the
classifier integrates, and compared by the spike counts of the embedding layer: the file names that probe and
--time-steps as its defaults. Tuning needs a build that includes training: cargo build --release --features train")]
pub struct Tune {
    /// The SNN file (safetensors), as convert writes it
    snn: PathBuf,
    #[arg(long, value_name = "DATASET", env = "SPIKELENS_DATASET", help = DATASET_HELP)]
    dataset: PathBuf,
    /// The SNN file to write
    #[arg(long, value_name = "FILE", env = "SPIKELENS_OUT")]
    out: PathBuf,
    /// Number of time steps to tune for
    #[arg(long, value_name = "T", default_value = "8", env = "SPIKELENS_TIME_STEPS")]
    time_steps: TimeSteps,
    /// Number of epochs
    #[arg(long, default_value_t = 1, env = "SPIKELENS_EPOCHS",
          value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=1000))]
    epochs: usize,
    /// Random seed; equal seeds give equal networks on one machine
    #[arg(long, default_value_t = 1, env = "SPIKELENS_SEED")]
    seed: u64,
    /// Batch size
    #[arg(long, default_value_t = 128, env = "SPIKELENS_BATCH")]
    batch: usize,
    /// Initial learning rate of Adam, in units of the thresholds; it decays to zero along half a cosine
    #[arg(long, default_value_t = 5e-4, env = "SPIKELENS_LEARNING_RATE")]
    learning_rate: f32,
    /// Largest random shift of pictures, in pixels, in each direction
    #[arg(long, default_value_t = 0, env = "SPIKELENS_SHIFT",
          value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(0..=8))]
    shift: usize,
    /// Loss per million synaptic operations of a picture: higher values give fewer spikes and less energy
    #[arg(long, default_value_t = 0.0, env = "SPIKELENS_THRIFT")]
    thrift: f32,
    /// Weight of the contrastive loss; the cross entropy has weight 1
    #[arg(long, default_value_t = 0.5, env = "SPIKELENS_CONTRAST")]
    contrast: f32,
    /// Temperature of the contrastive loss
    #[arg(long, default_value_t = 0.1, env = "SPIKELENS_TEMPERATURE")]
    temperature: f32,
    /// Number of training pictures, the last ones, held out to choose the epoch to keep; a data set's own validation
    /// pictures, or a tenth, if it is not Fashion-MNIST
    #[arg(long, default_value_t = 6000, env = "SPIKELENS_VALIDATION")]
    validation: usize,
    /// Only the first N training pictures; N spread evenly, if it is not Fashion-MNIST
    #[arg(long, value_name = "N", env = "SPIKELENS_LIMIT")]
    limit: Option<usize>,
}

#[cfg(not(feature = "train"))]
impl Tune {
    pub fn run(self) -> Result<()> {
        anyhow::bail!(
            "this build does not include training; build one that does with: cargo build --release --features train"
        )
    }
}

#[cfg(feature = "train")]
impl Tune {
    pub fn run(self) -> Result<()> {
        use std::io::Write;

        use anyhow::Context;
        use serde_json::json;
        use sha2::{Digest, Sha256};

        use crate::dataset::{Request, is_fashion_mnist, lessons};
        use crate::files;
        use crate::train::{Contrast, TrainOptions, TuneOptions, tune};
        use crate::training::EpochProgress;
        use engine::chip::place::Placement;
        use engine::network::Probe;
        use engine::network::hex;
        use engine::network::tensors::{read_snn, write_snn};

        let bytes = files::read(&self.snn)?;
        let snn = read_snn(&bytes).with_context(|| format!("{} is refused", self.snn.display()))?;
        let mut lessons = lessons(
            &self.dataset,
            &Request {
                input: Some((snn.network.input, snn.network.recipe)),
                limit: self.limit,
                validation: self.validation,
                tests: false,
            },
        )?;
        if let Some(labels) = &snn.network.labels
            && !is_fashion_mnist(&self.dataset)
        {
            lessons.of_network(labels)?;
        }
        let (pictures, labels) = (&lessons.pictures, &lessons.labels);
        let options = TuneOptions {
            time_steps: self.time_steps,
            thrift: self.thrift,
            training: TrainOptions {
                epochs: self.epochs,
                seed: self.seed,
                batch: self.batch,
                learning_rate: self.learning_rate,
                dropout: 0.0,
                mirror: true,
                shift: self.shift,
                normalise: false,
                contrast: Some(Contrast {
                    weight: self.contrast,
                    temperature: self.temperature,
                }),
                validation: lessons.validation,
                threads: files::threads(),
                ..TrainOptions::default()
            },
        };
        let mut follow = EpochProgress::new("tuning");
        let (mut tuned, report) = tune(&snn, pictures, labels, &options, &mut |now| follow.show(&now))?;
        let placement = Placement::of(&tuned).context("the chip cannot hold this network")?;
        tuned.network.default_probe = Some(Probe::SpikeCount);
        tuned.network.default_time_steps = Some(self.time_steps);
        let conversion = json!({
            "algorithm": "tuned through its time steps",
            "snn": hex(&Sha256::digest(&bytes)),
            "time_steps": self.time_steps.get(),
            "thrift": self.thrift,
            "pictures": pictures.len(),
            "options": options.training,
            "report": report,
        });
        let written = write_snn(&tuned, Some(&conversion.to_string()));
        files::write_whole(&self.out, &written)?;
        let mut out = std::io::stdout().lock();
        writeln!(
            out,
            "{}: {} bytes, id {}, {} cores; epoch {} of {} kept",
            self.out.display(),
            written.len(),
            hex(&Sha256::digest(&written)),
            placement.cores(),
            report.kept_epoch,
            self.epochs
        )?;
        Ok(())
    }
}
