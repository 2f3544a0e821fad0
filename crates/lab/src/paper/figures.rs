//! Figures 4 and 5.

use std::fmt::Write;

use anyhow::Result;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};

use super::measure::Searched;
use crate::figures::axis::{Axis, Scale};
use crate::figures::chart::{Chart, Curve, Ink, Level, Point};
use engine::chip::draw::{escaped, open};
use engine::picture::Picture;
use engine::picture::idx::CLASS_NAMES;

/// A curve of Figure 4: name, probe and value.
type Measure = (&'static str, &'static str, fn(&Searched) -> f64);

const ACCURACIES: [Measure; 5] = [
    ("classification", "membrane", |row| row.classification),
    ("Top-1, membrane", "membrane", |row| row.top_1),
    ("Top-1, spike count", "spike_count", |row| row.top_1),
    ("Top-3, membrane", "membrane", |row| row.top_3),
    ("Top-3, spike count", "spike_count", |row| row.top_3),
];

const PRECISIONS: [Measure; 2] = [
    ("mAP, membrane", "membrane", |row| row.map),
    ("mAP, spike count", "spike_count", |row| row.map),
];

/// Mean and standard deviation (of a sample) over the seeds.
fn spread(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let deviation = if values.len() < 2 {
        0.0
    } else {
        (squares / (count - 1.0)).sqrt()
    };
    (mean, deviation)
}

fn curve(measure: &Measure, searches: &[(u64, Vec<Searched>)], time_steps: &[u32]) -> Curve {
    let (name, probe, of) = measure;
    let points = time_steps.iter().filter_map(|&steps| {
        let rows = searches.iter().flat_map(|(_, rows)| rows);
        let here = rows.filter(|row| row.time_steps == Some(steps) && row.probe.as_deref() == Some(probe));
        let values: Vec<f64> = here.map(of).collect();
        let (mean, deviation) = spread(&values);
        (!values.is_empty()).then_some(Point {
            x: f64::from(steps),
            y: mean,
            spread: deviation,
            label: String::new(),
        })
    });
    Curve {
        name: (*name).to_owned(),
        points: points.collect(),
        ink: Ink::Own,
    }
}

/// Figure 4 in two parts: accuracies, and mean average precision.
pub(super) fn figure_4(searches: &[(u64, Vec<Searched>)], time_steps: &[u32], title: &str) -> [Chart; 2] {
    let chart = |measures: &[Measure], what: &str, axis: &str, level: Option<Level>| Chart {
        title: format!("{what} against time steps"),
        subtitle: title.to_owned(),
        x: Axis {
            label: "time steps T".to_owned(),
            scale: Scale::Logarithmic,
            ticks: time_steps.iter().map(|&steps| f64::from(steps)).collect(),
        },
        y: Axis {
            label: axis.to_owned(),
            scale: Scale::Linear,
            ticks: Vec::new(),
        },
        curves: measures
            .iter()
            .map(|measure| curve(measure, searches, time_steps))
            .collect(),
        levels: level.into_iter().collect(),
    };
    let floats: Vec<f64> = searches
        .iter()
        .flat_map(|(_, rows)| rows)
        .filter(|row| row.time_steps.is_none())
        .map(|row| row.map)
        .collect();
    let level = (!floats.is_empty()).then(|| Level {
        name: "mAP of the float networks, mean".to_owned(),
        y: spread(&floats).0,
    });
    [
        chart(&ACCURACIES, "Accuracies", "share of the queries, %", None),
        chart(
            &PRECISIONS,
            "Mean average precision",
            "mean average precision",
            level,
        ),
    ]
}

/// A row of Figure 5: indices of test pictures (`query`) and training pictures (the others).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Example {
    pub(super) query: usize,
    pub(super) class: u8,
    pub(super) random: Vec<usize>,
    pub(super) ann: Vec<usize>,
    pub(super) snn: Vec<usize>,
}

const CELL: usize = 62;
const GAP: usize = 8;
const GROUP_GAP: usize = 26;
const LEFT: usize = 122;
const TOP: usize = 104;
const WRONG: &str = "#d55e00";

