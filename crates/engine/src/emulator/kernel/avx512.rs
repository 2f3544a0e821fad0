//! AVX-512 (F, BW, VL, VBMI2, VPOPCNTDQ): 32 lanes of 16-bit drive, spikes as masks, rows listed 32 at a time.
#![allow(unsafe_code)]

use std::arch::x86_64::{
    __m128i, __m512i, _mm_cvtsi32_si128, _mm512_add_epi16, _mm512_add_epi32, _mm512_add_epi64,
    _mm512_castsi512_si256, _mm512_cmpge_epi32_mask, _mm512_cmpgt_epi32_mask, _mm512_cmplt_epi32_mask,
    _mm512_cvtepi16_epi32, _mm512_cvtepu8_epi16, _mm512_extracti64x4_epi64, _mm512_kunpackw,
    _mm512_loadu_si512, _mm512_mask_sub_epi32, _mm512_maskz_compress_epi8, _mm512_or_si512,
    _mm512_popcnt_epi64, _mm512_set1_epi16, _mm512_set1_epi32, _mm512_setzero_si512, _mm512_sll_epi64,
    _mm512_srl_epi64, _mm512_storeu_si512, _mm512_test_epi64_mask,
};

use super::position::{
    Arrivals, Drive, FARTHEST, GROUP, LANES, LINES, Layer, Line, Run, Target, View, index, look_up, positions,
};
use crate::emulator::bits::{BATCH, WORD};

/// The proof that this CPU has AVX-512 F, BW, VL, VBMI2 and VPOPCNTDQ, and POPCNT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Avx512(());

impl Avx512 {
    /// The kernel, if this CPU has its instructions.
    pub fn new() -> Option<Self> {
        let available = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512vbmi2")
            && is_x86_feature_detected!("avx512vpopcntdq")
            && is_x86_feature_detected!("popcnt");
        available.then_some(Self(()))
    }

