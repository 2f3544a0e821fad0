//! Queries and their first matches as a picture, like the paper's Figure 5: the query on the left, then the matches,
//! framed by whether they are of its class. Queries that fail are shown as well as those that succeed.

use std::collections::BTreeSet;
use std::fmt::Write;

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::measured::{Measured, Own};
use super::row::Row;
use crate::dataset::{Entry, picture};
use engine::chip::draw::{escaped, open};
use engine::picture::{Recipe, Shape};

/// How the photos are drawn, whatever the networks take.
const SHOWN: Shape = Shape {
    channels: 3,
    height: 96,
    width: 96,
};
/// Queries of each kind: right first match, wrong first match.
const QUERIES: usize = 5;

// Okabe and Ito 2008: blue and vermilion can be told apart by everybody.
const RIGHT: &str = "#0072b2";
const WRONG: &str = "#d55e00";
const QUERY: &str = "#1f2328";

const SIDE: f64 = 96.0;
const LEFT: f64 = 24.0;
const TOP: f64 = 106.0;
const COLUMN: f64 = 112.0;
const ROW: f64 = 128.0;
/// Between the query and its matches.
const GAP: f64 = 20.0;
/// Letters that fit below a picture.
const LETTERS: usize = 17;

/// The spiking row with the highest mAP, which is the one shown; `None` if there is none.
#[must_use]
pub fn shown(measured: &Measured) -> Option<&Row> {
    let spiking = measured
        .rows
        .iter()
        .filter(|row| row.network == "SNN" && row.queries.is_none());
    spiking.max_by(|a, b| a.map.total_cmp(&b.map))
}

/// The network and the run of a row, in words.
#[must_use]
pub fn name(measured: &Measured, row: &Row) -> String {
    let model = row
        .model
        .as_ref()
        .or(measured.models.first().map(|named| &named.label));
    format!("{}, {}", model.map_or("", String::as_str), row.name())
}

/// The picture as an SVG document; `None` for Fashion-MNIST.
///
/// # Errors
/// If a photo cannot be read any more.
pub fn svg(measured: &Measured) -> Result<Option<String>> {
    let (Some(own), Some(row)) = (&measured.own, shown(measured)) else {
        return Ok(None);
    };
    let mut out = String::new();
    write(&mut out, own, row, &name(measured, row))?;
    Ok(Some(out))
}

/// Queries whose first match is right, and those whose first match is wrong: of as many classes as possible.
fn choose(own: &Own, row: &Row) -> [Vec<usize>; 2] {
    let right = |query: usize| {
        let first = row.matches[query].first();
        first.is_some_and(|&first| {
            own.photos
                .alike(&own.photos.queries[query], &own.photos.corpus[first])
        })
    };
    [true, false].map(|wanted| {
        let all: Vec<usize> = (0..row.matches.len())
            .filter(|&query| right(query) == wanted)
            .collect();
        let mut classes = BTreeSet::new();
        let new = |query: &&usize| classes.insert(&own.photos.queries[**query].label);
        let mut chosen: Vec<usize> = all.iter().filter(new).take(QUERIES).copied().collect();
        for query in all {
            if chosen.len() < QUERIES && !chosen.contains(&query) {
                chosen.push(query);
            }
        }
        chosen
    })
}

fn write(out: &mut String, own: &Own, row: &Row, name: &str) -> Result<()> {
    let chosen = choose(own, row).concat();
    let columns = row.matches.first().map_or(0, Vec::len);
    let width = 2.0 * LEFT + SIDE + GAP + COLUMN * columns as f64;
    let height = TOP + ROW * chosen.len() as f64 + 8.0;
    let title = escaped(&format!("Queries and matches: {}", own.listing.name));
    let described = escaped(&format!("{name}; Top-1 {:.1} %", row.top_1));
    open(out, width, height, &title, &described)?;
    writeln!(
        out,
        "<rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>"
    )?;
    writeln!(
        out,
        "<text x=\"{LEFT}\" y=\"34\" font-size=\"18\" font-weight=\"600\">{title}</text>"
    )?;
    writeln!(
        out,
        "<text x=\"{LEFT}\" y=\"56\" font-size=\"12\" fill=\"#57606a\">{described}</text>"
    )?;
    writeln!(
        out,
        "<text x=\"{LEFT}\" y=\"90\" font-size=\"12\">query</text>\n\
         <text x=\"{}\" y=\"90\" font-size=\"12\"><tspan fill=\"{RIGHT}\">match of its class</tspan> \
         <tspan fill=\"{WRONG}\">match of another class (dashed)</tspan></text>",
        LEFT + SIDE + GAP + (COLUMN - SIDE)
    )?;
    for (line, &query) in chosen.iter().enumerate() {
        let top = TOP + ROW * line as f64;
        let asked = &own.photos.queries[query];
        photo(out, own, asked, [LEFT, top], QUERY)?;
        for (place, &index) in row.matches[query].iter().enumerate() {
            let found = &own.photos.corpus[index];
            let left = LEFT + SIDE + GAP + COLUMN * place as f64 + (COLUMN - SIDE);
            let colour = if own.photos.alike(asked, found) {
                RIGHT
            } else {
                WRONG
            };
            photo(out, own, found, [left, top], colour)?;
        }
    }
    writeln!(out, "</svg>")?;
    Ok(())
}

/// One photo in its frame, its class below.
fn photo(out: &mut String, own: &Own, entry: &Entry, [left, top]: [f64; 2], colour: &str) -> Result<()> {
    let photo = picture(&own.listing, entry, SHOWN, Recipe::Plain);
    let photo = photo.map_err(anyhow::Error::msg)?;
    let png = photo.to_png().context("a photo cannot be drawn")?;
    writeln!(
        out,
        "<image x=\"{left}\" y=\"{top}\" width=\"{SIDE}\" height=\"{SIDE}\" href=\"data:image/png;base64,{}\"/>",
        STANDARD.encode(png)
    )?;
    let dashes = if colour == WRONG {
        " stroke-dasharray=\"7 4\""
    } else {
        ""
    };
    writeln!(
        out,
        "<rect x=\"{left}\" y=\"{top}\" width=\"{SIDE}\" height=\"{SIDE}\" fill=\"none\" stroke=\"{colour}\" \
         stroke-width=\"4\"{dashes}/>"
    )?;
    let label = entry.label.as_deref().unwrap_or_default();
    let mut short: String = label.chars().take(LETTERS).collect();
    if short.len() < label.len() {
        short.push('\u{2026}');
    }
    writeln!(
        out,
        "<text x=\"{left}\" y=\"{}\" font-size=\"11\">{}</text>",
        top + SIDE + 15.0,
        escaped(&short)
    )?;
    Ok(())
}
