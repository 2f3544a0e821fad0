//! Charts as SVG: grid, lines, marks, error bars, and a legend below the plot.
//!
//! Curves differ in colour (Okabe and Ito 2008) and in the shape of their marks, so that they can be distinguished
//! without colour. Like the drawing of the chip, it has no scripts, fonts or links.

use std::fmt::Write;

use super::axis::{Axis, Ruler};
use engine::chip::draw::{escaped, open};

/// One figure.
#[derive(Debug, Clone, PartialEq)]
pub struct Chart {
    pub title: String,
    pub subtitle: String,
    pub x: Axis,
    pub y: Axis,
    pub curves: Vec<Curve>,
    /// Horizontal lines across the whole figure.
    pub levels: Vec<Level>,
}

/// A named series of points.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    pub name: String,
    pub points: Vec<Point>,
    pub ink: Ink,
}

/// The style of a curve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ink {
    /// Its own colour and mark, with lines between the points.
    Own,
    /// Published figures: hollow dark marks without lines.
    Published,
}

/// One measured value.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    pub x: f64,
    pub y: f64,
    /// Half the length of the error bar; 0 for none.
    pub spread: f64,
    /// Written beside the mark if there is room.
    pub label: String,
}

/// A horizontal line.
#[derive(Debug, Clone, PartialEq)]
pub struct Level {
    pub name: String,
    pub y: f64,
}

const COLOURS: [&str; 7] = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#6e7781",
];
const DARK: &str = "#1f2328";
const SOFT: &str = "#57606a";
const DASHES: [&str; 3] = ["7 4", "2 3", "10 3 2 3"];

const WIDTH: f64 = 760.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 74.0;
const PLOT_HEIGHT: f64 = 360.0;
const BELOW: f64 = 58.0;
const LEGEND_ROW: f64 = 22.0;
const SWATCH: f64 = 34.0;
/// Mean width of a letter at 12 pixels in DejaVu, the widest of the figure's fonts.
const LETTER: f64 = 7.2;

/// The plot's axes, and the boxes of text that are already placed.
struct Plot {
    x: Ruler,
    y: Ruler,
    taken: Vec<[f64; 4]>,
}

impl Plot {
    fn at(&self, x: f64, y: f64) -> (f64, f64) {
        (
            LEFT + self.x.place(x) * (WIDTH - LEFT - RIGHT),
            TOP + (1.0 - self.y.place(y)) * PLOT_HEIGHT,
        )
    }

    /// Reserves a box (left, top, right, bottom) unless it overlaps another one.
    fn take(&mut self, wanted: [f64; 4]) -> bool {
        let [left, top, right, bottom] = wanted;
        let touches = self
            .taken
            .iter()
            .any(|taken| left < taken[2] && right > taken[0] && top < taken[3] && bottom > taken[1]);
        let within = left > LEFT && right < WIDTH - RIGHT + 12.0 && top > TOP && bottom < TOP + PLOT_HEIGHT;
        if touches || !within {
            return false;
        }
        self.taken.push(wanted);
        true
    }
}

