//! NEON: 8 lanes of 16-bit drive a register, membranes in registers over all time steps.
#![allow(unsafe_code)]

use std::arch::aarch64::{
    int16x8_t, int32x4_t, uint8x16_t, uint32x4_t, vaddq_s16, vaddq_s32, vaddv_u8, vaddw_high_s16, vaddw_s16,
    vandq_s32, vandq_u8, vcgeq_s32, vcgtq_s32, vcltq_s32, vcombine_u8, vcombine_u16, vdupq_n_s16,
    vdupq_n_s32, vdupq_n_u32, vget_high_u8, vget_low_s16, vget_low_u8, vld1q_s16, vld1q_s32, vld1q_u8,
    vmovn_u16, vmovn_u32, vorrq_u32, vreinterpretq_s32_u32, vst1q_s32, vsubq_s32,
};
use std::arch::is_aarch64_feature_detected;

use super::position::{Drive, FARTHEST, LANES, Position, Target, gather, list, looked_up, wide};

/// The proof that this CPU has NEON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Neon(());

impl Neon {
    /// The kernel, if this CPU has its instructions.
    pub fn new() -> Option<Self> {
        let available = is_aarch64_feature_detected!("neon");
        available.then_some(Self(()))
    }

    /// Runs all time steps of one position.
    #[inline]
    pub fn run(self, position: &Position<'_>, target: &mut Target<'_>) {
        // SAFETY: `new` gave the token, so this CPU has NEON; the functions require nothing else.
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
#[target_feature(enable = "neon")]
fn steps<const N: usize, const L: usize>(position: &Position<'_>, target: &mut Target<'_>) {
    let block = position.block;
    let weights = block.weights.as_chunks::<L>().0;
    let mut membranes: [[int32x4_t; 4]; N] = load_all(position.initial);
    let threshold = vdupq_n_s32(position.threshold);
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
                let mut drive = [[vdupq_n_s16(0); 2]; N];
                for (drive, bias) in drive.as_flattened_mut().iter_mut().zip(bias.as_chunks().0) {
                    *drive = load_narrow(bias);
                }
                for &row in &target.scratch.active[..count] {
                    let weights = weights[usize::from(row)].as_chunks().0;
                    for (drive, weights) in drive.as_flattened_mut().iter_mut().zip(weights) {
                        *drive = vaddq_s16(*drive, load_narrow(weights));
                    }
                }
                for (membranes, drive) in membranes.iter_mut().zip(drive) {
                    widen_and_add(membranes, drive);
                }
            }
            Drive::Wide(bias) => {
                let count = list(target.scratch, step, steps);
                target.arrived[step] += wide(count);
                let bias: [[int32x4_t; 4]; N] = load_all(bias);
                for (membrane, bias) in membranes.as_flattened_mut().iter_mut().zip(bias.as_flattened()) {
                    *membrane = vaddq_s32(*membrane, *bias);
                }
                for &row in &target.scratch.active[..count] {
                    add(&mut membranes, &weights[usize::from(row)]);
                }
            }
        }
        if position.watched {
            for membranes in &membranes {
                let beyond = membranes.map(|membrane| {
                    let above = vcgtq_s32(membrane, vdupq_n_s32(FARTHEST));
                    vorrq_u32(above, vcltq_s32(membrane, vdupq_n_s32(-FARTHEST)))
                });
                *target.saturated += u64::from(bits(beyond).count_ones());
            }
        }
        let mut fired = 0u64;
        for (vector, membranes) in membranes.iter_mut().enumerate() {
            let mut spikes = [vdupq_n_u32(0); 4];
            for (membrane, spikes) in membranes.iter_mut().zip(&mut spikes) {
                *spikes = vcgeq_s32(*membrane, threshold);
                let reset = vandq_s32(vreinterpretq_s32_u32(*spikes), threshold);
                *membrane = vsubq_s32(*membrane, reset);
            }
            fired |= u64::from(bits(spikes)) << (vector * LANES);
        }
        target.fired[step * target.stride + target.word] = fired;
        target.spikes[step] += u64::from(fired.count_ones());
    }
    let stored = target.membranes.as_chunks_mut::<4>().0;
    for (values, stored) in membranes.as_flattened().iter().zip(stored) {
        store_wide(stored, *values);
    }
}

/// Adds 16-bit sums to all membranes.
#[target_feature(enable = "neon")]
#[inline]
fn add<const N: usize, const L: usize>(membranes: &mut [[int32x4_t; 4]; N], sums: &[i16; L]) {
    for (membranes, sums) in membranes.iter_mut().zip(sums.as_chunks::<LANES>().0) {
        let (low, high) = sums.split_at(8);
        let low = load_narrow(low.try_into().expect("8 of 16"));
        let high = load_narrow(high.try_into().expect("8 of 16"));
        widen_and_add(membranes, [low, high]);
    }
}

/// Adds 16 lanes of 16 bits to as many of 32.
#[target_feature(enable = "neon")]
#[inline]
fn widen_and_add(membranes: &mut [int32x4_t; 4], drive: [int16x8_t; 2]) {
    membranes[0] = vaddw_s16(membranes[0], vget_low_s16(drive[0]));
    membranes[1] = vaddw_high_s16(membranes[1], drive[0]);
    membranes[2] = vaddw_s16(membranes[2], vget_low_s16(drive[1]));
    membranes[3] = vaddw_high_s16(membranes[3], drive[1]);
}

/// One bit for each of 16 lanes, from masks of 32 bits.
#[target_feature(enable = "neon")]
#[inline]
fn bits(spikes: [uint32x4_t; 4]) -> u16 {
    let first = vmovn_u16(vcombine_u16(vmovn_u32(spikes[0]), vmovn_u32(spikes[1])));
    let second = vmovn_u16(vcombine_u16(vmovn_u32(spikes[2]), vmovn_u32(spikes[3])));
    let lanes = vandq_u8(
        vcombine_u8(first, second),
        load_bytes(&[1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128]),
    );
    u16::from_le_bytes([vaddv_u8(vget_low_u8(lanes)), vaddv_u8(vget_high_u8(lanes))])
}

#[target_feature(enable = "neon")]
#[inline]
fn load_all<const N: usize>(values: &[i32]) -> [[int32x4_t; 4]; N] {
    let mut loaded = [[vdupq_n_s32(0); 4]; N];
    for (loaded, values) in loaded.as_flattened_mut().iter_mut().zip(values.as_chunks().0) {
        *loaded = load_wide(values);
    }
    loaded
}

#[target_feature(enable = "neon")]
#[inline]
fn load_narrow(values: &[i16; 8]) -> int16x8_t {
    // SAFETY: the reference is to 16 readable bytes, aligned as an i16, which is all that the load needs.
    unsafe { vld1q_s16(values.as_ptr()) }
}

#[target_feature(enable = "neon")]
#[inline]
fn load_wide(values: &[i32; 4]) -> int32x4_t {
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
fn store_wide(values: &mut [i32; 4], vector: int32x4_t) {
    // SAFETY: the reference is to 16 writable bytes, aligned as an i32, which is all that the store needs.
    unsafe { vst1q_s32(values.as_mut_ptr(), vector) }
}
