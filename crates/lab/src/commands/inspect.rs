//! `inspect --fit` and `inspect --validate`: the origin of the cost model's constants, and their comparison with
//! measurements.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use engine::chip::cost::{Fitted, Terms, paper};
use engine::emulator::Emulator;
use engine::model::Model;
use engine::network::TimeSteps;
use serde_json::json;

use super::validate;
use crate::dataset::{Split, fashion_mnist};
use crate::fit::fit;
use crate::progress;
use crate::published::CHIP;
use crate::validation;

/// The options of `inspect` about the cost models.
#[derive(Debug, Args)]
pub struct Costs {
    /// Fit the constants of loihi1-paper to the paper's tables, over 1,000 test pictures, and print them
    #[arg(long, requires = "dataset", env = "SPIKELENS_FIT")]
    pub fit: bool,
    /// Compare the cost models with published measurements that the fit does not use; takes no MODEL
    #[arg(long, conflicts_with_all = ["fit", "model"], env = "SPIKELENS_VALIDATE")]
    pub validate: bool,
    /// Directory with Fashion-MNIST's *-ubyte.gz files, for --fit
    #[arg(long, value_name = "DIR", env = "SPIKELENS_DATASET")]
    pub dataset: Option<PathBuf>,
}

/// Prints the cost models beside published measurements.
///
/// # Errors
/// If stdout cannot be written to.
pub fn print_validation(as_json: bool) -> Result<()> {
    if as_json {
        print_json(&validation::validate())
    } else {
        validate::print(&mut std::io::stdout().lock())
    }
}

/// Fits the constants of loihi1-paper and prints them beside the paper's figures.
///
/// # Errors
/// If the data set cannot be read or its pictures do not fit the network.
pub fn print_fit(model: &Model, dataset: &Path, as_json: bool) -> Result<()> {
    let (pictures, _) = fashion_mnist(dataset, Split::Test, Some(1000))?;
    let mut emulator = Emulator::new(std::sync::Arc::clone(&model.snn), &model.placement.tilings());
    let bar = progress::bar("emulating", CHIP.len() * pictures.len());
    let mut means = [Terms::default(); 2];
    for (mean, measured) in means.iter_mut().zip(&CHIP) {
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
    if as_json {
        print_json(&json!({"measured": CHIP, "means": means, "fitted": fitted}))
    } else {
        print_fitted(&mut std::io::stdout().lock(), &fitted, &means)
    }
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
    for (measured, terms) in CHIP.iter().zip(means) {
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