    /// Runs all time steps of a layer.
    #[inline]
    pub fn run(self, layer: &Layer<'_>, target: &mut Target<'_>) {
        // SAFETY: `new` gave the token, so this CPU has AVX-512 F, BW, VL, VBMI2 and VPOPCNTDQ, and POPCNT; the function
        // requires nothing else.
        unsafe { run(layer, target) }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi2,avx512vpopcntdq,popcnt")]
fn run(layer: &Layer<'_>, target: &mut Target<'_>) {
    positions(
        layer,
        target,
        |layer, views, rows, arrived| gather(layer, views, rows, arrived),
        |rows, steps, zeros, active| list(rows, steps, zeros, active),
        |of_block, arrivals, run| match of_block.lines {
            1 => block::<1>(&of_block.drive, arrivals, run),
            2 => block::<2>(&of_block.drive, arrivals, run),
            3 => block::<3>(&of_block.drive, arrivals, run),
            _ => block::<4>(&of_block.drive, arrivals, run),
        },
    );
}

/// A block of `Z` lines.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi2,avx512vpopcntdq,popcnt")]
fn block<const Z: usize>(drive: &Drive, arrivals: &Arrivals<'_>, run: &mut Run<'_>) {
    match drive {
        Drive::Table { rows, sums } => steps::<Z>(run, |step| {
            let mut drive = [_mm512_setzero_si512(); Z];
            look_up(*rows, sums, arrivals.rows, step, |sums| {
                add_narrow(&mut drive, sums)
            });
            drive.map(|drive| widen(drive))
        }),
        Drive::Narrow { bias, weights } => {
            let bias: &[Line; Z] = bias.as_slice().try_into().expect("a block's lines");
            let weights = weights.as_chunks::<Z>().0;
            steps::<Z>(run, |step| {
                let mut drive = bias.each_ref().map(|bias| load(bias));
                for rows in arrivals.of(step) {
                    for row in rows {
                        add_narrow(&mut drive, &weights[usize::from(*row)]);
                    }
                }
                drive.map(|drive| widen(drive))
            });
        }
        Drive::Wide { bias, weights, most } => {
            let bias: &[[i32; LANES]; Z] = bias.as_slice().try_into().expect("a block's lines");
            let weights = weights.as_chunks::<Z>().0;
            steps::<Z>(run, |step| {
                let mut drive = bias.each_ref().map(|bias| load_wide(bias));
                for rows in arrivals.of(step).chunks(*most) {
                    let mut part = [_mm512_setzero_si512(); Z];
                    for row in rows.as_flattened() {
                        add_narrow(&mut part, &weights[usize::from(*row)]);
                    }
                    for (drive, part) in drive.iter_mut().zip(part) {
                        *drive = add_wide(*drive, widen(part));
                    }
                }
                drive
            });
        }
    }
}

/// Runs a block's steps, whose drive is `drive`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi2,avx512vpopcntdq,popcnt")]
#[inline]
fn steps<const Z: usize>(run: &mut Run<'_>, drive: impl Fn(usize) -> [[__m512i; 2]; Z]) {
    let stored: &mut [[i32; LANES]; Z] = (&mut *run.membranes).try_into().expect("a block's lines");
    let mut membranes = stored.each_ref().map(|stored| load_wide(stored));
    let threshold = _mm512_set1_epi32(run.threshold);
    for step in 0..run.steps {
        let drive = drive(step);
        for line in 0..Z {
            membranes[line] = add_wide(membranes[line], drive[line]);
        }
        if run.watched {
            for membrane in membranes.as_flattened() {
                let above = _mm512_cmpgt_epi32_mask(*membrane, _mm512_set1_epi32(FARTHEST));
                let below = _mm512_cmplt_epi32_mask(*membrane, _mm512_set1_epi32(-FARTHEST));
                *run.saturated += u64::from((above | below).count_ones());
            }
        }
        let mut fired = [0u64; LINES / 2];
        for line in 0..Z {
            let [low, high] = membranes[line];
            let first = _mm512_cmpge_epi32_mask(low, threshold);
            let second = _mm512_cmpge_epi32_mask(high, threshold);
            membranes[line] = [
                _mm512_mask_sub_epi32(low, first, low, threshold),
                _mm512_mask_sub_epi32(high, second, high, threshold),
            ];
            let spikes = _mm512_kunpackw(u32::from(second), u32::from(first));
            fired[line / 2] |= u64::from(spikes) << (line % 2 * LANES);
        }
        for (word, fired) in fired.into_iter().enumerate().take(Z.div_ceil(2)) {
            run.fired[word * run.stride + step] = fired;
        }
    }
    for line in 0..Z {
        store_wide(&mut stored[line], membranes[line]);
    }
}

/// Collects which rows of weights arrive, as `gather` in `position` does.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi2,avx512vpopcntdq,popcnt")]
fn gather(
    layer: &Layer<'_>,
    views: &[View],
    rows: &mut [[u64; BATCH]],
    arrived: &mut [[u64; BATCH]],
) -> bool {
    if layer.row_words == 1 {
        return gather_word(layer, views, rows, arrived);
    }
    let source = layer.source;
    let (words, stride) = (source.words(), source.stride());
    let mut any = _mm512_setzero_si512();
    let batches = rows.chunks_exact_mut(layer.row_words).zip(arrived);
    for (batch, (rows, arrived)) in batches.enumerate() {
        let mut gathered = _mm512_setzero_si512();
        let mut sum = load_words(arrived);
        let mut open = rows.iter_mut();
        let mut place = 0;
        for view in views {
            let fired = source.of_position(index(view.source));
            for word in 0..words {
                let fired = &fired[word * stride + batch * BATCH..];
                let fired = load_words(fired.first_chunk().expect("trains have whole batches"));
                let first = index(view.row) + word * WORD;
                let shift = first % WORD;
                while place < first / WORD {
                    let row = open.next().expect("a row's word");
                    store_words(row, gathered);
                    sum = _mm512_add_epi64(sum, _mm512_popcnt_epi64(gathered));
                    any = _mm512_or_si512(any, gathered);
                    gathered = _mm512_setzero_si512();
                    place += 1;
                }
                gathered = _mm512_or_si512(gathered, _mm512_sll_epi64(fired, count(low(shift))));
                // Bits shifted out belong to the next word.
                if shift + (source.channels() - word * WORD).min(WORD) > WORD {
                    let row = open.next().expect("a row's word");
                    store_words(row, gathered);
                    sum = _mm512_add_epi64(sum, _mm512_popcnt_epi64(gathered));
                    any = _mm512_or_si512(any, gathered);
                    gathered = _mm512_srl_epi64(fired, count(low(WORD - shift)));
                    place += 1;
                }
            }
        }
        for row in open {
            store_words(row, gathered);
            sum = _mm512_add_epi64(sum, _mm512_popcnt_epi64(gathered));
            any = _mm512_or_si512(any, gathered);
            gathered = _mm512_setzero_si512();
        }
        store_words(arrived, sum);
    }
    _mm512_test_epi64_mask(any, any) != 0
}

/// The same for rows of one word, so that nothing is divided between words.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi2,avx512vpopcntdq,popcnt")]
fn gather_word(
    layer: &Layer<'_>,
    views: &[View],
    rows: &mut [[u64; BATCH]],
    arrived: &mut [[u64; BATCH]],
) -> bool {
    let (pairs, last) = rows.as_chunks_mut::<2>();
    let (arrived_in_pairs, arrived_last) = arrived.as_chunks_mut::<2>();
    let batches = last
        .as_chunks_mut::<1>()
        .0
        .iter_mut()
        .zip(arrived_last.as_chunks_mut::<1>().0);
    let mut any = _mm512_setzero_si512();
    let first = pairs.len() * 2;
    for (pair, (rows, arrived)) in pairs.iter_mut().zip(arrived_in_pairs).enumerate() {
        any = _mm512_or_si512(any, gather_batches(layer, views, pair * 2, rows, arrived));
    }
    for (rows, arrived) in batches {
        any = _mm512_or_si512(any, gather_batches(layer, views, first, rows, arrived));
    }
    _mm512_test_epi64_mask(any, any) != 0
}

/// `B` batches from `first` on; returns a bit for all that arrives in a step.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi2,avx512vpopcntdq,popcnt")]
#[inline]
fn gather_batches<const B: usize>(
    layer: &Layer<'_>,
    views: &[View],
    first: usize,
    rows: &mut [[u64; BATCH]; B],
    arrived: &mut [[u64; BATCH]; B],
) -> __m512i {
    let mut gathered = [_mm512_setzero_si512(); B];
    for view in views {
        let fired = layer.source.of_position(index(view.source)).as_chunks().0;
        let fired: &[[u64; BATCH]; B] = fired[first..first + B].try_into().expect("so many batches");
        let shift = count(view.row);
        for batch in 0..B {
            let fired = _mm512_sll_epi64(load_words(&fired[batch]), shift);
            gathered[batch] = _mm512_or_si512(gathered[batch], fired);
        }
    }
    let mut any = _mm512_setzero_si512();
    for batch in 0..B {
        store_words(&mut rows[batch], gathered[batch]);
        let sum = _mm512_add_epi64(load_words(&arrived[batch]), _mm512_popcnt_epi64(gathered[batch]));
        store_words(&mut arrived[batch], sum);
        any = _mm512_or_si512(any, gathered[batch]);
    }
    any
}

/// A number of places to shift by.
#[target_feature(enable = "avx512f")]
#[inline]
fn count(places: u32) -> __m128i {
    _mm_cvtsi32_si128(places.cast_signed())
}

#[expect(clippy::cast_possible_truncation, reason = "at most 64")]
fn low(places: usize) -> u32 {
    places as u32
}

/// Lists the rows of weights that arrive, as `list` in `position` does.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi2,avx512vpopcntdq,popcnt")]
fn list(rows: &[[u64; BATCH]], steps: usize, zeros: u16, active: &mut [u16]) -> [usize; BATCH + 1] {
    let numbers = load_64_bytes(&NUMBERS);
    let next = _mm512_set1_epi16(64);
    let mut ends = [0; BATCH + 1];
    let mut count = 0;
    for step in 0..steps {
        let mut base = _mm512_setzero_si512();
        for word in rows {
            let word = word[step];
            // The indices of the set bits, 32 at a time; a word rarely has more.
            let places = _mm512_maskz_compress_epi8(word, numbers);
            let first = _mm512_cvtepu8_epi16(_mm512_castsi512_si256(places));
            // Entries after the last one are written but not read.
            let room: &mut [u16; WORD] = (&mut active[count..count + WORD])
                .try_into()
                .expect("room for a word");
            let (room, more) = room.split_at_mut(LANES);
            store_numbers(
                room.try_into().expect("half a word"),
                _mm512_add_epi16(first, base),
            );
            let ones = index(word.count_ones());
            if ones > LANES {
                let rest = _mm512_cvtepu8_epi16(_mm512_extracti64x4_epi64::<1>(places));
                store_numbers(
                    more.try_into().expect("half a word"),
                    _mm512_add_epi16(rest, base),
                );
            }
            count += ones;
            base = _mm512_add_epi16(base, next);
        }
        active[count..count + GROUP].fill(zeros);
        count = count.next_multiple_of(GROUP);
        ends[step + 1] = count;
    }
    ends
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

/// Adds 16-bit sums to 16-bit sums.
#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn add_narrow<const Z: usize>(drive: &mut [__m512i; Z], sums: &[Line; Z]) {
    for (drive, sums) in drive.iter_mut().zip(sums) {
        *drive = _mm512_add_epi16(*drive, load(sums));
    }
}

/// 16-bit values in 32 bits.
#[target_feature(enable = "avx512f")]
#[inline]
fn widen(narrow: __m512i) -> [__m512i; 2] {
    [
        _mm512_cvtepi16_epi32(_mm512_castsi512_si256(narrow)),
        _mm512_cvtepi16_epi32(_mm512_extracti64x4_epi64::<1>(narrow)),
    ]
}

#[target_feature(enable = "avx512f")]
#[inline]
fn add_wide(a: [__m512i; 2], b: [__m512i; 2]) -> [__m512i; 2] {
    [_mm512_add_epi32(a[0], b[0]), _mm512_add_epi32(a[1], b[1])]
}

#[target_feature(enable = "avx512f")]
#[inline]
fn load(line: &Line) -> __m512i {
    // SAFETY: the reference is to 64 readable bytes, and the load needs no alignment.
    unsafe { _mm512_loadu_si512(line.0.as_ptr().cast()) }
}

#[target_feature(enable = "avx512f")]
#[inline]
fn load_64_bytes(values: &[u8; 64]) -> __m512i {
    // SAFETY: the reference is to 64 readable bytes, and the load needs no alignment.
    unsafe { _mm512_loadu_si512(values.as_ptr().cast()) }
}

#[target_feature(enable = "avx512f")]
#[inline]
fn load_words(values: &[u64; BATCH]) -> __m512i {
    // SAFETY: the reference is to 64 readable bytes, and the load needs no alignment.
    unsafe { _mm512_loadu_si512(values.as_ptr().cast()) }
}

#[target_feature(enable = "avx512f")]
#[inline]
fn store_words(values: &mut [u64; BATCH], vector: __m512i) {
    // SAFETY: the reference is to 64 writable bytes, and the store needs no alignment.
    unsafe { _mm512_storeu_si512(values.as_mut_ptr().cast(), vector) }
}

#[target_feature(enable = "avx512f")]
#[inline]
fn load_wide(values: &[i32; LANES]) -> [__m512i; 2] {
    let halves = values.as_chunks::<16>().0;
    // SAFETY: the references are to 64 readable bytes each, and the loads need no alignment.
    unsafe {
        [
            _mm512_loadu_si512(halves[0].as_ptr().cast()),
            _mm512_loadu_si512(halves[1].as_ptr().cast()),
        ]
    }
}

#[target_feature(enable = "avx512f")]
#[inline]
fn store_wide(values: &mut [i32; LANES], vectors: [__m512i; 2]) {
    let halves = values.as_chunks_mut::<16>().0;
    // SAFETY: the references are to 64 writable bytes each, and the stores need no alignment.
    unsafe {
        _mm512_storeu_si512(halves[0].as_mut_ptr().cast(), vectors[0]);
        _mm512_storeu_si512(halves[1].as_mut_ptr().cast(), vectors[1]);
    }
}

#[target_feature(enable = "avx512f")]
#[inline]
fn store_numbers(values: &mut [u16; LANES], vector: __m512i) {
    // SAFETY: the reference is to 64 writable bytes, and the store needs no alignment.
    unsafe { _mm512_storeu_si512(values.as_mut_ptr().cast(), vector) }
}
