//! The report of an evaluation: a Markdown page, CSV, JSON, and figures of each merit against energy.

use std::fmt::Write;
use std::path::Path;

use anyhow::Result;

use super::asked::By;
use super::gallery;
use super::measured::{Measured, Own};
use super::options::Evaluation;
use super::row::{Row, paper};
use super::table;
use crate::figures::axis::{Axis, Scale};
use crate::figures::chart::{Chart, Curve, Ink, Level, Point};
use crate::{figures, files};
use engine::embedding::stopping::Length;

/// A figure of merit that is drawn against energy.
struct Merit {
    file: &'static str,
    heading: &'static str,
    axis: &'static str,
    of: fn(&Row) -> Option<f64>,
}

/// The picture of queries and matches.
const MATCHES: &str = "matches";

const MERITS: [Merit; 2] = [
    Merit {
        file: "map-energy",
        heading: "mAP against energy",
        axis: "mean average precision",
        of: |row| Some(row.map),
    },
    Merit {
        file: "classification-energy",
        heading: "Classification against energy",
        axis: "classified right, %",
        of: |row| row.classification,
    },
];

/// Writes the page, its tables and its figures into a folder that exists.
///
/// # Errors
/// If a file cannot be written.
pub fn write(options: &Evaluation, measured: &Measured, folder: &Path) -> Result<()> {
    files::write_whole(&folder.join("evaluation.csv"), table::csv(measured).as_bytes())?;
    let mut json = table::json(options, measured);
    json["command"] = options.command([measured.queries, measured.corpus]).into();
    let json = serde_json::to_string_pretty(&json)? + "\n";
    files::write_whole(&folder.join("evaluation.json"), json.as_bytes())?;
    let mut as_png = false;
    if let Some(svg) = gallery::svg(measured)? {
        figures::write(folder, MATCHES, &svg)?;
    }
    for merit in drawn(measured) {
        as_png = figures::write(folder, merit.file, &chart(options, measured, merit).svg())?;
    }
    let page = page(options, measured, as_png);
    files::write_whole(&folder.join("README.md"), page.as_bytes())
}

/// The figures that there is something to draw in.
fn drawn(measured: &Measured) -> impl Iterator<Item = &'static Merit> {
    let some = |merit: &&Merit| measured.rows.iter().any(|row| (merit.of)(row).is_some());
    MERITS.iter().filter(some)
}

fn page(options: &Evaluation, measured: &Measured, as_png: bool) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write_page(&mut out, options, measured, as_png);
    out
}

fn write_page(out: &mut String, options: &Evaluation, measured: &Measured, as_png: bool) -> std::fmt::Result {
    let own = measured.own.as_ref();
    let dataset = own.map_or("Fashion-MNIST", |own| own.listing.name.as_str());
    writeln!(out, "# Evaluation on {}\n", cell(dataset))?;
    let command = options.command([measured.queries, measured.corpus]);
    writeln!(out, "```sh\n{command}\n```\n")?;
    writeln!(
        out,
        "{} against {} {} training pictures: cosine similarity, average precision over the full ranking, equals \
         in corpus order. Energy and latency are those of an emulated chip, modelled by `{}`, means per query{}.\n",
        queries(measured),
        if own.is_some() { "its" } else { "the first" },
        measured.corpus,
        options.cost_model.as_str(),
        if own.is_some() {
            ""
        } else {
            "; the paper's were measured on its board"
        }
    )?;
    writeln!(out, "| model | network | cores | id |\n|---|---|---|---|")?;
    for named in &measured.models {
        let (snn, placement) = (&named.model.snn, &named.model.placement);
        writeln!(
            out,
            "| {} | {} | {} | `{:.12}` |",
            cell(&named.label),
            cell(&snn.network.name),
            placement.cores(),
            named.model.id
        )?;
    }
    writeln!(
        out,
        "\n| | classification % | Top-1 % | Top-3 % | mAP | mean T | spikes | synaptic operations | latency ms | energy mJ |\n\
         |---|---|---|---|---|---|---|---|---|---|"
    )?;
    for row in &measured.rows {
        let named = match (&row.model, measured.models.as_slice()) {
            (Some(model), _) => format!("{}: {}", cell(model), row.name()),
            (None, _) => row.name(),
        };
        write_row(out, &named, row)?;
    }
    match own {
        None => {
            for row in &paper() {
                write_row(out, &format!("paper: {}", row.name()), row)?;
            }
        }
        Some(own) => write_own(out, own, measured)?,
    }
    for merit in drawn(measured) {
        writeln!(
            out,
            "\n## {}\n\n![{}]({}.svg)",
            merit.heading, merit.heading, merit.file
        )?;
    }
    writeln!(
        out,
        "\nThe same figures: `evaluation.csv`, `evaluation.json`{}.",
        if as_png { ", and a PNG beside each SVG" } else { "" }
    )
}

