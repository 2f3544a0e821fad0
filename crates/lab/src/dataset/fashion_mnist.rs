//! The files of Fashion-MNIST.

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::files::{read, threads};
use engine::parallel::in_parallel;
use engine::picture::idx::{self, Labelled, Split};
use engine::picture::{DecodeLimits, Mode, Picture, PictureError, Recipe, Shape, decode, prepare};

/// Whether a path is a folder with Fashion-MNIST's training pictures.
#[must_use]
pub fn is_fashion_mnist(path: &Path) -> bool {
    path.join(Split::Train.file_names()[0]).is_file()
}

/// The first `count` pictures of a split of Fashion-MNIST with their labels; all of them if `count` is `None`.
///
/// # Errors
/// If `folder` is not a directory with the split's two files, one of them is damaged, or there are fewer pictures.
pub fn fashion_mnist(folder: &Path, split: Split, count: Option<usize>) -> Result<Labelled> {
    if !folder.is_dir() {
        bail!(
            "{} is not a directory; it must hold the four official *-ubyte.gz files of Fashion-MNIST \
             (`make dataset` fetches them)",
            folder.display()
        );
    }
    let [pictures, labels] = split.file_names().map(|name| folder.join(name));
    let named = || format!("{}, {split} split", folder.display());
    idx::labelled(&read(&pictures)?, &read(&labels)?, count).with_context(named)
}

/// Prepares pictures of Fashion-MNIST for a network of another input, as if each came as a PNG file.
///
/// # Errors
/// If the network's input is not one or three channels of 1 to 4,096 rows and columns.
pub fn prepared(pictures: Vec<Picture>, input: Shape, recipe: Recipe) -> Result<Vec<Picture>, PictureError> {
    if pictures.iter().all(|picture| picture.shape() == input) {
        return Ok(pictures);
    }
    let each = |(): &mut (), index: usize| {
        let decoded = decode(&pictures[index].to_png()?, &DecodeLimits::default())?;
        prepare(&decoded, input, recipe, Mode::Auto)
    };
    in_parallel(threads(), pictures.len(), || (), each)
        .into_iter()
        .collect()
}