impl Chart {
    /// The chart as an SVG document.
    pub fn svg(&self) -> String {
        let mut out = String::new();
        // Writing to a String cannot fail.
        let _ = self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        let points = || self.curves.iter().flat_map(|curve| &curve.points);
        let heights: Vec<f64> = points()
            .flat_map(|point| [point.y - point.spread, point.y + point.spread])
            .chain(self.levels.iter().map(|level| level.y))
            .collect();
        let mut plot = Plot {
            x: self.x.over(points().map(|point| point.x)),
            y: self.y.over(heights.iter().copied()),
            taken: Vec::new(),
        };
        let entries = self.entries();
        let height =
            TOP + PLOT_HEIGHT + BELOW + entries.last().map_or(0.0, |entry| entry.y + LEGEND_ROW) + 8.0;
        let (title, subtitle) = (escaped(&self.title), escaped(&self.subtitle));
        open(out, WIDTH, height, &title, &subtitle)?;
        writeln!(
            out,
            "<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>"
        )?;
        writeln!(
            out,
            "<text x=\"24\" y=\"34\" font-size=\"18\" font-weight=\"600\">{title}</text>"
        )?;
        writeln!(
            out,
            "<text x=\"24\" y=\"55\" font-size=\"12\" fill=\"{SOFT}\">{subtitle}</text>"
        )?;
        self.grid(out, &plot)?;
        for (index, level) in self.levels.iter().enumerate() {
            let (_, y) = plot.at(self.first_x(), level.y);
            plot.taken.push([LEFT, y - 2.0, WIDTH, y + 2.0]);
            writeln!(
                out,
                "<path d=\"M{LEFT} {y:.1}H{}\" stroke=\"{SOFT}\" stroke-width=\"1.5\" stroke-dasharray=\"{}\" \
                 fill=\"none\"><title>{}: {}</title></path>",
                WIDTH - RIGHT,
                DASHES[index % DASHES.len()],
                escaped(&level.name),
                level.y
            )?;
        }
        for curve in &self.curves {
            for point in &curve.points {
                let (x, y) = plot.at(point.x, point.y);
                plot.taken.push([x - 5.0, y - 5.0, x + 5.0, y + 5.0]);
            }
        }
        for (index, curve) in self.curves.iter().enumerate() {
            draw_curve(out, &plot, curve, index)?;
        }
        for (index, curve) in self.curves.iter().enumerate() {
            label_points(out, &mut plot, curve, index)?;
        }
        for (entry, swatch) in entries.iter().zip(self.swatches()) {
            let (x, y) = (entry.x, TOP + PLOT_HEIGHT + BELOW + entry.y);
            swatch.draw(out, x, y + 8.0)?;
            writeln!(
                out,
                "<text x=\"{:.1}\" y=\"{:.1}\" font-size=\"12\">{}</text>",
                x + SWATCH,
                y + 12.0,
                escaped(&entry.name)
            )?;
        }
        writeln!(out, "</svg>")
    }

    fn first_x(&self) -> f64 {
        let mut points = self.curves.iter().flat_map(|curve| &curve.points);
        points.next().map_or(1.0, |point| point.x)
    }

    fn grid(&self, out: &mut String, plot: &Plot) -> std::fmt::Result {
        let (right, bottom) = (WIDTH - RIGHT, TOP + PLOT_HEIGHT);
        for &tick in &plot.y.ticks {
            let (_, y) = plot.at(self.first_x(), tick);
            writeln!(
                out,
                "<path d=\"M{LEFT} {y:.1}H{right}\" stroke=\"#e3e7eb\"/><text x=\"{}\" y=\"{:.1}\" font-size=\"12\" \
                 text-anchor=\"end\" fill=\"{SOFT}\">{}</text>",
                LEFT - 8.0,
                y + 4.0,
                plot.y.shown(tick)
            )?;
        }
        for &tick in &plot.x.ticks {
            let x = LEFT + plot.x.place(tick) * (right - LEFT);
            writeln!(
                out,
                "<path d=\"M{x:.1} {TOP}V{bottom}\" stroke=\"#eff2f5\"/><text x=\"{x:.1}\" y=\"{}\" font-size=\"12\" \
                 text-anchor=\"middle\" fill=\"{SOFT}\">{}</text>",
                bottom + 18.0,
                plot.x.shown(tick)
            )?;
        }
        writeln!(
            out,
            "<path d=\"M{LEFT} {TOP}V{bottom}H{right}\" stroke=\"#8c959f\" fill=\"none\"/>"
        )?;
        writeln!(
            out,
            "<text x=\"{:.1}\" y=\"{}\" font-size=\"13\" text-anchor=\"middle\">{}</text>",
            f64::midpoint(LEFT, right),
            bottom + 40.0,
            escaped(&self.x.label)
        )?;
        let middle = f64::midpoint(TOP, bottom);
        writeln!(
            out,
            "<text x=\"20\" y=\"{middle:.1}\" font-size=\"13\" text-anchor=\"middle\" \
             transform=\"rotate(-90 20 {middle:.1})\">{}</text>",
            escaped(&self.y.label)
        )
    }

