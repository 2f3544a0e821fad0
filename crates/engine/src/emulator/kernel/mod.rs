//! The innermost loop: one position of a layer, all its time steps, a block of channels in lanes.
//!
//! In: where the position's spikes come from, the block's weights and biases. Out: its membranes and its own spikes.
//! The portable kernel is the reference for the others; which one runs is decided once, when an emulator is made, and
//! never changes a result. The only `unsafe` of the program is in the kernels.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;

use super::bits::SpikeBits;
use crate::chip::width::MEMBRANE_MAX;

/// Lanes of the narrowest block; blocks are one, two or four times as wide.
pub const LANES: usize = 16;

/// The widest block, in [`LANES`]: 64 channels, one word of spikes.
pub const VECTORS: usize = 4;

/// The most rows of weights a layer may have here: a row's number fits 16 bits.
pub const MOST_ROWS: usize = 1 << 16;

/// With so few rows of weights, what each subset of them adds is looked up.
pub const TABLE_ROWS: usize = 9;

/// A window's view of one source position.
#[derive(Debug, Clone, Copy)]
pub struct View {
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
    pub drive: Drive,
}

/// How bias and arriving weights of one time step are summed.
#[derive(Debug)]
pub enum Drive {
    /// In 16 bits: the bias and any subset of a lane's weights fit. `[lane]`: the bias.
    Narrow(Vec<i16>),
    /// The same, and all sums are known: `[subset of rows, lane]`, a bit of the subset's number for each row.
    Table(Vec<i16>),
    /// In the membrane's 32 bits. `[lane]`: the bias.
    Wide(Vec<i32>),
}

/// Everything that the kernel reads.
#[derive(Debug)]
pub struct Position<'a> {
    pub views: &'a [View],
    pub source: &'a SpikeBits,
    pub block: &'a Block,
    pub threshold: i32,
    /// Words for all rows of weights: a bit for each says whether its source fired.
    pub words: usize,
    /// `[lane]`.
    pub initial: &'a [i32],
    /// Whether a membrane could leave the chip's range: then it is looked for.
    pub watched: bool,
}

/// What the kernel writes.
#[derive(Debug)]
pub struct Target<'a> {
    /// `[lane]`: the membranes after the last step.
    pub membranes: &'a mut [i32],
    /// The position's words, step by step.
    pub fired: &'a mut [u64],
    /// Words from one step to the next, and which of them is the block's.
    pub stride: usize,
    pub word: usize,
    /// Step by step, spikes fired and spikes arriving; added to.
    pub spikes: &'a mut [u64],
    pub arrived: &'a mut [u64],
    /// Updates beyond the chip's membrane; added to.
    pub saturated: &'a mut u64,
    pub scratch: &'a mut Scratch,
}

/// Buffers of a kernel, kept from position to position.
#[derive(Debug, Default)]
pub struct Scratch {
    /// `[word, step]`: which rows of weights arrive.
    rows: Vec<u64>,
    /// The numbers of the rows that arrive in one step, and room behind them: batches are written whole.
    active: Vec<u16>,
}

/// The chip's membrane goes from minus this to this.
#[expect(clippy::cast_possible_truncation, reason = "a constant of 17 bits")]
const FARTHEST: i32 = MEMBRANE_MAX as i32;

/// Numbers of rows that are written at once.
const BATCH: usize = 32;

/// A kernel that this machine can run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kernel {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "aarch64")]
    Neon,
}

impl Kernel {
    /// Those that this machine can run, the portable one first, the fastest one last.
    pub fn available() -> Vec<Self> {
        let mut kernels = vec![Self::Portable];
        #[cfg(target_arch = "x86_64")]
        {
            if avx2::is_available() {
                kernels.push(Self::Avx2);
            }
            if avx512::is_available() {
                kernels.push(Self::Avx512);
            }
        }
        #[cfg(target_arch = "aarch64")]
        if neon::is_available() {
            kernels.push(Self::Neon);
        }
        kernels
    }

    /// The fastest one.
    pub fn detect() -> Self {
        Self::available().pop().unwrap_or(Self::Portable)
    }

