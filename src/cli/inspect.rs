//! `inspect`: a network, its chip, and where the cost model's constants come from.

mod text;
mod validation;

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use serde_json::json;

use super::files::{self, Split};
use super::progress;
use crate::chip::cost::{CostModel, Terms, paper};
use crate::chip::draw;
use crate::chip::fit::{Fitted, MEASURED, fit};
use crate::chip::validation::validate;
use crate::emulator::Emulator;
use crate::network::TimeSteps;
use crate::service::describe::{describe, describe_chip, describe_widths};
use crate::service::model::Model;
use crate::service::sample::{self, Membranes};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum InspectFormat {
    Text,
    Json,
    /// The chip, core by core, as a drawing
    Svg,
}

/// Show a spiking network: layers, sizes, thresholds, and the chip core by core
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  spikelens inspect snn.safetensors
  spikelens inspect snn.safetensors --format json
  spikelens inspect snn.safetensors --format svg > chip.svg
  spikelens inspect --validate
  spikelens inspect tests/golden/paper-32-64-10/snn.safetensors --fit --dataset dataset/fashion-mnist")]
pub struct Inspect {
    /// The SNN file [default: the shipped one]
    model: Option<PathBuf>,
    /// How to print it
    #[arg(long, value_enum, default_value = "text", env = "SPIKELENS_FORMAT")]
    format: InspectFormat,
    /// loihi1-paper or loihi1-cores
    #[arg(long, default_value = "loihi1-paper", env = "SPIKELENS_COST_MODEL")]
    cost_model: CostModel,
    /// Fit the constants of loihi1-paper to the paper's tables, over 1,000 test pictures, and print them
    #[arg(long, requires = "dataset", env = "SPIKELENS_FIT")]
    fit: bool,
    /// Hold the cost models against measured networks that the fit has not seen; needs no MODEL
    #[arg(long, conflicts_with_all = ["fit", "model"], env = "SPIKELENS_VALIDATE")]
    validate: bool,
    /// Folder with Fashion-MNIST's *-ubyte.gz files, for --fit
    #[arg(long, value_name = "DIR", env = "SPIKELENS_DATASET")]
    dataset: Option<PathBuf>,
}

impl Inspect {
    pub fn run(self) -> Result<()> {
        if self.validate {
            return match self.format {
                InspectFormat::Text => validation::print(&mut std::io::stdout().lock()),
                InspectFormat::Json => print_json(&validate()),
                InspectFormat::Svg => bail!("--validate is text or JSON; svg draws the chip of a MODEL"),
            };
        }
        let model = files::model(self.model.as_deref(), self.cost_model)?;
        match &self.dataset {
            Some(dataset) if self.fit => self.print_fit(&model, dataset),
            _ if self.format == InspectFormat::Json => print_json(&json!({
                "model": describe(&model),
                "chip": describe_chip(&model, None),
                "widths": describe_widths(&model, membranes(&model).as_ref()),
            })),
            _ if self.format == InspectFormat::Svg => {
                let drawing = draw::svg(&model.snn.network.name, &model.placement);
                Ok(std::io::stdout().lock().write_all(drawing.as_bytes())?)
            }
            _ => text::print(&mut std::io::stdout().lock(), &model, membranes(&model).as_ref()),
        }
    }

    fn print_fit(&self, model: &Model, dataset: &Path) -> Result<()> {
        let (pictures, _) = files::fashion_mnist(dataset, Split::Test, Some(1000))?;
        let mut emulator = Emulator::new(std::sync::Arc::clone(&model.snn), &model.placement.tilings());
        let bar = progress::bar("emulating", MEASURED.len() * pictures.len());
        let mut means = [Terms::default(); 2];
        for (mean, measured) in means.iter_mut().zip(&MEASURED) {
            let time_steps = TimeSteps::new(measured.time_steps)?;
            let mut all = Vec::with_capacity(pictures.len());
            for picture in &pictures {
                let outcome = emulator.run(picture, time_steps)?;
                all.push(Terms::of(&outcome.events, &model.placement));
                bar.inc(1);
            }
            *mean = Terms::mean(&all);
        }
        bar.finish_and_clear();
        let fitted = fit(&means);
        match self.format {
            InspectFormat::Text => print_fitted(&mut std::io::stdout().lock(), &fitted, &means),
            InspectFormat::Json => {
                print_json(&json!({"measured": MEASURED, "means": means, "fitted": fitted}))
            }
            InspectFormat::Svg => bail!("--fit is text or JSON; svg draws the chip of a MODEL"),
        }
    }
}

/// How far the sample pictures' membranes go; none where they cannot be run, which the costs' place says.
fn membranes(model: &Model) -> Option<Membranes> {
    let bar = progress::bar("looking at membranes", sample::count());
    let found = sample::membranes(model, &|| bar.inc(1)).ok();
    bar.finish_and_clear();
    found
}

fn print_json(value: &impl serde::Serialize) -> Result<()> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, value)?;
    Ok(writeln!(out)?)
}

fn print_fitted(out: &mut impl Write, fitted: &Fitted, means: &[Terms; 2]) -> Result<()> {
    writeln!(out, "{fitted:#?}\n")?;
    writeln!(
        out,
        "{:>4} {:24} {:>9} {:>9} {:>8}",
        "T", "", "measured", "modelled", "error"
    )?;
    for (measured, terms) in MEASURED.iter().zip(means) {
        let cost = paper(terms, fitted);
        let power = |energy_mj: f64| energy_mj / cost.latency_ms;
        for (what, measured_value, modelled) in [
            ("latency, ms (Table 3)", measured.latency_ms, cost.latency_ms),
            ("static, W (Table 4)", measured.static_w, power(cost.static_mj)),
            ("dynamic, W (Table 4)", measured.dynamic_w, power(cost.dynamic_mj)),
            ("total, W (Table 4)", measured.total_w, power(cost.total_mj())),
            ("energy, mJ (Table 5)", measured.energy_mj, cost.total_mj()),
        ] {
            writeln!(
                out,
                "{:>4} {what:24} {measured_value:>9.4} {modelled:>9.4} {:>+7.2} %",
                measured.time_steps,
                100.0 * (modelled / measured_value - 1.0)
            )?;
        }
    }
    Ok(())
}
