//! `tune`: continues training an SNN, through its time steps. Needs the cargo feature `train`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use super::teaching::Teaching;
use super::views::ViewOptions;
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
    /// Highest learning rate, in units of the thresholds; it decays to zero along half a cosine
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
    /// Temperature of the contrastive loss [default: 0.1; photos: 0.2]
    #[arg(long, env = "SPIKELENS_TEMPERATURE")]
    temperature: Option<f32>,
    /// Number of training pictures, the last ones, held out to choose the epoch to keep; a data set's own validation
    /// pictures, or a tenth, if it is not Fashion-MNIST; for photos without validation pictures the last epoch is kept
    /// [default: 6000; photos: 0]
    #[arg(long, env = "SPIKELENS_VALIDATION")]
    validation: Option<usize>,
    /// Only the first N training pictures; N spread evenly, if it is not Fashion-MNIST
    #[arg(long, value_name = "N", env = "SPIKELENS_LIMIT")]
    limit: Option<usize>,
    /// Tune as `train --recipe photos` trains: on random views of pictures of any size, with AdamW and smoothed labels
    /// [default: true for a network that takes colour, or a stretched picture]
    #[arg(long, env = "SPIKELENS_PHOTOS")]
    photos: Option<bool>,
    /// Photos: weight decay of AdamW, in units of the thresholds
    #[arg(long, default_value_t = 0.0, env = "SPIKELENS_DECAY")]
    decay: f32,
    /// Photos: share of all steps in which the learning rate grows to its highest
    #[arg(long, default_value_t = 0.05, env = "SPIKELENS_WARM_UP")]
    warm_up: f32,
    #[command(flatten)]
    teaching: Teaching,
    #[command(flatten)]
    augmentation: ViewOptions,
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
        use crate::train::{Examples, tune_examples};
        use crate::training::{EpochProgress, read_teacher, read_tutor, stored};
        use engine::chip::place::Placement;
        use engine::network::Probe;
        use engine::network::hex;
        use engine::network::tensors::{read_snn, write_snn};

        let bytes = files::read(&self.snn)?;
        let snn = read_snn(&bytes).with_context(|| format!("{} is refused", self.snn.display()))?;
        let mut options = self.options(&snn.network);
        let network = &snn.network;
        let mut lessons = lessons(
            &self.dataset,
            &Request {
                input: Some(stored(network.input, network.recipe)),
                limit: self.limit,
                validation: options.training.validation,
                tests: false,
                unlabelled: self.teaching.views > 1,
                taught: self.teaching.teacher.is_some(),
            },
        )?;
        if let Some(labels) = &network.labels
            && !is_fashion_mnist(&self.dataset)
        {
            lessons.of_network(labels)?;
        }
        options.training.validation = lessons.validation;
        let pictures = &lessons.pictures;
        let labels = &lessons.labels;
        let teacher = match &self.teaching.teacher {
            None => None,
            Some(path) => Some(read_teacher(path, &files::read(path)?, pictures.len())?),
        };
        let tutor = match &self.teaching.tutor {
            None => None,
            Some(path) => Some(read_tutor(path, &files::read(path)?, &lessons.classes)?),
        };
        let examples = Examples {
            pictures,
            labels,
            groups: self.teaching.siblings.then_some(&lessons.groups[..]),
            teacher: teacher.as_ref(),
            tutor: tutor.as_ref(),
        };
        let mut follow = EpochProgress::new("tuning");
        let (mut tuned, report) = tune_examples(&snn, examples, &options, &mut |now| follow.show(&now))?;
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

    fn options(&self, network: &engine::network::Network) -> crate::train::TuneOptions {
        use crate::train::{AdamW, Augmentation, Contrast, TrainOptions, TuneOptions};
        use engine::picture::Recipe;

        let photos = self
            .photos
            .unwrap_or(network.input.channels == 3 || network.recipe == Recipe::Stretched);
        TuneOptions {
            time_steps: self.time_steps,
            thrift: self.thrift,
            training: TrainOptions {
                epochs: self.epochs,
                seed: self.seed,
                batch: self.batch,
                learning_rate: self.learning_rate,
                dropout: 0.0,
                mirror: !photos,
                shift: self.shift,
                normalise: false,
                contrast: Some(Contrast {
                    weight: self.contrast,
                    temperature: self.temperature.unwrap_or(if photos { 0.2 } else { 0.1 }),
                }),
                augmentation: photos.then(|| self.augmentation.over(Augmentation::mild())),
                adam_w: photos.then_some(AdamW {
                    decay: self.decay,
                    warm_up: self.warm_up,
                    average: 0.0,
                }),
                smoothing: if photos { self.teaching.smoothing } else { 0.0 },
                views: self.teaching.views,
                relation: self.teaching.relation(),
                distillation: self.teaching.distillation(),
                validation: self.validation.unwrap_or(if photos { 0 } else { 6_000 }),
                threads: crate::files::threads(),
            },
        }
    }
}
