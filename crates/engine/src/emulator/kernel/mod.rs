//! The innermost loop: a layer position by position, each in all its time steps, channels in lanes.
//!
//! In: where each position's spikes come from, weights and biases. Out: membranes and the layer's own spikes. Every
//! kernel does the following; a line is a cache line of 32 channels, and a block has up to four of them:
//!
//! ```text
//! for each position:
//!     rows = which rows of weights have a source that fired, by word and step      (gather; 8 steps at once)
//!     if nothing arrives: copy another such position                              (if all positions start alike)
//!     for each batch of 8 steps:
//!         active = indices of the rows of each step, a row of zeros up to fours   (list; not if sums are in tables)
//!         for each block, for each step:
//!             drive     = bias + sum of weights[row] for each active row          (16 bits where they suffice, or tables)
//!             membrane += drive
//!             saturated += number of lanes with |membrane| > MEMBRANE_MAX         (only where the range is watched)
//!             fired     = membrane >= threshold
//!             membrane -= threshold where fired
//!             output[word, step] = fired, one bit per lane
//! ```
//!
//! The first step is the same for every picture, because nothing arrives in it: it is part of the layout. What arrives in
//! a step was fired in the one before.
//!
//! A kernel for an instruction set is a token, such as `Avx2`, whose `new` returns it only on a CPU that has the
//! instructions. Holding the token is the proof, so that running the kernel asks nothing and cannot fail. An emulator
//! takes its kernel once, when it is made; no kernel changes a result. The kernels hold the only `unsafe` of the
//! program, here and in `crate::neighbours`. Absent: layers, events and pictures.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;
mod position;

#[cfg(target_arch = "x86_64")]
use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
use avx512::Avx512;
#[cfg(target_arch = "aarch64")]
use neon::Neon;

pub use position::{
    Block, Drive, GROUP, LANES, LINES, Layer, Line, MOST_ROWS, Scratch, Start, Target, View, index,
};

/// A kernel that this CPU can run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kernel {
    /// Plain Rust, on every CPU.
    Portable,
    /// AVX2 with BMI1, LZCNT and POPCNT.
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    /// AVX-512 F, BW, VL, VBMI2 and VPOPCNTDQ, with POPCNT.
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
    /// NEON.
    #[cfg(target_arch = "aarch64")]
    Neon(Neon),
}

impl Kernel {
    /// Every kernel that this CPU can run, the portable one first, the fastest one last.
    #[must_use]
    pub fn available() -> Vec<Self> {
        let mut kernels = vec![Self::Portable];
        #[cfg(target_arch = "x86_64")]
        {
            kernels.extend(Avx2::new().map(Self::Avx2));
            kernels.extend(Avx512::new().map(Self::Avx512));
        }
        #[cfg(target_arch = "aarch64")]
        kernels.extend(Neon::new().map(Self::Neon));
        kernels
    }

    /// The fastest kernel that this CPU can run.
    #[must_use]
    pub fn detect() -> Self {
        Self::available().pop().unwrap_or(Self::Portable)
    }

    /// The kernel's name: `portable`, `avx2`, `avx512` or `neon`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => "avx2",
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => "avx512",
            #[cfg(target_arch = "aarch64")]
            Self::Neon(_) => "neon",
        }
    }

    /// Runs all time steps of a layer.
    pub fn run(self, layer: &Layer<'_>, target: &mut Target<'_>) {
        match self {
            Self::Portable => portable::run(layer, target),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(kernel) => kernel.run(layer, target),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(kernel) => kernel.run(layer, target),
            #[cfg(target_arch = "aarch64")]
            Self::Neon(kernel) => kernel.run(layer, target),
        }
    }
}
