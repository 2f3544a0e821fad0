//! The chip as an SVG drawing: every core at its position, in its layer's colour, filled by its utilisation.
//!
//! In: a placement. Out: one self-contained SVG document, the same for the same placement. Absent: scripts, fonts,
//! links and any other external resource.

use std::fmt::Write;

use super::place::{Core, Placement};
use super::{
    COMPARTMENTS_PER_CORE, CORES_PER_CHIP, CORES_PER_TILE, INPUT_AXONS_PER_CORE, OUTPUT_AXONS_PER_CORE,
    SYNAPSE_BITS_PER_CORE, TILE_ROWS,
};

/// Seven colours that people with any colour vision tell apart (Okabe and Ito 2008, without yellow and black, on which
/// text and outlines would be lost), ordered so that layers that follow each other differ in lightness too.
const COLOURS: [&str; 7] = [
    "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8c8c8c",
];

/// Cores of one tile stand two by two, which makes the 16 x 8 cores of the paper's Figure 3 of 8 x 4 tiles.
const TILE_SIDE: usize = 2;
const TILE_COLUMNS: usize = CORES_PER_CHIP / CORES_PER_TILE / TILE_ROWS;

const CORE: usize = 42;
const CORE_GAP: usize = 3;
const TILE_PADDING: usize = 3;
const TILE_GAP: usize = 6;
const TILE: usize = TILE_SIDE * CORE + (TILE_SIDE - 1) * CORE_GAP + 2 * TILE_PADDING;
const MARGIN: usize = 24;
const CHIP_PADDING: usize = 10;
const CHIP_WIDTH: usize = TILE_COLUMNS * TILE + (TILE_COLUMNS - 1) * TILE_GAP + 2 * CHIP_PADDING;
const CHIP_HEIGHT: usize = TILE_ROWS * TILE + (TILE_ROWS - 1) * TILE_GAP + 2 * CHIP_PADDING;
const CHIP_TITLE: usize = 30;
const WIDTH: usize = CHIP_WIDTH + 2 * MARGIN;
const HEADER: usize = 74;
const LEGEND_COLUMNS: usize = 4;
const LEGEND_ROW: usize = 40;

/// A resource of a core: its name, the amount in use and the limit.
type Use = (&'static str, usize, usize);

fn uses(core: &Core) -> [Use; 4] {
    [
        ("compartments", core.compartments, COMPARTMENTS_PER_CORE),
        ("synapse bits", core.synapse_bits, SYNAPSE_BITS_PER_CORE),
        ("input axons", core.input_axons, INPUT_AXONS_PER_CORE),
        ("output axons", core.output_axons, OUTPUT_AXONS_PER_CORE),
    ]
}

/// The resource with the highest utilisation; the first one on a tie.
fn binding(core: &Core) -> Use {
    let [first, rest @ ..] = uses(core);
    rest.into_iter().fold(first, |most, next| {
        if next.1 * most.2 > most.1 * next.2 {
            next
        } else {
            most
        }
    })
}

/// Utilisation in percent, rounded to the nearest integer.
fn percent((_, figure, limit): Use) -> usize {
    (200 * figure + limit) / (2 * limit)
}

/// Draws every chip that `placement` needs, one below another; `network` is the title.
#[must_use]
pub fn svg(network: &str, placement: &Placement) -> String {
    let layers = placement.layers.len();
    let legend_height = layers.div_ceil(LEGEND_COLUMNS) * LEGEND_ROW + 12;
    let chips = placement.chips();
    let chip_at = |chip: usize| HEADER + legend_height + chip * (CHIP_TITLE + CHIP_HEIGHT + 14);
    let height = chip_at(chips) + 6;
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write_all(&mut out, network, placement, height, chip_at);
    out
}

fn write_all(
    out: &mut String,
    network: &str,
    placement: &Placement,
    height: usize,
    chip_at: impl Fn(usize) -> usize,
) -> std::fmt::Result {
    let network = escaped(network);
    let headline = headline(placement);
    let described = format!("{headline} {}", layers_in_words(placement));
    open(
        out,
        WIDTH,
        height,
        &format!("{network} on Intel Loihi"),
        &described,
    )?;
    patterns(out, placement.layers.len())?;
    writeln!(
        out,
        "<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>"
    )?;
    writeln!(
        out,
        "<text x=\"{MARGIN}\" y=\"38\" font-size=\"20\" font-weight=\"600\">{network} on Intel Loihi</text>"
    )?;
    writeln!(
        out,
        "<text x=\"{MARGIN}\" y=\"60\" font-size=\"13\" fill=\"#57606a\">{headline} A core is filled as far as the \
         resource nearest its limit.</text>"
    )?;
    legend(out, placement)?;
    for chip in 0..placement.chips() {
        draw_chip(out, placement, chip, chip_at(chip))?;
    }
    writeln!(out, "</svg>")
}

/// Writes the opening tag of an SVG with its size, font and colour, and its title and description for screen readers.
/// Both texts must be escaped.
///
/// # Errors
/// Only if writing to `out` fails, which a `String` never does.
pub fn open(
    out: &mut String,
    width: impl std::fmt::Display,
    height: impl std::fmt::Display,
    title: &str,
    described: &str,
) -> std::fmt::Result {
    writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         height=\"{height}\" role=\"img\" aria-labelledby=\"title desc\" \
         font-family=\"system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif\" fill=\"#1f2328\">"
    )?;
    writeln!(out, "<title id=\"title\">{title}</title>")?;
    writeln!(out, "<desc id=\"desc\">{described}</desc>")
}

