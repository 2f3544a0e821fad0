//! Reading and writing files: errors name the file, and a file is written completely or not at all.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};

use engine::chip::cost::CostModel;
use engine::model::Model;
use engine::model::built_in::Asked;
use engine::picture::idx::{self, Labelled, Split};

/// Reads a file.
///
/// # Errors
/// If it cannot be read; the error names the file.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))
}

/// A temporary path in the same directory, to write a file to before it is renamed.
///
/// # Errors
/// If `path` does not end in a file name.
pub fn beside(path: &Path) -> Result<PathBuf> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let name = path
        .file_name()
        .with_context(|| format!("{} does not end in a file name", path.display()))?;
    let mut fresh = name.to_owned();
    fresh.push(format!(".{}.new", std::process::id()));
    Ok(folder.join(fresh))
}

/// Writes a file under a temporary name and renames it, so that a partly written file is never visible.
///
/// # Errors
/// If it cannot be written; an existing file is then unchanged.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let fresh = beside(path)?;
    let written = (|| {
        let mut file = std::fs::File::create(&fresh)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&fresh, path)
    })();
    if written.is_err() {
        // The error below matters more than a leftover file.
        let _ = std::fs::remove_file(&fresh);
    }
    written.with_context(|| format!("{} cannot be written", path.display()))
}

/// Reads a built-in network, or an SNN file, and places it on the chip.
///
/// # Errors
/// If there is no such file and no such name, or the file is not a network that fits the chip.
pub fn model(asked: &Asked, cost_model: CostModel) -> Result<Arc<Model>> {
    let model = match asked {
        Asked::BuiltIn(network) => {
            let read = Model::read(network.file(), cost_model);
            read.with_context(|| format!("the built-in network {network}"))?
        }
        Asked::File(path) if asked.is_word() && !path.exists() => bail!(asked.refusal()),
        Asked::File(path) => {
            Model::read(&read(path)?, cost_model).with_context(|| format!("{} is refused", path.display()))?
        }
    };
    Ok(Arc::new(model))
}

/// Whether a folder holds Fashion-MNIST.
pub fn is_fashion_mnist(folder: &Path) -> bool {
    folder.join(Split::Train.file_names()[0]).is_file()
}

/// The first `count` training pictures of Fashion-MNIST with their labels; all of them if `count` is `None`.
pub fn fashion_mnist(folder: &Path, count: Option<usize>) -> Result<Labelled> {
    let [pictures, labels] = Split::Train.file_names().map(|name| folder.join(name));
    let named = || format!("{}, {} split", folder.display(), Split::Train);
    idx::labelled(&read(&pictures)?, &read(&labels)?, count).with_context(named)
}

/// The default number of threads: one per CPU.
#[must_use]
pub fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
