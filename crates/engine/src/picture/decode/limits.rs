//! How large a picture may be, by its header.

use image::Limits;

use super::header::Cost;
use crate::picture::error::PictureError;

/// The limits of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeLimits {
    /// The largest number of pixels (width x height).
    pub max_pixels: u64,
    /// The longest side in pixels.
    pub max_side: u32,
    /// How many times longer than the shorter side the longer one may be.
    pub max_ratio: u32,
}

impl DecodeLimits {
    /// No limits.
    pub const NONE: Self = Self {
        max_pixels: u64::MAX,
        max_side: u32::MAX,
        max_ratio: u32::MAX,
    };

    /// Compares what a header says with the limits; returns what a decoder may allocate.
    pub(super) fn allow(&self, cost: &Cost) -> Result<Limits, PictureError> {
        // The largest pixel has four samples of 16 bits.
        const BYTES_PER_PIXEL: u64 = 8;
        // For metadata, palettes and row buffers; profiles are below a megabyte in practice.
        const BESIDE_THE_PIXELS: u64 = 16 << 20;

        let (format, size) = (cost.format, (cost.width, cost.height));
        for (width, height) in [size, cost.frame] {
            if width == 0 || height == 0 {
                return Err(PictureError::NoPixels {
                    format,
                    width,
                    height,
                });
            }
            let limit_pixels = self.max_pixels;
            if u64::from(width) * u64::from(height) > limit_pixels {
                return Err(PictureError::TooManyPixels {
                    width,
                    height,
                    limit_pixels,
                });
            }
        }
        let (width, height) = size;
        self.allow_sides(width, height)?;
        let mut allowed = Limits::no_limits();
        allowed.max_image_width = Some(width);
        allowed.max_image_height = Some(height);
        allowed.max_alloc = Some(
            cost.pixels()
                .saturating_mul(BYTES_PER_PIXEL)
                .saturating_add(BESIDE_THE_PIXELS),
        );
        Ok(allowed)
    }

    /// Compares the sides of a picture of one pixel at least with the limits.
    ///
    /// # Errors
    /// [`PictureError::TooLong`] or [`PictureError::TooNarrow`].
    pub fn allow_sides(&self, width: u32, height: u32) -> Result<(), PictureError> {
        let (shorter, longer) = (width.min(height), width.max(height));
        if longer > self.max_side {
            let limit_side = self.max_side;
            return Err(PictureError::TooLong {
                width,
                height,
                limit_side,
            });
        }
        if longer.div_ceil(shorter) > self.max_ratio {
            let limit_ratio = self.max_ratio;
            return Err(PictureError::TooNarrow {
                width,
                height,
                limit_ratio,
            });
        }
        Ok(())
    }
}

impl Default for DecodeLimits {
    /// 40 megapixels, sides of 32,768 pixels, and 100 times as long as wide: panoramas of phones and scans have sides of up
    /// to 20,000, and of a picture that is narrower, the shorter side is less than a pixel or two of any network's input.
    fn default() -> Self {
        Self {
            max_pixels: 40_000_000,
            max_side: 32_768,
            max_ratio: 100,
        }
    }
}
