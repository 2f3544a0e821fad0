//! The spikes of one layer over all time steps, one bit each.

use crate::picture::Shape;

/// Bits per word.
pub const WORD: usize = 64;

/// `[train, time step, word]`: the channels of a position in one step are adjacent, 64 per word. A train holds the
/// spikes of one position in all steps; positions with equal spikes may share a train.
#[derive(Debug, Default)]
pub struct SpikeBits {
    channels: usize,
    positions: usize,
    steps: usize,
    words: usize,
    bits: Vec<u64>,
    /// `[position]`: index of its train; empty if each position has its own.
    trains: Vec<u8>,
    /// `[train]`: whether it is known to contain no spike.
    silent: Vec<bool>,
}

impl SpikeBits {
    /// Allocates a train for each position of a layer of `shape` over `steps` time steps. The words keep old values:
    /// the caller must overwrite all of them.
    pub fn start(&mut self, shape: Shape, steps: usize) {
        self.channels = shape.channels;
        self.positions = shape.height * shape.width;
        self.steps = steps;
        self.words = shape.channels.div_ceil(WORD);
        self.trains.clear();
        self.silent.clear();
        self.silent.resize(self.positions, false);
        self.bits.resize(self.positions * steps * self.words, 0);
    }

    /// Like [`SpikeBits::start`], with all words zero.
    pub fn start_silent(&mut self, shape: Shape, steps: usize) {
        self.start(shape, steps);
        self.bits.fill(0);
    }

    /// One channel whose positions share `trains`, `[train, time step]`; [`SpikeBits::assign`] sets the train of each
    /// position.
    pub fn share(&mut self, shape: Shape, steps: usize, trains: &[u64]) {
        self.start(shape, steps);
        self.bits.clear();
        self.bits.extend_from_slice(trains);
        self.silent.clear();
        self.silent.extend(trains.chunks_exact(steps).map(is_silent));
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

    /// The words of a position, `[step, word]`.
    #[inline(always)]
    pub fn of_position(&self, position: usize) -> &[u64] {
        let train = self
            .trains
            .get(position)
            .map_or(position, |&train| usize::from(train));
        &self.bits[train * self.steps * self.words..][..self.steps * self.words]
    }

    /// The writable words of a position that has a train of its own.
    #[inline(always)]
    pub fn of_position_mut(&mut self, position: usize) -> &mut [u64] {
        debug_assert!(
            self.trains.is_empty(),
            "a shared train is not one position's to write"
        );
        &mut self.bits[position * self.steps * self.words..][..self.steps * self.words]
    }

    #[inline(always)]
    fn train(&self, position: usize) -> usize {
        self.trains
            .get(position)
            .map_or(position, |&train| usize::from(train))
    }

    /// Whether a position is known to be silent. `false` means that it may or may not fire.
    #[inline(always)]
    pub fn is_silent(&self, position: usize) -> bool {
        self.silent[self.train(position)]
    }

    /// Records whether a position, all of whose words are written, is silent.
    pub fn find_silence(&mut self, position: usize) {
        self.silent[position] = is_silent(self.of_position(position));
    }

    /// Records a spike in `step` (0 is the first).
    pub fn fire(&mut self, position: usize, step: usize, channel: usize) {
        let word = step * self.words + channel / WORD;
        self.of_position_mut(position)[word] |= 1 << (channel % WORD);
    }

    /// The neurons that fired in `step`, as `(position, channel)`, in that order.
    pub fn of_step(&self, step: usize) -> impl Iterator<Item = (usize, usize)> {
        (0..self.positions).flat_map(move |position| {
            let words = &self.of_position(position)[step * self.words..][..self.words];
            words
                .iter()
                .enumerate()
                .flat_map(move |(word, &bits)| ones(bits).map(move |bit| (position, word * WORD + bit)))
        })
    }

    /// The number of spikes in each step.
    pub fn count_steps(&self, counts: &mut Vec<u64>) {
        counts.clear();
        counts.resize(self.steps, 0);
        for position in 0..self.positions {
            let words = self.of_position(position).chunks_exact(self.words);
            for (count, words) in counts.iter_mut().zip(words) {
                *count += words.iter().map(|word| u64::from(word.count_ones())).sum::<u64>();
            }
        }
    }

    /// The spike count of each neuron, flattened channel, row, column.
    pub fn count_neurons(&self, counts: &mut Vec<u32>) {
        counts.clear();
        counts.resize(self.positions * self.channels, 0);
        for position in 0..self.positions {
            for words in self.of_position(position).chunks_exact(self.words) {
                for (word, &bits) in words.iter().enumerate() {
                    for bit in ones(bits) {
                        counts[(word * WORD + bit) * self.positions + position] += 1;
                    }
                }
            }
        }
    }
}

fn is_silent(words: &[u64]) -> bool {
    words.iter().fold(0, |any, word| any | word) == 0
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
