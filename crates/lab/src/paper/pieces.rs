//! The directory of intermediate results: one file per finished piece, so that an interrupted run can be continued.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::files;

/// The directory, and the numbers of pieces begun and in total.
#[derive(Debug)]
pub(super) struct Pieces {
    folder: PathBuf,
    pieces: usize,
    begun: usize,
}

/// The content of a piece's file.
#[derive(Serialize, Deserialize)]
struct Piece {
    /// The inputs of the piece; with other settings it is computed again.
    settings: Value,
    result: Value,
}

impl Pieces {
    pub(super) fn new(folder: &Path, pieces: usize) -> Result<Self> {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("--work: {} cannot be created", folder.display()))?;
        Ok(Self {
            folder: folder.to_owned(),
            pieces,
            begun: 0,
        })
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Prints on stderr which piece is next.
    pub(super) fn begin(&mut self, what: &str, kept: bool) {
        self.begun += 1;
        let kept = if kept { ": done before" } else { "" };
        eprintln!("[{}/{}] {what}{kept}", self.begun, self.pieces);
    }

    /// The result in `NAME.json` if it has these settings; otherwise the result of `make`, which is stored there.
    pub(super) fn piece<R: Serialize + DeserializeOwned>(
        &mut self,
        name: &str,
        what: &str,
        settings: &Value,
        make: impl FnOnce() -> Result<R>,
    ) -> Result<R> {
        let path = self.path(&format!("{name}.json"));
        if let Some(result) = kept(&path, settings) {
            self.begin(what, true);
            return Ok(result);
        }
        self.begin(what, false);
        let result = make()?;
        let piece = Piece {
            settings: settings.clone(),
            result: serde_json::to_value(&result)?,
        };
        let json = serde_json::to_string_pretty(&piece)? + "\n";
        files::write_whole(&path, json.as_bytes())?;
        Ok(result)
    }
}

/// `None` if the file is missing or damaged, or has other settings.
fn kept<R: DeserializeOwned>(path: &Path, settings: &Value) -> Option<R> {
    let piece: Piece = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
    if piece.settings != *settings {
        return None;
    }
    serde_json::from_value(piece.result).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_piece_is_made_once_for_each_settings_and_again_when_it_is_damaged() {
        let folder = tempfile::tempdir().unwrap();
        let mut work = Pieces::new(folder.path(), 1).unwrap();
        let mut made = 0;
        let mut piece = |settings: Value| {
            work.piece("piece", "piece", &settings, || {
                made += 1;
                Ok(made)
            })
            .unwrap()
        };
        assert_eq!([piece(json!(1)), piece(json!(1)), piece(json!(2))], [1, 1, 2]);
        std::fs::write(folder.path().join("piece.json"), "{").unwrap();
        assert_eq!([piece(json!(2)), piece(json!(2))], [3, 3]);
    }

    #[test]
    fn a_piece_that_fails_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let mut work = Pieces::new(folder.path(), 1).unwrap();
        let failed: Result<u32> = work.piece("piece", "piece", &json!(1), || anyhow::bail!("stopped"));
        assert_eq!(failed.unwrap_err().to_string(), "stopped");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
