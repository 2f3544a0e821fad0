//! Training pictures without their labels, for calibration.

use std::path::Path;

use anyhow::Result;

use super::entry::Part;
use super::fashion_mnist::{fashion_mnist, is_fashion_mnist, prepared};
use super::listing::Listing;
use super::pictures::{Wanted, read};
use engine::picture::idx::Split;
use engine::picture::{Picture, Recipe, Shape};

/// Training pictures prepared for an input: the first `count` of Fashion-MNIST, or at most `count`, spread evenly over
/// another data set.
///
/// # Errors
/// If the data set cannot be read, or its pictures cannot be prepared for the input.
pub fn calibration(path: &Path, input: Shape, recipe: Recipe, count: usize) -> Result<Vec<Picture>> {
    if is_fashion_mnist(path) {
        let (pictures, _) = fashion_mnist(path, Split::Train, Some(count))?;
        return Ok(prepared(pictures, input, recipe)?);
    }
    let listing = Listing::open(path)?;
    let parts = [(Part::Train, Some(count))];
    let read = read(
        &listing,
        &Wanted {
            input,
            recipe,
            parts: &parts,
            labelled: false,
        },
    )?;
    read.left_out.tell();
    Ok(read.train.pictures)
}
