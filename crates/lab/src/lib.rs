//! The laboratory: trains, converts, tunes and evaluates the networks that Spikelens serves.
//!
//! In: pictures with labels, a float network. Out: a trained network, its conversion to a spiking one, and
//! measurements of accuracy, search quality and modelled cost, beside the paper's figures. `commands` holds the
//! command line arguments; everything else takes plain structs. Absent: the catalogue, HTTP and everything else that
//! only the server needs.
#![warn(clippy::missing_errors_doc, clippy::must_use_candidate)]

pub mod adapt;
pub mod ann;
mod cases;
pub mod commands;
pub mod convert;
mod csv_text;
pub mod dataset;
pub mod evaluate;
mod figures;
mod files;
pub mod fit;
#[cfg(feature = "train")]
pub mod paper;
mod progress;
pub mod published;
pub mod recipe;
#[cfg(feature = "train")]
pub mod train;
#[cfg(feature = "train")]
pub mod training;
pub mod validation;
