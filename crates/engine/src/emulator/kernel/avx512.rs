//! AVX-512 (F, BW, VL, VBMI2): 32 lanes of 16-bit drive, spikes as masks, rows listed 32 at a time.
#![allow(unsafe_code)]

use std::arch::x86_64::{
    __m256i, __m512i, _mm256_loadu_si256, _mm512_add_epi16, _mm512_add_epi32, _mm512_castsi512_si256,
    _mm512_cmpge_epi32_mask, _mm512_cmpgt_epi32_mask, _mm512_cmplt_epi32_mask, _mm512_cvtepi16_epi32,
    _mm512_cvtepu8_epi16, _mm512_extracti64x4_epi64, _mm512_loadu_si512, _mm512_mask_sub_epi32,
    _mm512_maskz_compress_epi8, _mm512_set1_epi16, _mm512_set1_epi32, _mm512_setzero_si512,
    _mm512_storeu_si512,
};

use super::position::{
    BATCH, Drive, FARTHEST, LANES, Position, Scratch, Target, gather, index, looked_up, wide,
};

/// The proof that this CPU has AVX-512 F, BW, VL and VBMI2, and POPCNT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Avx512(());

impl Avx512 {
    /// The kernel, if this CPU has its instructions.
    pub fn new() -> Option<Self> {
        let available = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512vbmi2")
            && is_x86_feature_detected!("popcnt");
        available.then_some(Self(()))
    }

    /// Runs all time steps of one position.
    #[inline]
    pub fn run(self, position: &Position<'_>, target: &mut Target<'_>) {
        // SAFETY: `new` gave the token, so this CPU has AVX-512 F, BW, VL and VBMI2, and POPCNT; the functions require nothing else.
        unsafe {
            match position.block.vectors {
                1 => steps::<1, 16>(position, target),
                2 => steps::<2, 32>(position, target),
                _ => steps::<4, 64>(position, target),
            }
        }
    }
}

/// `N` vectors of 16 membranes, that is `L` lanes.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi2,popcnt")]
fn steps<const N: usize, const L: usize>(position: &Position<'_>, target: &mut Target<'_>) {
    let block = position.block;
    let weights = block.weights.as_chunks::<L>().0;
    let mut membranes: [__m512i; N] = load_all(position.initial);
    let threshold = _mm512_set1_epi32(position.threshold);
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
                let active = &target.scratch.active[..count];
                let bias: &[i16; L] = bias.as_slice().try_into().expect("a block's lanes");
                if N == 1 {
                    // Half a register: widened row by row.
                    add(&mut membranes, bias);
                    for &row in active {
                        add(&mut membranes, &weights[usize::from(row)]);
                    }
                } else {
                    let mut drive = [_mm512_setzero_si512(); 2];
                    for (drive, bias) in drive.iter_mut().zip(bias.as_chunks::<32>().0) {
                        *drive = load_32_narrow(bias);
                    }
                    for &row in active {
                        let weights = weights[usize::from(row)].as_chunks::<32>().0;
                        for (drive, weights) in drive.iter_mut().zip(weights) {
                            *drive = _mm512_add_epi16(*drive, load_32_narrow(weights));
                        }
                    }
                    for (membranes, drive) in membranes.chunks_mut(2).zip(drive) {
                        let low = _mm512_cvtepi16_epi32(_mm512_castsi512_si256(drive));
                        let high = _mm512_cvtepi16_epi32(_mm512_extracti64x4_epi64::<1>(drive));
                        membranes[0] = _mm512_add_epi32(membranes[0], low);
                        membranes[1] = _mm512_add_epi32(membranes[1], high);
                    }
                }
            }
            Drive::Wide(bias) => {
                let count = list(target.scratch, step, steps);
                target.arrived[step] += wide(count);
                let bias: [__m512i; N] = load_all(bias);
                for (membrane, bias) in membranes.iter_mut().zip(bias) {
                    *membrane = _mm512_add_epi32(*membrane, bias);
                }
                for &row in &target.scratch.active[..count] {
                    add(&mut membranes, &weights[usize::from(row)]);
                }
            }
        }
        if position.watched {
            for membrane in &membranes {
                let above = _mm512_cmpgt_epi32_mask(*membrane, _mm512_set1_epi32(FARTHEST));
                let below = _mm512_cmplt_epi32_mask(*membrane, _mm512_set1_epi32(-FARTHEST));
                *target.saturated += u64::from((above | below).count_ones());
            }
        }
        let mut fired = 0u64;
        for (vector, membrane) in membranes.iter_mut().enumerate() {
            let spikes = _mm512_cmpge_epi32_mask(*membrane, threshold);
            *membrane = _mm512_mask_sub_epi32(*membrane, spikes, *membrane, threshold);
            fired |= u64::from(spikes) << (vector * LANES);
        }
        target.fired[step * target.stride + target.word] = fired;
        target.spikes[step] += u64::from(fired.count_ones());
    }
    for (values, stored) in membranes.iter().zip(target.membranes.as_chunks_mut::<LANES>().0) {
        store_16_wide(stored, *values);
    }
}

