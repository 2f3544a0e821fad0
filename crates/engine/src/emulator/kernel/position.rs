//! What all kernels share: their input and output, the walk over a layer's positions, and gathering the rows of weights
//! that arrive.

use crate::chip::width::MEMBRANE_MAX;
use crate::emulator::bits::{BATCH, SpikeBits, WORD};

/// Lanes of a line; a block has 1 to [`LINES`] lines.
pub const LANES: usize = 32;

/// Lines of the widest block: 128 channels, two words of spikes.
pub const LINES: usize = 4;

/// The largest number of rows of weights: a row's index fits 16 bits, and so does that of the row of zeros after them.
pub const MOST_ROWS: usize = u16::MAX as usize;

/// Listed rows are added so many at once: the row of zeros fills each step's list up. So the number of turns of the loop
/// over them varies less from step to step, and the CPU predicts its end more often.
pub const GROUP: usize = 4;

/// 16-bit values of 32 channels: a cache line.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
pub struct Line(pub [i16; LANES]);

/// One source position in a window.
#[derive(Debug, Clone, Copy)]
pub struct View {
    /// Index of the source position.
    pub source: u32,
    /// The row of weights of the source's first channel at this place of the kernel.
    pub row: u32,
}

/// Up to 128 channels of a layer. Lanes beyond the last channel have weights, bias and membrane 0 and never spike.
#[derive(Debug)]
pub struct Block {
    pub lines: usize,
    pub drive: Drive,
}

/// The biases and weights of a block, by how those of one time step are summed.
#[derive(Debug)]
pub enum Drive {
    /// In 16 bits: the bias plus any subset of a lane's weights fits.
    Narrow {
        /// `[line]`.
        bias: Vec<Line>,
        /// `[kernel place x source channel, line]`, and a row of zeros.
        weights: Vec<Line>,
    },
    /// In 16 bits, with the sums of all subsets of a few adjacent rows precomputed.
    Table {
        /// Rows of a group. A word of rows is cut into groups from its lowest bit on; the last one may have fewer.
        rows: usize,
        /// `[group, subset of its rows, line]`; bit `i` of a subset's index stands for row `i` of the group. The first
        /// group's sums include the bias.
        sums: Vec<Line>,
    },
    /// In the membrane's 32 bits.
    Wide {
        /// `[line]`.
        bias: Vec<[i32; LANES]>,
        /// As in `Narrow`.
        weights: Vec<Line>,
        /// The sum of any so many groups of [`GROUP`] rows fits 16 bits.
        most: usize,
    },
}

/// The neurons after the first time step, in which nothing arrives.
#[derive(Debug)]
pub struct Start {
    /// Whether all positions are equal; only the first one is stored then.
    pub alike: bool,
    /// `[position, line]`.
    pub membranes: Vec<[i32; LANES]>,
    /// `[position, word]`.
    pub fired: Vec<u64>,
    /// Updates of all positions beyond the chip's membrane range.
    pub saturated: u64,
}

/// The input of a kernel.
#[derive(Debug)]
pub struct Layer<'a> {
    /// `[position]`: the end of its range in `views`, the source positions in its window by ascending row.
    pub ends: &'a [usize],
    pub views: &'a [View],
    /// The spikes of the source.
    pub source: &'a SpikeBits,
    /// Words needed for one bit per row of weights, which says whether its source fired.
    pub row_words: usize,
    /// All but the last have [`LINES`] lines.
    pub blocks: &'a [Block],
    pub start: &'a Start,
    /// The index of the row of zeros.
    pub zeros: u16,
    /// At least 1.
    pub threshold: i32,
    pub steps: usize,
    /// Whether a membrane may exceed the chip's range: if so, such updates are counted.
    pub watched: bool,
    /// `[position]`: its part of the positions.
    pub parts: &'a [usize],
}

/// The output of a kernel.
#[derive(Debug)]
pub struct Target<'a> {
    /// `[position, line]`: the membranes after the last step.
    pub membranes: &'a mut [[i32; LANES]],
    pub fired: &'a mut SpikeBits,
    /// `[step]`: spikes fired.
    pub spikes: &'a mut Vec<u64>,
    /// `[part of positions, step of the source]`, in whole batches: spikes that arrive in the next step. The kernel adds
    /// to it, also those of the last step, which never arrive.
    pub arrived: &'a mut [[u64; BATCH]],
    /// Updates beyond the chip's membrane range; the kernel adds to it.
    pub saturated: &'a mut u64,
    pub scratch: &'a mut Scratch,
}

/// Buffers of a kernel, reused for each position.
#[derive(Debug, Default)]
pub struct Scratch {
    /// `[batch, word]`: which rows of weights arrive, by step of the source.
    rows: Vec<[u64; BATCH]>,
    /// The rows that arrive in each step of a batch, and [`ROOM`].
    active: Vec<u16>,
}

/// Space for row indices that are written but not read, and for those of the row of zeros.
pub(super) const ROOM: usize = 128;

