//! `inspect`: a network, its placement on the chip, and the sources of the cost model's constants.

mod text;

use std::io::Write;

use anyhow::Result;
use clap::{Args, ValueEnum};
use serde_json::json;

use super::{files, network, progress};
use engine::chip::cost::CostModel;
use engine::chip::draw;
use engine::model::Model;
use engine::model::built_in::Asked;
use engine::model::describe::{describe, describe_chip, describe_widths};
use engine::model::sample::{self, Membranes};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum InspectFormat {
    Text,
    Json,
    /// A drawing of the chip, core by core
    Svg,
}

/// Show a spiking network: layers, sizes, thresholds, and its placement on the chip
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  spikelens inspect snn.safetensors
  spikelens inspect snn.safetensors --format json
  spikelens inspect clothing --format svg > chip.svg
  spikelens inspect --validate
  spikelens inspect tests/golden/paper-32-64-10/snn.safetensors --fit --dataset dataset/fashion-mnist")]
pub struct Inspect {
    /// An SNN file, or a built-in network: photos, clothing, fashion-mnist, paper-32-64-10
    #[arg(value_name = "MODEL", default_value = network::NEW.name())]
    model: Asked,
    /// Output format
    #[arg(long, value_enum, default_value = "text", env = "SPIKELENS_FORMAT")]
    format: InspectFormat,
    /// loihi1-paper or loihi1-cores
    #[arg(long, default_value = "loihi1-paper", env = "SPIKELENS_COST_MODEL")]
    cost_model: CostModel,
    #[cfg(feature = "lab")]
    #[command(flatten)]
    costs: lab::commands::inspect::Costs,
}

impl Inspect {
    /// Runs the command.
    ///
    /// # Errors
    /// If the model cannot be read, or stdout cannot be written.
    pub fn run(self) -> Result<()> {
        #[cfg(feature = "lab")]
        if self.costs.validate {
            return lab::commands::inspect::print_validation(self.costs_as_json("--validate")?);
        }
        let model = files::model(&self.model, self.cost_model)?;
        #[cfg(feature = "lab")]
        if let Some(dataset) = self.costs.dataset.as_ref().filter(|_| self.costs.fit) {
            return lab::commands::inspect::print_fit(&model, dataset, self.costs_as_json("--fit")?);
        }
        match self.format {
            InspectFormat::Json => print_json(&json!({
                "model": describe(&model),
                "chip": describe_chip(&model, None),
                "widths": describe_widths(&model, membranes(&model).as_ref()),
            })),
            InspectFormat::Svg => {
                let drawing = draw::svg(&model.snn.network.name, &model.placement);
                Ok(std::io::stdout().lock().write_all(drawing.as_bytes())?)
            }
            InspectFormat::Text => {
                text::print(&mut std::io::stdout().lock(), &model, membranes(&model).as_ref())
            }
        }
    }
}

#[cfg(feature = "lab")]
impl Inspect {
    fn costs_as_json(&self, option: &str) -> Result<bool> {
        match self.format {
            InspectFormat::Text => Ok(false),
            InspectFormat::Json => Ok(true),
            InspectFormat::Svg => {
                anyhow::bail!("{option} prints text or JSON; svg draws the chip of a MODEL")
            }
        }
    }
}

/// The range of the membranes over the sample pictures; `None` if they cannot be run, which the cost section reports.
fn membranes(model: &Model) -> Option<Membranes> {
    let bar = progress::bar("running samples", sample::count());
    let found = sample::membranes(&model.snn, &model.placement, &|| bar.inc(1)).ok();
    bar.finish_and_clear();
    found
}

fn print_json(value: &impl serde::Serialize) -> Result<()> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, value)?;
    Ok(writeln!(out)?)
}