fn headline(placement: &Placement) -> String {
    match placement.chips() {
        1 => format!(
            "{} of {CORES_PER_CHIP} cores; {} {} of the network a chip.",
            placement.cores(),
            placement.replicas(),
            if placement.replicas() == 1 {
                "copy"
            } else {
                "copies"
            },
        ),
        chips => format!("{} cores on {chips} chips.", placement.cores()),
    }
}

/// The cores of layer `index` on all chips.
fn cores_of(placement: &Placement, index: usize) -> &[Core] {
    let placed = &placement.layers[index];
    &placement.cores[placed.first_core..][..placed.tiling.cores()]
}

/// The highest utilisation among a layer's cores.
fn fullest(cores: &[Core]) -> Use {
    let all = cores.iter().map(binding);
    all.reduce(|most, next| if percent(next) > percent(most) { next } else { most })
        .expect("every layer has a core")
}

fn layers_in_words(placement: &Placement) -> String {
    let layers = (0..placement.layers.len()).map(|index| {
        let cores = cores_of(placement, index);
        format!("{}: {}", escaped(&cores[0].layer), counted_cores(cores.len()))
    });
    format!("{}.", layers.collect::<Vec<_>>().join(", "))
}

fn counted_cores(cores: usize) -> String {
    format!("{cores} {}", if cores == 1 { "core" } else { "cores" })
}

fn colour(layer: usize) -> &'static str {
    COLOURS[layer % COLOURS.len()]
}

/// Layers beyond the number of colours reuse them with stripes.
fn stripes(layer: usize) -> Option<usize> {
    Some(layer / COLOURS.len()).filter(|round| *round > 0)
}

fn patterns(out: &mut String, layers: usize) -> std::fmt::Result {
    let rounds = (layers - 1) / COLOURS.len();
    if rounds == 0 {
        return Ok(());
    }
    writeln!(out, "<defs>")?;
    for round in 1..=rounds {
        // Each round rotates the stripes; they repeat after eight rounds.
        writeln!(
            out,
            "<pattern id=\"stripes{round}\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" \
             patternTransform=\"rotate({})\"><rect width=\"2\" height=\"6\" fill=\"#ffffff\" \
             fill-opacity=\"0.6\"/></pattern>",
            round * 45 % 360
        )?;
    }
    writeln!(out, "</defs>")
}