/// The largest magnitude of the chip's membrane.
#[expect(clippy::cast_possible_truncation, reason = "a constant of 17 bits")]
pub(super) const FARTHEST: i32 = MEMBRANE_MAX as i32;

/// What arrives in one batch of time steps.
#[derive(Debug)]
pub(super) struct Arrivals<'a> {
    /// `[word]`: which rows of weights arrive, by step.
    pub rows: &'a [[u64; BATCH]],
    /// The same as row indices, from `ends[step]` to `ends[step + 1]`; empty if all blocks have tables.
    pub active: &'a [u16],
    pub ends: [usize; BATCH + 1],
}

impl Arrivals<'_> {
    /// The row indices of a step of the batch.
    #[inline(always)]
    pub fn of(&self, step: usize) -> &[[u16; GROUP]] {
        self.active[self.ends[step]..self.ends[step + 1]].as_chunks().0
    }
}

/// A block of one position in one batch of time steps.
#[derive(Debug)]
pub(super) struct Run<'a> {
    pub threshold: i32,
    pub watched: bool,
    /// Steps of the batch.
    pub steps: usize,
    /// `[line]`: before, then after the batch.
    pub membranes: &'a mut [[i32; LANES]],
    /// `[word, step]` with `stride` between words: the spikes of the batch are written.
    pub fired: &'a mut [u64],
    pub stride: usize,
    pub saturated: &'a mut u64,
}

/// A position without arrivals; others that start alike end alike.
struct Silent {
    position: usize,
    saturated: u64,
}

