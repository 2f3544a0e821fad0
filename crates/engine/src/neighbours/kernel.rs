//! Sums of products of 8- and 16-bit values: what nearly all of a search's time goes into. Plain Rust, and AVX2 where the
//! machine has it; both give the same whole numbers.
#![allow(unsafe_code)]

/// The sum of products of two rows of one length.
pub fn dot_i8(a: &[i8], b: &[i8]) -> i64 {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the machine has AVX2; that is all that the function asks of it.
        return unsafe { avx2::dot_i8(a, b) };
    }
    portable::dot_i8(a, b)
}

/// The sum of products of two rows of one length.
pub fn dot_i16(a: &[i16], b: &[i16]) -> i64 {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the machine has AVX2; that is all that the function asks of it.
        return unsafe { avx2::dot_i16(a, b) };
    }
    portable::dot_i16(a, b)
}

/// Asks for the first 256 bytes of a row before they are needed; changes nothing.
pub fn prefetch<T>(row: &[T]) {
    #[cfg(target_arch = "x86_64")]
    for line in 0..size_of_val(row).min(256).div_ceil(64) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: every x86-64 has it, and it reads nothing that the program would notice, wherever it points.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(row.as_ptr().cast::<i8>().wrapping_add(64 * line)) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = row;
}

mod portable {
    /// Products of 8-bit values are at most 2^14, so that a 32-bit sum holds 2^16 of them.
    pub fn dot_i8(a: &[i8], b: &[i8]) -> i64 {
        let sums = a.chunks(1 << 16).zip(b.chunks(1 << 16)).map(|(a, b)| {
            let products = a.iter().zip(b).map(|(&a, &b)| i32::from(a) * i32::from(b));
            i64::from(products.sum::<i32>())
        });
        sums.sum()
    }

    /// Products of 16-bit values need 31 bits: they are summed in 64.
    pub fn dot_i16(a: &[i16], b: &[i16]) -> i64 {
        let products = a.iter().zip(b).map(|(&a, &b)| i32::from(a) * i32::from(b));
        products.map(i64::from).sum()
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::{
        __m128i, __m256i, _mm_loadu_si128, _mm256_add_epi32, _mm256_add_epi64, _mm256_castsi256_si128,
        _mm256_cvtepi8_epi16, _mm256_cvtepi32_epi64, _mm256_extracti128_si256, _mm256_loadu_si256,
        _mm256_madd_epi16, _mm256_setzero_si256, _mm256_storeu_si256,
    };

    use super::portable;

    const LANES: usize = 16;
    /// A lane of a 32-bit sum takes two products of 8-bit values at a time, at most 2^15 together: 2^15 times stay below
    /// 2^30.
    const PIECE: usize = LANES << 15;

    #[target_feature(enable = "avx2")]
    pub fn dot_i8(a: &[i8], b: &[i8]) -> i64 {
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
    pub fn dot_i16(a: &[i16], b: &[i16]) -> i64 {
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
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn obvious<T: Copy + Into<i64>>(a: &[T], b: &[T]) -> i64 {
        a.iter().zip(b).map(|(&a, &b)| a.into() * b.into()).sum()
    }

    proptest! {
        #[test]
        fn bytes_are_summed_alike(pairs in prop::collection::vec(any::<(i8, i8)>(), 0..300)) {
            let (a, b): (Vec<i8>, Vec<i8>) = pairs.into_iter().unzip();
            let right = obvious(&a, &b);
            prop_assert_eq!(dot_i8(&a, &b), right);
            prop_assert_eq!(portable::dot_i8(&a, &b), right);
        }

        #[test]
        fn words_are_summed_alike(pairs in prop::collection::vec(any::<(i16, i16)>(), 0..300)) {
            let (a, b): (Vec<i16>, Vec<i16>) = pairs.into_iter().unzip();
            let right = obvious(&a, &b);
            prop_assert_eq!(dot_i16(&a, &b), right);
            prop_assert_eq!(portable::dot_i16(&a, &b), right);
        }
    }

    #[test]
    fn the_largest_sums_hold() {
        for length in [0, 1, 15, 16, 17, 65_536, (16 << 15) + 5] {
            for (a, b) in [(i8::MIN, i8::MIN), (i8::MIN, i8::MAX), (i8::MAX, i8::MAX)] {
                let (a, b) = (vec![a; length], vec![b; length]);
                assert_eq!(dot_i8(&a, &b), obvious(&a, &b), "{length}");
                assert_eq!(portable::dot_i8(&a, &b), obvious(&a, &b), "{length}");
            }
            for (a, b) in [(i16::MIN, i16::MIN), (i16::MIN, i16::MAX), (i16::MAX, i16::MAX)] {
                let (a, b) = (vec![a; length], vec![b; length]);
                assert_eq!(dot_i16(&a, &b), obvious(&a, &b), "{length}");
            }
        }
    }
}
