//! One position's run: what a kernel reads and writes, and the two steps that all kernels share: gathering the rows of
//! weights that arrive, and listing those of one time step.

use crate::chip::width::MEMBRANE_MAX;
use crate::emulator::bits::SpikeBits;

/// Lanes of the narrowest block; a block has 1, 2 or 4 times as many.
pub const LANES: usize = 16;

/// The widest block, in [`LANES`]: 64 channels, one word of spikes.
pub const VECTORS: usize = 4;

/// The largest number of rows of weights: a row's index fits 16 bits.
pub const MOST_ROWS: usize = 1 << 16;

/// Up to this many rows of weights, the sums of all their subsets are precomputed.
pub const TABLE_ROWS: usize = 9;

/// One source position in a window.
#[derive(Debug, Clone, Copy)]
pub struct View {
    /// Index of the source position.
    pub source: u32,
    /// The row of weights of the source's first channel at this place of the kernel.
    pub row: u32,
}

/// Up to 64 channels of a layer. Lanes beyond the last channel have weights, bias and membrane 0 and never spike.
#[derive(Debug)]
pub struct Block {
    /// 1, 2 or 4 vectors of [`LANES`].
    pub vectors: usize,
    /// `[kernel place x source channel, lane]`.
    pub weights: Vec<i16>,
    /// The biases, and how they are added.
    pub drive: Drive,
}

/// How the bias and the arriving weights of one time step are summed.
#[derive(Debug)]
pub enum Drive {
    /// In 16 bits: the bias plus any subset of a lane's weights fits. `[lane]`: the bias.
    Narrow(Vec<i16>),
    /// In 16 bits, with all sums precomputed: `[subset of rows, lane]`; bit `i` of a subset's index stands for row
    /// `i`.
    Table(Vec<i16>),
    /// In the membrane's 32 bits. `[lane]`: the bias.
    Wide(Vec<i32>),
}

/// The input of a kernel.
#[derive(Debug)]
pub struct Position<'a> {
    /// The source positions in the window.
    pub views: &'a [View],
    /// The spikes of the source.
    pub source: &'a SpikeBits,
    /// The weights and biases.
    pub block: &'a Block,
    /// At least 1.
    pub threshold: i32,
    /// Words needed for one bit per row of weights, which says whether its source fired.
    pub words: usize,
    /// `[lane]`.
    pub initial: &'a [i32],
    /// Whether a membrane may exceed the chip's range: if so, such updates are counted.
    pub watched: bool,
}

/// The output of a kernel.
#[derive(Debug)]
pub struct Target<'a> {
    /// `[lane]`: the membranes after the last step.
    pub membranes: &'a mut [i32],
    /// The position's words, `[step, word]`.
    pub fired: &'a mut [u64],
    /// Words per step, and the index of the block's word among them.
    pub stride: usize,
    pub word: usize,
    /// `[step]`: spikes fired and spikes arriving; the kernel adds to them.
    pub spikes: &'a mut [u64],
    pub arrived: &'a mut [u64],
    /// Updates beyond the chip's membrane range; the kernel adds to it.
    pub saturated: &'a mut u64,
    pub scratch: &'a mut Scratch,
}

/// Buffers of a kernel, reused for each position.
#[derive(Debug, Default)]
pub struct Scratch {
    /// `[word, step]`: which rows of weights arrive.
    pub(super) rows: Vec<u64>,
    /// The indices of the rows that arrive in one step, and space after them, because batches are written whole.
    pub(super) active: Vec<u16>,
}

/// The largest magnitude of the chip's membrane.
#[expect(clippy::cast_possible_truncation, reason = "a constant of 17 bits")]
pub(super) const FARTHEST: i32 = MEMBRANE_MAX as i32;

/// The number of row indices written at once.
pub(super) const BATCH: usize = 32;

/// Collects, for all steps at once, which rows of weights arrive: each view's words of the previous step, shifted to
/// the position of its rows. Nothing arrives in the first step.
#[inline(always)]
pub(super) fn gather(position: &Position<'_>, steps: usize, scratch: &mut Scratch) {
    let rows = &mut scratch.rows;
    rows.clear();
    rows.resize(position.words * steps, 0);
    let words = position.source.words();
    for view in position.views {
        let fired = position.source.of_position(index(view.source));
        for word in 0..words {
            let first = index(view.row) + word * 64;
            let (target, shift) = (first / 64 * steps, first % 64);
            let (low, high) = rows[target..].split_at_mut(steps);
            if words == 1 {
                for (row, bits) in low[1..].iter_mut().zip(fired) {
                    *row |= bits << shift;
                }
            } else {
                for (row, bits) in low[1..].iter_mut().zip(fired[word..].iter().step_by(words)) {
                    *row |= bits << shift;
                }
            }
            // Bits shifted out belong to the next word.
            if shift + (position.source.channels() - word * 64).min(64) > 64 {
                for (row, bits) in high[1..steps].iter_mut().zip(fired[word..].iter().step_by(words)) {
                    *row |= bits >> (64 - shift);
                }
            }
        }
    }
    scratch.active.resize(position.words * 64 + BATCH, 0);
}

/// Lists the rows of weights that arrive in `step`; returns their number.
#[inline(always)]
pub(super) fn list(scratch: &mut Scratch, step: usize, steps: usize) -> usize {
    /// Less than [`BATCH`], because most words have few set bits.
    const AT_ONCE: usize = 4;
    let mut count = 0;
    let mut base = 0;
    for &word in scratch.rows[step..].iter().step_by(steps) {
        let mut bits = word;
        let mut place = count;
        while bits != 0 {
            // Entries after the last one are written but not read.
            for number in &mut scratch.active[place..][..AT_ONCE] {
                *number = base + low_bits(bits.trailing_zeros());
                bits &= bits.wrapping_sub(1);
            }
            place += AT_ONCE;
        }
        count += index(word.count_ones());
        base = base.wrapping_add(64);
    }
    count
}

#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "a bit's place is at most 64")]
fn low_bits(place: u32) -> u16 {
    place as u16
}

/// A 32-bit number as an index.
#[inline(always)]
#[must_use]
pub fn index(number: u32) -> usize {
    usize::try_from(number).expect("32 bits fit")
}

/// The precomputed sum of the rows that arrive in `step`; counts their spikes as arrived.
#[inline(always)]
pub(super) fn looked_up<'a, const L: usize>(
    sums: &'a [i16],
    scratch: &Scratch,
    step: usize,
    arrived: &mut u64,
) -> &'a [i16; L] {
    let subset = scratch.rows[step];
    *arrived += u64::from(subset.count_ones());
    &sums.as_chunks().0[usize::try_from(subset).expect("few rows")]
}

#[inline(always)]
pub(super) fn wide(count: usize) -> u64 {
    u64::try_from(count).expect("a length fits 64 bits")
}