/// Runs a layer position by position. `gather` collects the rows that arrive and says whether there are any; `list` writes the indices of the rows that arrive in each of so many steps, and
/// `run` runs a block. Both are a kernel's own; this function becomes part of the kernel, with its instructions.
#[inline(always)]
pub(super) fn positions(
    layer: &Layer<'_>,
    target: &mut Target<'_>,
    gather: impl Fn(&Layer<'_>, &[View], &mut [[u64; BATCH]], &mut [[u64; BATCH]]) -> bool,
    list: impl Fn(&[[u64; BATCH]], usize, u16, &mut [u16]) -> [usize; BATCH + 1],
    run: impl Fn(&Block, &Arrivals<'_>, &mut Run<'_>),
) {
    let Scratch { rows, active } = &mut *target.scratch;
    // The first step is in `start`.
    let after_first = layer.steps - 1;
    let batches = after_first.div_ceil(BATCH);
    rows.resize(layer.row_words * batches, [0; BATCH]);
    let listed = layer
        .blocks
        .iter()
        .any(|block| !matches!(block.drive, Drive::Table { .. }));
    if listed {
        active.resize(layer.row_words * WORD * BATCH + ROOM, 0);
    }
    let (words, stride) = (target.fired.words(), target.fired.stride());
    let lines = target.membranes.len() / layer.ends.len();
    let mut silent: Option<Silent> = None;
    let mut first = 0;
    for (position, &end) in layer.ends.iter().enumerate() {
        let views = &layer.views[first..end];
        first = end;
        let arrived = &mut target.arrived[layer.parts[position] * batches..][..batches];
        let moved = gather(layer, views, rows, arrived);
        if let Some(silent) = silent.as_ref().filter(|_| !moved) {
            let from = silent.position * lines;
            target.membranes.copy_within(from..from + lines, position * lines);
            target.fired.copy(silent.position, position);
            *target.saturated += silent.saturated;
            continue;
        }
        let start = if layer.start.alike { 0 } else { position };
        let membranes = &mut target.membranes[position * lines..][..lines];
        membranes.copy_from_slice(&layer.start.membranes[start * lines..][..lines]);
        let fired = target.fired.of_position_mut(position);
        let first_fired = &layer.start.fired[start * words..][..words];
        for (fired, first_fired) in fired.chunks_exact_mut(stride).zip(first_fired) {
            fired[0] = *first_fired;
        }
        let saturated_before = *target.saturated;
        for batch in 0..batches {
            let rows = &rows[batch * layer.row_words..][..layer.row_words];
            let steps = (after_first - batch * BATCH).min(BATCH);
            let ends = if listed {
                list(rows, steps, layer.zeros, active)
            } else {
                [0; BATCH + 1]
            };
            let arrivals = Arrivals { rows, active, ends };
            let mut line = 0;
            for block in layer.blocks {
                let mut of_block = Run {
                    threshold: layer.threshold,
                    watched: layer.watched,
                    steps,
                    membranes: &mut membranes[line..][..block.lines],
                    fired: &mut fired[line * LANES / WORD * stride..][1 + batch * BATCH..],
                    stride,
                    saturated: target.saturated,
                };
                run(block, &arrivals, &mut of_block);
                line += block.lines;
            }
        }
        if !moved && layer.start.alike {
            silent = Some(Silent {
                position,
                saturated: *target.saturated - saturated_before,
            });
        }
    }
    *target.saturated += layer.start.saturated;
    target.fired.count_steps(target.spikes);
}

/// Collects which rows of weights arrive, `[batch, word]`: each view's words, shifted to the position of its rows. Counts
/// them and says whether there are any.
#[inline(always)]
pub(super) fn gather(
    layer: &Layer<'_>,
    views: &[View],
    rows: &mut [[u64; BATCH]],
    arrived: &mut [[u64; BATCH]],
) -> bool {
    let source = layer.source;
    let (words, stride) = (source.words(), source.stride());
    let mut any = [0; BATCH];
    let batches = rows.chunks_exact_mut(layer.row_words).zip(arrived);
    for (batch, (rows, arrived)) in batches.enumerate() {
        if let [row] = rows {
            // Nothing is divided between words.
            let mut gathered = [0; BATCH];
            for view in views {
                let fired = &source.of_position(index(view.source))[batch * BATCH..];
                let fired: &[u64; BATCH] = fired.first_chunk().expect("trains have whole batches");
                for (gathered, fired) in gathered.iter_mut().zip(fired) {
                    *gathered |= fired << view.row;
                }
            }
            for ((any, arrived), gathered) in any.iter_mut().zip(arrived).zip(gathered) {
                *any |= gathered;
                *arrived += u64::from(gathered.count_ones());
            }
            *row = gathered;
            continue;
        }
        // Views ascend, so a word of rows is complete when the next one begins.
        let mut gathered = [0; BATCH];
        let mut place = 0;
        let mut put = |gathered: &mut [u64; BATCH], place: &mut usize| {
            rows[*place] = *gathered;
            for ((any, arrived), gathered) in any.iter_mut().zip(&mut *arrived).zip(&*gathered) {
                *any |= gathered;
                *arrived += u64::from(gathered.count_ones());
            }
            *gathered = [0; BATCH];
            *place += 1;
        };
        for view in views {
            let fired = source.of_position(index(view.source));
            for word in 0..words {
                let fired = &fired[word * stride + batch * BATCH..];
                let fired: &[u64; BATCH] = fired.first_chunk().expect("trains have whole batches");
                let first = index(view.row) + word * WORD;
                let shift = first % WORD;
                while place < first / WORD {
                    put(&mut gathered, &mut place);
                }
                for (gathered, fired) in gathered.iter_mut().zip(fired) {
                    *gathered |= fired << shift;
                }
                // Bits shifted out belong to the next word.
                if shift + (source.channels() - word * WORD).min(WORD) > WORD {
                    put(&mut gathered, &mut place);
                    for (gathered, fired) in gathered.iter_mut().zip(fired) {
                        *gathered = fired >> (WORD - shift);
                    }
                }
            }
        }
        while place < layer.row_words {
            put(&mut gathered, &mut place);
        }
    }
    any.iter().fold(0, |all, any| all | any) != 0
}

/// Lists the rows of weights that arrive in each of the first `steps` steps of a batch, each step's list filled up with
/// the row of zeros; returns the ends.
#[inline(always)]
pub(super) fn list(
    rows: &[[u64; BATCH]],
    steps: usize,
    zeros: u16,
    active: &mut [u16],
) -> [usize; BATCH + 1] {
    /// Most words have few set bits.
    const FEW: usize = 4;
    let mut ends = [0; BATCH + 1];
    let mut count = 0;
    for step in 0..steps {
        let mut base = 0;
        for word in rows {
            let mut bits = word[step];
            let mut place = count;
            while bits != 0 {
                // Entries after the last one are written but not read.
                for number in &mut active[place..][..FEW] {
                    *number = base + low_bits(bits.trailing_zeros());
                    bits &= bits.wrapping_sub(1);
                }
                place += FEW;
            }
            count += index(word[step].count_ones());
            base = base.wrapping_add(64);
        }
        active[count..][..GROUP].fill(zeros);
        count = count.next_multiple_of(GROUP);
        ends[step + 1] = count;
    }
    ends
}

/// Gives `add` the sums of a table that make up the drive of a step: one of each group.
#[inline(always)]
pub(super) fn look_up<const Z: usize>(
    group: usize,
    sums: &[Line],
    rows: &[[u64; BATCH]],
    step: usize,
    mut add: impl FnMut(&[Line; Z]),
) {
    let subsets = 1 << group;
    let mut groups = sums.as_chunks::<Z>().0;
    for word in rows {
        let mut bits = word[step];
        let mut left = WORD;
        while left > 0
            && let Some((sums, others)) = groups.split_at_checked(subsets)
        {
            add(&sums[index_of(bits) & (subsets - 1)]);
            bits >>= group;
            left = left.saturating_sub(group);
            groups = others;
        }
    }
}

#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the low bits are wanted")]
fn index_of(bits: u64) -> usize {
    bits as usize
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

#[inline(always)]
pub(super) fn wide(count: usize) -> u64 {
    u64::try_from(count).expect("a length fits 64 bits")
}
