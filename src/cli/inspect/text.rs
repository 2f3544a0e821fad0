//! A model as text: layers, cost per picture, integer widths, cores, constants of the cost model.

use std::io::Write;

use anyhow::Result;

use engine::chip::width::Range;
use engine::chip::{
    COMPARTMENTS_PER_CORE, INPUT_AXONS_PER_CORE, OUTPUT_AXONS_PER_CORE, SYNAPSE_BITS_PER_CORE,
};
use engine::model::Model;
use engine::model::describe::{describe, describe_chip, describe_widths};
use engine::model::sample::Membranes;

/// Prints a model in full.
///
/// # Errors
/// If `out` cannot be written.
pub fn print(out: &mut impl Write, model: &Model, membranes: Option<&Membranes>) -> Result<()> {
    layers(out, model)?;
    cost(out, model)?;
    widths(out, model, membranes)?;
    cores(out, model)?;
    constants(out, model)
}

fn layers(out: &mut impl Write, model: &Model) -> Result<()> {
    let name = name_width(model);
    let described = describe(model);
    let placement = &model.placement;
    writeln!(out, "{}  id {}", described.name, described.id)?;
    writeln!(
        out,
        "embedding: layer {}, {} values, probe {}, T = {}; pictures: {}",
        described.embedding_layer,
        described.dimensions,
        described.default_probe,
        described.default_time_steps,
        described.prepare
    )?;
    writeln!(
        out,
        "\n{:name$} {:10} {:>12} {:>8} {:>10} {:>7} {:>9} {:>5}",
        "layer", "kind", "shape", "neurons", "parameters", "fan-in", "threshold", "cores"
    )?;
    for (layer, placed) in described.layers.iter().zip(&placement.layers) {
        let shape = layer.shape.map(|side| side.to_string()).join("x");
        writeln!(
            out,
            "{:name$} {:10} {:>12} {:>8} {:>10} {:>7} {:>9} {:>5}",
            layer.name,
            layer.kind,
            shape,
            layer.neurons,
            layer.parameters,
            layer.fan_in,
            layer.threshold,
            placed.tiling.cores()
        )?;
    }
    let parameters: usize = described.layers.iter().map(|layer| layer.parameters).sum();
    writeln!(
        out,
        "\n{parameters} parameters; {} cores on {}",
        placement.cores(),
        match placement.chips() {
            1 => format!(
                "1 chip, which holds {} of the network",
                copies(placement.replicas())
            ),
            chips => format!("{chips} chips"),
        }
    )?;
    Ok(())
}

/// The width of the column of layer names.
fn name_width(model: &Model) -> usize {
    let names = model.snn.network.populations();
    names
        .map(|(name, _)| name.chars().count())
        .max()
        .unwrap_or(0)
        .max(8)
}

fn copies(count: usize) -> String {
    format!("{count} {}", if count == 1 { "copy" } else { "copies" })
}

/// The cost of a picture alone on the chip and of one on a full chip, in separate rows.
fn cost(out: &mut impl Write, model: &Model) -> Result<()> {
    let chip = describe_chip(model, None);
    let (picture, occupancy) = match (model.sample(), chip.picture, chip.occupancy) {
        (Ok(_), Some(picture), Some(occupancy)) => (picture, occupancy),
        (Err(why), ..) => return Ok(writeln!(out, "\ncost per picture: unknown; {why}")?),
        (Ok(_), ..) => unreachable!("a sample has its prices"),
    };
    writeln!(
        out,
        "\nmodelled cost per picture ({}, T = {}, mean of {} sample pictures):",
        model.cost_model.as_str(),
        picture.time_steps,
        picture.pictures
    )?;
    writeln!(
        out,
        "  {:36} {:>10} {:>11} {:>10} {:>10} {:>10}",
        "", "latency ms", "pictures/s", "total mJ", "static mJ", "dynamic mJ"
    )?;
    let full = (occupancy.replicas > 1).then(|| {
        (
            format!("full chip: each of {} at once", occupancy.replicas),
            occupancy.pictures_per_second,
            occupancy.energy_mj_per_picture,
        )
    });
    let alone = (
        "alone on the chip".to_owned(),
        picture.pictures_per_second,
        picture.energy_mj,
    );
    for (what, per_second, energy) in std::iter::once(alone).chain(full) {
        writeln!(
            out,
            "  {what:36} {:>10.3} {per_second:>11.1} {:>10.4} {:>10.4} {:>10.4}",
            picture.latency_ms, energy.total, energy.standing, energy.dynamic
        )?;
    }
    if occupancy.replicas > 1 {
        writeln!(
            out,
            "  On a full chip the copies share the static energy, but not the dynamic energy.\n  {}.",
            occupancy.assumes
        )?;
    }
    if let Some(band) = chip.several_chips {
        writeln!(
            out,
            "  This network needs {} chips. The figures above do not include traffic between chips. Networks measured on \
             several\n  chips took {} to {} us a step; at that pace (assumed) a picture takes {:.2} to {:.2} ms and \
             {:.2} to {:.2} mJ.",
            chip.chips,
            band.step_us[0],
            band.step_us[1],
            band.latency_ms[0],
            band.latency_ms[1],
            band.energy_mj[0],
            band.energy_mj[1]
        )?;
    }
    Ok(())
}

