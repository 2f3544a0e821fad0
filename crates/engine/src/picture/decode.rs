//! Decodes PNG, JPEG, WebP, GIF and BMP files. In: bytes. Out: upright pixels without alpha; limits are checked before
//! pixels are decoded.

mod header;
mod jpeg;
mod opaque;
mod orientation;
mod signature;
mod webp;

#[cfg(test)]
mod tests;

use std::error::Error as _;
use std::io::{self, Cursor};

use image::codecs::{
    bmp::BmpDecoder, gif::GifDecoder, jpeg::JpegDecoder, png::PngDecoder, webp::WebPDecoder,
};
use image::metadata::Orientation;
use image::{ColorType, DynamicImage, ImageDecoder, ImageError, Limits};

use super::error::PictureError;
use super::format::Format;
pub use header::{Coding, Cost, cost};
use jpeg::{Layout, UncommonJpeg};
use opaque::{fill_unused_alpha, opaque, opaque_gray};
use orientation::{of_png, orientation};
pub use signature::sniff;

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
    fn allow(&self, cost: &Cost) -> Result<Limits, PictureError> {
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

/// A decoded picture: upright and opaque, at least one pixel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    format: Format,
    width: u32,
    height: u32,
    channels: usize,
    bytes: Vec<u8>,
}

impl Decoded {
    /// A picture that is already in memory; its samples as [`Decoded::bytes`] has them.
    pub(super) fn from_samples(width: u32, height: u32, channels: usize, bytes: Vec<u8>) -> Self {
        Self {
            format: Format::Png,
            width,
            height,
            channels,
            bytes,
        }
    }

    /// The format of the file.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// The width in pixels, after applying the orientation; at least 1.
    #[must_use]
    pub fn width(&self) -> u32 {
        self.width
    }

    /// The height in pixels, after applying the orientation; at least 1.
    #[must_use]
    pub fn height(&self) -> u32 {
        self.height
    }

    /// The number of channels: 1 if the source was one opaque gray channel of at most 8 bits, else 3 (red, green,
    /// blue).
    #[must_use]
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// The samples, 0 to 255, row by row, the channels of a pixel side by side: `height x width x channels` bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The pixels, row by row, if the source was one opaque 8-bit gray channel.
    #[must_use]
    pub fn gray(&self) -> Option<&[u8]> {
        (self.channels == 1).then_some(&self.bytes)
    }
}

/// Decodes a picture: format from its bytes, size against `limits` before any pixel is decoded,
/// EXIF orientation applied, the first frame of an animation.
///
/// Alpha is laid over white, or over black where more than half of what is visible is nearly white. A bitmap whose alpha
/// is 0 throughout is opaque.
///
/// Gray stays gray if the source is one opaque gray channel of at most 8 bits, or a GIF or BMP
/// (formats with palettes only) all of whose colours are gray; all else becomes RGB. Bytes behind
/// the picture are ignored. Colour profiles are not applied.
///
/// # Errors
/// [`PictureError::UnsupportedFormat`], [`PictureError::NotAPicture`], [`PictureError::TooManyPixels`],
/// [`PictureError::TooLarge`], [`PictureError::NoPixels`], [`PictureError::Truncated`], [`PictureError::Damaged`] or
/// [`PictureError::UnsupportedCoding`].
pub fn decode(bytes: &[u8], limits: &DecodeLimits) -> Result<Decoded, PictureError> {
    let cost = cost(bytes)?;
    let format = cost.format;
    let file = File {
        refused: Refused { bytes, format },
        allowed: limits.allow(&cost)?,
    };
    let refused = &file.refused;
    let reader = Cursor::new(bytes);
    match format {
        Format::Png => {
            // The decoder reads every chunk before the pixels when it is made, and those can unpack to much.
            let decoder = PngDecoder::with_limits(reader, file.allowed.clone());
            let decoder = decoder.map_err(|e| file.refusal(e))?;
            file.read(decoder, Source::Channels, orientation(of_png(bytes).as_deref()))
        }
        Format::Jpeg => {
            let frame = jpeg::frame(bytes).map_err(|e| refused.jpeg(e))?;
            let (layout, exif) = jpeg::check(bytes, &frame).map_err(|e| refused.jpeg(e))?;
            let orientation = orientation(exif);
            match layout {
                Layout::Common => {
                    let decoder = JpegDecoder::new(reader).map_err(|e| file.refusal(e))?;
                    file.read(decoder, Source::Channels, orientation)
                }
                Layout::Uncommon => {
                    let decoder = UncommonJpeg::new(frame, bytes);
                    file.read(decoder, Source::Channels, orientation)
                }
            }
        }
        Format::WebP => {
            let mut decoder = WebPDecoder::new(reader).map_err(|e| refused.header(e))?;
            // Metadata that cannot be read leaves the picture as it is.
            let exif = decoder.exif_metadata().ok().flatten();
            file.read(decoder, Source::Channels, orientation(exif.as_deref()))
        }
        Format::Gif => {
            let decoder = GifDecoder::new(reader).map_err(|e| refused.header(e))?;
            file.read(decoder, Source::Palette, Orientation::NoTransforms)
        }
        Format::Bmp => {
            let decoder = BmpDecoder::new(reader).map_err(|e| refused.header(e))?;
            let source = if decoder.get_palette().is_some() {
                Source::Palette
            } else {
                Source::Channels
            };
            file.read(decoder, source, Orientation::NoTransforms)
        }
    }
}