fn legend(out: &mut String, placement: &Placement) -> std::fmt::Result {
    let column = CHIP_WIDTH / LEGEND_COLUMNS;
    for index in 0..placement.layers.len() {
        let cores = cores_of(placement, index);
        let (x, y) = (
            MARGIN + index % LEGEND_COLUMNS * column,
            HEADER + index / LEGEND_COLUMNS * LEGEND_ROW,
        );
        filled(out, index, (x, y + 4), (24, 24))?;
        let most = fullest(cores);
        writeln!(
            out,
            "<text x=\"{}\" y=\"{}\" font-size=\"13\"><tspan font-weight=\"600\">{}</tspan> {}</text>",
            x + 33,
            y + 14,
            escaped(&shortened(&cores[0].layer)),
            counted_cores(cores.len()),
        )?;
        writeln!(
            out,
            "<text x=\"{}\" y=\"{}\" font-size=\"11\" fill=\"#57606a\">≤ {} % of {}</text>",
            x + 33,
            y + 29,
            percent(most),
            most.0,
        )?;
    }
    Ok(())
}

fn draw_chip(out: &mut String, placement: &Placement, chip: usize, top: usize) -> std::fmt::Result {
    let here: Vec<(usize, &Core)> = (0..placement.layers.len())
        .flat_map(|index| cores_of(placement, index).iter().map(move |core| (index, core)))
        .filter(|(_, core)| core.chip == chip)
        .collect();
    writeln!(
        out,
        "<text x=\"{MARGIN}\" y=\"{}\" font-size=\"13\"><tspan font-weight=\"600\">chip {chip}</tspan> {} of \
         {CORES_PER_CHIP} cores</text>",
        top + 18,
        here.len(),
    )?;
    let top = top + CHIP_TITLE;
    writeln!(
        out,
        "<rect x=\"{MARGIN}\" y=\"{top}\" width=\"{CHIP_WIDTH}\" height=\"{CHIP_HEIGHT}\" rx=\"10\" \
         fill=\"#f6f8fa\" stroke=\"#d0d7de\"/>"
    )?;
    for tile in 0..CORES_PER_CHIP / CORES_PER_TILE {
        let (x, y) = tile_at(tile, top);
        writeln!(
            out,
            "<rect x=\"{x}\" y=\"{y}\" width=\"{TILE}\" height=\"{TILE}\" rx=\"5\" fill=\"#ffffff\" \
             stroke=\"#e3e7eb\"/>"
        )?;
    }
    for number in 0..CORES_PER_CHIP {
        let (x, y) = core_at(number, top);
        match here.iter().find(|(_, core)| core.core == number) {
            Some((layer, core)) => draw_core(out, *layer, core, x, y)?,
            None => {
                writeln!(
                    out,
                    "<g><title>core {number}: not used</title><rect x=\"{x}\" y=\"{y}\" width=\"{CORE}\" \
                     height=\"{CORE}\" rx=\"3\" fill=\"#f1f3f5\"/><text x=\"{}\" y=\"{}\" font-size=\"9\" \
                     fill=\"#9aa4ae\">{number}</text></g>",
                    x + 4,
                    y + 11,
                )?;
            }
        }
    }
    Ok(())
}

fn tile_at(tile: usize, top: usize) -> (usize, usize) {
    let (column, row) = (tile / TILE_ROWS, tile % TILE_ROWS);
    (
        MARGIN + CHIP_PADDING + column * (TILE + TILE_GAP),
        top + CHIP_PADDING + row * (TILE + TILE_GAP),
    )
}

fn core_at(core: usize, top: usize) -> (usize, usize) {
    let (x, y) = tile_at(core / CORES_PER_TILE, top);
    let within = core % CORES_PER_TILE;
    (
        x + TILE_PADDING + within % TILE_SIDE * (CORE + CORE_GAP),
        y + TILE_PADDING + within / TILE_SIDE * (CORE + CORE_GAP),
    )
}

