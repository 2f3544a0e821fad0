//! Decodes PNG, JPEG, WebP, GIF and BMP files. In: bytes. Out: upright pixels without alpha; limits are checked before
//! pixels are decoded.

mod whole;

#[cfg(test)]
mod tests;

use std::error::Error as _;
use std::io::{self, Cursor};

use image::codecs::{
    bmp::BmpDecoder, gif::GifDecoder, jpeg::JpegDecoder, png::PngDecoder, webp::WebPDecoder,
};
use image::metadata::Orientation;
use image::{ColorType, DynamicImage, GrayImage, ImageDecoder, ImageError, Limits, RgbImage};

use super::error::{NotAPicture, PictureError};
use super::format::Format;
use whole::{WebPChunks, jpeg_has_end, webp_chunks};

/// The limits of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeLimits {
    /// The largest number of pixels (width x height).
    pub max_pixels: u64,
}

impl Default for DecodeLimits {
    /// 40 megapixels.
    fn default() -> Self {
        Self {
            max_pixels: 40_000_000,
        }
    }
}

/// A decoded picture: upright, its alpha laid over white, at least one pixel.
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
/// EXIF orientation applied, alpha laid over white, the first frame of an animation.
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
    let format = sniff(bytes)?;
    let reader = Cursor::new(bytes);
    let file = File {
        bytes,
        format,
        limits,
    };
    match format {
        Format::Png => {
            // The decoder reads every chunk before the pixels when it is made, and those can
            // unpack to much; the size stands at a fixed place in front of them.
            let (width, height) = file.png_size()?;
            let allowed = file.allow(width, height)?;
            let decoder = PngDecoder::with_limits(reader, allowed.clone());
            file.read(decoder.map_err(|e| file.refusal(e, &allowed))?, Source::Channels)
        }
        Format::Jpeg => {
            let whole = jpeg_has_end(bytes);
            let decoder = JpegDecoder::new(reader).map_err(|error| {
                if whole {
                    file.refusal(error, &Limits::no_limits())
                } else {
                    file.truncated()
                }
            })?;
            let (width, height) = decoder.dimensions();
            file.allow(width, height)?;
            if !whole {
                return Err(file.truncated());
            }
            file.read(decoder, Source::Channels)
        }
        Format::WebP => {
            let WebPChunks::Whole { largest_frame } = webp_chunks(bytes) else {
                return Err(file.truncated());
            };
            if largest_frame != (0, 0) {
                file.allow(largest_frame.0, largest_frame.1)?;
            }
            let decoder = WebPDecoder::new(reader);
            let decoder = decoder.map_err(|e| file.refusal(e, &Limits::no_limits()))?;
            file.read(decoder, Source::Channels)
        }
        Format::Gif => {
            let decoder = GifDecoder::new(reader);
            let decoder = decoder.map_err(|e| file.refusal(e, &Limits::no_limits()))?;
            file.read(decoder, Source::Palette)
        }
        Format::Bmp => {
            let decoder = BmpDecoder::new(reader);
            let decoder = decoder.map_err(|e| file.refusal(e, &Limits::no_limits()))?;
            let source = if decoder.get_palette().is_some() {
                Source::Palette
            } else {
                Source::Channels
            };
            file.read(decoder, source)
        }
    }
}

