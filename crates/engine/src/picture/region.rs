//! A part of a picture, in fractions of its sides.

use std::ops::Range;

use super::decode::{DecodeLimits, Decoded};
use super::error::PictureError;

/// A rectangle of a picture as it is seen, after its orientation: fractions of the width and the height, from the top left
/// corner.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Region {
    left: f64,
    top: f64,
    right: f64,
    bottom: f64,
}

impl Region {
    /// The region from the corner `(left, top)` to the corner `(right, bottom)`.
    ///
    /// # Errors
    /// [`PictureError::NoRegion`] unless `0 <= left < right <= 1` and `0 <= top < bottom <= 1`.
    pub fn new([left, top, right, bottom]: [f64; 4]) -> Result<Self, PictureError> {
        let is_side = |from: f64, to: f64| 0.0 <= from && from < to && to <= 1.0;
        if !is_side(left, right) || !is_side(top, bottom) {
            return Err(PictureError::NoRegion {
                given: [left, top, right, bottom],
            });
        }
        Ok(Self {
            left,
            top,
            right,
            bottom,
        })
    }

    /// The columns and the rows of a picture of this size. Each edge goes to the nearest edge of a pixel; what is narrower
    /// than a pixel is the pixel that its middle is in.
    #[must_use]
    pub fn pixels(&self, width: u32, height: u32) -> (Range<u32>, Range<u32>) {
        (
            pixels(self.left, self.right, width),
            pixels(self.top, self.bottom, height),
        )
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "from 0 to the side"
)]
fn pixels(from: f64, to: f64, side: u32) -> Range<u32> {
    let edge = |fraction: f64| (fraction * f64::from(side)).round() as u32;
    let (first, end) = (edge(from), edge(to));
    if first < end {
        return first..end;
    }
    let middle = (f64::midpoint(from, to) * f64::from(side)) as u32;
    let pixel = middle.min(side - 1);
    pixel..pixel + 1
}

impl Decoded {
    /// The part of the picture in a region.
    ///
    /// # Errors
    /// [`PictureError::TooNarrow`] beyond the ratio of its sides that `limits` allow.
    pub fn cropped(&self, region: &Region, limits: &DecodeLimits) -> Result<Self, PictureError> {
        let (columns, rows) = region.pixels(self.width(), self.height());
        let (width, height) = (columns.end - columns.start, rows.end - rows.start);
        limits.allow_sides(width, height)?;
        let at = |pixels: u32| pixels as usize * self.channels();
        let row = at(self.width());
        let samples = self.bytes().chunks_exact(row).skip(rows.start as usize);
        let samples = samples.take(height as usize);
        let samples = samples.flat_map(|row| &row[at(columns.start)..at(columns.end)]);
        Ok(self.of_samples(width, height, samples.copied().collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_region_is_the_nearest_pixels_and_one_at_least() {
        let columns = |left: f64, right: f64, width: u32| {
            let region = Region::new([left, 0.0, right, 1.0]).unwrap();
            region.pixels(width, 1).0
        };
        assert_eq!(columns(0.0, 1.0, 800), 0..800);
        assert_eq!(columns(0.25, 0.5, 800), 200..400);
        // 0.29 x 100 is a little less than 29 in floats.
        assert_eq!(columns(0.29, 0.57, 100), 29..57);
        assert_eq!(columns(0.1, 0.9, 3), 0..3);
        assert_eq!(columns(0.5, 0.500_001, 10), 5..6);
        assert_eq!(columns(0.449, 0.451, 10), 4..5);
        assert_eq!(columns(0.999_999, 1.0, 10), 9..10);
        assert_eq!(columns(0.0, f64::MIN_POSITIVE, 1), 0..1);
    }

    #[test]
    fn what_is_no_region_is_refused() {
        for given in [
            [0.5, 0.0, 0.5, 1.0],
            [0.0, 0.6, 1.0, 0.5],
            [-0.1, 0.0, 1.0, 1.0],
            [0.0, 0.0, 1.000_001, 1.0],
            [f64::NAN, 0.0, 1.0, 1.0],
            [0.0, 0.0, 1.0, f64::INFINITY],
        ] {
            let refused = Region::new(given);
            assert!(matches!(refused, Err(PictureError::NoRegion { .. })), "{given:?}");
        }
    }

    proptest! {
        #[test]
        fn a_part_has_the_pixels_that_the_image_crate_cuts_out(
            (width, height) in (1..40_u32, 1..40_u32), colour: bool, edges in prop::array::uniform4(0.0..=1.0),
        ) {
            let [left, top, right, bottom]: [f64; 4] = edges;
            let given = [left.min(right), top.min(bottom), left.max(right), top.max(bottom)];
            prop_assume!(given[0] < given[2] && given[1] < given[3]);
            let region = Region::new(given).unwrap();
            let channels = if colour { 3 } else { 1 };
            let samples: Vec<u8> = (0..width * height * channels).map(|n| (n * 37 % 251) as u8).collect();
            let whole = Decoded::from_samples(width, height, channels as usize, samples.clone());
            let part = whole.cropped(&region, &DecodeLimits::NONE).unwrap();
            let (columns, rows) = region.pixels(width, height);
            prop_assert!(columns.end <= width && rows.end <= height);
            let (across, down) = (columns.end - columns.start, rows.end - rows.start);
            prop_assert_eq!((part.width(), part.height(), part.channels()), (across, down, channels as usize));
            let cut = if colour {
                let image = image::RgbImage::from_raw(width, height, samples).unwrap();
                image::imageops::crop_imm(&image, columns.start, rows.start, across, down).to_image().into_raw()
            } else {
                let image = image::GrayImage::from_raw(width, height, samples).unwrap();
                image::imageops::crop_imm(&image, columns.start, rows.start, across, down).to_image().into_raw()
            };
            prop_assert_eq!(part.bytes(), cut);
        }
    }

    #[test]
    fn a_part_that_is_too_narrow_is_refused_as_a_picture_is() {
        let whole = Decoded::from_samples(300, 300, 1, vec![7; 90_000]);
        let limits = DecodeLimits::default();
        let narrow = Region::new([0.5, 0.0, 0.500_1, 1.0]).unwrap();
        let refused = whole.cropped(&narrow, &limits);
        assert!(
            matches!(
                refused,
                Err(PictureError::TooNarrow {
                    width: 1,
                    height: 300,
                    ..
                })
            ),
            "{refused:?}"
        );
        let small = Region::new([0.5, 0.5, 0.500_1, 0.500_1]).unwrap();
        assert_eq!(whole.cropped(&small, &limits).unwrap().bytes(), [7]);
    }
}
