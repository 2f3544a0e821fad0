//! Synaptic memory: the number of words that the synapse lists of one core need.
//!
//! An input axon points at a list of synapses: compartments and weights. Axons share a list if the lists differ only
//! by a shift of all compartments, because each axon adds its own base. A list is stored as two lists, one per sign:
//! this is how 9-bit signed weights are stored (NxTF `synapse_compression.py`).

/// Bits before the synapses of one entry: a format's number and a count (nengo-loihi `SynapseConfig`, NxTF `SynEntry`).
const ENTRY_PREFIX_BITS: usize = 4 + 6;

/// The most synapses of one entry (NxTF `SynEntry`).
const SYNAPSES_PER_ENTRY: usize = 60;

/// Bits of a weight's magnitude; its list holds the sign.
const WEIGHT_BITS: usize = 8;

/// Widths of a compartment index that the hardware supports, other than 0 (nengo-loihi `SynapseConfig`).
const INDEX_BITS: std::ops::RangeInclusive<usize> = 6..=12;

/// Bits that skip compartments in run-length form: the smallest of NxTF's 2 to 5, enough for the one that spikes
/// between two that integrate.
const SKIP_BITS: usize = 2;

/// Bits of a word: lists begin at word boundaries.
pub const WORD_BITS: usize = 64;

/// Words of one list. Synapses are (neuron of the core, weight), by rising neuron; weights of 0 are not stored.
#[must_use]
pub fn list_words(list: &[(usize, i16)]) -> usize {
    let of_sign = |sign: i16| list.iter().filter(move |(_, weight)| weight.signum() == sign);
    sign_words(of_sign(1)) + sign_words(of_sign(-1))
}

fn sign_words<'a>(mut synapses: impl Iterator<Item = &'a (usize, i16)>) -> usize {
    let Some(&(first, _)) = synapses.next() else {
        return 0;
    };
    let (count, last) = synapses.fold((1, first), |(count, _), &(neuron, _)| (count + 1, neuron));
    let span = last - first + 1;
    // Each neuron between the first and the last occupies two compartments.
    let reach = 2 * span;
    let index_bits = INDEX_BITS
        .clone()
        .find(|bits| reach <= 1 << bits)
        .unwrap_or(*INDEX_BITS.end());
    // The sparse form stores every compartment index; the run-length form stores none and fills gaps with zeros. The
    // shorter one is used.
    let sparse = entry_bits(count, WEIGHT_BITS + index_bits);
    let run_length = entry_bits(span, WEIGHT_BITS + SKIP_BITS);
    let bits = sparse.min(run_length);
    // NxTF adds a word if the last one is full or nearly full.
    let rest = bits % WORD_BITS;
    bits.div_ceil(WORD_BITS) + usize::from(rest == 0 || rest >= 59)
}

fn entry_bits(synapses: usize, each: usize) -> usize {
    synapses.div_ceil(SYNAPSES_PER_ENTRY) * ENTRY_PREFIX_BITS + synapses * each
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_takes_the_shorter_of_both_forms() {
        assert_eq!(list_words(&[]), 0);
        assert_eq!(list_words(&[(3, 0)]), 0);
        // Ten neighbours in run-length form: 10 + 10 x (8 + 2) = 110 bits.
        let near: Vec<(usize, i16)> = (5..15).map(|neuron| (neuron, 1)).collect();
        assert_eq!(list_words(&near), 2);
        // Two far apart, sparse: 10 + 2 x (8 + 10) = 46 bits.
        assert_eq!(list_words(&[(0, 1), (500, 1)]), 1);
        // A further one makes 64 bits, and a full last word asks for one more.
        assert_eq!(list_words(&[(0, 1), (250, 1), (500, 1)]), 2);
    }

    #[test]
    fn the_signs_are_stored_apart() {
        assert_eq!(list_words(&[(0, 5), (1, -5)]), 2);
        assert_eq!(list_words(&[(0, 5), (1, 5)]), 1);
    }

    #[test]
    fn sixty_synapses_fill_an_entry() {
        let list = |count: usize| -> Vec<(usize, i16)> { (0..count).map(|neuron| (neuron, 1)).collect() };
        // 10 + 600 = 610 bits; 2 x 10 + 610 = 630 bits, and the rest of 54 asks for no more.
        assert_eq!((list_words(&list(60)), list_words(&list(61))), (10, 10));
        assert_eq!(entry_bits(61, 10) - entry_bits(60, 10), ENTRY_PREFIX_BITS + 10);
    }
}
