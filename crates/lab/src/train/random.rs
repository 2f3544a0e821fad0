//! Random numbers that depend on a seed only, so that a training run can be reproduced bit for bit.

/// SplitMix64 (Steele, Lea and Flood 2014): one addition and one hash per number; all seeds are equally good.
#[derive(Debug, Clone)]
pub(super) struct Random {
    state: u64,
}

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// An independent generator, identified by `words`: the numbers of one part of a batch must not depend on the
    /// order in which threads run.
    pub(super) fn stream(seed: u64, words: [u64; 3]) -> Self {
        let mut random = Self::new(seed);
        for word in words {
            random.state = random.next() ^ word;
        }
        random
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut hash = self.state;
        hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        hash ^ (hash >> 31)
    }

    /// A number from 0 to below 1, with 24 random bits.
    pub(super) fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u32 << 24) as f32
    }

    /// Shuffles uniformly (Fisher and Yates).
    pub(super) fn shuffle<T>(&mut self, elements: &mut [T]) {
        for last in (1..elements.len()).rev() {
            // The upper half of the product is below `last + 1`; the bias is below 1 in 2^40.
            let product = u128::from(self.next()) * (last as u128 + 1);
            elements.swap(last, (product >> 64) as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shuffle_keeps_every_element_and_moves_most() {
        let mut elements: Vec<usize> = (0..100).collect();
        Random::new(1).shuffle(&mut elements);
        assert!(
            elements
                .iter()
                .enumerate()
                .filter(|(index, element)| index == *element)
                .count()
                < 10
        );
        elements.sort_unstable();
        assert!(elements.into_iter().eq(0..100));
    }

    #[test]
    fn streams_differ_by_their_words_alone() {
        let draw = |words| Random::stream(7, words).unit();
        assert_eq!(draw([1, 2, 3]), draw([1, 2, 3]));
        assert_ne!(draw([1, 2, 3]), draw([1, 3, 2]));
        assert_ne!(draw([1, 2, 3]), draw([0, 2, 3]));
    }

    #[test]
    fn units_are_spread_evenly() {
        let mut random = Random::new(3);
        let mean = (0..10_000).map(|_| random.unit()).sum::<f32>() / 10_000.0;
        assert!((mean - 0.5).abs() < 0.01, "{mean}");
    }
}
