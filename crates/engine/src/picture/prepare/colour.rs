//! Colours of pixels, and how far they are from each other.

use crate::picture::Decoded;

/// "Trim edges within 5 % of the corner pixels' colour" (Xiao et al. 2017, section 2), as the root mean square over
/// the channels, which is how `ImageMagick`, used by Xiao et al., measures it.
pub(super) const TRIM_DIVISOR: u64 = 20;

/// Whether a squared distance, summed over the channels, is at most `255 / divisor` in the root mean square.
pub(super) fn within(distance: u64, channels: usize, divisor: u64) -> bool {
    let channels = if channels == 1 { 1 } else { 3 };
    distance * divisor * divisor <= channels * 255 * 255
}

pub(super) fn square(one: [u64; 3], other: [u64; 3]) -> u64 {
    one.iter().zip(other).map(|(a, b)| a.abs_diff(b).pow(2)).sum()
}

/// A pixel's channels; the third and second channel of a gray picture are 0.
pub(super) fn pixel(image: &Decoded, x: u32, y: u32) -> [u64; 3] {
    let at = |pixels: u32| usize::try_from(pixels).unwrap_or(usize::MAX);
    let channels = image.channels();
    let place = (at(y) * at(image.width()) + at(x)) * channels;
    let mut colour = [0; 3];
    for (channel, &value) in colour.iter_mut().zip(&image.bytes()[place..place + channels]) {
        *channel = u64::from(value);
    }
    colour
}

/// The median of each channel; black if there are no pixels.
pub(super) fn median(pixels: &[[u64; 3]], channels: usize) -> [u64; 3] {
    let mut colour = [0; 3];
    if pixels.is_empty() {
        return colour;
    }
    for (channel, median) in colour.iter_mut().enumerate().take(channels) {
        let mut values: Vec<u64> = pixels.iter().map(|pixel| pixel[channel]).collect();
        let middle = values.len() / 2;
        *median = *values.select_nth_unstable(middle).1;
    }
    colour
}
