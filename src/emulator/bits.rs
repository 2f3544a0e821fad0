//! The spikes of one layer over all time steps, a bit each.

use crate::picture::Shape;

/// Bits of one word.
pub const WORD: usize = 64;

/// `[position, time step, word]`: the channels of a position in one step stand side by side, 64 a word.
#[derive(Debug, Default)]
pub struct SpikeBits {
    channels: usize,
    steps: usize,
    words: usize,
    bits: Vec<u64>,
}

impl SpikeBits {
    /// No spikes yet, of a layer of `shape` over `steps` time steps; the buffer is kept.
    pub fn start(&mut self, shape: Shape, steps: usize) {
        self.channels = shape.channels;
        self.steps = steps;
        self.words = shape.channels.div_ceil(WORD);
        self.bits.clear();
        self.bits
            .resize(shape.height * shape.width * steps * self.words, 0);
    }

    /// Words for the channels of one position in one step.
    #[inline(always)]
    pub fn words(&self) -> usize {
        self.words
    }

    /// The words of a position, step by step.
    #[inline(always)]
    pub fn of_position(&self, position: usize) -> &[u64] {
        &self.bits[position * self.steps * self.words..][..self.steps * self.words]
    }

    /// The words of a position, to be written.
    #[inline(always)]
    pub fn of_position_mut(&mut self, position: usize) -> &mut [u64] {
        &mut self.bits[position * self.steps * self.words..][..self.steps * self.words]
    }

    /// A neuron fires in `step` (0 is the first).
    pub fn fire(&mut self, position: usize, step: usize, channel: usize) {
        let word = step * self.words + channel / WORD;
        self.of_position_mut(position)[word] |= 1 << (channel % WORD);
    }

    /// Everyone who fired in `step`: position and channel, in that order.
    pub fn of_step(&self, step: usize) -> impl Iterator<Item = (usize, usize)> {
        let stride = (self.steps * self.words).max(1);
        let positions = self.bits.len() / stride;
        (0..positions).flat_map(move |position| {
            (0..self.words).flat_map(move |word| {
                let bits = self.bits[position * stride + step * self.words + word];
                ones(bits).map(move |bit| (position, word * WORD + bit))
            })
        })
    }

    /// How many spikes each step has.
    pub fn count_steps(&self, counts: &mut Vec<u64>) {
        counts.clear();
        counts.resize(self.steps, 0);
        for position in self.bits.chunks_exact((self.steps * self.words).max(1)) {
            for (count, words) in counts.iter_mut().zip(position.chunks_exact(self.words)) {
                *count += words.iter().map(|word| u64::from(word.count_ones())).sum::<u64>();
            }
        }
    }

    /// How often each neuron fired, flattened channel, row, column.
    pub fn count_neurons(&self, counts: &mut Vec<u32>) {
        let stride = (self.steps * self.words).max(1);
        let positions = self.bits.len() / stride;
        counts.clear();
        counts.resize(positions * self.channels, 0);
        for position in 0..positions {
            for words in self.of_position(position).chunks_exact(self.words) {
                for (word, &bits) in words.iter().enumerate() {
                    for bit in ones(bits) {
                        counts[(word * WORD + bit) * positions + position] += 1;
                    }
                }
            }
        }
    }
}

/// The places of the ones, from the lowest.
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
