//! AVX2: 16 lanes of 16-bit drive, membranes in registers over all time steps.
#![allow(unsafe_code)]

use std::arch::x86_64::{
    __m128i, __m256i, _mm_loadu_si128, _mm256_add_epi16, _mm256_add_epi32, _mm256_and_si256,
    _mm256_castsi256_si128, _mm256_cmpgt_epi32, _mm256_cvtepi16_epi32, _mm256_extracti128_si256,
    _mm256_loadu_si256, _mm256_movemask_epi8, _mm256_or_si256, _mm256_packs_epi16, _mm256_packs_epi32,
    _mm256_permutevar8x32_epi32, _mm256_set1_epi32, _mm256_setr_epi32, _mm256_setzero_si256,
    _mm256_storeu_si256, _mm256_sub_epi32,
};

use super::position::{Drive, FARTHEST, LANES, Position, Target, gather, list, looked_up, wide};

/// The proof that this CPU has AVX2, BMI1, LZCNT and POPCNT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Avx2(());

impl Avx2 {
    /// The kernel, if this CPU has its instructions.
    pub fn new() -> Option<Self> {
        let available = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("lzcnt")
            && is_x86_feature_detected!("popcnt");
        available.then_some(Self(()))
    }

    /// Runs all time steps of one position.
    #[inline]
    pub fn run(self, position: &Position<'_>, target: &mut Target<'_>) {
        // SAFETY: `new` gave the token, so this CPU has AVX2, BMI1, LZCNT and POPCNT; the functions require nothing else.
        unsafe {
            match position.block.vectors {
                1 => steps::<1, 16>(position, target),
                2 => steps::<2, 32>(position, target),
                _ => steps::<4, 64>(position, target),
            }
        }
    }
}

/// `N` vectors, that is `L` lanes.
#[target_feature(enable = "avx2,bmi1,lzcnt,popcnt")]
fn steps<const N: usize, const L: usize>(position: &Position<'_>, target: &mut Target<'_>) {
    let block = position.block;
    let weights = block.weights.as_chunks::<L>().0;
    let mut membranes: [[__m256i; 2]; N] = load_all(position.initial);
    let threshold = _mm256_set1_epi32(position.threshold);
    // There is no instruction for >=: v >= threshold is v > threshold - 1, and a threshold is at least 1.
    let below = _mm256_set1_epi32(position.threshold - 1);
    let steps = target.arrived.len();
    gather(position, steps, target.scratch);
    for step in 0..steps {
        match &block.drive {
            Drive::Table(sums) => {
                let sums = looked_up::<L>(sums, target.scratch, step, &mut target.arrived[step]);
                add(&mut membranes, sums);
            }
            Drive::Narrow(bias) => {
                let count = list(target.scratch, step, steps);
                target.arrived[step] += wide(count);
                let mut drive = [_mm256_setzero_si256(); N];
                for (drive, bias) in drive.iter_mut().zip(bias.as_chunks::<LANES>().0) {
                    *drive = load_16(bias);
                }
                for &row in &target.scratch.active[..count] {
                    let weights = weights[usize::from(row)].as_chunks::<LANES>().0;
                    for (drive, weights) in drive.iter_mut().zip(weights) {
                        *drive = _mm256_add_epi16(*drive, load_16(weights));
                    }
                }
                for (membranes, drive) in membranes.iter_mut().zip(drive) {
                    let low = _mm256_cvtepi16_epi32(_mm256_castsi256_si128(drive));
                    let high = _mm256_cvtepi16_epi32(_mm256_extracti128_si256::<1>(drive));
                    membranes[0] = _mm256_add_epi32(membranes[0], low);
                    membranes[1] = _mm256_add_epi32(membranes[1], high);
                }
            }
            Drive::Wide(bias) => {
                let count = list(target.scratch, step, steps);
                target.arrived[step] += wide(count);
                let bias: [[__m256i; 2]; N] = load_all(bias);
                for (membranes, bias) in membranes.iter_mut().zip(bias) {
                    membranes[0] = _mm256_add_epi32(membranes[0], bias[0]);
                    membranes[1] = _mm256_add_epi32(membranes[1], bias[1]);
                }
                for &row in &target.scratch.active[..count] {
                    add(&mut membranes, &weights[usize::from(row)]);
                }
            }
        }
        if position.watched {
            let mut beyond = [[_mm256_setzero_si256(); 2]; N];
            for (membrane, beyond) in membranes.as_flattened().iter().zip(beyond.as_flattened_mut()) {
                let above = _mm256_cmpgt_epi32(*membrane, _mm256_set1_epi32(FARTHEST));
                let below = _mm256_cmpgt_epi32(_mm256_set1_epi32(-FARTHEST), *membrane);
                *beyond = _mm256_or_si256(above, below);
            }
            *target.saturated += u64::from(bits(&beyond).count_ones());
        }
        let mut spikes = [[_mm256_setzero_si256(); 2]; N];
        for (membranes, spikes) in membranes.iter_mut().zip(&mut spikes) {
            for (membrane, spikes) in membranes.iter_mut().zip(spikes) {
                *spikes = _mm256_cmpgt_epi32(*membrane, below);
                *membrane = _mm256_sub_epi32(*membrane, _mm256_and_si256(*spikes, threshold));
            }
        }
        let fired = bits(&spikes);
        target.fired[step * target.stride + target.word] = fired;
        target.spikes[step] += u64::from(fired.count_ones());
    }
    for (values, stored) in membranes.iter().zip(target.membranes.as_chunks_mut::<LANES>().0) {
        let (low, high) = stored.split_at_mut(8);
        store_32(low.try_into().expect("8 of 16"), values[0]);
        store_32(high.try_into().expect("8 of 16"), values[1]);
    }
}

