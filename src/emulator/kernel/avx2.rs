//! AVX2: 16 lanes of 16-bit drive, membranes in registers over all time steps.
#![allow(unsafe_code)]

use std::arch::x86_64::{
    __m256i, _mm256_add_epi16, _mm256_add_epi32, _mm256_and_si256, _mm256_castsi256_ps,
    _mm256_castsi256_si128, _mm256_cmpgt_epi32, _mm256_cvtepi16_epi32, _mm256_extracti128_si256,
    _mm256_loadu_si256, _mm256_movemask_ps, _mm256_set1_epi32, _mm256_setzero_si256, _mm256_storeu_si256,
    _mm256_sub_epi32,
};

use super::{LANES, Position, Target, arriving, gather};

/// Whether this machine has AVX2 and the bit instructions that came with it.
pub fn is_available() -> bool {
    is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("lzcnt")
        && is_x86_feature_detected!("popcnt")
}

/// Runs all time steps of one position.
///
/// # Panics
/// Where it is not available: `Kernel::available` asks before it offers it.
pub fn run(position: &Position<'_>, target: &mut Target<'_>) {
    assert!(
        is_x86_feature_detected!("avx2"),
        "the kernel was chosen for another machine"
    );
    // SAFETY: the machine has AVX2, asserted above; that is all that the functions ask of it.
    unsafe {
        match position.block.vectors {
            1 => steps::<1>(position, target),
            2 => steps::<2>(position, target),
            _ => steps::<4>(position, target),
        }
    }
}

#[target_feature(enable = "avx2,bmi1,lzcnt,popcnt")]
fn steps<const N: usize>(position: &Position<'_>, target: &mut Target<'_>) {
    let lanes = N * LANES;
    let block = position.block;
    let bias: [[__m256i; 2]; N] = load_all(&block.bias);
    let mut membranes: [[__m256i; 2]; N] = load_all(target.membranes);
    let threshold = _mm256_set1_epi32(position.threshold);
    // There is no "at least": v >= threshold is v > threshold - 1, and a threshold is at least 1.
    let below = _mm256_set1_epi32(position.threshold - 1);
    let steps = target.arrived.len();
    gather(position, steps, target.rows);
    for step in 0..steps {
        if let Some(before) = step.checked_sub(1) {
            let count = if block.narrow {
                let mut drive = [_mm256_setzero_si256(); N];
                let count = arriving(target.rows, before, steps, |row| {
                    let weights = &block.weights[row * lanes..][..lanes];
                    for (sum, weights) in drive.iter_mut().zip(weights.as_chunks::<LANES>().0) {
                        *sum = _mm256_add_epi16(*sum, load_i16(weights));
                    }
                });
                for (membranes, drive) in membranes.iter_mut().zip(drive) {
                    widen_and_add(membranes, drive);
                }
                count
            } else {
                arriving(target.rows, before, steps, |row| {
                    let weights = &block.weights[row * lanes..][..lanes];
                    for (membranes, weights) in membranes.iter_mut().zip(weights.as_chunks::<LANES>().0) {
                        widen_and_add(membranes, load_i16(weights));
                    }
                })
            };
            target.arrived[step] += if position.counted { count } else { 0 };
        }
        let mut fired = 0u64;
        for vector in 0..N {
            for half in 0..2 {
                let membrane = _mm256_add_epi32(membranes[vector][half], bias[vector][half]);
                let spikes = _mm256_cmpgt_epi32(membrane, below);
                membranes[vector][half] = _mm256_sub_epi32(membrane, _mm256_and_si256(spikes, threshold));
                let bits = _mm256_movemask_ps(_mm256_castsi256_ps(spikes)).cast_unsigned();
                fired |= u64::from(bits) << (vector * LANES + half * 8);
            }
        }
        target.fired[step * target.stride + target.word] = fired;
    }
    for (values, stored) in membranes.iter().zip(target.membranes.as_chunks_mut::<LANES>().0) {
        let (low, high) = stored.split_at_mut(8);
        store_i32(low.try_into().expect("8 of 16"), values[0]);
        store_i32(high.try_into().expect("8 of 16"), values[1]);
    }
}

/// Adds 16 lanes of 16 bits to as many of 32.
#[target_feature(enable = "avx2")]
#[inline]
fn widen_and_add(membranes: &mut [__m256i; 2], drive: __m256i) {
    let low = _mm256_cvtepi16_epi32(_mm256_castsi256_si128(drive));
    let high = _mm256_cvtepi16_epi32(_mm256_extracti128_si256::<1>(drive));
    membranes[0] = _mm256_add_epi32(membranes[0], low);
    membranes[1] = _mm256_add_epi32(membranes[1], high);
}

#[target_feature(enable = "avx2")]
#[inline]
fn load_all<const N: usize>(values: &[i32]) -> [[__m256i; 2]; N] {
    let mut loaded = [[_mm256_setzero_si256(); 2]; N];
    for (loaded, values) in loaded.iter_mut().zip(values.as_chunks::<LANES>().0) {
        for (loaded, values) in loaded.iter_mut().zip(values.as_chunks::<8>().0) {
            *loaded = load_i32(values);
        }
    }
    loaded
}

#[target_feature(enable = "avx2")]
#[inline]
fn load_i16(values: &[i16; 16]) -> __m256i {
    // SAFETY: the reference is to 32 readable bytes, and the load needs no alignment.
    unsafe { _mm256_loadu_si256(values.as_ptr().cast()) }
}

#[target_feature(enable = "avx2")]
#[inline]
fn load_i32(values: &[i32; 8]) -> __m256i {
    // SAFETY: the reference is to 32 readable bytes, and the load needs no alignment.
    unsafe { _mm256_loadu_si256(values.as_ptr().cast()) }
}

#[target_feature(enable = "avx2")]
#[inline]
fn store_i32(values: &mut [i32; 8], vector: __m256i) {
    // SAFETY: the reference is to 32 writable bytes, and the store needs no alignment.
    unsafe { _mm256_storeu_si256(values.as_mut_ptr().cast(), vector) }
}
