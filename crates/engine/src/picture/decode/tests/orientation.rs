//! Which way up pictures are.

use std::io::Write;

use super::*;

/// An EXIF block (TIFF 6.0) with the orientation alone: in either byte order, as a SHORT or a LONG.
pub(super) fn exif(orientation: u8, little_endian: bool, long: bool) -> Vec<u8> {
    let (mark, magic) = if little_endian {
        (b"II", 42_u16)
    } else {
        (b"MM", 42)
    };
    let short = |n: u16| {
        if little_endian {
            n.to_le_bytes()
        } else {
            n.to_be_bytes()
        }
    };
    let word = |n: u32| {
        if little_endian {
            n.to_le_bytes()
        } else {
            n.to_be_bytes()
        }
    };
    let value = if long {
        word(orientation.into())
    } else {
        let [one, two] = short(orientation.into());
        [one, two, 0, 0]
    };
    let mut block = mark.to_vec();
    block.extend(short(magic));
    block.extend(word(8));
    block.extend(short(1));
    block.extend(short(274));
    block.extend(short(if long { 4 } else { 3 }));
    block.extend(word(1));
    block.extend(value);
    block.extend(word(0));
    block
}

/// A JPEG whose first segment is an EXIF block.
pub(super) fn turned(image: &DynamicImage, orientation: u8) -> Vec<u8> {
    with_exif(image, &exif(orientation, true, false))
}

fn with_exif(image: &DynamicImage, block: &[u8]) -> Vec<u8> {
    let length = u16::try_from(block.len() + 8).unwrap();
    let segment = [&[0xff, 0xe1], &length.to_be_bytes()[..], b"Exif\0\0", block].concat();
    let mut jpeg = encode(image, ImageFormat::Jpeg);
    jpeg.splice(2..2, segment);
    jpeg
}

/// A PNG with a chunk of this kind behind its header, or behind its pixels.
pub(super) fn with_chunk(image: &DynamicImage, kind: &[u8; 4], data: &[u8], behind_pixels: bool) -> Vec<u8> {
    let mut checksum = flate2::Crc::new();
    checksum.update(&[kind, data].concat());
    let length = u32::try_from(data.len()).unwrap().to_be_bytes();
    let chunk = [&length, &kind[..], data, &checksum.sum().to_be_bytes()].concat();
    let mut png = encode(image, ImageFormat::Png);
    let at = if behind_pixels { png.len() - 12 } else { 33 };
    png.splice(at..at, chunk);
    png
}

/// A lossless WebP in the extended format, with a chunk `EXIF`.
pub(super) fn webp_with(image: &DynamicImage, block: &[u8]) -> Vec<u8> {
    let simple = encode(image, ImageFormat::WebP);
    let side = |pixels: u32| (pixels - 1).to_le_bytes()[..3].to_vec();
    let header = [&[8, 0, 0, 0][..], &side(image.width()), &side(image.height())].concat();
    let chunk = |kind: &[u8], data: &[u8]| {
        let length = u32::try_from(data.len()).unwrap().to_le_bytes();
        let padding = &[0][..data.len() % 2];
        [kind, &length, data, padding].concat()
    };
    let chunks = [
        &b"WEBP"[..],
        &chunk(b"VP8X", &header),
        &simple[12..],
        &chunk(b"EXIF", block),
    ]
    .concat();
    chunk(b"RIFF", &chunks)
}

/// An EXIF block as ImageMagick writes it into a PNG's text.
pub(super) fn raw_profile(block: &[u8]) -> String {
    let block = [b"Exif\0\0", block].concat();
    let digits: String = block.iter().map(|byte| format!("{byte:02x}")).collect();
    let lines: Vec<_> = digits
        .as_bytes()
        .chunks(72)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    format!("\nexif\n{:8}\n{}\n", block.len(), lines.join("\n"))
}

