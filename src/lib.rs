//! Spikelens: visual search whose embeddings come from a spiking network on an emulated Intel Loihi chip.
//!
//! The modules stand in the order in which a picture flows through them, and import leftward only:
//!
//! picture ← network ← chip ← train, convert ← emulator ← embedding ← neighbours ← catalogue ← service ← http ←
//! config, cli
//!
//! Everything left of `catalogue` is pure and synchronous: bytes, seeds and thread counts come in as arguments; there
//! are no files, clocks, environment or async there.
#![deny(unsafe_code)]
#![warn(missing_debug_implementations)]

pub mod picture;
pub mod network;
pub mod chip;
pub mod convert;
#[cfg(feature = "train")]
pub mod train;
pub mod emulator;
pub mod embedding;
pub mod neighbours;
pub mod catalogue;
pub mod service;
pub mod http;
pub mod config;
pub mod cli;
