//! `convert`.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::ann::file::read_ann;
use crate::convert::{ConvertOptions, convert};
use crate::dataset::{DATASET_HELP, calibration};
use crate::files;
use crate::progress;
use engine::chip::place::Placement;
use engine::network::activation::Activation;
use engine::network::hex;
use engine::network::tensors::write_snn;
use engine::network::{Probe, TimeSteps};

/// Convert a trained network into a spiking one
///
/// Uses Algorithm 1 of the paper. For a network trained with clipped activations (train --recipe metric), the
/// thresholds follow from the ceilings of the activations.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  spikelens convert ann.safetensors --calibration dataset/fashion-mnist --out snn.safetensors")]
pub struct Convert {
    /// The ANN file (safetensors)
    ann: PathBuf,
    #[arg(long, value_name = "DATASET", env = "SPIKELENS_CALIBRATION", help = DATASET_HELP)]
    calibration: PathBuf,
    /// The SNN file to write
    #[arg(long, value_name = "FILE", env = "SPIKELENS_OUT")]
    out: PathBuf,
    /// Bits of a weight, sign included: 2 to 9
    #[arg(long, default_value_t = 9, env = "SPIKELENS_WEIGHT_BITS")]
    weight_bits: u32,
    /// Bits of a bias, sign included: 2 to 13 [default: 9; 13 for clipped activations]
    #[arg(long, env = "SPIKELENS_BIAS_BITS")]
    bias_bits: Option<u32>,
    /// Number of training pictures for the calibration: the first ones of Fashion-MNIST, spread evenly over another
    /// data set
    #[arg(long, default_value_t = 2000, env = "SPIKELENS_SAMPLES")]
    samples: usize,
    /// The percentile of a layer's input that becomes its threshold
    #[arg(long, default_value_t = 100.0, env = "SPIKELENS_PERCENTILE")]
    percentile: f64,
    /// Initial membrane of every input neuron [default: 0; 127, half a threshold, for clipped activations]
    #[arg(long, value_name = "N", env = "SPIKELENS_INPUT_INITIAL_MEMBRANE")]
    input_initial_membrane: Option<i32>,
    /// Default probe stored in the file [default: the ANN's, if it has one]
    #[arg(long, env = "SPIKELENS_DEFAULT_PROBE")]
    default_probe: Option<Probe>,
    /// Default time steps stored in the file [default: the ANN's, if it has one]
    #[arg(long, env = "SPIKELENS_DEFAULT_TIME_STEPS")]
    default_time_steps: Option<TimeSteps>,
}

impl Convert {
    pub fn run(self) -> Result<()> {
        let bytes = files::read(&self.ann)?;
        let mut ann = read_ann(&bytes).with_context(|| format!("{} is refused", self.ann.display()))?;
        let (input, recipe) = (ann.network.input, ann.network.recipe);
        let pictures = calibration(&self.calibration, input, recipe, self.samples)?;
        ann.network.default_probe = self.default_probe.or(ann.network.default_probe);
        ann.network.default_time_steps = self.default_time_steps.or(ann.network.default_time_steps);
        let clipped = ann.network.activation != Activation::Relu;
        let options = ConvertOptions {
            weight_bits: self.weight_bits,
            bias_bits: self.bias_bits.unwrap_or(if clipped { 13 } else { 9 }),
            percentile: self.percentile,
            input_initial_membrane: self
                .input_initial_membrane
                .unwrap_or(if clipped { 127 } else { 0 }),
        };
        let bar = progress::bar("calibrating", pictures.len() * ann.network.layers.len());
        let snn = convert(&ann, &pictures, &options, files::threads(), &|count| {
            bar.inc(progress::steps(count));
        })?;
        bar.finish();
        Placement::of(&snn).context("the chip cannot hold this network")?;
        let conversion = json!({
            "algorithm": if clipped {
                "thresholds from trained ceilings; initial membranes of half a threshold less the bias of the steps \
                 before input can arrive"
            } else {
                "Algorithm 1 (Liu et al.)"
            },
            "ann": hex(&Sha256::digest(&bytes)),
            "samples": pictures.len(),
            "weight_bits": options.weight_bits,
            "bias_bits": options.bias_bits,
            "percentile": options.percentile,
            "input_initial_membrane": options.input_initial_membrane,
        });
        let written = write_snn(&snn, Some(&conversion.to_string()));
        files::write_whole(&self.out, &written)?;
        let mut out = std::io::stdout().lock();
        writeln!(
            out,
            "{}: {} bytes, id {}",
            self.out.display(),
            written.len(),
            hex(&Sha256::digest(&written))
        )?;
        writeln!(out, "input: threshold {}", snn.input_threshold)?;
        for (layer, parameters) in snn.layers() {
            writeln!(
                out,
                "{}: {} parameters, threshold {}",
                layer.name,
                parameters.count(),
                parameters.threshold
            )?;
        }
        Ok(())
    }
}