/// Lists the rows of weights that arrive in `step`, as `list` in `position` does; returns their number.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi2,popcnt")]
#[inline]
fn list(scratch: &mut Scratch, step: usize, steps: usize) -> usize {
    let numbers = load_64_bytes(&NUMBERS);
    let mut base = _mm512_setzero_si512();
    let next = _mm512_set1_epi16(64);
    let mut count = 0;
    for &word in scratch.rows[step..].iter().step_by(steps) {
        // The indices of the set bits, 32 at a time; a word rarely has more.
        let places = _mm512_maskz_compress_epi8(word, numbers);
        let first = _mm512_cvtepu8_epi16(_mm512_castsi512_si256(places));
        // Entries after the last one are written but not read.
        let room = &mut scratch.active[count..];
        store_32_narrow(
            room.first_chunk_mut().expect("room for a batch"),
            _mm512_add_epi16(first, base),
        );
        let ones = index(word.count_ones());
        if ones > BATCH {
            let rest = _mm512_cvtepu8_epi16(_mm512_extracti64x4_epi64::<1>(places));
            let room = &mut room[BATCH..];
            store_32_narrow(
                room.first_chunk_mut().expect("room for a batch"),
                _mm512_add_epi16(rest, base),
            );
        }
        count += ones;
        base = _mm512_add_epi16(base, next);
    }
    count
}

#[expect(clippy::cast_possible_truncation, reason = "below 64")]
const fn low_bits(place: usize) -> u8 {
    place as u8
}

/// 0 to 63.
const NUMBERS: [u8; 64] = {
    let mut numbers = [0; 64];
    let mut place = 0;
    while place < 64 {
        numbers[place] = low_bits(place);
        place += 1;
    }
    numbers
};

/// Adds 16-bit sums to all membranes.
#[target_feature(enable = "avx512f")]
#[inline]
fn add<const N: usize, const L: usize>(membranes: &mut [__m512i; N], sums: &[i16; L]) {
    for (membrane, sums) in membranes.iter_mut().zip(sums.as_chunks::<LANES>().0) {
        *membrane = _mm512_add_epi32(*membrane, _mm512_cvtepi16_epi32(load_16_narrow(sums)));
    }
}

#[target_feature(enable = "avx512f")]
#[inline]
fn load_all<const N: usize>(values: &[i32]) -> [__m512i; N] {
    let mut loaded = [_mm512_setzero_si512(); N];
    for (loaded, values) in loaded.iter_mut().zip(values.as_chunks::<LANES>().0) {
        *loaded = load_16_wide(values);
    }
    loaded
}

#[target_feature(enable = "avx512f")]
#[inline]
fn load_16_narrow(values: &[i16; 16]) -> __m256i {
    // SAFETY: the reference is to 32 readable bytes, and the load needs no alignment.
    unsafe { _mm256_loadu_si256(values.as_ptr().cast()) }
}

#[target_feature(enable = "avx512f")]
#[inline]
fn load_32_narrow(values: &[i16; 32]) -> __m512i {
    // SAFETY: the reference is to 64 readable bytes, and the load needs no alignment.
    unsafe { _mm512_loadu_si512(values.as_ptr().cast()) }
}

#[target_feature(enable = "avx512f")]
#[inline]
fn load_64_bytes(values: &[u8; 64]) -> __m512i {
    // SAFETY: the reference is to 64 readable bytes, and the load needs no alignment.
    unsafe { _mm512_loadu_si512(values.as_ptr().cast()) }
}

#[target_feature(enable = "avx512f")]
#[inline]
fn load_16_wide(values: &[i32; 16]) -> __m512i {
    // SAFETY: the reference is to 64 readable bytes, and the load needs no alignment.
    unsafe { _mm512_loadu_si512(values.as_ptr().cast()) }
}

#[target_feature(enable = "avx512f")]
#[inline]
fn store_16_wide(values: &mut [i32; 16], vector: __m512i) {
    // SAFETY: the reference is to 64 writable bytes, and the store needs no alignment.
    unsafe { _mm512_storeu_si512(values.as_mut_ptr().cast(), vector) }
}

#[target_feature(enable = "avx512f")]
#[inline]
fn store_32_narrow(values: &mut [u16; BATCH], vector: __m512i) {
    // SAFETY: the reference is to 64 writable bytes, and the store needs no alignment.
    unsafe { _mm512_storeu_si512(values.as_mut_ptr().cast(), vector) }
}
