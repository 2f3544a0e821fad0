//! Data sets: pictures with labels, by split.

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::files::read;
use engine::picture::idx;

pub use engine::picture::idx::{Labelled, Split};

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
