//! The background of a photo: its colour, read from the border, and the box of all that differs from it.

use std::ops::Range;

use super::colour::{TRIM_DIVISOR, median, pixel, square, within};
use super::part::Part;
use crate::picture::Decoded;

/// A corner that differs by more than a fifth from the most typical colour shows the product. Shadows and uneven light
/// on a sheet differ less.
const SHADE_DIVISOR: u64 = 5;

/// A row or column is trimmed even if 1 in 200 of its pixels differs, because of dust and compression noise. Values
/// from 0 to 1 in 100 gave the same fidelity.
const STRAY_DIVISOR: u64 = 200;

/// A corner's colour is the median over a square of a 64th of the shorter side.
const CORNER_DIVISOR: u32 = 64;

/// The largest side of the corner's square, in pixels; a larger one would only take more time.
const CORNER_MAX: u32 = 32;

/// So many squares between two corners show what most of the border is like.
const BETWEEN: u32 = 14;

/// The colour of the background, which may differ from corner to corner because of uneven light.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Backdrop {
    /// The part of the picture that it is the backdrop of.
    part: Part,
    channels: usize,
    /// Colours of the corners: top left, top right, bottom left, bottom right. The third and
    /// second channel of a gray picture are 0.
    corners: [[u64; 3]; 4],
}

impl Backdrop {
    /// Reads the border of a part of a picture.
    ///
    /// The typical colour is the one that most of the border has. Corners similar to it keep their colour, so that a sheet
    /// may be shaded; the others, where a product or a badge reaches into them, are given the typical colour. A corner that
    /// differs from the border on both of its sides shows a letter, and is given the border's colour.
    pub(super) fn of(image: &Decoded, part: &Part) -> Self {
        let channels = image.channels();
        let (width, height) = (part.width(), part.height());
        let side = (width.min(height) / CORNER_DIVISOR).clamp(1, CORNER_MAX);
        let colour = |left: u32, top: u32| {
            let (left, top) = (part.columns.start + left, part.rows.start + top);
            let rows = top..top + side;
            let pixels: Vec<[u64; 3]> = rows
                .flat_map(|y| (left..left + side).map(move |x| pixel(image, x, y)))
                .collect();
            median(&pixels, channels)
        };
        let (right, bottom) = (width - side, height - side);
        let between = |length: u32, index: u32| {
            let place = u64::from(length) * u64::from(index) / u64::from(BETWEEN + 1);
            u32::try_from(place).unwrap_or(length)
        };
        let all = 0..=BETWEEN + 1;
        let across = |top: u32| all.clone().map(move |index| (between(right, index), top));
        let down = |left: u32| all.clone().map(move |index| (left, between(bottom, index)));
        let edge = |places: &mut dyn Iterator<Item = (u32, u32)>| -> Vec<[u64; 3]> {
            places.map(|(left, top)| colour(left, top)).collect()
        };
        let (upper, lower) = (edge(&mut across(0)), edge(&mut across(bottom)));
        let (left, right) = (edge(&mut down(0)), edge(&mut down(right)));

        let like = |one, other, divisor| within(square(one, other), channels, divisor);
        let border = || [&upper, &lower, &left, &right].into_iter().flatten();
        let mut typical = (0, upper[0]);
        for &square in border() {
            let alike = border()
                .filter(|&&other| like(square, other, SHADE_DIVISOR))
                .count();
            if alike > typical.0 {
                typical = (alike, square);
            }
        }
        let typical = typical.1;
        let corner = |one: &[[u64; 3]], other: &[[u64; 3]]| {
            let near = [one[0], one[1], one[2], other[1], other[2]];
            let usual = median(&near, channels);
            let shown = if like(one[0], usual, TRIM_DIVISOR) {
                one[0]
            } else {
                usual
            };
            if like(shown, typical, SHADE_DIVISOR) {
                shown
            } else {
                typical
            }
        };
        let backward = |edge: &[[u64; 3]]| -> Vec<[u64; 3]> { edge.iter().rev().copied().collect() };
        Self {
            part: part.clone(),
            channels,
            corners: [
                corner(&upper, &left),
                corner(&backward(&upper), &right),
                corner(&lower, &backward(&left)),
                corner(&backward(&lower), &backward(&right)),
            ],
        }
    }

