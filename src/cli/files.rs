//! Reading and writing files: errors name the file, and a file is written completely or not at all.

use std::ffi::OsStr;
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

/// A temporary path in the same directory, to write a file to before it is renamed. Those of processes that were killed
/// are removed.
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
    drop_halves(folder, name);
    let mut fresh = name.to_owned();
    // Containers number their processes alike, and may share the directory.
    let unique = uuid::Uuid::new_v4().simple();
    fresh.push(format!(".{}-{unique}.new", std::process::id()));
    Ok(folder.join(fresh))
}

/// Removes the temporary files of `name` whose process has ended.
fn drop_halves(folder: &Path, name: &OsStr) {
    // Where the system does not list its processes here, none can be said to have ended.
    let Ok(listed) = std::fs::read_dir(folder) else {
        return;
    };
    if !Path::new("/proc/self").exists() {
        return;
    }
    for entry in listed.flatten() {
        let found = entry.file_name();
        let rest = found.as_encoded_bytes().strip_prefix(name.as_encoded_bytes());
        let rest = rest.and_then(|rest| std::str::from_utf8(rest).ok());
        let parts = rest.and_then(|rest| rest.strip_prefix('.')?.split_once('-'));
        let process = parts.and_then(|(process, rest)| {
            let unique = rest.split_once(".new")?.0;
            uuid::Uuid::try_parse(unique).ok()?;
            process.parse::<u32>().ok()
        });
        let Some(process) = process else { continue };
        let runs = process != std::process::id() && Path::new(&format!("/proc/{process}")).exists();
        if !runs {
            // One that stays takes room, and is in nobody's way.
            let _ = std::fs::remove_file(entry.path());
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_temporary_files_of_the_same_name_whose_process_has_ended_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let unique = "0123456789abcdef0123456789abcdef";
        // Numbers of processes end below this one.
        let ended = u32::MAX;
        let left = [
            format!("shop.backup.{ended}-{unique}.new"),
            format!("shop.backup.{ended}-{unique}.new-journal"),
            // Of a process of another container.
            format!("shop.backup.{}-{unique}.new", std::process::id()),
        ];
        let others = [
            format!("shop.backup.{}-{unique}.new", std::os::unix::process::parent_id()),
            format!("other.backup.{ended}-{unique}.new"),
            format!("shop.backup.{ended}-notes.new"),
            format!("shop.backup.{ended}-{unique}"),
            "shop.backup".to_owned(),
        ];
        for name in left.iter().chain(&others) {
            std::fs::write(folder.path().join(name), b"half").unwrap();
        }
        let fresh = beside(&folder.path().join("shop.backup")).unwrap();
        assert!(!fresh.exists());
        assert_ne!(fresh, beside(&folder.path().join("shop.backup")).unwrap());
        assert!(left.iter().all(|name| !folder.path().join(name).exists()));
        assert!(others.iter().all(|name| folder.path().join(name).exists()));
    }
}
