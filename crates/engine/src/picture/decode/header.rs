//! What the first bytes of a picture say of the work that its pixels will be.

use std::io::Cursor;

use image::ImageDecoder;
use image::codecs::{bmp::BmpDecoder, webp::WebPDecoder};

use super::refused::Refused;
use super::signature::sniff;
use super::{jpeg, webp};
use crate::picture::error::PictureError;
use crate::picture::format::Format;

/// What decoding a picture takes, as far as its header tells. No pixel is decoded for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// The format of the file.
    pub format: Format,
    /// The width in the header, before any orientation is applied.
    pub width: u32,
    /// The height in the header, before any orientation is applied.
    pub height: u32,
    /// The width and height of its frame, the first or the largest one.
    pub frame: (u32, u32),
    /// How its pixels are coded.
    pub coding: Coding,
}

/// How the pixels of a file are coded, as far as it changes what decoding takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Coding {
    /// Row by row.
    Sequential,
    /// In passes over the whole picture: Adam7 of PNG, interlaced GIF, progressive JPEG.
    Passes,
    /// As a frame of several, which is laid on the picture: WebP.
    Animated,
}

impl Cost {
    /// The pixels that are decoded: those of the picture or of its first frame, whichever has more.
    #[must_use]
    pub fn pixels(&self) -> u64 {
        let area = |(width, height): (u32, u32)| u64::from(width) * u64::from(height);
        area((self.width, self.height)).max(area(self.frame))
    }
}

/// What decoding a picture takes, from its header alone: in a time that does not depend on how many pixels it has.
///
/// # Errors
/// As [`decode`](super::decode), where the bytes are no picture or end before its size.
pub fn cost(bytes: &[u8]) -> Result<Cost, PictureError> {
    let format = sniff(bytes)?;
    let refused = Refused { bytes, format };
    let of = |(width, height): (u32, u32), coding| Cost {
        format,
        width,
        height,
        frame: (width, height),
        coding,
    };
    let passes = |yes: bool| if yes { Coding::Passes } else { Coding::Sequential };
    match format {
        Format::Png => {
            // PNG specification, section 11.2.2.
            let (width, height) = (big_endian_u32(bytes, 16), big_endian_u32(bytes, 20));
            let size = width.zip(height).ok_or_else(|| refused.truncated())?;
            Ok(of(size, passes(bytes.get(28) == Some(&1))))
        }
        Format::Jpeg => {
            let frame = jpeg::frame(bytes).map_err(|refusal| refused.jpeg(refusal))?;
            Ok(of((frame.width, frame.height), passes(frame.is_progressive())))
        }
        Format::WebP => {
            let webp::Chunks::Whole { largest_frame } = webp::chunks(bytes) else {
                return Err(refused.truncated());
            };
            let decoder = WebPDecoder::new(Cursor::new(bytes)).map_err(|e| refused.header(e))?;
            let coding = match decoder.has_animation() {
                true => Coding::Animated,
                false => Coding::Sequential,
            };
            let whole = of(decoder.dimensions(), coding);
            Ok(match largest_frame {
                (0, 0) => whole,
                frame => Cost { frame, ..whole },
            })
        }
        Format::Gif => {
            let screen = gif_size(bytes, 6).ok_or_else(|| refused.truncated())?;
            let Some(descriptor) = gif_frame(bytes) else {
                return Ok(of(screen, Coding::Sequential));
            };
            let interlaced = bytes.get(descriptor + 8).is_some_and(|flags| flags & 0x40 != 0);
            let frame = gif_size(bytes, descriptor + 4);
            Ok(Cost {
                frame: frame.filter(|&(w, h)| w > 0 && h > 0).unwrap_or(screen),
                ..of(screen, passes(interlaced))
            })
        }
        Format::Bmp => {
            let decoder = BmpDecoder::new(Cursor::new(bytes)).map_err(|e| refused.header(e))?;
            Ok(of(decoder.dimensions(), Coding::Sequential))
        }
    }
}

fn big_endian_u32(bytes: &[u8], at: usize) -> Option<u32> {
    let field = bytes.get(at..)?.first_chunk::<4>()?;
    Some(u32::from_be_bytes(*field))
}

/// Width and height as GIF writes them.
fn gif_size(bytes: &[u8], at: usize) -> Option<(u32, u32)> {
    let &[w0, w1, h0, h1] = bytes.get(at..)?.first_chunk::<4>()?;
    let side = |low, high| u32::from(u16::from_le_bytes([low, high]));
    Some((side(w0, w1), side(h0, h1)))
}

/// The place of the first frame's position, behind the extensions before it (GIF 89a, sections 18 to 20); `None` where
/// there is none.
fn gif_frame(bytes: &[u8]) -> Option<usize> {
    let flags = usize::from(*bytes.get(10)?);
    let palette = if flags & 0x80 != 0 { 6 << (flags & 7) } else { 0 };
    let mut at = 13 + palette;
    loop {
        match *bytes.get(at)? {
            b',' => return Some(at + 1),
            b'!' => {
                at += 2;
                // Blocks, each behind its length; an empty one ends them.
                while let length @ 1.. = usize::from(*bytes.get(at)?) {
                    at += 1 + length;
                }
                at += 1;
            }
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use image::codecs::gif::GifEncoder;
    use image::{DynamicImage, Frame, ImageFormat, RgbaImage};

    use super::*;

    fn encode(width: u32, height: u32, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        let image = DynamicImage::new_rgb8(width, height);
        image.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    #[test]
    fn the_header_gives_the_pixels_of_each_format() {
        for (kind, format) in [
            (ImageFormat::Png, Format::Png),
            (ImageFormat::Jpeg, Format::Jpeg),
            (ImageFormat::WebP, Format::WebP),
            (ImageFormat::Gif, Format::Gif),
            (ImageFormat::Bmp, Format::Bmp),
        ] {
            let found = cost(&encode(30, 20, kind)).unwrap();
            assert_eq!((found.format, found.width, found.height), (format, 30, 20));
            assert_eq!(
                (found.pixels(), found.coding),
                (600, Coding::Sequential),
                "{kind:?}"
            );
        }
    }

    #[test]
    fn passes_are_seen() {
        let mut png = encode(30, 20, ImageFormat::Png);
        png[28] = 1;
        assert_eq!(cost(&png).unwrap().coding, Coding::Passes);
        let jpeg = include_bytes!("fixtures/progressive.jpg");
        assert_eq!(cost(jpeg).unwrap().coding, Coding::Passes);
        let mut gif = encode(30, 20, ImageFormat::Gif);
        let frame = gif_frame(&gif).unwrap();
        gif[frame + 8] |= 0x40;
        assert_eq!(cost(&gif).unwrap().coding, Coding::Passes);
    }

    #[test]
    fn a_frame_that_is_larger_than_its_gif_counts() {
        let mut gif = Vec::new();
        let mut encoder = GifEncoder::new(&mut gif);
        encoder.encode_frame(Frame::new(RgbaImage::new(50, 40))).unwrap();
        drop(encoder);
        // The logical screen.
        gif[6..10].copy_from_slice(&[3, 0, 2, 0]);
        let found = cost(&gif).unwrap();
        assert_eq!((found.width, found.height, found.pixels()), (3, 2, 2000));
    }
}
