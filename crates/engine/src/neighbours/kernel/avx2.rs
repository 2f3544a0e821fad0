//! AVX2: 16 products at a time.
#![allow(unsafe_code)]

use std::arch::x86_64::{
    __m128i, __m256i, _mm_loadu_si128, _mm256_add_epi32, _mm256_add_epi64, _mm256_castsi256_si128,
    _mm256_cvtepi8_epi16, _mm256_cvtepi32_epi64, _mm256_extracti128_si256, _mm256_loadu_si256,
    _mm256_madd_epi16, _mm256_setzero_si256, _mm256_storeu_si256,
};

use super::portable;

/// The proof that this CPU has AVX2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Avx2(());

impl Avx2 {
    /// The kernel, if this CPU has its instructions.
    pub fn new() -> Option<Self> {
        is_x86_feature_detected!("avx2").then_some(Self(()))
    }

    /// The dot product of two rows of one length.
    #[inline]
    pub fn dot_i8(self, a: &[i8], b: &[i8]) -> i64 {
        // SAFETY: `new` gave the token, so this CPU has AVX2; the function requires nothing else.
        unsafe { dot_i8(a, b) }
    }

    /// The dot product of two rows of one length.
    #[inline]
    pub fn dot_i16(self, a: &[i16], b: &[i16]) -> i64 {
        // SAFETY: `new` gave the token, so this CPU has AVX2; the function requires nothing else.
        unsafe { dot_i16(a, b) }
    }
}

const LANES: usize = 16;
/// A lane of a 32-bit sum takes two products of 8-bit values at a time, at most 2^15 together: 2^15 times stay below
/// 2^30.
const PIECE: usize = LANES << 15;

#[target_feature(enable = "avx2")]
fn dot_i8(a: &[i8], b: &[i8]) -> i64 {
    let mut total = 0;
    for (a, b) in a.chunks(PIECE).zip(b.chunks(PIECE)) {
        let (a, a_rest) = a.as_chunks::<LANES>();
        let (b, b_rest) = b.as_chunks::<LANES>();
        let mut sum = _mm256_setzero_si256();
        for (a, b) in a.iter().zip(b) {
            // SAFETY: 16 bytes are read from arrays of 16 bytes, at any alignment.
            let (a, b) = unsafe {
                (
                    _mm_loadu_si128(a.as_ptr().cast::<__m128i>()),
                    _mm_loadu_si128(b.as_ptr().cast::<__m128i>()),
                )
            };
            let products = _mm256_madd_epi16(_mm256_cvtepi8_epi16(a), _mm256_cvtepi8_epi16(b));
            sum = _mm256_add_epi32(sum, products);
        }
        total += wide(sum) + portable::dot_i8(a_rest, b_rest);
    }
    total
}

#[target_feature(enable = "avx2")]
fn dot_i16(a: &[i16], b: &[i16]) -> i64 {
    let (a, a_rest) = a.as_chunks::<LANES>();
    let (b, b_rest) = b.as_chunks::<LANES>();
    let mut sums = [_mm256_setzero_si256(); 2];
    let mut rest = portable::dot_i16(a_rest, b_rest);
    for (a, b) in a.iter().zip(b) {
        // Two products of the least value are 2^31, which a 32-bit lane cannot hold.
        if a.contains(&i16::MIN) && b.contains(&i16::MIN) {
            rest += portable::dot_i16(a, b);
            continue;
        }
        // SAFETY: 32 bytes are read from arrays of 16 values of 2 bytes, at any alignment.
        let (a, b) = unsafe {
            (
                _mm256_loadu_si256(a.as_ptr().cast::<__m256i>()),
                _mm256_loadu_si256(b.as_ptr().cast::<__m256i>()),
            )
        };
        let products = _mm256_madd_epi16(a, b);
        let low = _mm256_cvtepi32_epi64(_mm256_castsi256_si128(products));
        let high = _mm256_cvtepi32_epi64(_mm256_extracti128_si256::<1>(products));
        sums[0] = _mm256_add_epi64(sums[0], low);
        sums[1] = _mm256_add_epi64(sums[1], high);
    }
    let mut lanes = [0i64; 4];
    // SAFETY: 32 bytes are written into an array of 4 values of 8 bytes, at any alignment.
    unsafe {
        _mm256_storeu_si256(
            lanes.as_mut_ptr().cast::<__m256i>(),
            _mm256_add_epi64(sums[0], sums[1]),
        )
    };
    rest + lanes.iter().sum::<i64>()
}

/// The sum of eight 32-bit lanes.
#[target_feature(enable = "avx2")]
fn wide(sum: __m256i) -> i64 {
    let mut lanes = [0i32; 8];
    // SAFETY: 32 bytes are written into an array of 8 values of 4 bytes, at any alignment.
    unsafe { _mm256_storeu_si256(lanes.as_mut_ptr().cast::<__m256i>(), sum) };
    lanes.iter().map(|&lane| i64::from(lane)).sum()
}
