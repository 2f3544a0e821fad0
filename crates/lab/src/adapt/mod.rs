//! A network for one catalogue, from its own pictures, and a verdict on it that can be trusted.
//!
//! In: the pictures of a catalogue with their products, labels where there are some, and the network in use. Out: a
//! spiking network, and how both networks find products that were held out from everything else: by label, by another
//! picture of the product, or as a teacher does. Absent: the catalogue itself (the program's `adapt` reads it).

#[cfg(feature = "train")]
mod course;
pub mod judge;
pub mod labels;
#[cfg(feature = "train")]
pub mod learn;
pub mod plan;
#[cfg(feature = "train")]
pub mod report;
pub mod split;
pub mod task;
pub mod verdict;
