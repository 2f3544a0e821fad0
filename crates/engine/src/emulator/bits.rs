//! The spikes of one layer over all time steps, one bit each.

use crate::picture::Shape;

/// Bits per word.
pub const WORD: usize = 64;

/// Time steps whose words are adjacent and are handled at once.
pub const BATCH: usize = 8;

/// `[train, word, time step]`: the channels of a position in one step are bits of its words, 64 per word. A train holds
/// the spikes of one position in all steps, in whole batches: the words after the last step are zero. Positions with
/// equal spikes may share a train.
#[derive(Debug, Default)]
pub struct SpikeBits {
    channels: usize,
    positions: usize,
    steps: usize,
    words: usize,
    /// Steps in whole batches.
    stride: usize,
    bits: Vec<u64>,
    /// `[position]`: index of its train; empty if each position has its own.
    trains: Vec<u8>,
}

impl SpikeBits {
    /// Allocates a train for each position of a layer of `shape` over `steps` time steps. The words keep old values:
    /// the caller must overwrite all of them.
    pub fn start(&mut self, shape: Shape, steps: usize) {
        let positions = shape.height * shape.width;
        if (self.channels, self.positions, self.steps) != (shape.channels, positions, steps) {
            self.channels = shape.channels;
            self.positions = positions;
            self.steps = steps;
            self.words = shape.channels.div_ceil(WORD);
            self.stride = steps.next_multiple_of(BATCH);
            self.bits.clear();
            self.bits.resize(positions * self.words * self.stride, 0);
        }
    }

    /// Like [`SpikeBits::start`], with all words zero.
    pub fn start_silent(&mut self, shape: Shape, steps: usize) {
        self.start(shape, steps);
        self.bits.fill(0);
    }

    /// One channel whose positions share `trains`, `[train, time step]` in whole batches; [`SpikeBits::assign`] sets the
    /// train of each position.
    pub fn share(&mut self, shape: Shape, steps: usize, trains: &[[u64; BATCH]]) {
        self.start(shape, steps);
        self.bits.clear();
        self.bits.extend_from_slice(trains.as_flattened());
    }

    /// Sets the shared train of each position.
    pub fn assign(&mut self, trains: &[u8]) {
        self.trains.clear();
        self.trains.extend_from_slice(trains);
    }

    /// Channels per position.
    #[inline(always)]
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Words per position and step.
    #[inline(always)]
    pub fn words(&self) -> usize {
        self.words
    }

    /// Time steps in whole batches: the distance between a position's words of one step.
    #[inline(always)]
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// The words of a position, `[word, step]`.
    #[inline(always)]
    pub fn of_position(&self, position: usize) -> &[u64] {
        let train = self
            .trains
            .get(position)
            .map_or(position, |&train| usize::from(train));
        let words = self.words * self.stride;
        &self.bits[train * words..][..words]
    }

    /// The writable words of a position that has a train of its own.
    #[inline(always)]
    pub fn of_position_mut(&mut self, position: usize) -> &mut [u64] {
        debug_assert!(
            self.trains.is_empty(),
            "a shared train is not one position's to write"
        );
        let words = self.words * self.stride;
        &mut self.bits[position * words..][..words]
    }

    /// Copies the words of one position to another; both have trains of their own.
    #[inline(always)]
    pub fn copy(&mut self, from: usize, to: usize) {
        let words = self.words * self.stride;
        self.bits
            .copy_within(from * words..(from + 1) * words, to * words);
    }

    /// Records a spike in `step` (0 is the first).
    pub fn fire(&mut self, position: usize, step: usize, channel: usize) {
        let word = channel / WORD * self.stride + step;
        self.of_position_mut(position)[word] |= 1 << (channel % WORD);
    }

    /// The neurons that fired in `step`, as `(position, channel)`, in that order.
    pub fn of_step(&self, step: usize) -> impl Iterator<Item = (usize, usize)> {
        (0..self.positions).flat_map(move |position| {
            let words = self.of_position(position)[step..].iter().step_by(self.stride);
            words
                .enumerate()
                .flat_map(move |(word, &bits)| ones(bits).map(move |bit| (position, word * WORD + bit)))
        })
    }

    /// The number of spikes in each step.
    #[inline(always)]
    pub fn count_steps(&self, counts: &mut Vec<u64>) {
        counts.clear();
        counts.resize(self.steps, 0);
        for position in 0..self.positions {
            for words in self.of_position(position).chunks_exact(self.stride) {
                for (count, word) in counts.iter_mut().zip(words) {
                    *count += u64::from(word.count_ones());
                }
            }
        }
    }

    /// The spike count of each neuron, flattened channel, row, column.
    pub fn count_neurons(&self, counts: &mut Vec<u32>) {
        counts.clear();
        counts.resize(self.positions * self.channels, 0);
        for position in 0..self.positions {
            for (word, steps) in self.of_position(position).chunks_exact(self.stride).enumerate() {
                for &bits in steps {
                    for bit in ones(bits) {
                        counts[(word * WORD + bit) * self.positions + position] += 1;
                    }
                }
            }
        }
    }
}

/// The indices of the set bits, in ascending order.
#[inline(always)]
pub fn ones(mut bits: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        if bits == 0 {
            return None;
        }
        let place = bits.trailing_zeros();
        bits &= bits - 1;
        usize::try_from(place).ok()
    })
}