/// Determines the format from the first bytes.
///
/// # Errors
/// [`PictureError::UnsupportedFormat`] for the signature of another well-known kind of file,
/// [`PictureError::NotAPicture`] for any other bytes.
pub fn sniff(bytes: &[u8]) -> Result<Format, PictureError> {
    const SIGNATURES: [(&[u8], Format); 5] = [
        (b"\x89PNG\r\n\x1a\n", Format::Png),
        (b"\xff\xd8\xff", Format::Jpeg),
        (b"GIF87a", Format::Gif),
        (b"GIF89a", Format::Gif),
        (b"BM", Format::Bmp),
    ];
    // Files that are often sent by mistake; the list only makes the error message more specific.
    const OTHERS: [(usize, &[u8], &str); 16] = [
        (0, b"II*\0", "a TIFF picture"),
        (0, b"MM\0*", "a TIFF picture"),
        (4, b"ftypavif", "an AVIF picture"),
        (4, b"ftyphei", "a HEIC picture"),
        (4, b"ftypmif1", "a HEIF picture"),
        (4, b"ftyp", "a video"),
        (0, b"\xff\x0a", "a JPEG XL picture"),
        (4, b"JXL \r\n\x87\n", "a JPEG XL picture"),
        (0, b"<svg", "an SVG drawing"),
        (0, b"<?xml", "an XML document"),
        (0, b"8BPS", "a Photoshop document"),
        (0, b"%PDF", "a PDF document"),
        (0, b"\0\0\x01\0", "an icon"),
        (0, b"\x93NUMPY", "a .npy array"),
        (0, b"\x1f\x8b", "a gzip archive"),
        (0, b"PK\x03\x04", "a ZIP archive"),
    ];
    if bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
        return Ok(Format::WebP);
    }
    if let Some((_, format)) = SIGNATURES.iter().find(|(s, _)| bytes.starts_with(s)) {
        return Ok(*format);
    }
    let other = OTHERS
        .iter()
        .find(|(at, signature, _)| bytes.get(*at..).is_some_and(|rest| rest.starts_with(signature)));
    Err(match other {
        Some((_, _, found)) => PictureError::UnsupportedFormat { found },
        None => PictureError::NotAPicture {
            reason: if bytes.is_empty() {
                NotAPicture::NoBytes
            } else {
                NotAPicture::UnknownSignature { bytes: bytes.len() }
            },
        },
    })
}

/// The meaning of a file's samples.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    /// Channels.
    Channels,
    /// Palette entries. GIF and BMP have no other representation of one gray channel.
    Palette,
}

/// The format and length of the file, for error messages.
struct File<'a> {
    bytes: &'a [u8],
    format: Format,
    limits: &'a DecodeLimits,
}

