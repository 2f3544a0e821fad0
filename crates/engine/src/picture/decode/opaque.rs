//! Samples of any layout to opaque gray or RGB.

use image::{ColorType, DynamicImage, GrayImage, RgbImage};

/// Converts samples of any of the decoders' layouts to opaque gray or RGB with 8 bits, those with alpha over a
/// [`Backdrop`]; `None` for a layout that none of the five formats has.
pub(super) fn opaque(samples: Vec<u8>, colour: ColorType, width: u32, height: u32) -> Option<DynamicImage> {
    // The decoders return 16-bit samples in native byte order.
    let wide = |pair: &[u8]| u16::from_ne_bytes([pair[0], pair[1]]);
    let rgb = match colour {
        ColorType::L8 => {
            return GrayImage::from_raw(width, height, samples).map(DynamicImage::ImageLuma8);
        }
        ColorType::Rgb8 => samples,
        ColorType::La8 => over_backdrop::<2, _>(samples, |p| ([p[0]; 3], p[1])),
        ColorType::Rgba8 => over_backdrop::<4, _>(samples, |p| ([p[0], p[1], p[2]], p[3])),
        ColorType::L16 => to_rgb::<2, u16>(samples, Backdrop::White, |p| ([wide(p); 3], u16::MAX)),
        ColorType::La16 => over_backdrop::<4, _>(samples, |p| ([wide(p); 3], wide(&p[2..]))),
        ColorType::Rgb16 => to_rgb::<6, u16>(samples, Backdrop::White, |p| {
            ([0, 2, 4].map(|c| wide(&p[c..])), u16::MAX)
        }),
        ColorType::Rgba16 => {
            over_backdrop::<8, _>(samples, |p| ([0, 2, 4].map(|c| wide(&p[c..])), wide(&p[6..])))
        }
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

/// Makes a 32-bit bitmap opaque whose alpha is 0 throughout: programs that know no alpha leave the fourth byte 0.
pub(super) fn fill_unused_alpha(samples: &mut [u8], colour: ColorType) {
    if colour == ColorType::Rgba8 && samples.iter().skip(3).step_by(4).all(|&alpha| alpha == 0) {
        samples
            .iter_mut()
            .skip(3)
            .step_by(4)
            .for_each(|alpha| *alpha = 255);
    }
}

/// A sample of 8 or 16 bits.
trait Sample: Copy + Into<u64> {
    const MAX: u64;
}

impl Sample for u8 {
    const MAX: u64 = 255;
}

impl Sample for u16 {
    const MAX: u64 = 65_535;
}

/// What is laid behind a transparent picture.
#[derive(Clone, Copy)]
enum Backdrop {
    White,
    Black,
}

impl Backdrop {
    /// White; black where a white product would be lost on it: where more than half of what is visible differs from
    /// white by 5 % or less, which is what trimming takes for the backdrop.
    fn of<S: Sample>(pixels: impl Iterator<Item = ([S; 3], S)>) -> Self {
        let (mut visible, mut nearly_white) = (0_u64, 0_u64);
        for (colour, alpha) in pixels {
            let alpha: u64 = alpha.into();
            visible += alpha;
            let distance: u64 = colour.iter().map(|&sample| (S::MAX - sample.into()).pow(2)).sum();
            if distance * 20 * 20 <= 3 * S::MAX * S::MAX {
                nearly_white += alpha;
            }
        }
        if 2 * nearly_white > visible {
            Self::Black
        } else {
            Self::White
        }
    }

    /// A sample of the given alpha on the backdrop, rounded to the nearest of 8 bits.
    fn behind<S: Sample>(self, sample: S, alpha: S) -> u8 {
        let (sample, alpha) = (sample.into(), alpha.into());
        let behind = match self {
            Self::White => S::MAX,
            Self::Black => 0,
        };
        let blended = (sample * alpha + behind * (S::MAX - alpha) + S::MAX / 2) / S::MAX;
        let unit = S::MAX / 255;
        u8::try_from((blended + unit / 2) / unit).unwrap_or(u8::MAX)
    }
}

/// Pixels of `N` bytes, colours with alpha, over their backdrop.
fn over_backdrop<const N: usize, S: Sample>(
    samples: Vec<u8>,
    pixel: impl Fn(&[u8; N]) -> ([S; 3], S) + Copy,
) -> Vec<u8> {
    let backdrop = Backdrop::of(samples.as_chunks().0.iter().map(pixel));
    to_rgb(samples, backdrop, pixel)
}

/// Pixels of `N` bytes as three samples of 8 bits: in their own memory, where they leave room for that.
fn to_rgb<const N: usize, S: Sample>(
    mut samples: Vec<u8>,
    backdrop: Backdrop,
    pixel: impl Fn(&[u8; N]) -> ([S; 3], S),
) -> Vec<u8> {
    let rgb = |p: &[u8; N]| {
        let (colour, alpha) = pixel(p);
        colour.map(|sample| backdrop.behind(sample, alpha))
    };
    if N < 3 {
        return samples.as_chunks().0.iter().flat_map(rgb).collect();
    }
    let pixels = samples.len() / N;
    for at in 0..pixels {
        let Some(from) = samples[at * N..].first_chunk() else {
            break;
        };
        let rgb = rgb(from);
        samples[at * 3..][..3].copy_from_slice(&rgb);
    }
    samples.truncate(pixels * 3);
    samples.shrink_to_fit();
    samples
}
