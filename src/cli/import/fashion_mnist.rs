//! Fashion-MNIST's training pictures as products, named after their classes.

use std::path::Path;

use anyhow::Result;

use super::source::Source;
use crate::catalogue::manifest::{ManifestProduct, Refusal};
use crate::cli::files;
use crate::service::ingest::{Image, Offered};
use engine::picture::idx::{CLASS_NAMES, Split};
use engine::picture::{Mode, Picture};

/// The first `limit` training pictures.
///
/// # Errors
/// If the files are missing or invalid.
pub fn source(folder: &Path, limit: Option<usize>) -> Result<Source> {
    let (pictures, labels) = files::fashion_mnist(folder, limit)?;
    let expected = pictures.len();
    let offered = pictures.into_iter().zip(labels).zip(0..);
    Ok(Source {
        offered: Box::new(offered.map(|((picture, label), index)| {
            Offered::product(format!("picture {index}"), product(&picture, label, index))
        })),
        expected,
        skipped: None,
    })
}

fn product(picture: &Picture, label: u8, index: usize) -> Result<ManifestProduct<Image>, Refusal> {
    let id = format!("fashion-mnist-train-{index}");
    let class = CLASS_NAMES.get(usize::from(label));
    let class = *class.ok_or_else(|| Refusal::of(&id, format!("label {label} is not a class")))?;
    let file = picture.to_png();
    let file = file.map_err(|error| Refusal::of(&id, error.to_string()))?;
    let mut attributes = serde_json::Map::new();
    attributes.insert("category".to_owned(), class.into());
    attributes.insert("split".to_owned(), Split::Train.as_str().into());
    let pictures = vec![Image::Bytes(file)];
    ManifestProduct::new(&id, class.to_owned(), attributes, pictures, Mode::Auto)
}
