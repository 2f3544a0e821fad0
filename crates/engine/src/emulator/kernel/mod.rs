//! The innermost loop: one position of a layer, all its time steps, a block of channels in lanes.
//!
//! In: where the position's spikes come from, the block's weights and biases. Out: its membranes and its own spikes.
//! Every kernel does the following; a vector holds one value for each channel of the block:
//!
//! ```text
//! rows[step] = bits of the rows of weights whose source fired in step - 1      (gather; none in the first step)
//! membrane   = initial
//! for each step:
//!     drive     = bias + sum of weights[row] for each row in rows[step]        (16 bits where they suffice, or a table)
//!     membrane += drive
//!     saturated += number of lanes with |membrane| > MEMBRANE_MAX              (only where the range is watched)
//!     fired     = membrane >= threshold
//!     membrane -= threshold where fired
//!     output[step] = fired, one bit per lane
//! ```
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
    Block, Drive, LANES, MOST_ROWS, Position, Scratch, TABLE_ROWS, Target, VECTORS, View, index,
};

/// A kernel that this CPU can run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kernel {
    /// Plain Rust, on every CPU.
    Portable,
    /// AVX2 with BMI1, LZCNT and POPCNT.
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    /// AVX-512 F, BW, VL and VBMI2, with POPCNT.
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

    /// Runs all time steps of one position.
    #[inline]
    pub fn run(self, position: &Position<'_>, target: &mut Target<'_>) {
        match self {
            Self::Portable => portable::run(position, target),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(kernel) => kernel.run(position, target),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(kernel) => kernel.run(position, target),
            #[cfg(target_arch = "aarch64")]
            Self::Neon(kernel) => kernel.run(position, target),
        }
    }
}