/// Adds 16-bit sums to all membranes.
#[target_feature(enable = "avx2")]
#[inline]
fn add<const N: usize, const L: usize>(membranes: &mut [[__m256i; 2]; N], sums: &[i16; L]) {
    for (membranes, sums) in membranes.iter_mut().zip(sums.as_chunks::<LANES>().0) {
        for (membrane, sums) in membranes.iter_mut().zip(sums.as_chunks::<8>().0) {
            *membrane = _mm256_add_epi32(*membrane, _mm256_cvtepi16_epi32(load_8(sums)));
        }
    }
}

/// One bit per lane, from masks of 32 bits.
#[target_feature(enable = "avx2")]
#[inline]
fn bits<const N: usize>(spikes: &[[__m256i; 2]; N]) -> u64 {
    // Packing works within halves of a register; this permutation restores the order.
    let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    let mut fired = 0;
    for (pair, spikes) in spikes.chunks(2).enumerate() {
        let first = _mm256_packs_epi32(spikes[0][0], spikes[0][1]);
        let second = match spikes.get(1) {
            Some(spikes) => _mm256_packs_epi32(spikes[0], spikes[1]),
            None => _mm256_setzero_si256(),
        };
        let bytes = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(first, second), order);
        fired |= u64::from(_mm256_movemask_epi8(bytes).cast_unsigned()) << (pair * 2 * LANES);
    }
    fired
}

#[target_feature(enable = "avx2")]
#[inline]
fn load_all<const N: usize>(values: &[i32]) -> [[__m256i; 2]; N] {
    let mut loaded = [[_mm256_setzero_si256(); 2]; N];
    for (loaded, values) in loaded.iter_mut().zip(values.as_chunks::<LANES>().0) {
        for (loaded, values) in loaded.iter_mut().zip(values.as_chunks::<8>().0) {
            *loaded = load_32(values);
        }
    }
    loaded
}

#[target_feature(enable = "avx2")]
#[inline]
fn load_8(values: &[i16; 8]) -> __m128i {
    // SAFETY: the reference is to 16 readable bytes, and the load needs no alignment.
    unsafe { _mm_loadu_si128(values.as_ptr().cast()) }
}

#[target_feature(enable = "avx2")]
#[inline]
fn load_16(values: &[i16; 16]) -> __m256i {
    // SAFETY: the reference is to 32 readable bytes, and the load needs no alignment.
    unsafe { _mm256_loadu_si256(values.as_ptr().cast()) }
}

#[target_feature(enable = "avx2")]
#[inline]
fn load_32(values: &[i32; 8]) -> __m256i {
    // SAFETY: the reference is to 32 readable bytes, and the load needs no alignment.
    unsafe { _mm256_loadu_si256(values.as_ptr().cast()) }
}

#[target_feature(enable = "avx2")]
#[inline]
fn store_32(values: &mut [i32; 8], vector: __m256i) {
    // SAFETY: the reference is to 32 writable bytes, and the store needs no alignment.
    unsafe { _mm256_storeu_si256(values.as_mut_ptr().cast(), vector) }
}