/// The left edge and heading of each group of columns.
fn groups() -> [(usize, &'static str); 4] {
    let three = 3 * (CELL + GAP) + GROUP_GAP;
    let first = LEFT + CELL + GAP + GROUP_GAP;
    [
        (LEFT, "query"),
        (first, "random, same class"),
        (first + three, "nearest by the ANN"),
        (first + 2 * three, "nearest by the SNN"),
    ]
}

/// Figure 5: queries with random pictures of their class and the nearest ones, with those of another class marked.
pub(super) fn figure_5(
    examples: &[Example],
    tests: &[Picture],
    corpus: &[Picture],
    labels: &[u8],
    subtitle: &str,
) -> Result<String> {
    let width = groups()[3].0 + 3 * (CELL + GAP) - GAP + 24;
    let height = TOP + examples.len() * (CELL + GAP) + 34;
    let mut out = String::new();
    open(&mut out, width, height, "Search examples", &escaped(subtitle))?;
    writeln!(
        out,
        "<rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>"
    )?;
    writeln!(
        out,
        "<text x=\"24\" y=\"34\" font-size=\"18\" font-weight=\"600\">Search examples</text>\n\
         <text x=\"24\" y=\"55\" font-size=\"12\" fill=\"#57606a\">{}</text>",
        escaped(subtitle)
    )?;
    for (x, name) in groups() {
        writeln!(
            out,
            "<text x=\"{x}\" y=\"{}\" font-size=\"13\" font-weight=\"600\">{name}</text>",
            TOP - 12
        )?;
    }
    for (line, example) in examples.iter().enumerate() {
        let y = TOP + line * (CELL + GAP);
        writeln!(
            out,
            "<text x=\"{}\" y=\"{}\" font-size=\"12\" text-anchor=\"end\">{}</text>",
            LEFT - 10,
            y + CELL / 2 + 4,
            escaped(CLASS_NAMES[usize::from(example.class)])
        )?;
        let query = format!("test picture {}", example.query);
        cell(&mut out, LEFT, y, &tests[example.query], &query, None)?;
        for ((x, _), indices) in groups()[1..]
            .iter()
            .zip([&example.random, &example.ann, &example.snn])
        {
            for (column, &index) in indices.iter().enumerate() {
                let class = labels[index];
                let wrong = (class != example.class).then_some(CLASS_NAMES[usize::from(class)]);
                let told = format!("training picture {index}, {}", CLASS_NAMES[usize::from(class)]);
                let x = x + column * (CELL + GAP);
                cell(&mut out, x, y, &corpus[index], &told, wrong)?;
            }
        }
    }
    let y = height - 16;
    writeln!(
        out,
        "<rect x=\"{LEFT}\" y=\"{}\" width=\"14\" height=\"14\" fill=\"none\" stroke=\"{WRONG}\" stroke-width=\"3\"/>\
         <text x=\"{}\" y=\"{y}\" font-size=\"12\">of another class than the query, named below it</text>",
        y - 12,
        LEFT + 24
    )?;
    writeln!(out, "</svg>")?;
    Ok(out)
}

fn cell(
    out: &mut String,
    x: usize,
    y: usize,
    picture: &Picture,
    told: &str,
    wrong: Option<&str>,
) -> Result<()> {
    writeln!(
        out,
        "<g><title>{}</title><image x=\"{x}\" y=\"{y}\" width=\"{CELL}\" height=\"{CELL}\" \
         image-rendering=\"optimizeSpeed\" href=\"data:image/png;base64,{}\"/>",
        escaped(told),
        BASE64_STANDARD.encode(picture.to_png()?)
    )?;
    if let Some(class) = wrong {
        writeln!(
            out,
            "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"none\" stroke=\"{WRONG}\" stroke-width=\"3\"/>\
             <text x=\"{}\" y=\"{}\" font-size=\"10\" font-weight=\"600\" text-anchor=\"middle\" fill=\"{WRONG}\" \
             paint-order=\"stroke\" stroke=\"#ffffff\" stroke-width=\"4\" stroke-linejoin=\"round\">{}</text>",
            x + 1,
            y + 1,
            CELL - 2,
            CELL - 2,
            x + CELL / 2,
            y + CELL + 3,
            escaped(class)
        )?;
    }
    writeln!(out, "</g>")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use ndarray::Array3;

    use super::*;
    use crate::paper::sample;

    #[test]
    fn error_bars_are_standard_deviations_over_the_seeds() {
        let mut second = sample::search();
        for row in &mut second {
            row.map += 0.02;
        }
        let searches = [(1, sample::search()), (2, second)];
        let [_, map] = figure_4(&searches, &[16, 128], "two seeds");
        let point = &map.curves[0].points[0];
        assert!((point.spread - 0.02 / 2f64.sqrt()).abs() < 1e-12, "{point:?}");
        assert_eq!(map.curves[0].points.len(), 2);
        assert_eq!(spread(&[3.0]), (3.0, 0.0));
    }

    #[test]
    fn matches_of_another_class_are_marked_and_named() {
        let picture = Picture::new(Array3::from_elem((1, 28, 28), 9)).unwrap();
        let pictures = vec![picture; 4];
        let example = Example {
            query: 0,
            class: 2,
            random: vec![0, 1, 2],
            ann: vec![0, 1, 2],
            snn: vec![3, 1, 2],
        };
        let svg = figure_5(&[example], &pictures, &pictures, &[2, 2, 2, 5], "a < b").unwrap();
        assert_eq!(svg.matches("<image ").count(), 10);
        assert_eq!(svg.matches(&format!(">{}</text>", CLASS_NAMES[5])).count(), 1);
        let drawn = crate::figures::png::png(&svg).unwrap();
        let drawn = image::load_from_memory(&drawn).unwrap().to_rgb8();
        let at = |x: usize, y: usize| drawn.get_pixel(2 * x as u32, 2 * y as u32).0;
        assert_eq!(at(LEFT + CELL / 2, TOP + CELL / 2), [9, 9, 9]);
        assert_eq!(at(groups()[3].0 + CELL / 2, TOP + 1), [0xd5, 0x5e, 0x00]);
    }
}
