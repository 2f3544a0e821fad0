//! Intel Loihi, first generation: limits, placement, counts and prices.
//!
//! In: an `Snn` and what an emulator counted. Out: the cores that its layers need, and the modelled time and energy.
//! Absent: dynamics (`crate::emulator`) and times measured on this host.

pub mod cost;
pub mod draw;
pub mod events;
pub mod place;
pub mod report;
pub mod synapses;
pub mod tiling;
pub mod width;

/// Neuromorphic cores on one chip (Davies 2018, as quoted in nengo-loihi and NxTF sources).
pub const CORES_PER_CHIP: usize = 128;

/// Cores that share one router (NxTF `snip_reset.c`).
pub const CORES_PER_TILE: usize = 4;

/// Tiles in one column; a chip has 8 columns (NxTF `snip_reset.c`).
pub const TILE_ROWS: usize = 4;

/// Compartments on one core (nengo-loihi `block.py`; NxTF `optimization.py`).
pub const COMPARTMENTS_PER_CORE: usize = 1024;

/// Input axons of one core (nengo-loihi `block.py`; NxTF `optimization.py`).
pub const INPUT_AXONS_PER_CORE: usize = 4096;

/// Output axons of one core (nengo-loihi `block.py`; NxTF `optimization.py`).
pub const OUTPUT_AXONS_PER_CORE: usize = 4096;

/// Bits of synaptic memory in one core: 16,384 words of 64 bits, the paper's 128 KB.
pub const SYNAPSE_BITS_PER_CORE: usize = 16_384 * 64;

/// The largest number of inputs of one neuron (the paper, "Methods").
pub const FAN_IN: usize = 4096;

/// The largest magnitude of a 9-bit signed weight, stored as two shared-sign lists (the paper, Algorithm 1, line 1).
pub const WEIGHT_MAX: i16 = 255;

/// Compartments per neuron with soft reset. The chip only resets to zero, so one compartment integrates and a second
/// one spikes and subtracts the threshold (NxTF `dnn_mapper._mapCompartments`).
pub const COMPARTMENTS_PER_NEURON: usize = 2;