/// The meaning of a file's samples.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    /// Channels.
    Channels,
    /// Palette entries. GIF and BMP have no other representation of one gray channel.
    Palette,
}

/// A file whose header is within the limits.
struct File<'a> {
    refused: Refused<'a>,
    /// What its decoder may allocate.
    allowed: Limits,
}

impl File<'_> {
    /// Reads the pixels of a decoder that has read the header alone.
    fn read(
        &self,
        mut decoder: impl ImageDecoder,
        source: Source,
        orientation: Orientation,
    ) -> Result<Decoded, PictureError> {
        let format = self.refused.format;
        let (width, height) = decoder.dimensions();
        let refusal = |error| self.refusal(error);
        // Where the decoder reads another size than was allowed, it refuses the picture here.
        decoder.set_limits(self.allowed.clone()).map_err(refusal)?;
        let mut colour = decoder.color_type();
        let length = usize::try_from(decoder.total_bytes()).map_err(|_| {
            let limit_bytes = self.allowed.max_alloc.unwrap_or(u64::MAX);
            PictureError::TooLarge { format, limit_bytes }
        })?;
        let mut samples = vec![0; length];
        decoder.read_image(&mut samples).map_err(refusal)?;
        if format == Format::Bmp {
            fill_unused_alpha(&mut samples, colour);
        }
        if source == Source::Palette
            && let Some(gray) = opaque_gray(&samples, colour)
        {
            (samples, colour) = (gray, ColorType::L8);
        }
        let image = opaque(samples, colour, width, height).ok_or_else(|| {
            let kind = image::error::UnsupportedErrorKind::Color(colour.into());
            refusal(ImageError::Unsupported(
                image::error::UnsupportedError::from_format_and_kind(
                    image::error::ImageFormatHint::Unknown,
                    kind,
                ),
            ))
        })?;
        Ok(Decoded::upright(format, image, orientation))
    }

    fn refusal(&self, source: ImageError) -> PictureError {
        self.refused.by_decoder(source, &self.allowed)
    }
}

/// The format and bytes of a file, for error messages.
struct Refused<'a> {
    bytes: &'a [u8],
    format: Format,
}

impl Refused<'_> {
    fn truncated(&self) -> PictureError {
        PictureError::Truncated {
            format: self.format,
            bytes: self.bytes.len(),
        }
    }

    fn jpeg(&self, refusal: jpeg::Refusal) -> PictureError {
        match refusal {
            jpeg::Refusal::Truncated => self.truncated(),
            jpeg::Refusal::Damaged { at, fault } => PictureError::DamagedJpeg { at, fault },
            jpeg::Refusal::Unread(coding) => PictureError::UnreadJpeg { coding },
        }
    }

    /// Where a decoder could not read the header.
    fn header(&self, source: ImageError) -> PictureError {
        self.by_decoder(source, &Limits::no_limits())
    }

    fn by_decoder(&self, source: ImageError, allowed: &Limits) -> PictureError {
        let format = self.format;
        match source {
            ImageError::Limits(_) => PictureError::TooLarge {
                format,
                limit_bytes: allowed.max_alloc.unwrap_or(u64::MAX),
            },
            ImageError::Unsupported(_) => PictureError::UnsupportedCoding { format, source },
            source if ends_early(&source) => self.truncated(),
            source => PictureError::Damaged { format, source },
        }
    }
}

/// Whether an error, or one of its sources, is an unexpected end of the bytes.
fn ends_early(error: &ImageError) -> bool {
    if let ImageError::IoError(error) = error {
        return error.kind() == io::ErrorKind::UnexpectedEof;
    }
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return error.kind() == io::ErrorKind::UnexpectedEof;
        }
        cause = error.source();
    }
    false
}

impl Decoded {
    fn upright(format: Format, mut image: DynamicImage, orientation: Orientation) -> Self {
        image.apply_orientation(orientation);
        let (width, height) = (image.width(), image.height());
        let channels = if matches!(image, DynamicImage::ImageLuma8(_)) {
            1
        } else {
            3
        };
        let bytes = image.into_bytes();
        Self {
            format,
            width,
            height,
            channels,
            bytes,
        }
    }
}