#[test]
fn the_orientation_is_found_wherever_exif_lies() {
    // On its side: 5 columns and 3 rows become 3 and 5.
    let image = colours(5, 3);
    for (little_endian, long) in [(true, false), (true, true), (false, false), (false, true)] {
        let block = exif(6, little_endian, long);
        let prefixed = [b"Exif\0\0", &block[..]].concat();
        let text = raw_profile(&block);
        let mut packed = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(text.as_bytes()).unwrap();
        let packed = packed.finish().unwrap();
        let profile = |keyword: &str| [keyword.as_bytes(), &[0], text.as_bytes()].concat();
        let zipped = [&b"Raw profile type exif\0\0"[..], &packed].concat();
        let files = [
            ("JPEG", with_exif(&image, &block)),
            ("WebP", webp_with(&image, &block)),
            ("WebP, prefixed", webp_with(&image, &prefixed)),
            ("PNG, eXIf", with_chunk(&image, b"eXIf", &block, false)),
            (
                "PNG, eXIf prefixed, behind the pixels",
                with_chunk(&image, b"eXIf", &prefixed, true),
            ),
            (
                "PNG, text",
                with_chunk(&image, b"tEXt", &profile("Raw profile type exif"), false),
            ),
            (
                "PNG, text APP1",
                with_chunk(&image, b"tEXt", &profile("Raw profile type APP1"), true),
            ),
            ("PNG, packed text", with_chunk(&image, b"zTXt", &zipped, false)),
        ];
        for (name, bytes) in files {
            let decoded = decode_all(&bytes).unwrap();
            let size = (decoded.width(), decoded.height());
            assert_eq!(size, (3, 5), "{name}, little-endian {little_endian}, LONG {long}");
        }
        let jpeg = include_bytes!("../fixtures/three-scans-2x2.jpg");
        let segment = &with_exif(&image, &block)[2..2 + 4 + 6 + block.len()];
        let uncommon = [&jpeg[..2], segment, &jpeg[2..]].concat();
        assert_eq!(decode_all(&uncommon).unwrap().width(), 21);
    }
}

#[test]
fn an_orientation_that_cannot_be_read_leaves_the_picture_as_it_is() {
    let image = colours(5, 3);
    let mut cut = exif(6, true, false);
    cut.truncate(12);
    for block in [
        exif(0, true, false),
        exif(9, false, true),
        cut,
        b"no TIFF at all".to_vec(),
        Vec::new(),
    ] {
        for bytes in [
            with_exif(&image, &block),
            webp_with(&image, &block),
            with_chunk(&image, b"eXIf", &block, false),
            with_chunk(
                &image,
                b"tEXt",
                b"Raw profile type exif\0\nexif\n  9\n45786",
                false,
            ),
        ] {
            let decoded = decode_all(&bytes).unwrap();
            assert_eq!((decoded.width(), decoded.height()), (5, 3), "{block:?}");
        }
    }
    // Damage behind the orientation does no harm.
    let mut chained = exif(6, true, false);
    let end = chained.len() - 4;
    chained[end..].copy_from_slice(&900_u32.to_le_bytes());
    assert_eq!(decode_all(&with_exif(&image, &chained)).unwrap().width(), 3);
}

#[test]
fn every_exif_orientation_is_undone() {
    // Dark at the top left, a step brighter at each other corner.
    let corners = GrayImage::from_fn(32, 16, |x, y| {
        image::Luma([10 + 60 * u8::from(x >= 16) + 120 * u8::from(y >= 8)])
    });
    let corners = DynamicImage::ImageLuma8(corners);
    let (a, b, c, d) = (10, 70, 130, 190);
    let expected = [
        [a, b, c, d],
        [b, a, d, c],
        [d, c, b, a],
        [c, d, a, b],
        [a, c, b, d],
        [c, a, d, b],
        [d, b, c, a],
        [b, d, a, c],
    ];
    for (orientation, expected) in (1_u8..).zip(expected) {
        let decoded = decode_all(&turned(&corners, orientation)).unwrap();
        let (width, height) = (decoded.width(), decoded.height());
        let upright = if orientation > 4 { (16, 32) } else { (32, 16) };
        assert_eq!((width, height), upright, "orientation {orientation}");
        let at = |x: u32, y: u32| decoded.bytes()[usize::try_from(y * width + x).unwrap()];
        let (right, low) = (width - 3, height - 3);
        let found = [at(2, 2), at(right, 2), at(2, low), at(right, low)];
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.abs_diff(expected) < 8, "orientation {orientation}: {found}");
        }
    }
}