    /// Runs all time steps of one position.
    #[inline]
    pub fn run(self, position: &Position<'_>, target: &mut Target<'_>) {
        match (self, position.block.vectors) {
            (Self::Portable, 1) => portable::<16>(position, target),
            (Self::Portable, 2) => portable::<32>(position, target),
            (Self::Portable, _) => portable::<64>(position, target),
            #[cfg(target_arch = "x86_64")]
            (Self::Avx2, _) => avx2::run(position, target),
            #[cfg(target_arch = "x86_64")]
            (Self::Avx512, _) => avx512::run(position, target),
            #[cfg(target_arch = "aarch64")]
            (Self::Neon, _) => neon::run(position, target),
        }
    }
}

/// Collects, for all steps at once, which rows of weights arrive: each view's words of the step before, shifted to
/// where its rows are. Nothing arrives in the first step.
#[inline(always)]
fn gather(position: &Position<'_>, steps: usize, scratch: &mut Scratch) {
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
            // What a shift pushes out belongs to the next word.
            if shift + (position.source.channels() - word * 64).min(64) > 64 {
                for (row, bits) in high[1..steps].iter_mut().zip(fired[word..].iter().step_by(words)) {
                    *row |= bits >> (64 - shift);
                }
            }
        }
    }
    scratch.active.resize(position.words * 64 + BATCH, 0);
}

/// Lists the rows of weights that arrive in `step`; gives their number.
#[inline(always)]
fn list(scratch: &mut Scratch, step: usize, steps: usize) -> usize {
    /// Fewer than [`BATCH`]: most words have few bits.
    const AT_ONCE: usize = 4;
    let mut count = 0;
    let mut base = 0;
    for &word in scratch.rows[step..].iter().step_by(steps) {
        let mut bits = word;
        let mut place = count;
        while bits != 0 {
            // Places behind the last one get numbers that nobody reads.
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

/// A number of 32 bits as a place.
#[inline(always)]
pub fn index(number: u32) -> usize {
    usize::try_from(number).expect("32 bits fit")
}

/// What the rows that arrive in `step` add together, counted as arriving.
#[inline(always)]
fn looked_up<'a, const L: usize>(
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
fn wide(count: usize) -> u64 {
    u64::try_from(count).expect("a length fits 64 bits")
}

/// Plain loops over `B` lanes.
fn portable<const B: usize>(position: &Position<'_>, target: &mut Target<'_>) {
    let block = position.block;
    let weights = block.weights.as_chunks::<B>().0;
    let membranes: &mut [i32; B] = target.membranes.try_into().expect("a block's lanes");
    membranes.copy_from_slice(position.initial);
    let steps = target.arrived.len();
    gather(position, steps, target.scratch);
    for step in 0..steps {
        match &block.drive {
            Drive::Table(sums) => {
                let sums = looked_up::<B>(sums, target.scratch, step, &mut target.arrived[step]);
                add(membranes, sums);
            }
            Drive::Narrow(bias) => {
                let count = list(target.scratch, step, steps);
                target.arrived[step] += wide(count);
                let mut drive: [i16; B] = bias.as_slice().try_into().expect("a block's lanes");
                for &row in &target.scratch.active[..count] {
                    for (sum, weight) in drive.iter_mut().zip(&weights[usize::from(row)]) {
                        *sum += weight;
                    }
                }
                add(membranes, &drive);
            }
            Drive::Wide(bias) => {
                let count = list(target.scratch, step, steps);
                target.arrived[step] += wide(count);
                for (membrane, bias) in membranes.iter_mut().zip(bias) {
                    *membrane += bias;
                }
                for &row in &target.scratch.active[..count] {
                    add(membranes, &weights[usize::from(row)]);
                }
            }
        }
        if position.watched {
            let beyond = membranes.iter().filter(|membrane| membrane.abs() > FARTHEST);
            *target.saturated += wide(beyond.count());
        }
        let mut fired = 0u64;
        for (lane, membrane) in membranes.iter_mut().enumerate() {
            let spikes = *membrane >= position.threshold;
            *membrane -= position.threshold * i32::from(spikes);
            fired |= u64::from(spikes) << lane;
        }
        target.fired[step * target.stride + target.word] = fired;
        target.spikes[step] += u64::from(fired.count_ones());
    }
}

#[inline(always)]
fn add<const B: usize>(membranes: &mut [i32; B], drive: &[i16; B]) {
    for (membrane, &drive) in membranes.iter_mut().zip(drive) {
        *membrane += i32::from(drive);
    }
}
