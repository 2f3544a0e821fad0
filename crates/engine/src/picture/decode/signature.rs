//! What a file is, by its first bytes.

use crate::picture::error::{NotAPicture, PictureError};
use crate::picture::format::Format;

const FORMATS: [(&[u8], Format); 5] = [
    (b"\x89PNG\r\n\x1a\n", Format::Png),
    (b"\xff\xd8\xff", Format::Jpeg),
    (b"GIF87a", Format::Gif),
    (b"GIF89a", Format::Gif),
    (b"BM", Format::Bmp),
];

/// What is sent in place of a picture that is read: where its mark stands, the mark, its name.
const OTHERS: [(usize, &[u8], &str); 65] = [
    (12, IOS, "a PNG for iOS programs alone"),
    (
        0,
        b"\x89PNG",
        "a PNG whose line ends a transfer as text has changed",
    ),
    (0, b"II*\0\x10\0\0\0CR", CAMERA),
    (0, b"II*\0", TIFF),
    (0, b"MM\0*", TIFF),
    (0, b"II+\0", TIFF),
    (0, b"MM\0+", TIFF),
    (0, b"II\xbc\x01", "a JPEG XR picture"),
    (0, b"IIRO", CAMERA),
    (0, b"IIRS", CAMERA),
    (0, b"MMOR", CAMERA),
    (0, b"IIU\0", CAMERA),
    (0, b"FUJIFILMCCD-RAW", CAMERA),
    (0, b"FOVb", CAMERA),
    (4, b"jP  \r\n\x87\n", JPEG_2000),
    (0, b"\xff\x4f\xff\x51", JPEG_2000),
    (0, b"\xff\x0a", "a JPEG XL picture"),
    (4, b"JXL \r\n\x87\n", "a JPEG XL picture"),
    (0, b"8BPS", "a Photoshop document"),
    (0, b"gimp xcf", "a GIMP picture"),
    (0, b"%PDF", "a PDF document"),
    (0, b"%!PS", "a PostScript document"),
    (0, b"\xc5\xd0\xd3\xc6", "a PostScript document"),
    (0, b"\0\0\x01\0", "an icon"),
    (0, b"\0\0\x02\0", "a cursor"),
    (0, b"icns", "an icon"),
    (0, b"qoif", "a QOI picture"),
    (0, b"BPG\xfb", "a BPG picture"),
    (0, b"FLIF", "a FLIF picture"),
    (0, b"\x76\x2f\x31\x01", "an OpenEXR picture"),
    (0, b"#?RADIANCE", "a Radiance picture"),
    (0, b"DDS ", "a DirectDraw texture"),
    (0, b"\xabKTX ", "a Khronos texture"),
    (0, b"\x8aMNG", "an MNG animation"),
    (0, b"\x8bJNG", "a JNG picture"),
    (0, b"AT&TFORM", "a DjVu document"),
    (128, b"DICM", "a DICOM picture"),
    (0, b"\xd7\xcd\xc6\x9a", "a Windows metafile"),
    (40, b" EMF", "a Windows metafile"),
    (0, b"P1", NETPBM),
    (0, b"P2", NETPBM),
    (0, b"P3", NETPBM),
    (0, b"P4", NETPBM),
    (0, b"P5", NETPBM),
    (0, b"P6", NETPBM),
    (0, b"P7", NETPBM),
    (0, b"\x1a\x45\xdf\xa3", "a video"),
    (0, b"\0\0\x01\xba", "a video"),
    (0, b"FLV\x01", "a video"),
    (8, b"AVI LIST", "a video"),
    (8, b"WAVEfmt", "a sound file"),
    (0, b"OggS", "a video or a sound file"),
    (0, b"ID3", "a sound file"),
    (0, b"fLaC", "a sound file"),
    (0, b"\xd0\xcf\x11\xe0", "an Office document"),
    (0, b"\x93NUMPY", "a .npy array"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (0, b"Rar!", "a RAR archive"),
    (0, b"\xfd7zXZ\0", "an xz archive"),
    (257, b"ustar", "a tar archive"),
    (0, b"/9j/", BASE64),
    (0, b"iVBORw0KGgo", BASE64),
    (0, b"UklGR", BASE64),
];

/// The first chunk of PNGs that Xcode rewrote.
const IOS: &[u8] = b"CgBI";
const TIFF: &str = "a TIFF picture or a camera's raw file";
const CAMERA: &str = "a camera's raw file";
const JPEG_2000: &str = "a JPEG 2000 picture";
const NETPBM: &str = "a Netpbm picture";
const BASE64: &str = "a picture as base64, which belongs into JSON or a form's text field";

/// Brands of ISO base media files (ISO/IEC 14496-12), by their first bytes; others are videos.
const BRANDS: [(&[u8], &str); 11] = [
    (b"avif", "an AVIF picture"),
    (b"avis", "an AVIF picture"),
    (b"MA1", "an AVIF picture"),
    (b"hei", "a HEIC picture"),
    (b"hev", "a HEIC picture"),
    (b"jp2", JPEG_2000),
    (b"jpx", JPEG_2000),
    (b"crx", CAMERA),
    (b"M4A", "a sound file"),
    (b"mif", "a HEIF picture"),
    (b"msf", "a HEIF picture"),
];

/// Marks of texts, in small letters; the first that is found names the text.
const TEXTS: [(&[u8], &str); 5] = [
    (b"<!doctype html", "a web page"),
    (b"<html", "a web page"),
    (b"<svg", "an SVG drawing"),
    (b"<!doctype svg", "an SVG drawing"),
    (b"<?xml", "an XML document"),
];

/// How far marks of texts and brands are searched.
const BEGINNING: usize = 1 << 10;

/// Determines the format from the first bytes.
///
/// # Errors
/// [`PictureError::UnsupportedFormat`] for the signature of another well-known kind of file,
/// [`PictureError::NotAPicture`] for any other bytes.
pub fn sniff(bytes: &[u8]) -> Result<Format, PictureError> {
    if bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
        return Ok(Format::WebP);
    }
    let format = FORMATS.iter().find(|(mark, _)| bytes.starts_with(mark));
    if let Some((_, format)) = format
        && bytes.get(12..16) != Some(IOS)
    {
        return Ok(*format);
    }
    Err(match other(bytes) {
        Some(found) => PictureError::UnsupportedFormat { found },
        None => PictureError::NotAPicture {
            reason: if bytes.is_empty() {
                NotAPicture::NoBytes
            } else {
                NotAPicture::UnknownSignature { bytes: bytes.len() }
            },
        },
    })
}

