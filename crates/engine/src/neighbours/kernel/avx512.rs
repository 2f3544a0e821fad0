//! AVX-512 with VNNI: 64 products of 8-bit values at a time.
#![allow(unsafe_code)]

use std::arch::x86_64::{
    __m512i, _mm512_dpbusd_epi32, _mm512_loadu_si512, _mm512_reduce_add_epi32, _mm512_set1_epi8,
    _mm512_setzero_si512, _mm512_slli_epi32, _mm512_sub_epi32, _mm512_xor_si512,
};

use super::avx2::Avx2;
use super::portable;

/// The proof that this CPU has AVX-512 F, BW and VNNI, and AVX2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Avx512(Avx2);

impl Avx512 {
    /// The kernel, if this CPU has its instructions.
    pub fn new() -> Option<Self> {
        let available = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vnni");
        Avx2::new().filter(|_| available).map(Self)
    }

    /// The dot product of two rows of one length.
    #[inline]
    pub fn dot_i8(self, a: &[i8], b: &[i8]) -> i64 {
        // SAFETY: `new` gave the token, so this CPU has AVX-512 F, BW and VNNI; the function requires nothing else.
        unsafe { dot_i8(a, b) }
    }

    /// The dot product of two rows of one length.
    #[inline]
    pub fn dot_i16(self, a: &[i16], b: &[i16]) -> i64 {
        self.0.dot_i16(a, b)
    }
}

const LANES: usize = 64;
/// A lane of a 32-bit sum takes four products at a time, each below 2^15: the 16 lanes of 2^9 times stay below 2^30 together.
const PIECE: usize = LANES << 9;

/// One operand of the instruction has no sign: `a + 128` takes the place of `a`, and `128 * b` is taken away in the end.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn dot_i8(a: &[i8], b: &[i8]) -> i64 {
    let (ones, sign) = (_mm512_set1_epi8(1), _mm512_set1_epi8(i8::MIN));
    let mut total = 0;
    for (a, b) in a.chunks(PIECE).zip(b.chunks(PIECE)) {
        let (a, a_rest) = a.as_chunks::<LANES>();
        let (b, b_rest) = b.as_chunks::<LANES>();
        let (mut raised, mut plain) = (_mm512_setzero_si512(), _mm512_setzero_si512());
        for (a, b) in a.iter().zip(b) {
            let (a, b) = (load(a), load(b));
            raised = _mm512_dpbusd_epi32(raised, _mm512_xor_si512(a, sign), b);
            plain = _mm512_dpbusd_epi32(plain, ones, b);
        }
        let sums = _mm512_sub_epi32(raised, _mm512_slli_epi32::<7>(plain));
        total += i64::from(_mm512_reduce_add_epi32(sums)) + portable::dot_i8(a_rest, b_rest);
    }
    total
}

#[target_feature(enable = "avx512f")]
#[inline]
fn load(values: &[i8; LANES]) -> __m512i {
    // SAFETY: the reference is to 64 readable bytes, and the load needs no alignment.
    unsafe { _mm512_loadu_si512(values.as_ptr().cast()) }
}