    /// The positions of the legend's names: from left to right, in as many rows as needed.
    fn entries(&self) -> Vec<Entry> {
        let curves = self.curves.iter().map(|curve| &curve.name);
        let names = curves.chain(self.levels.iter().map(|level| &level.name));
        let (mut x, mut y) = (LEFT, 0.0);
        names
            .map(|name| {
                let width = SWATCH + LETTER * name.chars().count() as f64 + 20.0;
                if x > LEFT && x + width > WIDTH {
                    (x, y) = (LEFT, y + LEGEND_ROW);
                }
                let entry = Entry {
                    name: name.clone(),
                    x,
                    y,
                };
                x += width;
                entry
            })
            .collect()
    }

    fn swatches(&self) -> impl Iterator<Item = Swatch> {
        let curves = self.curves.iter().enumerate();
        let curves = curves.map(|(index, curve)| Swatch::Curve(index, curve.ink));
        curves.chain((0..self.levels.len()).map(Swatch::Level))
    }
}

struct Entry {
    name: String,
    x: f64,
    y: f64,
}

enum Swatch {
    Curve(usize, Ink),
    Level(usize),
}

impl Swatch {
    fn draw(&self, out: &mut String, x: f64, y: f64) -> std::fmt::Result {
        match *self {
            Self::Level(index) => writeln!(
                out,
                "<path d=\"M{x:.1} {y:.1}h28\" stroke=\"{SOFT}\" stroke-width=\"1.5\" stroke-dasharray=\"{}\"/>",
                DASHES[index % DASHES.len()]
            ),
            Self::Curve(index, ink) => {
                if ink == Ink::Own {
                    writeln!(
                        out,
                        "<path d=\"M{x:.1} {y:.1}h28\" stroke=\"{}\" stroke-width=\"2\"/>",
                        colour(index, ink)
                    )?;
                }
                mark(out, index, ink, x + 14.0, y, "")
            }
        }
    }
}

fn colour(index: usize, ink: Ink) -> &'static str {
    match ink {
        Ink::Own => COLOURS[index % COLOURS.len()],
        Ink::Published => DARK,
    }
}

fn draw_curve(out: &mut String, plot: &Plot, curve: &Curve, index: usize) -> std::fmt::Result {
    let colour = colour(index, curve.ink);
    if curve.ink == Ink::Own && curve.points.len() > 1 {
        let mut path = String::new();
        for (number, point) in curve.points.iter().enumerate() {
            let (x, y) = plot.at(point.x, point.y);
            write!(path, "{}{x:.1} {y:.1}", if number == 0 { 'M' } else { 'L' })?;
        }
        writeln!(
            out,
            "<path d=\"{path}\" stroke=\"{colour}\" stroke-width=\"2\" stroke-linejoin=\"round\" fill=\"none\"/>"
        )?;
    }
    for point in &curve.points {
        let (x, y) = plot.at(point.x, point.y);
        if point.spread > 0.0 {
            let (_, high) = plot.at(point.x, point.y + point.spread);
            let (_, low) = plot.at(point.x, point.y - point.spread);
            writeln!(
                out,
                "<path d=\"M{0:.1} {high:.1}h8m-4 0V{low:.1}m-4 0h8\" stroke=\"{colour}\" stroke-width=\"1.3\" \
                 fill=\"none\"/>",
                x - 4.0
            )?;
        }
        let told = match point.spread > 0.0 {
            true => format!("{}, {}: {} ± {}", curve.name, point.label, point.y, point.spread),
            false => format!("{}, {}: {}", curve.name, point.label, point.y),
        };
        mark(out, index, curve.ink, x, y, &told)?;
    }
    Ok(())
}

/// Writes a label above its mark if there is room, else below, else not at all; the mark's tooltip has it in any case.
fn label_points(out: &mut String, plot: &mut Plot, curve: &Curve, index: usize) -> std::fmt::Result {
    for point in curve.points.iter().filter(|point| !point.label.is_empty()) {
        let (x, y) = plot.at(point.x, point.y);
        let half = 0.5 * 6.0 * point.label.chars().count() as f64;
        let free = [y - 9.0, y + 17.0]
            .into_iter()
            .find(|&base| plot.take([x - half, base - 9.0, x + half, base + 2.0]));
        if let Some(base) = free {
            writeln!(
                out,
                "<text x=\"{x:.1}\" y=\"{base:.1}\" font-size=\"10\" text-anchor=\"middle\" fill=\"{}\" \
                 paint-order=\"stroke\" stroke=\"#ffffff\" stroke-width=\"3\" stroke-linejoin=\"round\">{}</text>",
                colour(index, curve.ink),
                escaped(&point.label)
            )?;
        }
    }
    Ok(())
}