/// The name of a kind of file that is not read.
fn other(bytes: &[u8]) -> Option<&'static str> {
    let stands = |at: usize, mark: &[u8]| bytes.get(at..).is_some_and(|rest| rest.starts_with(mark));
    if let Some((_, _, name)) = OTHERS.iter().find(|(at, mark, _)| stands(*at, mark)) {
        return Some(name);
    }
    if stands(4, b"ftyp") {
        return Some(media(bytes));
    }
    let text = bytes
        .strip_prefix(b"\xef\xbb\xbf")
        .unwrap_or(bytes)
        .trim_ascii_start();
    let text = text.get(..BEGINNING).unwrap_or(text).to_ascii_lowercase();
    if text.starts_with(b"data:") {
        return Some(BASE64);
    }
    let holds = |mark: &[u8]| text.windows(mark.len()).any(|part| part == mark);
    let named = TEXTS.iter().find(|(mark, _)| holds(mark));
    named.filter(|_| text.starts_with(b"<")).map(|(_, name)| *name)
}

/// What an ISO base media file holds: by its first brand, or, where that says no more than "pictures", by the brands that
/// it is compatible with.
fn media(bytes: &[u8]) -> &'static str {
    let size = bytes
        .first_chunk::<4>()
        .map_or(0, |size| u32::from_be_bytes(*size));
    let end = usize::try_from(size)
        .unwrap_or(0)
        .clamp(12, BEGINNING)
        .min(bytes.len());
    let brands = bytes.get(8..end).unwrap_or_default().chunks_exact(4);
    let name = |brand: &[u8]| {
        let found = BRANDS.iter().find(|(start, _)| brand.starts_with(start));
        found.map(|(_, name)| *name)
    };
    let first = brands.clone().next().and_then(name);
    match first {
        Some("a HEIF picture") => {
            let mut others = brands.filter_map(name).filter(|name| *name != "a HEIF picture");
            others.next().unwrap_or("a HEIF picture")
        }
        Some(name) => name,
        None => "a video",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(bytes: &[u8]) -> Option<&'static str> {
        match sniff(bytes) {
            Err(PictureError::UnsupportedFormat { found }) => Some(found),
            _ => None,
        }
    }

    #[test]
    fn what_is_not_read_is_called_by_its_name() {
        for (bytes, name) in [
            (&b"II*\0\x08\0\0\0"[..], TIFF),
            (b"II*\0\x10\0\0\0CR\x02\0", CAMERA),
            (b"\0\0\0\x0cjP  \r\n\x87\n", JPEG_2000),
            (b"\xff\x4f\xff\x51\0\x2f", JPEG_2000),
            (b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL picture"),
            (b"\xff\x0a\xfa\x1f", "a JPEG XL picture"),
            (b"%PDF-1.7", "a PDF document"),
            (b"\0\0\x01\0\x01\0", "an icon"),
            (b"P6 4 4 255 ", NETPBM),
            (b"\x1a\x45\xdf\xa3webm", "a video"),
            (b"RIFF\0\0\0\0AVI LIST", "a video"),
            (b"\x89PNG\r\n\x1a\n\0\0\0\x04CgBI", "a PNG for iOS programs alone"),
            (
                b"\x89PNG\n\x1a\n\0\0\0\x0d",
                "a PNG whose line ends a transfer as text has changed",
            ),
            (b"/9j/4AAQSkZJRg", BASE64),
            (b"data:image/png;base64,iVBOR", BASE64),
            (
                b"\xef\xbb\xbf <?xml version='1.0'?>\n<!-- a shoe -->\n<SVG>",
                "an SVG drawing",
            ),
            (b"<svg xmlns=''>", "an SVG drawing"),
            (b"<?xml version='1.0'?><products>", "an XML document"),
            (b"\n<!DOCTYPE html><html><body><svg>", "a web page"),
            (b"<html><body>Not found", "a web page"),
        ] {
            assert_eq!(named(bytes), Some(name), "{}", bytes.escape_ascii());
        }
        assert_eq!(named(b"hello <html>"), None);
    }

    #[test]
    fn brands_tell_pictures_from_videos() {
        let file = |brands: &[u8]| {
            let size = u32::try_from(8 + brands.len()).unwrap().to_be_bytes();
            [&size, &b"ftyp"[..], brands, b"\0\0\0\x08free"].concat()
        };
        for (brands, name) in [
            (&b"avif\0\0\0\0mif1miaf"[..], "an AVIF picture"),
            (b"mif1\0\0\0\0mif1avifmiaf", "an AVIF picture"),
            (b"avis\0\0\0\0avifmsf1", "an AVIF picture"),
            (b"heic\0\0\0\0mif1heic", "a HEIC picture"),
            (b"heix\0\0\0\0mif1", "a HEIC picture"),
            (b"msf1\0\0\0\0msf1hevc", "a HEIC picture"),
            (b"mif1\0\0\0\0mif1", "a HEIF picture"),
            (b"crx \0\0\0\x01crx isom", CAMERA),
            (b"isom\0\0\x02\0isommp41avif", "a video"),
            (b"qt  \0\0\0\0", "a video"),
        ] {
            assert_eq!(named(&file(brands)), Some(name), "{}", brands.escape_ascii());
        }
        assert_eq!(named(b"\0\0\0\x20ftyp"), Some("a video"));
    }
}