    /// The background colour at a position given as fractions of the part's width and height, each `(numerator,
    /// denominator)`.
    pub(super) fn at(&self, (x, width): (u64, u64), (y, height): (u64, u64)) -> [u64; 3] {
        let [top_left, top_right, bottom_left, bottom_right] = self.corners;
        [0, 1, 2].map(|channel| {
            let mix = |left: u64, right: u64| left * (width - x) + right * x;
            let top = mix(top_left[channel], top_right[channel]);
            let bottom = mix(bottom_left[channel], bottom_right[channel]);
            let whole = width * height;
            (top * (height - y) + bottom * y + whole / 2) / whole
        })
    }

    /// Calls `each` with the place in the part, and the squared distance from the backdrop, of every pixel that differs.
    pub(super) fn each_differing(&self, image: &Decoded, mut each: impl FnMut(u32, u32, u64)) {
        let at = |pixels: u32| usize::try_from(pixels).unwrap_or(usize::MAX);
        let (width, height) = (self.part.width(), self.part.height());
        let row_bytes = at(image.width()) * self.channels;
        let bytes = at(self.part.columns.start) * self.channels..at(self.part.columns.end) * self.channels;
        let shaded = self.corners.iter().any(|c| *c != self.corners[0]);
        let rows = image
            .bytes()
            .chunks_exact(row_bytes)
            .skip(at(self.part.rows.start));
        for (y, row) in (0..height).zip(rows) {
            let across = u64::from(width);
            let down = (u64::from(y), u64::from(height));
            // Without shading, or along this row, the colour is computed once.
            let left = self.at((0, across), down);
            let right = self.at((across, across), down);
            for (x, pixel) in (0_u32..).zip(row[bytes.clone()].chunks_exact(self.channels)) {
                let mut distance = 0;
                for (channel, &value) in pixel.iter().enumerate() {
                    let behind = if shaded {
                        let x = u64::from(x);
                        (left[channel] * (across - x) + right[channel] * x) / across
                    } else {
                        left[channel]
                    };
                    distance += behind.abs_diff(u64::from(value)).pow(2);
                }
                if !within(distance, self.channels, TRIM_DIVISOR) {
                    each(x, y, distance);
                }
            }
        }
    }
}

/// How many pixels of each column and row of a part differ from its backdrop.
#[derive(Clone, Debug)]
pub(super) struct Differing {
    in_columns: Vec<u32>,
    in_rows: Vec<u32>,
}

impl Differing {
    pub(super) fn none(part: &Part) -> Self {
        let lines = |count: u32| vec![0; usize::try_from(count).unwrap_or(usize::MAX)];
        Self {
            in_columns: lines(part.width()),
            in_rows: lines(part.height()),
        }
    }

    /// Counts a pixel at a place in the part.
    pub(super) fn count(&mut self, x: u32, y: u32) {
        let at = |pixels: u32| usize::try_from(pixels).unwrap_or(usize::MAX);
        self.in_columns[at(x)] += 1;
        self.in_rows[at(y)] += 1;
    }

    /// The columns and rows that contain the product; `None` if there is only background.
    pub(super) fn trim(&self, part: &Part) -> Option<Part> {
        let within = |start: u32, found: Range<u32>| start + found.start..start + found.end;
        Some(Part {
            columns: within(part.columns.start, extent(&self.in_columns, part.height())?),
            rows: within(part.rows.start, extent(&self.in_rows, part.width())?),
        })
    }
}

/// The first to the last of the lines that differ in more than stray pixels.
fn extent(differing: &[u32], line_length: u32) -> Option<Range<u32>> {
    let stray = u64::from(line_length) / STRAY_DIVISOR;
    let holds = |count: &u32| u64::from(*count) > stray;
    let first = u32::try_from(differing.iter().position(holds)?).ok()?;
    let last = u32::try_from(differing.iter().rposition(holds)?).ok()?;
    Some(first..last + 1)
}