/// What is said of a data set of photos alone: matches as a picture, and Top-1 by class.
fn write_own(out: &mut String, own: &Own, measured: &Measured) -> std::fmt::Result {
    if own.photos.by == By::Label && measured.rows.iter().any(|row| row.classification.is_none()) {
        writeln!(out, "\n{}", table::NOT_CLASSIFIED)?;
    }
    let left_out = own.left_out.unreadable + own.left_out.unlabelled + own.left_out.unknown_class;
    if left_out > 0 {
        writeln!(
            out,
            "\nLeft out: {} pictures that cannot be read, {} without a label, {} of classes without a training picture.",
            own.left_out.unreadable, own.left_out.unlabelled, own.left_out.unknown_class
        )?;
    }
    writeln!(
        out,
        "\n## Queries and matches\n\n![Queries and matches]({MATCHES}.svg)"
    )?;
    let Some(row) = gallery::shown(measured) else {
        return Ok(());
    };
    if row.by_class.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "\n## By class\n\nOf {}.\n\n| class | queries | training pictures | Top-1 % |\n|---|---|---|---|",
        cell(&gallery::name(measured, row))
    )?;
    for class in &row.by_class {
        writeln!(
            out,
            "| {} | {} | {} | {:.2} |",
            cell(&class.class),
            class.queries,
            class.corpus,
            class.top_1
        )?;
    }
    Ok(())
}

fn write_row(out: &mut String, name: &str, row: &Row) -> std::fmt::Result {
    let [steps, spikes, operations, latency, energy] = row.costs().map(|cost| match cost.as_str() {
        "-" => String::new(),
        _ => cost,
    });
    writeln!(
        out,
        "| {name} | {} | {:.2} | {:.2} | {:.4} | {steps} | {spikes} | {operations} | {latency} | {energy} |",
        row.classified(),
        row.top_1,
        row.top_3,
        row.map
    )
}

/// A name inside a table's cell.
fn cell(name: &str) -> String {
    name.replace('|', "\\|").replace(['\n', '\r'], " ")
}

fn queries(measured: &Measured) -> String {
    let (count, from) = (measured.queries, measured.queries_from);
    match (&measured.own, from) {
        (Some(_), from) => format!("The data set's {count} {from} pictures"),
        (None, "test") => format!("The first {count} test pictures"),
        (None, _) => format!("The last {count} training pictures, held out from training,"),
    }
}

/// A curve for each model and probe over its time steps; queries that stop early have a curve of their own.
fn chart(options: &Evaluation, measured: &Measured, merit: &Merit) -> Chart {
    let mut curves: Vec<Curve> = Vec::new();
    for row in measured
        .rows
        .iter()
        .filter(|row| row.network == "SNN" && row.queries.is_none())
    {
        let stops = matches!(row.time_steps, Some(Length::Auto(_)));
        let model = match &row.model {
            Some(model) => model.clone(),
            None => measured.models[0].label.clone(),
        };
        let probe = row.probe.map(|probe| probe.as_str().replace('_', " "));
        let name = format!(
            "{model}, {}{}",
            probe.unwrap_or_default(),
            if stops { ", auto" } else { "" }
        );
        match curves.iter_mut().find(|curve| curve.name == name) {
            Some(curve) => curve.points.extend(point(row, merit)),
            None => curves.push(Curve {
                name,
                points: point(row, merit).into_iter().collect(),
                ink: Ink::Own,
            }),
        }
    }
    for curve in &mut curves {
        curve.points.sort_by(|a, b| a.x.total_cmp(&b.x));
    }
    if measured.own.is_none() {
        let paper = paper();
        curves.push(Curve {
            name: "paper's board, membrane".to_owned(),
            points: paper.iter().filter_map(|row| point(row, merit)).collect(),
            ink: Ink::Published,
        });
    }
    let floats = measured
        .rows
        .iter()
        .filter(|row| row.network == "ANN" && row.queries.is_none());
    Chart {
        title: merit.heading.to_owned(),
        subtitle: format!(
            "{} {} queries, {} training pictures; energy modelled by {}{}",
            measured.queries,
            measured.queries_from,
            measured.corpus,
            options.cost_model.as_str(),
            if measured.own.is_none() {
                ", the paper's measured"
            } else {
                ""
            }
        ),
        x: Axis {
            label: "energy a picture, mJ".to_owned(),
            scale: Scale::Logarithmic,
            ticks: Vec::new(),
        },
        y: Axis {
            label: merit.axis.to_owned(),
            scale: Scale::Linear,
            ticks: Vec::new(),
        },
        curves,
        levels: floats
            .filter_map(|row| {
                Some(Level {
                    name: "float network".to_owned(),
                    y: (merit.of)(row)?,
                })
            })
            .collect(),
    }
}

/// `None` for a row without energy: a float network does not run on the chip.
fn point(row: &Row, merit: &Merit) -> Option<Point> {
    let label = row.time_steps.map(|steps| match steps {
        Length::Fixed(steps) => format!("T = {steps}"),
        auto @ Length::Auto(_) => auto.to_string(),
    });
    Some(Point {
        x: row.energy_mj?,
        y: (merit.of)(row)?,
        spread: 0.0,
        label: label?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_paper_s_board_has_two_points_and_its_float_network_none() {
        let drawn: Vec<Point> = paper().iter().filter_map(|row| point(row, &MERITS[0])).collect();
        let places: Vec<(f64, f64)> = drawn.iter().map(|point| (point.x, point.y)).collect();
        assert_eq!(places, [(2.996, 0.4797), (12.17, 0.4919)]);
        assert_eq!(drawn[0].label, "T = 16");
    }

    #[test]
    fn a_name_cannot_break_its_table() {
        assert_eq!(cell("a|b\nc"), "a\\|b c");
    }
}