impl File<'_> {
    fn truncated(&self) -> PictureError {
        PictureError::Truncated {
            format: self.format,
            bytes: self.bytes.len(),
        }
    }

    /// Width and height from the header chunk (PNG specification, section 11.2.2).
    fn png_size(&self) -> Result<(u32, u32), PictureError> {
        let field = |at: usize| {
            let bytes = self.bytes.get(at..).and_then(|rest| rest.first_chunk::<4>());
            bytes.map(|field| u32::from_be_bytes(*field))
        };
        match (field(16), field(20)) {
            (Some(width), Some(height)) => Ok((width, height)),
            _ => Err(self.truncated()),
        }
    }

    /// Compares the size in the header with the limits; returns what a decoder may allocate.
    fn allow(&self, width: u32, height: u32) -> Result<Limits, PictureError> {
        // The largest pixel has four samples of 16 bits.
        const BYTES_PER_PIXEL: u64 = 8;
        // For metadata, palettes and row buffers; profiles are below a megabyte in practice.
        const BESIDE_THE_PIXELS: u64 = 16 << 20;

        if width == 0 || height == 0 {
            let format = self.format;
            return Err(PictureError::NoPixels {
                format,
                width,
                height,
            });
        }
        let pixels = u64::from(width) * u64::from(height);
        let limit_pixels = self.limits.max_pixels;
        if pixels > limit_pixels {
            return Err(PictureError::TooManyPixels {
                width,
                height,
                limit_pixels,
            });
        }
        let mut allowed = Limits::no_limits();
        allowed.max_image_width = Some(width);
        allowed.max_image_height = Some(height);
        allowed.max_alloc = Some(
            pixels
                .saturating_mul(BYTES_PER_PIXEL)
                .saturating_add(BESIDE_THE_PIXELS),
        );
        Ok(allowed)
    }

    /// Reads the pixels of a decoder that has read the header alone.
    fn read(&self, mut decoder: impl ImageDecoder, source: Source) -> Result<Decoded, PictureError> {
        let (width, height) = decoder.dimensions();
        let allowed = self.allow(width, height)?;
        let refusal = |error| self.refusal(error, &allowed);
        decoder.set_limits(allowed.clone()).map_err(refusal)?;
        // If the metadata cannot be read, the orientation is left as it is.
        let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
        let mut colour = decoder.color_type();
        let length = usize::try_from(decoder.total_bytes()).map_err(|_| {
            let limit_bytes = allowed.max_alloc.unwrap_or(u64::MAX);
            let format = self.format;
            PictureError::TooLarge { format, limit_bytes }
        })?;
        let mut samples = vec![0; length];
        decoder.read_image(&mut samples).map_err(refusal)?;
        if source == Source::Palette
            && let Some(gray) = opaque_gray(&samples, colour)
        {
            (samples, colour) = (gray, ColorType::L8);
        }
        let image = over_white(samples, colour, width, height).ok_or_else(|| {
            let kind = image::error::UnsupportedErrorKind::Color(colour.into());
            refusal(ImageError::Unsupported(
                image::error::UnsupportedError::from_format_and_kind(
                    image::error::ImageFormatHint::Unknown,
                    kind,
                ),
            ))
        })?;
        Ok(Decoded::upright(self.format, image, orientation))
    }

    fn refusal(&self, source: ImageError, allowed: &Limits) -> PictureError {
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

/// Converts samples of any of the decoders' layouts to opaque gray or RGB with 8 bits; `None` for a layout that none
/// of the five formats has.
fn over_white(samples: Vec<u8>, colour: ColorType, width: u32, height: u32) -> Option<DynamicImage> {
    // The decoders return 16-bit samples in native byte order.
    let wide = |pair: &[u8]| u16::from_ne_bytes([pair[0], pair[1]]);
    let rgb = match colour {
        ColorType::L8 => {
            return GrayImage::from_raw(width, height, samples).map(DynamicImage::ImageLuma8);
        }
        ColorType::Rgb8 => samples,
        ColorType::La8 => each_pixel(&samples, 2, |p| [blend8(p[0], p[1]); 3]),
        ColorType::Rgba8 => each_pixel(&samples, 4, |p| [0, 1, 2].map(|c| blend8(p[c], p[3]))),
        ColorType::L16 => each_pixel(&samples, 2, |p| [blend16(wide(p), u16::MAX); 3]),
        ColorType::La16 => each_pixel(&samples, 4, |p| [blend16(wide(p), wide(&p[2..])); 3]),
        ColorType::Rgb16 => each_pixel(&samples, 6, |p| {
            [0, 2, 4].map(|c| blend16(wide(&p[c..]), u16::MAX))
        }),
        ColorType::Rgba16 => each_pixel(&samples, 8, |p| {
            [0, 2, 4].map(|c| blend16(wide(&p[c..]), wide(&p[6..])))
        }),
        _ => return None,
    };
    RgbImage::from_raw(width, height, rgb).map(DynamicImage::ImageRgb8)
}

/// The one gray channel of RGB or RGBA samples that are opaque and gray throughout.
fn opaque_gray(samples: &[u8], colour: ColorType) -> Option<Vec<u8>> {
    let pixel_bytes = usize::from(colour.bytes_per_pixel());
    let gray = |p: &[u8]| p[0] == p[1] && p[1] == p[2] && p.get(3).is_none_or(|&a| a == 255);
    let pixels = samples.chunks_exact(pixel_bytes);
    (matches!(colour, ColorType::Rgb8 | ColorType::Rgba8) && pixels.clone().all(gray))
        .then(|| pixels.map(|p| p[0]).collect())
}

fn each_pixel(samples: &[u8], pixel_bytes: usize, rgb: impl Fn(&[u8]) -> [u8; 3]) -> Vec<u8> {
    let mut out = Vec::with_capacity(samples.len() / pixel_bytes * 3);
    for pixel in samples.chunks_exact(pixel_bytes) {
        out.extend_from_slice(&rgb(pixel));
    }
    out
}

/// One sample of the given alpha on white, rounded to the nearest.
fn blend8(sample: u8, alpha: u8) -> u8 {
    let (sample, alpha) = (u32::from(sample), u32::from(alpha));
    narrow((sample * alpha + 255 * (255 - alpha) + 127) / 255)
}

/// One 16-bit sample of the given alpha on white, rounded to 8 bits.
fn blend16(sample: u16, alpha: u16) -> u8 {
    const WHITE: u64 = 65_535;
    let (sample, alpha) = (u64::from(sample), u64::from(alpha));
    let blended = (sample * alpha + WHITE * (WHITE - alpha) + WHITE / 2) / WHITE;
    // 65,535 is 257 times 255.
    narrow(u32::try_from((blended + 128) / 257).unwrap_or(u32::MAX))
}

fn narrow(sample: u32) -> u8 {
    u8::try_from(sample).unwrap_or(u8::MAX)
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
