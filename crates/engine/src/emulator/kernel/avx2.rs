//! AVX2: 16 lanes of 16-bit drive a register.
#![allow(unsafe_code)]

use std::arch::x86_64::{
    __m256i, _mm256_add_epi16, _mm256_add_epi32, _mm256_and_si256, _mm256_castsi256_si128,
    _mm256_cmpgt_epi32, _mm256_cvtepi16_epi32, _mm256_extracti128_si256, _mm256_loadu_si256,
    _mm256_movemask_epi8, _mm256_or_si256, _mm256_packs_epi16, _mm256_packs_epi32,
    _mm256_permutevar8x32_epi32, _mm256_set1_epi32, _mm256_setr_epi32, _mm256_setzero_si256,
    _mm256_storeu_si256, _mm256_sub_epi32,
};

use super::position::{
    Arrivals, Drive, FARTHEST, LANES, LINES, Layer, Line, Run, Target, gather, list, look_up, positions,
};

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

    /// Runs all time steps of a layer.
    #[inline]
    pub fn run(self, layer: &Layer<'_>, target: &mut Target<'_>) {
        // SAFETY: `new` gave the token, so this CPU has AVX2, BMI1, LZCNT and POPCNT; the function requires nothing else.
        unsafe { run(layer, target) }
    }
}

#[target_feature(enable = "avx2,bmi1,lzcnt,popcnt")]
fn run(layer: &Layer<'_>, target: &mut Target<'_>) {
    positions(
        layer,
        target,
        gather,
        list,
        |of_block, arrivals, run| match of_block.lines {
            1 => block::<1>(&of_block.drive, arrivals, run),
            2 => block::<2>(&of_block.drive, arrivals, run),
            3 => block::<3>(&of_block.drive, arrivals, run),
            _ => block::<4>(&of_block.drive, arrivals, run),
        },
    );
}

/// A block of `Z` lines.
#[target_feature(enable = "avx2,bmi1,lzcnt,popcnt")]
fn block<const Z: usize>(drive: &Drive, arrivals: &Arrivals<'_>, run: &mut Run<'_>) {
    match drive {
        Drive::Table { rows, sums } => steps::<Z>(run, |membranes, step| {
            let mut drive = [[_mm256_setzero_si256(); 2]; Z];
            look_up(*rows, sums, arrivals.rows, step, |sums| {
                add_narrow(&mut drive, sums)
            });
            add(membranes, &drive);
        }),
        Drive::Narrow { bias, weights } => {
            let bias: &[Line; Z] = bias.as_slice().try_into().expect("a block's lines");
            let weights = weights.as_chunks::<Z>().0;
            steps::<Z>(run, |membranes, step| {
                let mut drive = bias.each_ref().map(|bias| load(bias));
                for &row in arrivals.of(step).as_flattened() {
                    add_narrow(&mut drive, &weights[usize::from(row)]);
                }
                add(membranes, &drive);
            });
        }
        Drive::Wide { bias, weights, most } => {
            let bias: &[[i32; LANES]; Z] = bias.as_slice().try_into().expect("a block's lines");
            let weights = weights.as_chunks::<Z>().0;
            steps::<Z>(run, |membranes, step| {
                for (membranes, bias) in membranes.iter_mut().zip(bias) {
                    for (membrane, bias) in membranes.iter_mut().zip(load_wide(bias)) {
                        *membrane = _mm256_add_epi32(*membrane, bias);
                    }
                }
                for rows in arrivals.of(step).chunks(*most) {
                    let mut part = [[_mm256_setzero_si256(); 2]; Z];
                    for &row in rows.as_flattened() {
                        add_narrow(&mut part, &weights[usize::from(row)]);
                    }
                    add(membranes, &part);
                }
            });
        }
    }
}

