//! What a file is, by its first bytes.

use crate::picture::error::{NotAPicture, PictureError};
use crate::picture::format::Format;

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
