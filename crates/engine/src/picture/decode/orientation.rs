//! Which way up a picture is, by its EXIF block (TIFF 6.0, tag 274): in JPEG's segment APP1, WebP's chunk `EXIF`, PNG's
//! chunk `eXIf`, or a text of PNG in which ImageMagick writes it as hexadecimal digits.
//!
//! Orientations in XMP are not read: who writes one there writes it in EXIF too.

use std::borrow::Cow;
use std::io::Read;

use exif::{In, Reader, Tag};
use flate2::read::ZlibDecoder;
use image::metadata::Orientation;

/// An EXIF block in a JPEG is shorter, and others are copied from there. What follows is not read: the orientation
/// stands at the beginning.
const LONGEST: usize = 1 << 16;

/// The orientation that an EXIF block gives. Without one, or with a value that TIFF does not have, a picture is upright.
pub(super) fn orientation(exif: Option<&[u8]>) -> Orientation {
    exif.and_then(value)
        .and_then(Orientation::from_exif)
        .unwrap_or(Orientation::NoTransforms)
}

fn value(block: &[u8]) -> Option<u8> {
    // JPEG's segment begins with these six bytes, which some programs copy along. The sixth is not always 0.
    let tiff = match block {
        [b'E', b'x', b'i', b'f', 0, _, tiff @ ..] => tiff,
        tiff => tiff,
    };
    let tiff = tiff.get(..LONGEST).unwrap_or(tiff);
    let read = Reader::new().continue_on_error(true).read_raw(tiff.to_vec());
    let exif = match read {
        Ok(exif) => exif,
        // Damage elsewhere, such as in a maker's note, leaves the orientation readable.
        Err(exif::Error::PartialResult(partial)) => partial.into_inner().0,
        Err(_) => return None,
    };
    let field = exif.get_field(Tag::Orientation, In::PRIMARY)?;
    u8::try_from(field.value.get_uint(0)?).ok()
}

/// The EXIF block of a PNG, before or behind its pixels; one of its own kind before one in a text.
pub(super) fn of_png(bytes: &[u8]) -> Option<Cow<'_, [u8]>> {
    let mut in_text = None;
    let mut rest = bytes.get(8..)?;
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let Some((kind, after)) = after.split_first_chunk::<4>() else {
            break;
        };
        let Some((data, after)) = after.split_at_checked(length) else {
            break;
        };
        match kind {
            b"eXIf" => return Some(Cow::Borrowed(data)),
            b"tEXt" | b"zTXt" if in_text.is_none() => in_text = raw_profile(data, kind == b"zTXt"),
            _ => {}
        }
        // The checksum.
        rest = after.get(4..).unwrap_or_default();
    }
    in_text.map(Cow::Owned)
}

/// The EXIF block in a text chunk: a keyword, then a line with the profile's name, one with its length, and digits.
fn raw_profile(chunk: &[u8], compressed: bool) -> Option<Vec<u8>> {
    let end = chunk.iter().position(|&byte| byte == 0)?;
    let (keyword, text) = (&chunk[..end], &chunk[end + 1..]);
    if ![&b"Raw profile type exif"[..], b"Raw profile type APP1"].contains(&keyword) {
        return None;
    }
    // Two digits a byte, and lines.
    let limit = 3 * LONGEST;
    let mut unpacked = Vec::new();
    let text = if compressed {
        // Behind the byte that names the method. A stream that is cut still gives its beginning.
        let stream = ZlibDecoder::new(text.get(1..)?).take(u64::try_from(limit).ok()?);
        let _ = { stream }.read_to_end(&mut unpacked);
        &unpacked
    } else {
        text.get(..limit).unwrap_or(text)
    };
    let mut lines = text.trim_ascii_start().splitn(3, |&byte| byte == b'\n');
    let (_name, _length, digits) = (lines.next()?, lines.next()?, lines.next()?);
    let digit = |&byte: &u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    let digits: Vec<u8> = digits.iter().filter_map(digit).collect();
    let block: Vec<u8> = digits
        .chunks_exact(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect();
    // A profile of the kind APP1 may also be XMP, a text.
    let is_exif = [&b"Exif\0"[..], b"II*\0", b"MM\0*"]
        .iter()
        .any(|start| block.starts_with(start));
    is_exif.then_some(block)
}
