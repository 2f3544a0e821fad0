//! Dot products of 8- and 16-bit values, in which a search spends nearly all of its time.
//!
//! ```text
//! sum = 0
//! for each i: sum += a[i] * b[i]      (in lanes wide enough that no sum overflows)
//! ```
//!
//! As in `crate::emulator::kernel`, a kernel for an instruction set is a token that exists only on a CPU that has the
//! instructions; stored vectors take theirs once, when they are made. All kernels give the same whole numbers.
#![allow(unsafe_code)]

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod portable;

#[cfg(target_arch = "x86_64")]
use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
use avx512::Avx512;

/// A kernel that this CPU can run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kernel {
    /// Plain Rust, on every CPU.
    Portable,
    /// AVX2.
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    /// AVX-512 with VNNI.
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
}

impl Kernel {
    /// Every kernel that this CPU can run, the portable one first, the fastest one last.
    pub fn available() -> Vec<Self> {
        let mut kernels = vec![Self::Portable];
        #[cfg(target_arch = "x86_64")]
        {
            kernels.extend(Avx2::new().map(Self::Avx2));
            kernels.extend(Avx512::new().map(Self::Avx512));
        }
        kernels
    }

    /// The fastest kernel that this CPU can run.
    pub fn detect() -> Self {
        Self::available().pop().unwrap_or(Self::Portable)
    }

    /// The dot product of two rows of one length.
    #[inline]
    pub fn dot_i8(self, a: &[i8], b: &[i8]) -> i64 {
        match self {
            Self::Portable => portable::dot_i8(a, b),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(kernel) => kernel.dot_i8(a, b),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(kernel) => kernel.dot_i8(a, b),
        }
    }

    /// The dot product of two rows of one length.
    #[inline]
    pub fn dot_i16(self, a: &[i16], b: &[i16]) -> i64 {
        match self {
            Self::Portable => portable::dot_i16(a, b),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(kernel) => kernel.dot_i16(a, b),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(kernel) => kernel.dot_i16(a, b),
        }
    }
}

/// Prefetches the first 256 bytes of a row into the cache; a hint without any other effect.
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
            for kernel in Kernel::available() {
                prop_assert_eq!(kernel.dot_i8(&a, &b), right, "{:?}", kernel);
            }
        }

        #[test]
        fn words_are_summed_alike(pairs in prop::collection::vec(any::<(i16, i16)>(), 0..300)) {
            let (a, b): (Vec<i16>, Vec<i16>) = pairs.into_iter().unzip();
            let right = obvious(&a, &b);
            for kernel in Kernel::available() {
                prop_assert_eq!(kernel.dot_i16(&a, &b), right, "{:?}", kernel);
            }
        }
    }

    #[test]
    fn the_largest_sums_hold() {
        for length in [0, 1, 15, 16, 17, 65_536, (16 << 15) + 5] {
            for (a, b) in [(i8::MIN, i8::MIN), (i8::MIN, i8::MAX), (i8::MAX, i8::MAX)] {
                let (a, b) = (vec![a; length], vec![b; length]);
                for kernel in Kernel::available() {
                    assert_eq!(kernel.dot_i8(&a, &b), obvious(&a, &b), "{kernel:?} {length}");
                }
            }
            for (a, b) in [(i16::MIN, i16::MIN), (i16::MIN, i16::MAX), (i16::MAX, i16::MAX)] {
                let (a, b) = (vec![a; length], vec![b; length]);
                for kernel in Kernel::available() {
                    assert_eq!(kernel.dot_i16(&a, &b), obvious(&a, &b), "{kernel:?} {length}");
                }
            }
        }
    }
}
