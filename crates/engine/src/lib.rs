//! The engine of Spikelens: a spiking network on an emulated Intel Loihi chip turns pictures into embeddings, and a
//! nearest-neighbour index searches them.
//!
//! The modules are listed in the order in which a picture passes through them. Each imports only modules to its left:
//!
//! parallel, text ← picture ← network ← chip ← emulator ← embedding ← model ← neighbours
//!
//! Everything is pure and synchronous: bytes, seeds and thread counts are arguments. There are no clocks, no
//! environment variables, no async code and no files, except for the dump of the graph in `neighbours`. See
//! `examples/emulate.rs`.
#![warn(clippy::missing_errors_doc, clippy::must_use_candidate)]

pub mod picture;
pub mod network;
pub mod chip;
pub mod emulator;
pub mod embedding;
pub mod model;
pub mod neighbours;
pub mod parallel;
pub mod text;
