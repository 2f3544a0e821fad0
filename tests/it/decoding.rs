//! What decoding pictures takes in memory, counted by the allocator: `docs/operations.md` promises it.

use std::io::Cursor;

use engine::picture::{Coding, DecodeLimits, Format, cost, decode};
use image::{DynamicImage, ImageFormat};

const SIDE: u16 = 1000;
const PIXELS: u64 = SIDE as u64 * SIDE as u64;

fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// A WebP's one chunk of pixels, behind its header.
fn pixels_of(webp: &[u8]) -> &[u8] {
    &webp[12..]
}

/// An animation of one frame.
fn animated(webp: &[u8]) -> Vec<u8> {
    let chunk = |name: &[u8; 4], payload: &[u8]| {
        let length = u32::try_from(payload.len()).unwrap().to_le_bytes();
        [name, &length[..], payload].concat()
    };
    let side = (u32::from(SIDE) - 1).to_le_bytes();
    let sides = [&side[..3], &side[..3]].concat();
    let frame = [&[0; 6], &sides[..], &[0; 4], pixels_of(webp)].concat();
    let chunks = [
        chunk(b"VP8X", &[&[2, 0, 0, 0][..], &sides].concat()),
        chunk(b"ANIM", &[0; 6]),
        chunk(b"ANMF", &frame),
    ];
    chunk(b"RIFF", &[&b"WEBP"[..], &chunks.concat()].concat())
}

/// A progressive JPEG of four components that are gray throughout, all of them of full size, in `scans` scans.
fn progressive_cmyk(scans: usize) -> Vec<u8> {
    let segment = |code: u8, payload: &[u8]| {
        let length = u16::try_from(payload.len() + 2).unwrap().to_be_bytes();
        [&[0xff, code], &length[..], payload].concat()
    };
    let blocks = usize::from(SIDE / 8).pow(2);
    let side = SIDE.to_be_bytes();
    let mut frame = [&[8], &side[..], &side, &[4]].concat();
    let mut begin = vec![4];
    for component in 1..=4 {
        frame.extend([component, 0x11, 0]);
        begin.extend([component, 0]);
    }
    begin.extend([0, 0, 0]);
    let mut one_code = [0; 17];
    one_code[1] = 1;
    let mut ends = one_code;
    ends[0] = 0x10;
    let mut file = [
        b"\xff\xd8".to_vec(),
        segment(0xdb, &[&[0][..], &[8; 64]].concat()),
        segment(0xc2, &frame),
        // The code 0 is a DC coefficient that does not change, or the end of 2^13 blocks and of as many as 13 bits say.
        segment(0xc4, &[&one_code[..], &[0]].concat()),
        segment(0xc4, &[&ends[..], &[0xd0]].concat()),
        segment(0xda, &begin),
        vec![0; blocks * 4 / 8],
        // The last four bits, and ones to fill.
        vec![0x0f],
    ]
    .concat();
    let further = u16::try_from(blocks - (1 << 13)).unwrap();
    let ended = (further << 2 | 0b11).to_be_bytes();
    for scan in 0..u8::try_from(scans - 1).unwrap() {
        file.extend(segment(
            0xda,
            &[1, scan % 4 + 1, 0, scan / 4 + 1, scan / 4 + 1, 0],
        ));
        file.extend(ended);
    }
    file.extend(b"\xff\xd9");
    file
}

/// Bytes that decoding allocates at most, for each pixel and beside the file.
fn bytes_a_pixel(file: &[u8]) -> f64 {
    let mut decoded = None;
    let taken = allocation_counter::measure(|| decoded = Some(decode(file, &DecodeLimits::default())));
    let decoded = decoded.unwrap().unwrap();
    assert_eq!(u64::from(decoded.width()) * u64::from(decoded.height()), PIXELS);
    // Rows, tables, and up to two copies of the file.
    let beside = (1 << 20) + 2 * file.len() as u64;
    taken.bytes_max.saturating_sub(beside) as f64 / PIXELS as f64
}

#[test]
fn decoding_takes_as_much_memory_as_is_promised() {
    let side = u32::from(SIDE);
    let alpha = DynamicImage::new_rgba8(side, side);
    let webp = encoded(&alpha, ImageFormat::WebP);
    // What becomes smaller in its own memory is copied under the allocator that counts: 3 bytes a pixel.
    let copied = 3.0;
    for (name, file, most) in [
        (
            "RGBA of 16 bits",
            encoded(&DynamicImage::new_rgba16(side, side), ImageFormat::Png),
            8.0 + copied,
        ),
        (
            "RGB of 16 bits",
            encoded(&DynamicImage::new_rgb16(side, side), ImageFormat::Png),
            6.0 + copied,
        ),
        ("RGBA", encoded(&alpha, ImageFormat::Png), 4.0 + copied),
        (
            "gray",
            encoded(&DynamicImage::new_luma8(side, side), ImageFormat::Png),
            1.0,
        ),
        (
            "JPEG",
            encoded(&DynamicImage::new_rgb8(side, side), ImageFormat::Jpeg),
            4.0,
        ),
        ("GIF", encoded(&alpha, ImageFormat::Gif), 8.0),
        ("BMP", encoded(&alpha, ImageFormat::Bmp), 8.0),
        ("WebP", webp.clone(), 7.0),
        ("animated WebP", animated(&webp), 11.0),
        ("progressive CMYK", progressive_cmyk(60), 11.0),
    ] {
        let found = bytes_a_pixel(&file);
        assert!(found <= most, "{name}: {found} bytes a pixel");
    }
    assert_eq!(cost(&animated(&webp)).unwrap().coding, Coding::Animated);
    let progressive = cost(&progressive_cmyk(2)).unwrap();
    assert_eq!(
        (progressive.format, progressive.coding),
        (Format::Jpeg, Coding::Passes)
    );
}

#[test]
fn a_progressive_jpeg_of_more_scans_than_any_encoder_makes_is_refused() {
    assert!(decode(&progressive_cmyk(100), &DecodeLimits::default()).is_ok());
    let refused = decode(&progressive_cmyk(101), &DecodeLimits::default()).unwrap_err();
    assert!(refused.to_string().contains("100 scans"), "{refused}");
}
