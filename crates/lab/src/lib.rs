//! The laboratory: it makes and judges the networks that Spikelens serves.
//!
//! In: pictures with labels, a float network. Out: a trained network, its conversion to spikes, and how good and how
//! costly it is, beside the paper's figures. Absent: the catalogue, HTTP and everything else that serving needs.

pub mod ann;
mod cases;
pub mod commands;
pub mod convert;
pub mod evaluate;
mod figures;
mod files;
pub mod fit;
#[cfg(feature = "train")]
mod paper;
mod progress;
#[cfg(feature = "train")]
pub mod train;
pub mod validation;
