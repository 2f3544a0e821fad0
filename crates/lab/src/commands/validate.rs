//! Prints the cost models beside published measurements, as a Markdown table.

use std::io::Write;

use anyhow::Result;

use crate::validation::{Band, Validation, validate};
use engine::chip::cost::{CHIPS_STEP_MAX_US, CHIPS_STEP_MIN_US, CostModel};

/// Prints the input of each case, then every measurement with both models.
pub fn print(out: &mut impl Write) -> Result<()> {
    let validation = validate();
    for case in &validation.cases {
        let [least, most] = case.cores;
        let cores = if least == most {
            least.to_string()
        } else {
            format!("{least} to {most}")
        };
        // If spikes go to all neurons, synapses are not counted separately.
        let synapses = match case.synapses {
            0 => String::new(),
            synapses => format!(", {synapses} synapses"),
        };
        writeln!(
            out,
            "- {}: {}. In: {} neurons{synapses}, {cores} cores; spikes {}. Note: {}. Source: {}.",
            case.case, case.network, case.neurons, case.spikes, case.note, case.source
        )?;
    }
    writeln!(out)?;
    table(out, &validation)?;
    writeln!(
        out,
        "\nErrors are what is modelled over what was measured, less one; a band comes from what was assumed.\n\
         A network on several chips is given the one-chip figure and beside it a band of {} to {} us a step (assumed:\n\
         three measured networks took 137 us on 2 chips, 278 on 14, 850 on 7).",
        CHIPS_STEP_MIN_US.value, CHIPS_STEP_MAX_US.value
    )?;
    Ok(())
}

fn table(out: &mut impl Write, validation: &Validation) -> Result<()> {
    let mut lines: Vec<Vec<String>> = vec![["case", "T", "what", "measured"].map(str::to_owned).to_vec()];
    for model in CostModel::ALL {
        lines[0].extend([model.as_str().to_owned(), "error, %".to_owned()]);
    }
    for row in &validation.rows {
        let mut line = vec![
            row.case.to_owned(),
            row.time_steps.to_string(),
            row.quantity.to_owned(),
            figure(row.measured),
        ];
        for modelled in &row.modelled {
            line.extend([
                band(modelled.value, figure),
                band(modelled.error_percent, |error| format!("{error:+.0}")),
            ]);
        }
        lines.push(line);
    }
    let widths: Vec<usize> = (0..lines[0].len())
        .map(|column| {
            lines
                .iter()
                .map(|line| line[column].chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    for (number, line) in lines.iter().enumerate() {
        for (column, (cell, width)) in line.iter().zip(&widths).enumerate() {
            // Words to the left, figures to the right.
            match column {
                0 | 2 => write!(out, "| {cell:<width$} ")?,
                _ => write!(out, "| {cell:>width$} ")?,
            }
        }
        writeln!(out, "|")?;
        if number == 0 {
            for (column, width) in widths.iter().enumerate() {
                match column {
                    0 | 2 => write!(out, "|{}", "-".repeat(width + 2))?,
                    _ => write!(out, "|{}:", "-".repeat(width + 1))?,
                }
            }
            writeln!(out, "|")?;
        }
    }
    Ok(())
}

/// One figure if both bounds are printed alike, else both.
fn band(band: Band, print: impl Fn(f64) -> String) -> String {
    let (low, high) = (print(band.low), print(band.high));
    if low == high {
        low
    } else {
        format!("{low} .. {high}")
    }
}

/// Three significant digits, or all of a whole number.
fn figure(value: f64) -> String {
    let decimals = match value {
        value if value.fract() == 0.0 => 0,
        value if value >= 100.0 => 0,
        value if value >= 10.0 => 1,
        value if value >= 1.0 => 2,
        value if value >= 0.1 => 3,
        _ => 4,
    };
    format!("{value:.decimals$}")
}