/// Runs a block's steps; `drive` adds what arrives in one.
#[target_feature(enable = "avx2,bmi1,lzcnt,popcnt")]
#[inline]
fn steps<const Z: usize>(run: &mut Run<'_>, drive: impl Fn(&mut [[__m256i; 4]; Z], usize)) {
    let stored: &mut [[i32; LANES]; Z] = (&mut *run.membranes).try_into().expect("a block's lines");
    let mut membranes = stored.each_ref().map(|stored| load_wide(stored));
    let threshold = _mm256_set1_epi32(run.threshold);
    // There is no instruction for >=: v >= threshold is v > threshold - 1, and a threshold is at least 1.
    let below = _mm256_set1_epi32(run.threshold - 1);
    for step in 0..run.steps {
        drive(&mut membranes, step);
        if run.watched {
            for membranes in &membranes {
                let beyond = membranes.map(|membrane| {
                    let above = _mm256_cmpgt_epi32(membrane, _mm256_set1_epi32(FARTHEST));
                    _mm256_or_si256(above, _mm256_cmpgt_epi32(_mm256_set1_epi32(-FARTHEST), membrane))
                });
                *run.saturated += u64::from(bits(beyond).count_ones());
            }
        }
        let mut fired = [0u64; LINES / 2];
        for (line, membranes) in membranes.iter_mut().enumerate() {
            let spikes = membranes.map(|membrane| _mm256_cmpgt_epi32(membrane, below));
            for (membrane, spikes) in membranes.iter_mut().zip(spikes) {
                *membrane = _mm256_sub_epi32(*membrane, _mm256_and_si256(spikes, threshold));
            }
            fired[line / 2] |= u64::from(bits(spikes)) << (line % 2 * LANES);
        }
        for (word, fired) in fired.into_iter().enumerate().take(Z.div_ceil(2)) {
            run.fired[word * run.stride + step] = fired;
        }
    }
    for (stored, membranes) in stored.iter_mut().zip(membranes) {
        store_wide(stored, membranes);
    }
}

/// Adds 16-bit sums to 16-bit sums.
#[target_feature(enable = "avx2")]
#[inline]
fn add_narrow<const Z: usize>(drive: &mut [[__m256i; 2]; Z], sums: &[Line; Z]) {
    for (drive, sums) in drive.iter_mut().zip(sums) {
        for (drive, sums) in drive.iter_mut().zip(load(sums)) {
            *drive = _mm256_add_epi16(*drive, sums);
        }
    }
}

/// Adds 16-bit sums to all membranes.
#[target_feature(enable = "avx2")]
#[inline]
fn add<const Z: usize>(membranes: &mut [[__m256i; 4]; Z], drive: &[[__m256i; 2]; Z]) {
    let pairs = membranes.as_flattened_mut().as_chunks_mut::<2>().0;
    for (membranes, drive) in pairs.iter_mut().zip(drive.as_flattened()) {
        let low = _mm256_cvtepi16_epi32(_mm256_castsi256_si128(*drive));
        let high = _mm256_cvtepi16_epi32(_mm256_extracti128_si256::<1>(*drive));
        membranes[0] = _mm256_add_epi32(membranes[0], low);
        membranes[1] = _mm256_add_epi32(membranes[1], high);
    }
}

/// One bit for each lane of a line, from masks of 32 bits.
#[target_feature(enable = "avx2")]
#[inline]
fn bits(spikes: [__m256i; 4]) -> u32 {
    // Packing works within halves of a register; this permutation restores the order.
    let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    let first = _mm256_packs_epi32(spikes[0], spikes[1]);
    let second = _mm256_packs_epi32(spikes[2], spikes[3]);
    let bytes = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(first, second), order);
    _mm256_movemask_epi8(bytes).cast_unsigned()
}

/// The halves of a line.
#[target_feature(enable = "avx2")]
#[inline]
fn load(line: &Line) -> [__m256i; 2] {
    let halves = line.0.as_chunks::<16>().0;
    [load_16(&halves[0]), load_16(&halves[1])]
}

#[target_feature(enable = "avx2")]
#[inline]
fn load_wide(values: &[i32; LANES]) -> [__m256i; 4] {
    let parts = values.as_chunks::<8>().0;
    [0, 1, 2, 3].map(|part| load_32(&parts[part]))
}

#[target_feature(enable = "avx2")]
#[inline]
fn store_wide(values: &mut [i32; LANES], vectors: [__m256i; 4]) {
    for (part, vector) in values.as_chunks_mut::<8>().0.iter_mut().zip(vectors) {
        store_32(part, vector);
    }
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
