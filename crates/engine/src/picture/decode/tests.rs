mod limits;
mod orientation;

use std::io::Cursor;

use image::codecs::gif::GifEncoder;
use image::{DynamicImage, Frame, GrayImage, ImageBuffer, ImageFormat, LumaA, RgbImage, Rgba, RgbaImage};
use proptest::prelude::*;

use super::*;
use orientation::{exif, raw_profile, turned, webp_with, with_chunk};

const FORMATS: [ImageFormat; 5] = [
    ImageFormat::Png,
    ImageFormat::Jpeg,
    ImageFormat::WebP,
    ImageFormat::Gif,
    ImageFormat::Bmp,
];

fn encode(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    // The encoder of GIF takes no gray; it makes a palette of the grays that it finds.
    let gif = (format == ImageFormat::Gif).then(|| DynamicImage::ImageRgba8(image.to_rgba8()));
    let image = gif.as_ref().unwrap_or(image);
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn decode_all(bytes: &[u8]) -> Result<Decoded, PictureError> {
    decode(bytes, &DecodeLimits::default())
}

fn pixels(max_pixels: u64) -> DecodeLimits {
    DecodeLimits {
        max_pixels,
        ..DecodeLimits::default()
    }
}

/// Colours that change slowly, which JPEG keeps well, none of them gray.
fn colours(width: u32, height: u32) -> DynamicImage {
    let byte = |n: u32| u8::try_from(n % 256).unwrap();
    let pixel = |x, y| image::Rgb([byte(40 + 3 * x), byte(90 + 2 * y), byte(200 - x - y)]);
    DynamicImage::ImageRgb8(RgbImage::from_fn(width, height, pixel))
}

fn grays(width: u32, height: u32) -> DynamicImage {
    let byte = |n: u32| u8::try_from(n % 256).unwrap();
    let pixel = |x, y| image::Luma([byte(9 * x + 2 * y)]);
    DynamicImage::ImageLuma8(GrayImage::from_fn(width, height, pixel))
}

#[test]
fn every_format_gives_its_colours_back() {
    // At most 256 colours, so that GIF keeps them all.
    let source = colours(16, 13);
    for format in FORMATS {
        let decoded = decode_all(&encode(&source, format)).unwrap();
        assert_eq!(decoded.format().content_type(), format.to_mime_type());
        assert_eq!((decoded.width(), decoded.height()), (16, 13));
        assert_eq!((decoded.channels(), decoded.gray()), (3, None), "{format:?}");
        // JPEG rounds frequencies, the others keep every bit.
        let tolerance = match format {
            ImageFormat::Jpeg => 12,
            _ => 0,
        };
        for (found, expected) in decoded.bytes().iter().zip(source.as_bytes()) {
            assert!(found.abs_diff(*expected) <= tolerance, "{format:?}");
        }
    }
}

#[test]
fn one_gray_channel_stays_gray() {
    let source = grays(28, 28);
    for format in [ImageFormat::Png, ImageFormat::Bmp, ImageFormat::Gif] {
        let decoded = decode_all(&encode(&source, format)).unwrap();
        assert_eq!(decoded.gray(), Some(grays(28, 28).as_bytes()), "{format:?}");
    }
    let jpeg = decode_all(&encode(&source, ImageFormat::Jpeg)).unwrap();
    assert_eq!(jpeg.channels(), 1);
    // Three channels that happen to be equal are no gray channel.
    let rgb = DynamicImage::ImageRgb8(source.to_rgb8());
    for format in [ImageFormat::Png, ImageFormat::WebP, ImageFormat::Bmp] {
        assert_eq!(decode_all(&encode(&rgb, format)).unwrap().channels(), 3);
    }
}

#[test]
fn alpha_is_laid_over_white() {
    let half = RgbaImage::from_pixel(2, 1, Rgba([200, 0, 100, 128]));
    let expected = [227, 127, 177, 227, 127, 177];
    let half = DynamicImage::ImageRgba8(half);
    for format in [ImageFormat::Png, ImageFormat::WebP] {
        assert_eq!(decode_all(&encode(&half, format)).unwrap().bytes(), expected);
    }
    let clear = DynamicImage::ImageRgba8(RgbaImage::from_pixel(2, 1, Rgba([9, 9, 9, 0])));
    let decoded = decode_all(&encode(&clear, ImageFormat::Gif)).unwrap();
    assert_eq!((decoded.channels(), decoded.bytes()), (3, &[255; 6][..]));
    let gray = ImageBuffer::from_pixel(1, 1, LumaA([0, 51]));
    let decoded = decode_all(&encode(&DynamicImage::ImageLumaA8(gray), ImageFormat::Png)).unwrap();
    assert_eq!(decoded.bytes(), [204; 3]);
}

#[test]
fn what_is_nearly_white_is_laid_over_black() {
    // A product of 10 pixels on transparent ones, `white` of them of this gray, the others dark.
    let product = |white: u32, gray: u8| {
        let image = RgbaImage::from_fn(20, 1, |x, _| match x {
            0..10 if x < white => Rgba([gray, gray, gray, 255]),
            0..10 => Rgba([40, 30, 20, 255]),
            _ => Rgba([255, 255, 255, 0]),
        });
        let png = encode(&DynamicImage::ImageRgba8(image), ImageFormat::Png);
        decode_all(&png).unwrap().bytes().last().copied()
    };
    let (white, black) = (Some(255), Some(0));
    assert_eq!(product(10, 255), black);
    assert_eq!(product(6, 255), black);
    assert_eq!(product(5, 255), white);
    assert_eq!(product(0, 255), white);
    // 5 % of 255 is 12.75.
    assert_eq!(product(10, 243), black);
    assert_eq!(product(10, 242), white);
}

#[test]
fn the_backdrop_depends_on_what_is_visible_alone() {
    // Much white that is hardly visible beside a little that is: 9 x 10 of alpha against 100.
    let image = RgbaImage::from_fn(10, 1, |x, _| match x {
        0 => Rgba([40, 30, 20, 100]),
        _ => Rgba([255, 255, 255, 10]),
    });
    let decoded = decode_all(&encode(&DynamicImage::ImageRgba8(image), ImageFormat::Png)).unwrap();
    assert_eq!(decoded.bytes()[3..6], [255; 3]);
    let deep = ImageBuffer::from_fn(2, 1, |x, _| LumaA([60_000_u16, if x == 0 { 65_535 } else { 0 }]));
    let deep = DynamicImage::ImageLumaA16(deep);
    for (image, expected) in [(deep.clone(), [255; 3]), (deep.brighten(5_000), [0; 3])] {
        let decoded = decode_all(&encode(&image, ImageFormat::Png)).unwrap();
        assert_eq!(decoded.bytes()[3..], expected);
    }
}

#[test]
fn a_bitmap_without_any_alpha_is_opaque() {
    let clear = |image: &mut RgbaImage, alpha: u8| {
        image.pixels_mut().for_each(|pixel| pixel.0[3] = alpha);
    };
    let mut image = colours(6, 4).to_rgba8();
    clear(&mut image, 0);
    let bytes = encode(&DynamicImage::ImageRgba8(image.clone()), ImageFormat::Bmp);
    assert_eq!(decode_all(&bytes).unwrap().bytes(), colours(6, 4).as_bytes());
    // One visible pixel is enough to say that the others are not.
    image.get_pixel_mut(0, 0).0[3] = 255;
    let bytes = encode(&DynamicImage::ImageRgba8(image.clone()), ImageFormat::Bmp);
    assert_eq!(decode_all(&bytes).unwrap().bytes()[3..], [255; 6 * 4 * 3 - 3]);
    // A PNG means what it says.
    clear(&mut image, 0);
    let bytes = encode(&DynamicImage::ImageRgba8(image), ImageFormat::Png);
    assert_eq!(decode_all(&bytes).unwrap().bytes(), [255; 6 * 4 * 3]);
}

#[test]
fn sixteen_bits_are_rounded_to_eight() {
    let rgba = ImageBuffer::from_pixel(1, 1, Rgba([257 * 7 + 129, 0, 65_535, 65_535_u16]));
    let decoded = decode_all(&encode(&DynamicImage::ImageRgba16(rgba), ImageFormat::Png)).unwrap();
    assert_eq!(decoded.bytes(), [8, 0, 255]);
    let gray = ImageBuffer::from_pixel(1, 1, image::Luma([257_u16 * 9 + 128]));
    let decoded = decode_all(&encode(&DynamicImage::ImageLuma16(gray), ImageFormat::Png)).unwrap();
    assert_eq!((decoded.gray(), decoded.bytes()), (None, &[9; 3][..]));
}

#[test]
fn the_first_frame_of_an_animation_is_taken() {
    let mut bytes = Vec::new();
    let mut encoder = GifEncoder::new(&mut bytes);
    for gray in [30, 220] {
        let frame = RgbaImage::from_pixel(3, 2, Rgba([gray, gray, gray, 255]));
        encoder.encode_frame(Frame::new(frame)).unwrap();
    }
    drop(encoder);
    assert_eq!(decode_all(&bytes).unwrap().gray(), Some(&[30; 6][..]));
}

/// A JPEG of four components and one block, each coefficient 0 but for the first: the colour is one and the same.
/// Huffman codes: `0` is category 0 (DC) and end of block (AC), `10` is DC category 7.
fn cmyk_jpeg() -> Vec<u8> {
    let mut jpeg = b"\xff\xd8\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\0".to_vec();
    jpeg.extend_from_slice(b"\xff\xdb\0\x43\0");
    jpeg.extend_from_slice(&[8; 64]);
    jpeg.extend_from_slice(b"\xff\xc0\0\x14\x08\0\x08\0\x08\x04");
    jpeg.extend_from_slice(&[1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0, 4, 0x11, 0]);
    for (table, values) in [(0, &[0, 7][..]), (0x10, &[0][..])] {
        let mut counts = [0; 16];
        counts[0] = 1;
        counts[1] = u8::from(values.len() == 2);
        let length = u8::try_from(19 + values.len()).unwrap();
        jpeg.extend_from_slice(&[0xff, 0xc4, 0, length, table]);
        jpeg.extend_from_slice(&counts);
        jpeg.extend_from_slice(values);
    }
    jpeg.extend_from_slice(b"\xff\xda\0\x0e\x04\x01\0\x02\0\x03\0\x04\0\0\x3f\0");
    // The first component +127 (`10` `1111111` `0`), the next two 0 (`0` `0`), the last +127:
    // 1011 1111 1000 0010 1111 1110 and ones to fill.
    jpeg.extend_from_slice(&[0b1011_1111, 0b1000_0010, 0b1111_1110, 0xff, 0xd9]);
    jpeg
}

#[test]
fn cmyk_becomes_rgb() {
    // Adobe stores ink inverted: 255 is none. No cyan, half magenta, half yellow, no black.
    let decoded = decode_all(&cmyk_jpeg()).unwrap();
    assert_eq!((decoded.width(), decoded.channels()), (8, 3));
    for pixel in decoded.bytes().chunks_exact(3) {
        assert!(pixel[0] >= 250, "{pixel:?}");
        assert!(
            pixel[1].abs_diff(128) <= 3 && pixel[2].abs_diff(128) <= 3,
            "{pixel:?}"
        );
    }
}

#[test]
fn every_layout_of_a_jpeg_gives_its_colours_back() {
    let files: [(&str, &[u8]); 8] = [
        (
            "a scan each, 4:2:0",
            include_bytes!("fixtures/three-scans-2x2.jpg"),
        ),
        (
            "a scan each, 4:4:0",
            include_bytes!("fixtures/three-scans-1x2.jpg"),
        ),
        (
            "luma in the last scan",
            include_bytes!("fixtures/luma-last-2x2.jpg"),
        ),
        (
            "chroma finer than luma",
            include_bytes!("fixtures/fine-chroma.jpg"),
        ),
        ("chroma in thirds", include_bytes!("fixtures/thirds-3x1.jpg")),
        ("restarts", include_bytes!("fixtures/restarts.jpg")),
        ("progressive", include_bytes!("fixtures/progressive.jpg")),
        (
            "progressive with restarts",
            include_bytes!("fixtures/progressive-restarts.jpg"),
        ),
    ];
    let expected = colours(37, 21);
    for (name, bytes) in files {
        let decoded = decode_all(bytes).unwrap();
        assert_eq!(
            (decoded.width(), decoded.height(), decoded.channels()),
            (37, 21, 3)
        );
        let differences = decoded.bytes().iter().zip(expected.as_bytes());
        let largest = differences
            .map(|(found, expected)| found.abs_diff(*expected))
            .max();
        assert!(largest <= Some(16), "{name}: {largest:?}");
    }
}

#[test]
fn gray_that_says_it_is_not_transformed_stays_gray() {
    let mut jpeg = encode(&grays(24, 16), ImageFormat::Jpeg);
    let plain = decode_all(&jpeg).unwrap();
    jpeg.splice(2..2, *b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\0");
    assert_eq!(decode_all(&jpeg).unwrap(), plain);
    assert_eq!(plain.channels(), 1);
}

#[test]
fn a_damaged_jpeg_is_refused_with_the_place() {
    let jpeg = include_bytes!("fixtures/restarts.jpg");
    let closed = [&jpeg[..jpeg.len() - 40], &[0xff, 0xd9]].concat();
    let error = decode_all(&closed).unwrap_err();
    let at = jpeg.len() - 40;
    assert_eq!(
        error.to_string(),
        format!(
            "the JPEG is damaged near byte {at}: a scan ends before its picture is complete; save or export it again"
        )
    );
    let error = decode_all(include_bytes!("fixtures/arithmetic.jpg")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "this is an arithmetic-coded JPEG, which is not read; save it as a baseline or progressive JPEG or as PNG"
    );
}

#[test]
fn a_cut_file_is_refused_wherever_it_is_cut() {
    let noise = |x: u32, y: u32| u8::try_from((x * 7919 + y * 104_729) % 251).unwrap();
    let noisy = RgbImage::from_fn(24, 24, |x, y| image::Rgb([noise(x, y), noise(y, x), 9]));
    let noisy = DynamicImage::ImageRgb8(noisy);
    for format in FORMATS {
        let bytes = encode(&noisy, format);
        let whole = decode_all(&bytes).unwrap();
        for end in 0..bytes.len() {
            // What follows the pixels (a trailer, a checksum) may be missing.
            if let Ok(cut) = decode_all(&bytes[..end]) {
                assert_eq!(cut, whole, "{format:?} cut to {end} bytes");
                assert!(bytes.len() - end <= 16, "{format:?} cut to {end} bytes");
            }
        }
        let half = decode_all(&bytes[..bytes.len() / 2]).unwrap_err();
        let told = matches!(half, PictureError::Truncated { .. });
        assert!(told || format == ImageFormat::Gif, "{format:?}: {half}");
        let trailing = [&bytes[..], b"rubbish"].concat();
        assert_eq!(decode_all(&trailing).unwrap(), whole);
    }
}

#[test]
fn a_jpeg_without_its_end_is_never_filled_with_gray() {
    let jpeg = encode(&colours(64, 64), ImageFormat::Jpeg);
    for end in 0..jpeg.len() {
        assert!(decode_all(&jpeg[..end]).is_err(), "cut to {end} bytes");
    }
}

#[test]
fn bytes_of_other_kinds_are_named() {
    let refused = |bytes: &[u8]| decode_all(bytes).unwrap_err().to_string();
    assert_eq!(
        refused(b"II*\0rest"),
        "this is a TIFF picture or a camera's raw file; send a PNG, JPEG, WebP, GIF or BMP picture"
    );
    assert_eq!(
        refused(b""),
        "there are no bytes where a picture was expected; \
         send a PNG, JPEG, WebP, GIF or BMP picture"
    );
    assert!(matches!(
        decode_all(b"hello"),
        Err(PictureError::NotAPicture { .. })
    ));
    let text = decode_all(b"BM, you know, is also how a letter may begin.").unwrap_err();
    assert!(matches!(text, PictureError::UnsupportedCoding { .. }), "{text}");
}

fn valid_files() -> Vec<Vec<u8>> {
    let mut files: Vec<_> = FORMATS
        .into_iter()
        .flat_map(|format| [encode(&colours(19, 9), format), encode(&grays(9, 19), format)])
        .collect();
    files.push(turned(&grays(9, 5), 6));
    files.push(cmyk_jpeg());
    let block = exif(8, false, true);
    files.push(webp_with(&colours(9, 5), &block));
    files.push(with_chunk(&colours(9, 5), b"eXIf", &block, true));
    let text = [b"Raw profile type exif\0", raw_profile(&block).as_bytes()].concat();
    files.push(with_chunk(&colours(9, 5), b"tEXt", &text, false));
    for jpeg in [
        &include_bytes!("fixtures/three-scans-2x2.jpg")[..],
        include_bytes!("fixtures/thirds-3x1.jpg"),
        include_bytes!("fixtures/progressive-restarts.jpg"),
    ] {
        files.push(jpeg.to_vec());
    }
    files
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode(&bytes, &pixels(100_000));
        for signature in [
            &b"\x89PNG\r\n\x1a\n"[..], b"\xff\xd8\xff", b"GIF89a", b"BM", b"RIFF\x80\0\0\0WEBPVP8 ",
        ] {
            let bytes = [signature, &bytes].concat();
            let _ = decode(&bytes, &pixels(100_000));
        }
    }

    #[test]
    fn damaged_files_never_panic(
        file in 0..18_usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = valid_files().swap_remove(file);
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let _ = decode(&bytes, &pixels(100_000));
    }
}
