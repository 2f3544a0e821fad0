//! Reads and writes files; a file is written whole or not at all.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};

use crate::ann::Ann;
use crate::ann::built_in;
use crate::ann::file::read_ann;
use engine::chip::cost::CostModel;
use engine::model::Model;
use engine::model::built_in::Asked;

/// Reads a file; the error names it.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))
}

/// A temporary name in the file's directory.
pub fn beside(path: &Path) -> Result<PathBuf> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let name = path
        .file_name()
        .with_context(|| format!("{} is not the name of a file", path.display()))?;
    let mut fresh = name.to_owned();
    fresh.push(format!(".{}.new", std::process::id()));
    Ok(folder.join(fresh))
}

/// Writes a temporary file and renames it, so that no reader sees a partial file.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let fresh = beside(path)?;
    let written = (|| {
        let mut file = std::fs::File::create(&fresh)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&fresh, path)
    })();
    if written.is_err() {
        // The error below is what matters; a left-over temporary file does no harm.
        let _ = std::fs::remove_file(&fresh);
    }
    written.with_context(|| format!("{} cannot be written", path.display()))
}

/// Reads the float network of a built-in one, or an ANN file.
pub fn ann(asked: &Asked) -> Result<Ann> {
    match asked {
        Asked::BuiltIn(network) => {
            let read = read_ann(built_in::file(*network));
            read.with_context(|| format!("the built-in float network {network}"))
        }
        Asked::File(path) if asked.is_word() && !path.exists() => bail!(asked.refusal()),
        Asked::File(path) => read_ann(&read(path)?).with_context(|| format!("{} is refused", path.display())),
    }
}

/// Reads a built-in network, or an SNN file, and places it on the chip.
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

/// The default number of threads: the number of CPUs.
pub fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