/// The network's integers and the ranges of the chip's integer formats.
fn widths(out: &mut impl Write, model: &Model, membranes: Option<&Membranes>) -> Result<()> {
    let name = name_width(model);
    let described = describe_widths(model, membranes);
    let limits = &described.limits;
    writeln!(
        out,
        "\nwidths, in units of a weight: thresholds up to {}, biases within {} (even ones within {}), membranes within {}\n",
        limits.threshold, limits.bias, limits.even_bias, limits.membrane
    )?;
    writeln!(
        out,
        "{:name$} {:>9} {:>8} {:>6} {:>22} {:>22}  the chip's range",
        "layer",
        "threshold",
        "reset by",
        "bias",
        format!("bound over T = {}", described.time_steps),
        "reached by samples"
    )?;
    let range = |range: Range| format!("{} .. {}", range.low, range.high);
    for layer in &described.layers {
        writeln!(
            out,
            "{:name$} {:>9} {:>8} {:>6} {:>22} {:>22}  {}",
            layer.widths.layer,
            layer.widths.threshold,
            layer.widths.reset,
            layer.widths.bias,
            range(layer.widths.bound),
            layer.reached.map_or("unknown".to_owned(), range),
            match layer.reached {
                _ if layer.widths.proven => "proven to be kept",
                Some(reached) if !reached.fits() => "EXCEEDED",
                _ => "could be exceeded",
            }
        )?;
    }
    writeln!(out, "{}", described.verdict)?;
    Ok(())
}

fn cores(out: &mut impl Write, model: &Model) -> Result<()> {
    let name = name_width(model);
    let placement = &model.placement;
    writeln!(
        out,
        "\n{:>4} {:>4} {:name$} {:>18} {:>18} {:>18} {:>18}",
        "chip", "core", "layer", "compartments", "synapse bits", "input axons", "output axons"
    )?;
    let share =
        |figure: usize, limit: usize| format!("{figure} ({:.0} %)", 100.0 * figure as f64 / limit as f64);
    for core in &placement.cores {
        writeln!(
            out,
            "{:>4} {:>4} {:name$} {:>18} {:>18} {:>18} {:>18}",
            core.chip,
            core.core,
            core.layer,
            share(core.compartments, COMPARTMENTS_PER_CORE),
            share(core.synapse_bits, SYNAPSE_BITS_PER_CORE),
            share(core.input_axons, INPUT_AXONS_PER_CORE),
            share(core.output_axons, OUTPUT_AXONS_PER_CORE)
        )?;
    }
    Ok(())
}

fn constants(out: &mut impl Write, model: &Model) -> Result<()> {
    writeln!(out, "\ncost model {}:", model.cost_model.as_str())?;
    for constant in model.cost_model.constants() {
        writeln!(
            out,
            "  {:24} {:>12.6} {:12} {:10} {}",
            constant.name,
            constant.value,
            constant.unit,
            format!("{:?}", constant.evidence).to_lowercase(),
            constant.source
        )?;
    }
    Ok(())
}
