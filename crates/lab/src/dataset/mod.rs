//! Data sets: pictures with labels, by split, prepared for a network's input.
//!
//! In: the path of a DATASET: a Fashion-MNIST folder, a folder of class folders, a CSV or NDJSON manifest, or a
//! `photos.csv` beside a folder `photos`. Out: training, validation and test pictures with their classes. Every picture
//! is decoded once and kept only as it was prepared. Absent: changing pictures while training.

mod calibration;
mod divide;
mod entry;
mod fashion_mnist;
mod folders;
mod inside;
#[cfg(feature = "train")]
mod lessons;
mod listing;
mod manifest;
mod pictures;
#[cfg(test)]
mod tests;

pub use calibration::calibration;
pub use engine::picture::idx::{Labelled, Split};
pub use entry::{Entry, Part};
pub use fashion_mnist::{fashion_mnist, is_fashion_mnist, prepared};
#[cfg(feature = "train")]
pub use lessons::{Lessons, Request, lessons};
pub use listing::Listing;
pub use pictures::{DataSet, LeftOut, Set, Wanted, picture, read};

/// What a DATASET is, for the help of every command that takes one.
pub const DATASET_HELP: &str = "A data set: a Fashion-MNIST folder; a folder of class folders, with or without train, \
     validation and test above them; a CSV or NDJSON manifest with image and label, and optionally id, split and group; \
     or a folder with photos.csv and photos";