/// A curve's mark and its tooltip.
fn mark(out: &mut String, index: usize, ink: Ink, x: f64, y: f64, told: &str) -> std::fmt::Result {
    let path = match (ink, index % 5) {
        (Ink::Published, _) => "m0 -7 7 7 -7 7 -7 -7z",
        (Ink::Own, 0) => "m-5 0a5 5 0 1 0 10 0a5 5 0 1 0 -10 0z",
        (Ink::Own, 1) => "m-4.5 -4.5h9v9h-9z",
        (Ink::Own, 2) => "m0 -6 5.5 10h-11z",
        (Ink::Own, 3) => "m0 6 5.5 -10h-11z",
        (Ink::Own, _) => "m0 -6 6 6 -6 6 -6 -6z",
    };
    let colour = colour(index, ink);
    let paint = match ink {
        Ink::Own => format!("fill=\"{colour}\" stroke=\"#ffffff\" stroke-width=\"1\""),
        Ink::Published => format!("fill=\"#ffffff\" stroke=\"{colour}\" stroke-width=\"2\""),
    };
    let told = match told {
        "" => String::new(),
        told => format!("<title>{}</title>", escaped(told)),
    };
    writeln!(out, "<path d=\"M{x:.1} {y:.1}{path}\" {paint}>{told}</path>")
}

#[cfg(test)]
mod tests {
    use super::super::axis::Scale;
    use super::*;

    fn chart(curves: usize) -> Chart {
        let axis = |label: &str, scale| Axis {
            label: label.to_owned(),
            scale,
            ticks: Vec::new(),
        };
        let point = |x: f64, y: f64| Point {
            x,
            y,
            spread: 0.01,
            label: format!("T = {x}"),
        };
        let own = (0..curves).map(|index| Curve {
            name: format!("network {index} <a & b>"),
            points: vec![point(4.0, 0.2 + 0.1 * index as f64), point(16.0, 0.5)],
            ink: Ink::Own,
        });
        Chart {
            title: "A & B".to_owned(),
            subtitle: "of <c>".to_owned(),
            x: axis("energy", Scale::Logarithmic),
            y: axis("mAP", Scale::Linear),
            curves: own
                .chain([Curve {
                    name: "paper".to_owned(),
                    points: vec![point(2.996, 0.4797)],
                    ink: Ink::Published,
                }])
                .collect(),
            levels: vec![Level {
                name: "float".to_owned(),
                y: 0.54,
            }],
        }
    }

    #[test]
    fn every_curve_point_and_level_is_drawn_named_and_inside() {
        let svg = chart(3).svg();
        assert_eq!(svg.matches("</title></path>").count(), 3 * 2 + 1 + 1);
        for name in [
            "network 2 &lt;a &amp; b&gt;</text>",
            "paper</text>",
            "float</text>",
        ] {
            assert!(svg.contains(name), "{name} is not in the legend:\n{svg}");
        }
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }

    #[test]
    fn the_legend_stands_below_the_plot_and_grows_downward() {
        let rows = |curves: usize| chart(curves).entries().last().map(|entry| entry.y).unwrap();
        assert!(rows(12) > rows(1));
        assert!(
            chart(12)
                .entries()
                .iter()
                .all(|entry| entry.x >= LEFT && entry.x < WIDTH / 1.2)
        );
    }

    #[test]
    fn labels_that_would_cover_each_other_are_left_to_the_tooltips() {
        let mut crowded = chart(1);
        crowded.curves[0].points = vec![crowded.curves[0].points[0].clone(); 5];
        let svg = crowded.svg();
        let written = svg.matches(">T = 4</text>").count();
        assert!((1..=2).contains(&written), "{written}");
        assert_eq!(svg.matches("T = 4: 0.2").count(), 5);
    }
}
