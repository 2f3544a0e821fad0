//! Spikelens: visual search with embeddings by a spiking network on an emulated Intel Loihi chip.
//!
//! Packages and modules import only from those to their left:
//!
//! engine, lab ← budget, json ← admission, progress ← catalogue ← chips ← service ← http ← cli
//!
//! The engine (`crates/engine`) is pure: from pictures to embeddings and their neighbours. The laboratory (`crates/lab`) makes
//! and evaluates networks; only `cli` uses it. This package has products, threads, time, files and HTTP.
#![warn(missing_debug_implementations)]

pub mod admission;
pub mod budget;
pub mod json;
pub mod progress;
pub mod catalogue;
pub mod chips;
pub mod service;
pub mod http;
pub mod cli;
