//! Spikelens: visual search whose embeddings come from a spiking network on an emulated Intel Loihi chip.
//!
//! The packages and modules import leftward only:
//!
//! engine, lab ← budget, progress ← catalogue ← chips ← service ← http ← cli
//!
//! The engine (`crates/engine`) is pure: picture to embedding to neighbours. The laboratory (`crates/lab`) makes networks
//! and is known to `cli` alone. Here are products, threads, time, files and the network's protocols.
#![warn(missing_debug_implementations)]

pub mod budget;
pub mod progress;
pub mod catalogue;
pub mod chips;
pub mod service;
pub mod http;
pub mod cli;
