//! Files: read with a clear refusal, written whole or not at all.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use ndarray::Array3;

use engine::chip::cost::CostModel;
use engine::model::Model;
use engine::picture::{Picture, Shape, idx};

/// Reads a file, naming it in the refusal.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))
}

/// A name in a file's own folder to write it under first.
pub fn beside(path: &Path) -> Result<PathBuf> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let name = path
        .file_name()
        .with_context(|| format!("{} names no file", path.display()))?;
    let mut fresh = name.to_owned();
    fresh.push(format!(".{}.new", std::process::id()));
    Ok(folder.join(fresh))
}

/// Writes a file beside its place and moves it there: nobody ever sees half of it.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let fresh = beside(path)?;
    let written = (|| {
        let mut file = std::fs::File::create(&fresh)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&fresh, path)
    })();
    if written.is_err() {
        // The refusal below is what matters; a left-over file is only untidy.
        let _ = std::fs::remove_file(&fresh);
    }
    written.with_context(|| format!("{} cannot be written", path.display()))
}

/// Reads and places an SNN file, or the shipped one.
pub fn model(path: Option<&Path>, cost_model: CostModel) -> Result<Arc<Model>> {
    let model = match path {
        None => Model::read(Model::SHIPPED, cost_model).context("the model inside this program")?,
        Some(path) => {
            Model::read(&read(path)?, cost_model).with_context(|| format!("{} is refused", path.display()))?
        }
    };
    Ok(Arc::new(model))
}

/// A split of Fashion-MNIST.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    Train,
    Test,
}

impl Split {
    /// The split's name in product ids.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Test => "test",
        }
    }

    /// The split's name in the official files.
    fn stem(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Test => "t10k",
        }
    }
}

/// The first `count` pictures of a split with their labels; all where `count` is none.
pub fn fashion_mnist(folder: &Path, split: Split, count: Option<usize>) -> Result<(Vec<Picture>, Vec<u8>)> {
    if !folder.is_dir() {
        bail!(
            "{} is no folder; it must hold the four official *-ubyte.gz files of Fashion-MNIST \
             (`make dataset` fetches them)",
            folder.display()
        );
    }
    let path = folder.join(format!("{}-images-idx3-ubyte.gz", split.stem()));
    let pixels = idx::pictures(&read(&path)?).with_context(|| path.display().to_string())?;
    let path = folder.join(format!("{}-labels-idx1-ubyte.gz", split.stem()));
    let mut labels = idx::labels(&read(&path)?).with_context(|| path.display().to_string())?;
    let (there, height, width) = pixels.dim();
    if labels.len() != there {
        bail!(
            "{} has {} labels for {there} pictures",
            path.display(),
            labels.len()
        );
    }
    let wanted = count.unwrap_or(there);
    if wanted > there {
        bail!(
            "{wanted} pictures are asked for, the {} split has {there}",
            split.as_str()
        );
    }
    let shape = Shape {
        channels: 1,
        height,
        width,
    };
    let pictures = pixels
        .outer_iter()
        .take(wanted)
        .map(|plane| {
            let pixels: Array3<u8> = plane.to_owned().insert_axis(ndarray::Axis(0));
            debug_assert_eq!(pixels.len(), shape.len());
            Ok(Picture::new(pixels)?)
        })
        .collect::<Result<_>>()?;
    labels.truncate(wanted);
    Ok((pictures, labels))
}

/// How many threads to use where nobody says.
pub fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