fn draw_core(out: &mut String, layer: usize, core: &Core, x: usize, y: usize) -> std::fmt::Result {
    let most = binding(core);
    let full = percent(most);
    // At least a line, so that no core in use looks empty.
    let height = (CORE * full / 100).clamp(2, CORE);
    writeln!(
        out,
        "<g><title>core {}, layer {}",
        core.core,
        escaped(&core.layer)
    )?;
    for (name, figure, limit) in uses(core) {
        writeln!(
            out,
            "{name}: {figure} of {limit} ({} %)",
            percent((name, figure, limit))
        )?;
    }
    write!(out, "</title>")?;
    write!(
        out,
        "<rect x=\"{x}\" y=\"{y}\" width=\"{CORE}\" height=\"{CORE}\" rx=\"3\" fill=\"{}\" fill-opacity=\"0.16\"/>",
        colour(layer)
    )?;
    filled(out, layer, (x, y + CORE - height), (CORE, height))?;
    write!(
        out,
        "<rect x=\"{x}\" y=\"{y}\" width=\"{CORE}\" height=\"{CORE}\" rx=\"3\" fill=\"none\" stroke=\"{}\"/>",
        colour(layer)
    )?;
    // A white edge around the letters keeps them readable on every colour.
    let edge = "paint-order=\"stroke\" stroke=\"#ffffff\" stroke-width=\"2\" stroke-linejoin=\"round\"";
    write!(
        out,
        "<text x=\"{}\" y=\"{}\" font-size=\"9\" {edge}>{}</text>",
        x + 4,
        y + 11,
        core.core,
    )?;
    writeln!(
        out,
        "<text x=\"{}\" y=\"{}\" font-size=\"11\" font-weight=\"600\" text-anchor=\"middle\" {edge}>{full}%</text></g>",
        x + CORE / 2,
        y + CORE / 2 + 9,
    )
}

/// A rectangle in a layer's colour, and its stripes.
fn filled(
    out: &mut String,
    layer: usize,
    (x, y): (usize, usize),
    (width, height): (usize, usize),
) -> std::fmt::Result {
    let place = format!("x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" rx=\"3\"");
    write!(out, "<rect {place} fill=\"{}\"/>", colour(layer))?;
    match stripes(layer) {
        None => Ok(()),
        Some(round) => write!(out, "<rect {place} fill=\"url(#stripes{round})\"/>"),
    }
}

/// A name, truncated if it is too long for the legend.
fn shortened(name: &str) -> String {
    const LONGEST: usize = 14;
    if name.chars().count() <= LONGEST {
        return name.to_owned();
    }
    name.chars().take(LONGEST - 1).chain(['…']).collect()
}

/// A name (from a model file, for example) as XML text: escaped, without characters that XML does not allow.
#[must_use]
pub fn escaped(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for character in name.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            control if control.is_control() => out.push('\u{fffd}'),
            plain => out.push(plain),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_core_has_a_place_of_its_own_in_sixteen_columns_and_eight_rows() {
        let places: Vec<(usize, usize)> = (0..CORES_PER_CHIP).map(|core| core_at(core, 0)).collect();
        let different = |axis: fn(&(usize, usize)) -> usize| {
            let mut found: Vec<usize> = places.iter().map(axis).collect();
            found.sort_unstable();
            found.dedup();
            found.len()
        };
        assert_eq!((different(|place| place.0), different(|place| place.1)), (16, 8));
        let mut sorted = places.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), CORES_PER_CHIP);
    }

    #[test]
    fn names_cannot_break_the_document() {
        assert_eq!(
            escaped("a<b & \"c\">\u{0}"),
            "a&lt;b &amp; &quot;c&quot;&gt;\u{fffd}"
        );
        assert_eq!(shortened(&"x".repeat(30)).chars().count(), 14);
    }

    #[test]
    fn the_resource_nearest_its_limit_binds() {
        let core = Core {
            chip: 0,
            core: 0,
            layer: String::new(),
            compartments: 512,
            synapse_bits: 0,
            input_axons: 3072,
            output_axons: 3072,
        };
        assert_eq!(binding(&core), ("input axons", 3072, 4096));
        assert_eq!(percent(binding(&core)), 75);
    }
}
