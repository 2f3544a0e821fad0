//! Pictures that are refused for their size, and decoding that is stopped.

use std::cell::Cell;

use image::{DynamicImage, ImageFormat, RgbImage};

use super::{FORMATS, colours, decode_all, encode, grays, pixels};
use crate::picture::{DecodeLimits, PictureError, decode, decode_until};

/// A PNG of nothing but its header, of the given size, 8 bits gray.
fn png_header(width: u32, height: u32) -> Vec<u8> {
    let mut header = b"IHDR".to_vec();
    header.extend_from_slice(&width.to_be_bytes());
    header.extend_from_slice(&height.to_be_bytes());
    header.extend_from_slice(&[8, 0, 0, 0, 0]);
    let mut checksum = flate2::Crc::new();
    checksum.update(&header);
    let signature = b"\x89PNG\r\n\x1a\n\0\0\0\x0d";
    [signature, &header[..], &checksum.sum().to_be_bytes()].concat()
}

#[test]
fn too_many_pixels_are_refused_from_the_header_alone() {
    let error = decode_all(&png_header(30_000, 30_000)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the picture has 30000 x 30000 pixels, the limit is 40000000 pixels; send a smaller one"
    );
    let limits = pixels(19 * 13);
    for format in FORMATS {
        let bytes = encode(&colours(20, 13), format);
        // The pixels are cut off, and still the size is what is refused.
        let header = if format == ImageFormat::WebP {
            &bytes
        } else {
            &bytes[..bytes.len() - 20]
        };
        let error = decode(header, &limits).unwrap_err();
        assert!(
            matches!(
                error,
                PictureError::TooManyPixels {
                    width: 20,
                    height: 13,
                    ..
                }
            ),
            "{format:?}: {error}"
        );
    }
    let none = decode_all(&png_header(0, 7)).unwrap_err();
    assert!(matches!(
        none,
        PictureError::NoPixels {
            width: 0,
            height: 7,
            ..
        }
    ));
}

#[test]
fn decoding_stops_where_it_is_asked_to() {
    let noise = |x: u32, y: u32| u8::try_from((x * 7919 + y * 104_729) % 251).unwrap();
    let noisy = RgbImage::from_fn(200, 200, |x, y| image::Rgb([noise(x, y), noise(y, x), 9]));
    for format in FORMATS {
        let bytes = encode(&DynamicImage::ImageRgb8(noisy.clone()), format);
        let asked = Cell::new(0);
        let decode_for = |questions: u32| {
            asked.set(0);
            decode_until(&bytes, &DecodeLimits::default(), &|| {
                asked.set(asked.get() + 1);
                asked.get() > questions
            })
        };
        let whole = decode_for(u32::MAX).unwrap();
        assert_eq!(whole, decode_all(&bytes).unwrap());
        let questions = asked.get();
        let least = match format {
            ImageFormat::WebP => 4,
            ImageFormat::Jpeg => 200 / 8,
            _ => bytes.len() / 4096,
        };
        assert!(questions as usize >= least, "{format:?}: {questions}");
        for stopped in 0..questions {
            assert!(
                matches!(decode_for(stopped), Err(PictureError::Stopped)),
                "{format:?}: {stopped}"
            );
            assert_eq!(
                asked.get(),
                stopped + 1,
                "{format:?} goes on after it was stopped"
            );
        }
    }
}

#[test]
fn long_and_narrow_pictures_are_refused_from_the_header_alone() {
    for (width, height, expected) in [
        (
            32_769,
            400,
            "the picture has 32769 x 400 pixels, the limit is 32768 pixels on a side; send a smaller one",
        ),
        (
            3,
            301,
            "the picture has 3 x 301 pixels, and one side may be 100 times as long as the other; \
             cut it to what it shows",
        ),
    ] {
        assert_eq!(
            decode_all(&png_header(width, height)).unwrap_err().to_string(),
            expected
        );
    }
    for format in FORMATS {
        let narrow = decode_all(&encode(&grays(202, 2), format)).unwrap_err();
        assert!(
            matches!(
                narrow,
                PictureError::TooNarrow {
                    width: 202,
                    height: 2,
                    ..
                }
            ),
            "{format:?}: {narrow}"
        );
        assert!(decode_all(&encode(&grays(200, 2), format)).is_ok(), "{format:?}");
        let free = decode(&encode(&grays(202, 2), format), &DecodeLimits::NONE);
        assert!(free.is_ok(), "{format:?}");
    }
}
