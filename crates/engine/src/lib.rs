//! Picture → spikes → embedding → neighbours: the engine of Spikelens, a spiking network on an emulated Intel Loihi chip.
//!
//! The modules stand in the order in which a picture flows through them, and import leftward only:
//!
//! picture ← network ← chip ← emulator ← embedding ← model, neighbours
//!
//! Everything here is pure and synchronous: bytes, seeds and thread counts come in as arguments; there are no clocks, no
//! environment, no async and, but for the graph's kept files (`neighbours`), no files.

pub mod picture;
pub mod network;
pub mod chip;
pub mod emulator;
pub mod embedding;
pub mod model;
pub mod neighbours;
pub mod parallel;
