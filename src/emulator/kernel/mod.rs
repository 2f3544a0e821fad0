//! The innermost loop: one position of a layer, all its time steps, a block of channels in lanes.
//!
//! In: where the position's spikes come from, the block's weights and biases. Out: its membranes and its own spikes.
//! The portable kernel is the reference for the others; which one runs is decided once, when an emulator is made, and
//! never changes a result. The only `unsafe` of the program is in the kernels.

#[cfg(target_arch = "x86_64")]
mod avx2;

use super::bits::{SpikeBits, ones};

/// Lanes that one 16-bit vector has in the widest kernel; blocks are multiples of it.
pub const LANES: usize = 16;

/// The most vectors of a block: 64 channels, one word of spikes.
pub const VECTORS: usize = 4;

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
    /// Whether any subset of a lane's column sums to a value of 16 bits: then a step's drive is summed in 16 bits,
    /// otherwise in the membrane's 32.
    pub narrow: bool,
    /// `[lane]`.
    pub bias: Vec<i32>,
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
    /// Arriving spikes are counted; they are the same for every block of a layer.
    pub counted: bool,
}

/// What the kernel writes.
#[derive(Debug)]
pub struct Target<'a> {
    /// `[lane]`: the initial membranes before, the last ones after.
    pub membranes: &'a mut [i32],
    /// The position's words, step by step.
    pub fired: &'a mut [u64],
    /// Words from one step to the next, and which of them is the block's.
    pub stride: usize,
    pub word: usize,
    /// Spikes that arrive in each step; added to.
    pub arrived: &'a mut [u64],
    /// Scratch: `[word, step]`, which rows of weights fire.
    pub rows: &'a mut Vec<u64>,
}

/// A kernel that this machine can run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kernel {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
}

impl Kernel {
    /// Those that this machine can run, the portable one first, the fastest one last.
    pub fn available() -> Vec<Self> {
        let mut kernels = vec![Self::Portable];
        #[cfg(target_arch = "x86_64")]
        if avx2::is_available() {
            kernels.push(Self::Avx2);
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
        }
    }
}

/// Collects, for all steps at once, which rows of weights fire: each view's words, shifted to where its rows are.
#[inline(always)]
fn gather(position: &Position<'_>, steps: usize, rows: &mut Vec<u64>) {
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
                for (row, bits) in low.iter_mut().zip(fired) {
                    *row |= bits << shift;
                }
            } else {
                for (row, bits) in low.iter_mut().zip(fired[word..].iter().step_by(words)) {
                    *row |= bits << shift;
                }
            }
            // What a shift pushes out belongs to the next word; the last word of a layer's rows has no next one.
            if shift > 0 && !high.is_empty() {
                for (row, bits) in high[..steps].iter_mut().zip(fired[word..].iter().step_by(words)) {
                    *row |= bits >> (64 - shift);
                }
            }
        }
    }
}

/// Calls `add` with each row of weights that fires in `step`; gives their number.
#[inline(always)]
fn arriving(rows: &[u64], step: usize, steps: usize, mut add: impl FnMut(usize)) -> u64 {
    let mut count = 0;
    for (word, bits) in rows.iter().skip(step).step_by(steps).enumerate() {
        count += u64::from(bits.count_ones());
        for bit in ones(*bits) {
            add(word * 64 + bit);
        }
    }
    count
}

#[inline(always)]
fn index(number: u32) -> usize {
    usize::try_from(number).expect("32 bits fit")
}

/// Plain loops over `B` lanes.
fn portable<const B: usize>(position: &Position<'_>, target: &mut Target<'_>) {
    let block = position.block;
    let membranes: &mut [i32; B] = target.membranes.try_into().expect("a block's lanes");
    let bias: &[i32; B] = block.bias.as_slice().try_into().expect("a block's lanes");
    let steps = target.arrived.len();
    gather(position, steps, target.rows);
    for step in 0..steps {
        if let Some(before) = step.checked_sub(1) {
            let mut drive = [0i16; B];
            let count = arriving(target.rows, before, steps, |row| {
                let weights = &block.weights[row * B..][..B];
                if block.narrow {
                    for (sum, weight) in drive.iter_mut().zip(weights) {
                        *sum += weight;
                    }
                } else {
                    for (membrane, &weight) in membranes.iter_mut().zip(weights) {
                        *membrane += i32::from(weight);
                    }
                }
            });
            target.arrived[step] += if position.counted { count } else { 0 };
            for (membrane, &drive) in membranes.iter_mut().zip(&drive) {
                *membrane += i32::from(drive);
            }
        }
        let mut fired = 0u64;
        for lane in 0..B {
            let membrane = &mut membranes[lane];
            *membrane += bias[lane];
            let spikes = *membrane >= position.threshold;
            *membrane -= position.threshold * i32::from(spikes);
            fired |= u64::from(spikes) << lane;
        }
        target.fired[step * target.stride + target.word] = fired;
    }
}
