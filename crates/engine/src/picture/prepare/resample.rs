//! Averages a box of a picture onto a grid of output pixels, in integers, so that results are equal on every machine.
//!
//! Every output pixel is the mean of the source pixels under it, weighted by their overlap. If the output is finer
//! than the source, the mean is taken over the width of one source pixel, which is linear interpolation. The working
//! memory is a few rows.

use std::ops::Range;

use crate::picture::Decoded;

/// Lengths are in 65,536ths of a source pixel. The largest side, 2^32 pixels, stays below 2^49.
pub(super) const ONE: i64 = 1 << 16;

/// Samples are in 256ths, so that later steps round only once, at the end.
pub(super) const SAMPLE_ONE: u64 = 256;

/// The position of a row or column of output pixels in the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    /// Start in 65,536ths of a source pixel; may lie outside of the picture.
    pub start: i64,
    /// Length in 65,536ths of a source pixel, above 0.
    pub length: i64,
    /// Number of output pixels that share the length, above 0.
    pub pixels: u32,
}

impl Window {
    /// A window that covers a range of source pixels exactly.
    pub(super) fn over(source: &Range<u32>, pixels: u32) -> Self {
        Self {
            start: i64::from(source.start) * ONE,
            length: i64::from(source.end - source.start) * ONE,
            pixels,
        }
    }

    /// The source pixels in `inside` that each output pixel averages.
    fn taps(self, inside: &Range<u32>) -> Vec<Tap> {
        let inside = i64::from(inside.start) * ONE..i64::from(inside.end) * ONE;
        let pixels = i64::from(self.pixels);
        let edge = |index: i64| self.start + self.length * index / pixels;
        (0..pixels)
            .map(|index| {
                let (mut left, mut right) = (edge(index), edge(index + 1));
                if right - left < ONE {
                    left = (left + right - ONE).div_euclid(2);
                    right = left + ONE;
                }
                Tap::new(left.max(inside.start), right.min(inside.end), right - left)
            })
            .collect()
    }
}

/// A run of source pixels; those between the first and the last count with weight [`ONE`].
struct Tap {
    /// First and last source pixel.
    first: usize,
    last: usize,
    first_weight: u64,
    last_weight: u64,
    /// Sum of all weights; 0 if the output pixel does not overlap the inside.
    weight: u64,
    /// Share of the output pixel that lies inside, in 256ths.
    coverage: u64,
}

impl Tap {
    fn new(left: i64, right: i64, whole: i64) -> Self {
        let positive = |length: i64| u64::try_from(length).unwrap_or(0);
        let pixel = |at: i64| usize::try_from(at.div_euclid(ONE)).unwrap_or(0);
        let weight = positive(right - left);
        let (first, last) = if weight == 0 {
            (0, 0)
        } else {
            (pixel(left), pixel(right - 1))
        };
        let (first_weight, last_weight) = if first == last {
            (weight, 0)
        } else {
            (
                positive(ONE - left.rem_euclid(ONE)),
                positive((right - 1).rem_euclid(ONE) + 1),
            )
        };
        Self {
            first,
            last,
            first_weight,
            last_weight,
            weight,
            coverage: weight * SAMPLE_ONE / positive(whole).max(1),
        }
    }

    /// The weight of a source pixel of this run.
    fn weight_of(&self, pixel: usize) -> u64 {
        if pixel == self.first {
            self.first_weight
        } else if pixel == self.last {
            self.last_weight
        } else {
            1 << 16
        }
    }
}

/// Averaged pixels and how far each of them lies inside.
pub(super) struct Resampled {
    /// Row by row, the picture's channels side by side, 0 to 255 in 256ths. Only the inside counts: at its edge, its
    /// pixels determine the whole output pixel.
    pub samples: Vec<u64>,
    /// Row by row, the share of each output pixel that lies inside, in 256ths.
    pub coverage: Vec<u64>,
}

/// Averages the part `columns` x `rows` of a picture under a grid of output pixels.
pub(super) fn resample(
    image: &Decoded,
    (columns, rows): (&Range<u32>, &Range<u32>),
    (across, down): (Window, Window),
) -> Resampled {
    let channels = image.channels();
    let (across, down) = (across.taps(columns), down.taps(rows));
    let row_length = usize::try_from(image.width()).unwrap_or(usize::MAX) * channels;
    let out_length = across.len() * channels;

    let mut samples = vec![0; out_length * down.len()];
    // Neighbouring output rows share at most two source rows.
    let mut averaged: [(Option<usize>, Vec<u64>); 2] = std::array::from_fn(|_| (None, vec![0; out_length]));
    for (tap, out) in down.iter().zip(samples.chunks_exact_mut(out_length)) {
        if tap.weight == 0 {
            continue;
        }
        for row in tap.first..=tap.last {
            let (held, sums) = &mut averaged[row % 2];
            if *held != Some(row) {
                let source = &image.bytes()[row * row_length..][..row_length];
                average_row(source, channels, &across, sums);
                *held = Some(row);
            }
            let weight = tap.weight_of(row);
            for (sum, sample) in out.iter_mut().zip(sums.iter()) {
                *sum += weight * sample;
            }
        }
        for sum in out {
            *sum = (*sum + tap.weight / 2) / tap.weight;
        }
    }
    let share = |tap: &Tap, row: &Tap| tap.coverage * row.coverage / SAMPLE_ONE;
    let coverage = down
        .iter()
        .flat_map(|row| across.iter().map(move |tap| share(tap, row)))
        .collect();
    Resampled { samples, coverage }
}

/// Averages one source row into `out`, in 256ths.
fn average_row(source: &[u8], channels: usize, across: &[Tap], out: &mut [u64]) {
    for (tap, pixel) in across.iter().zip(out.chunks_exact_mut(channels)) {
        if tap.weight == 0 {
            continue;
        }
        let run = &source[tap.first * channels..(tap.last + 1) * channels];
        let between = if tap.last - tap.first > 1 {
            &run[channels..run.len() - channels]
        } else {
            &[]
        };
        for (channel, sample) in pixel.iter_mut().enumerate() {
            let whole: u64 = between
                .iter()
                .skip(channel)
                .step_by(channels)
                .map(|&value| u64::from(value))
                .sum();
            let first = u64::from(run[channel]) * tap.first_weight;
            let last = u64::from(run[run.len() - channels + channel]) * tap.last_weight;
            let sum = first + (whole << 16) + last;
            *sample = (sum * SAMPLE_ONE + tap.weight / 2) / tap.weight;
        }
    }
}
