//! Decodes PNG, JPEG, WebP, GIF and BMP files. In: bytes. Out: upright pixels without alpha; limits are checked before
//! pixels are decoded.

mod header;
mod jpeg;
mod limits;
mod opaque;
mod orientation;
mod refused;
mod signature;
mod watched;
mod webp;

#[cfg(test)]
mod tests;

use image::codecs::{
    bmp::BmpDecoder, gif::GifDecoder, jpeg::JpegDecoder, png::PngDecoder, webp::WebPDecoder,
};
use image::metadata::Orientation;
use image::{ColorType, DynamicImage, ImageDecoder, ImageError, Limits};

use super::error::PictureError;
use super::format::Format;
pub use header::{Coding, Cost, cost};
use jpeg::{Layout, UncommonJpeg};
pub use limits::DecodeLimits;
use opaque::{fill_unused_alpha, opaque, opaque_gray};
use orientation::{of_png, orientation};
use refused::Refused;
pub use signature::sniff;
use watched::{Stop, Watched};

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

    /// Other pixels in the channels of this one.
    pub(super) fn of_samples(&self, width: u32, height: u32, bytes: Vec<u8>) -> Self {
        Self {
            width,
            height,
            bytes,
            ..*self
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
    decode_until(bytes, limits, &|| false)
}

/// Compares a picture's header with the limits, and says what decoding it takes.
///
/// # Errors
/// Those of [`decode`] that a header shows.
pub fn check(bytes: &[u8], limits: &DecodeLimits) -> Result<Cost, PictureError> {
    let cost = cost(bytes)?;
    limits.allow(&cost)?;
    Ok(cost)
}

/// As [`decode`], and stops where `stop` says so.
///
/// It is asked for every 4 KiB of a PNG, GIF or BMP, which stand for 5 million pixels at most; for every row of blocks of each
/// scan of a JPEG while it is checked; and between the steps. The pixels of a JPEG or WebP are decoded in one step.
///
/// # Errors
/// Those of [`decode`]; [`PictureError::Stopped`].
pub fn decode_until(
    bytes: &[u8],
    limits: &DecodeLimits,
    stop: &dyn Fn() -> bool,
) -> Result<Decoded, PictureError> {
    let stop = Stop::new(stop);
    let decoded = decode_watched(bytes, limits, &stop);
    match stop.was_asked_for() {
        true => Err(PictureError::Stopped),
        false => decoded,
    }
}

fn decode_watched(bytes: &[u8], limits: &DecodeLimits, stop: &Stop<'_>) -> Result<Decoded, PictureError> {
    let cost = cost(bytes)?;
    let format = cost.format;
    let file = File {
        refused: Refused { bytes, format },
        allowed: limits.allow(&cost)?,
        stop,
    };
    let refused = &file.refused;
    let reader = Watched::new(bytes, stop);
    match format {
        Format::Png => {
            // The decoder reads every chunk before the pixels when it is made, and those can unpack to much.
            let decoder = PngDecoder::with_limits(reader, file.allowed.clone());
            let decoder = decoder.map_err(|e| file.refusal(e))?;
            file.read(decoder, Source::Channels, orientation(of_png(bytes).as_deref()))
        }
        Format::Jpeg => {
            let frame = jpeg::frame(bytes).map_err(|e| refused.jpeg(e))?;
            let (layout, exif) = jpeg::check(bytes, &frame, &|| stop.now()).map_err(|e| refused.jpeg(e))?;
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
    stop: &'a Stop<'a>,
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
        if self.stop.now() {
            return Err(PictureError::Stopped);
        }
        let mut samples = vec![0; length];
        decoder.read_image(&mut samples).map_err(refusal)?;
        if self.stop.now() {
            return Err(PictureError::Stopped);
        }
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
