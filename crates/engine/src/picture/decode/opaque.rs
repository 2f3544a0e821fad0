//! Samples of any layout to opaque gray or RGB.

use image::{ColorType, DynamicImage, GrayImage, RgbImage};

/// Converts samples of any of the decoders' layouts to opaque gray or RGB with 8 bits; `None` for a layout that none
/// of the five formats has.
pub(super) fn over_white(
    samples: Vec<u8>,
    colour: ColorType,
    width: u32,
    height: u32,
) -> Option<DynamicImage> {
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
pub(super) fn opaque_gray(samples: &[u8], colour: ColorType) -> Option<Vec<u8>> {
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
