//! The background of a photo: its colour, read from the corners, and the box that the product occupies.

use std::ops::Range;

use crate::picture::Decoded;

/// "Trim edges within 5 % of the corner pixels' colour" (Xiao et al. 2017, section 2), as the root mean square over
/// the channels, which is how `ImageMagick`, used by Xiao et al., measures it.
const TRIM_DIVISOR: u64 = 20;

/// A corner that differs by more than a fifth from the most typical one shows the product. Shadows and uneven light on
/// a sheet differ less.
const SHADE_DIVISOR: u64 = 5;

/// A row or column is trimmed even if 1 in 200 of its pixels differs, because of dust and compression noise. Values
/// from 0 to 1 in 100 gave the same fidelity.
const STRAY_DIVISOR: u64 = 200;

/// A corner's colour is the median over a square of a 64th of the shorter side.
const CORNER_DIVISOR: u32 = 64;

/// The largest side of the corner's square, in pixels; a larger one would only take more time.
const CORNER_MAX: u32 = 32;

/// The colour of the background, which may differ from corner to corner because of uneven light.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Backdrop {
    width: u32,
    height: u32,
    channels: usize,
    /// Colours of the corners: top left, top right, bottom left, bottom right. The third and
    /// second channel of a gray picture are 0.
    corners: [[u64; 3]; 4],
}

impl Backdrop {
    /// Reads the corners of a picture.
    ///
    /// The corner nearest to the three others is the most typical one. Corners similar to it keep their colour, so
    /// that a sheet may be shaded; the others are given the typical colour.
    pub(super) fn of(image: &Decoded) -> Self {
        let (width, height) = (image.width(), image.height());
        let side = (width.min(height) / CORNER_DIVISOR).clamp(1, CORNER_MAX);
        let found = [
            (0, 0),
            (width - side, 0),
            (0, height - side),
            (width - side, height - side),
        ]
        .map(|(left, top)| median_colour(image, left..left + side, top..top + side));

        let mut typical = found[0];
        let mut smallest = u64::MAX;
        for corner in found {
            let distance = found.iter().map(|other| square(corner, *other)).sum();
            if distance < smallest {
                (typical, smallest) = (corner, distance);
            }
        }
        let channels = image.channels();
        let like = |corner| within(square(corner, typical), channels, SHADE_DIVISOR);
        Self {
            width,
            height,
            channels,
            corners: found.map(|corner| if like(corner) { corner } else { typical }),
        }
    }

    /// The background colour at a position given as fractions of the picture's width and height, each `(numerator,
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

    /// The columns and rows that contain the product; `None` if there is only background.
    pub(super) fn trim(&self, image: &Decoded) -> Option<(Range<u32>, Range<u32>)> {
        let row_bytes = usize::try_from(self.width).ok()? * self.channels;
        let shaded = self.corners.iter().any(|c| *c != self.corners[0]);
        let mut in_columns = vec![0_u32; usize::try_from(self.width).ok()?];
        let mut in_rows = Vec::with_capacity(usize::try_from(self.height).ok()?);
        for (y, row) in (0_u32..).zip(image.bytes().chunks_exact(row_bytes)) {
            let mut in_row = 0_u32;
            let across = u64::from(self.width);
            let down = (u64::from(y), u64::from(self.height));
            // Without shading, or along this row, the colour is computed once.
            let left = self.at((0, across), down);
            let right = self.at((across, across), down);
            for ((x, pixel), count) in (0_u64..)
                .zip(row.chunks_exact(self.channels))
                .zip(&mut in_columns)
            {
                let mut distance = 0;
                for (channel, &value) in pixel.iter().enumerate() {
                    let behind = if shaded {
                        (left[channel] * (across - x) + right[channel] * x) / across
                    } else {
                        left[channel]
                    };
                    distance += behind.abs_diff(u64::from(value)).pow(2);
                }
                if !within(distance, self.channels, TRIM_DIVISOR) {
                    *count += 1;
                    in_row += 1;
                }
            }
            in_rows.push(in_row);
        }
        Some((extent(&in_columns, self.height)?, extent(&in_rows, self.width)?))
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

/// Whether a squared distance, summed over the channels, is at most `255 / divisor` in the root mean square.
fn within(distance: u64, channels: usize, divisor: u64) -> bool {
    let channels = if channels == 1 { 1 } else { 3 };
    distance * divisor * divisor <= channels * 255 * 255
}

fn square(one: [u64; 3], other: [u64; 3]) -> u64 {
    one.iter().zip(other).map(|(a, b)| a.abs_diff(b).pow(2)).sum()
}

/// The median of each channel over a box of the picture.
fn median_colour(image: &Decoded, columns: Range<u32>, rows: Range<u32>) -> [u64; 3] {
    let at = |pixels: u32| usize::try_from(pixels).unwrap_or(usize::MAX);
    let channels = image.channels();
    let mut colour = [0; 3];
    for (channel, median) in colour.iter_mut().enumerate().take(channels) {
        let mut values = Vec::new();
        for row in rows.clone() {
            let start = at(row) * at(image.width());
            for column in columns.clone() {
                values.push(image.bytes()[(start + at(column)) * channels + channel]);
            }
        }
        values.sort_unstable();
        *median = u64::from(values[values.len() / 2]);
    }
    colour
}
