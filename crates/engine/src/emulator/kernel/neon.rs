//! NEON: 8 lanes of 16-bit drive a register.
#![allow(unsafe_code)]

use std::arch::aarch64::{
    int16x8_t, int32x4_t, uint8x16_t, uint32x4_t, vaddq_s16, vaddq_s32, vaddv_u8, vaddw_high_s16, vaddw_s16,
    vandq_s32, vandq_u8, vcgeq_s32, vcgtq_s32, vcltq_s32, vcombine_u8, vcombine_u16, vdupq_n_s16,
    vdupq_n_s32, vget_high_u8, vget_low_s16, vget_low_u8, vld1q_s16, vld1q_s32, vld1q_u8, vmovn_u16,
    vmovn_u32, vorrq_u32, vreinterpretq_s32_u32, vst1q_s32, vsubq_s32,
};
use std::arch::is_aarch64_feature_detected;

use super::position::{
    Arrivals, Drive, FARTHEST, LANES, LINES, Layer, Line, Run, Target, gather, list, look_up, positions,
};

/// The proof that this CPU has NEON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Neon(());

impl Neon {
    /// The kernel, if this CPU has its instructions.
    pub fn new() -> Option<Self> {
        let available = is_aarch64_feature_detected!("neon");
        available.then_some(Self(()))
    }

    /// Runs all time steps of a layer.
    #[inline]
    pub fn run(self, layer: &Layer<'_>, target: &mut Target<'_>) {
        // SAFETY: `new` gave the token, so this CPU has NEON; the function requires nothing else.
        unsafe { run(layer, target) }
    }
}

#[target_feature(enable = "neon")]
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
#[target_feature(enable = "neon")]
fn block<const Z: usize>(drive: &Drive, arrivals: &Arrivals<'_>, run: &mut Run<'_>) {
    match drive {
        Drive::Table { rows, sums } => steps::<Z>(run, |membranes, step| {
            let mut drive = [[vdupq_n_s16(0); 4]; Z];
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
                        *membrane = vaddq_s32(*membrane, bias);
                    }
                }
                for rows in arrivals.of(step).chunks(*most) {
                    let mut part = [[vdupq_n_s16(0); 4]; Z];
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
#[target_feature(enable = "neon")]
#[inline]
fn steps<const Z: usize>(run: &mut Run<'_>, drive: impl Fn(&mut [[int32x4_t; 8]; Z], usize)) {
    let stored: &mut [[i32; LANES]; Z] = (&mut *run.membranes).try_into().expect("a block's lines");
    let mut membranes = stored.each_ref().map(|stored| load_wide(stored));
    let threshold = vdupq_n_s32(run.threshold);
    for step in 0..run.steps {
        drive(&mut membranes, step);
        if run.watched {
            for membranes in &membranes {
                let beyond = membranes.map(|membrane| {
                    let above = vcgtq_s32(membrane, vdupq_n_s32(FARTHEST));
                    vorrq_u32(above, vcltq_s32(membrane, vdupq_n_s32(-FARTHEST)))
                });
                *run.saturated += u64::from(bits(beyond).count_ones());
            }
        }
        let mut fired = [0u64; LINES / 2];
        for (line, membranes) in membranes.iter_mut().enumerate() {
            let spikes = membranes.map(|membrane| vcgeq_s32(membrane, threshold));
            for (membrane, spikes) in membranes.iter_mut().zip(spikes) {
                let reset = vandq_s32(vreinterpretq_s32_u32(spikes), threshold);
                *membrane = vsubq_s32(*membrane, reset);
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
#[target_feature(enable = "neon")]
#[inline]
fn add_narrow<const Z: usize>(drive: &mut [[int16x8_t; 4]; Z], sums: &[Line; Z]) {
    for (drive, sums) in drive.iter_mut().zip(sums) {
        for (drive, sums) in drive.iter_mut().zip(load(sums)) {
            *drive = vaddq_s16(*drive, sums);
        }
    }
}

/// Adds 16-bit sums to all membranes.
#[target_feature(enable = "neon")]
#[inline]
fn add<const Z: usize>(membranes: &mut [[int32x4_t; 8]; Z], drive: &[[int16x8_t; 4]; Z]) {
    for (membranes, drive) in membranes.iter_mut().zip(drive) {
        let pairs = membranes.as_chunks_mut::<2>().0;
        for (membranes, drive) in pairs.iter_mut().zip(drive) {
            membranes[0] = vaddw_s16(membranes[0], vget_low_s16(*drive));
            membranes[1] = vaddw_high_s16(membranes[1], *drive);
        }
    }
}

/// One bit for each lane of a line, from masks of 32 bits.
#[target_feature(enable = "neon")]
#[inline]
fn bits(spikes: [uint32x4_t; 8]) -> u32 {
    let [first, second] = [0, 4].map(|at| {
        let low = vcombine_u16(vmovn_u32(spikes[at]), vmovn_u32(spikes[at + 1]));
        let high = vcombine_u16(vmovn_u32(spikes[at + 2]), vmovn_u32(spikes[at + 3]));
        vandq_u8(
            vcombine_u8(vmovn_u16(low), vmovn_u16(high)),
            load_bytes(&[1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128]),
        )
    });
    u32::from_le_bytes([
        vaddv_u8(vget_low_u8(first)),
        vaddv_u8(vget_high_u8(first)),
        vaddv_u8(vget_low_u8(second)),
        vaddv_u8(vget_high_u8(second)),
    ])
}

#[target_feature(enable = "neon")]
#[inline]
fn load(line: &Line) -> [int16x8_t; 4] {
    let parts = line.0.as_chunks::<8>().0;
    [0, 1, 2, 3].map(|part| load_narrow(&parts[part]))
}

#[target_feature(enable = "neon")]
#[inline]
fn load_wide(values: &[i32; LANES]) -> [int32x4_t; 8] {
    let parts = values.as_chunks::<4>().0;
    [0, 1, 2, 3, 4, 5, 6, 7].map(|part| load_4(&parts[part]))
}

#[target_feature(enable = "neon")]
#[inline]
fn store_wide(values: &mut [i32; LANES], vectors: [int32x4_t; 8]) {
    for (part, vector) in values.as_chunks_mut::<4>().0.iter_mut().zip(vectors) {
        store_4(part, vector);
    }
}

#[target_feature(enable = "neon")]
#[inline]
fn load_narrow(values: &[i16; 8]) -> int16x8_t {
    // SAFETY: the reference is to 16 readable bytes, aligned as an i16, which is all that the load needs.
    unsafe { vld1q_s16(values.as_ptr()) }
}

#[target_feature(enable = "neon")]
#[inline]
fn load_4(values: &[i32; 4]) -> int32x4_t {
    // SAFETY: the reference is to 16 readable bytes, aligned as an i32, which is all that the load needs.
    unsafe { vld1q_s32(values.as_ptr()) }
}

#[target_feature(enable = "neon")]
#[inline]
fn load_bytes(values: &[u8; 16]) -> uint8x16_t {
    // SAFETY: the reference is to 16 readable bytes.
    unsafe { vld1q_u8(values.as_ptr()) }
}

#[target_feature(enable = "neon")]
#[inline]
fn store_4(values: &mut [i32; 4], vector: int32x4_t) {
    // SAFETY: the reference is to 16 writable bytes, aligned as an i32, which is all that the store needs.
    unsafe { vst1q_s32(values.as_mut_ptr(), vector) }
}
