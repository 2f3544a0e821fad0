//! An NDJSON manifest: one product per line.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use anyhow::{Context, Result};

use super::beside::Beside;
use super::source::Source;
use crate::catalogue::manifest::{Refusal, line_with};
use crate::service::ingest::Offered;
use engine::text::unmarked_reader;

/// The longest line, in bytes: enough for one picture of the largest size in base64, or for many of the usual size.
pub const LONGEST: u64 = 64 << 20;

/// The lines of a file; blank lines are skipped, but count in line numbers.
///
/// # Errors
/// If the file cannot be read.
pub fn source(path: &Path) -> Result<Source> {
    let beside = Beside::of(path)?;
    let mut lines = Lines {
        file: open(path)?,
        number: 0,
        ended: false,
    };
    Ok(Source {
        offered: Box::new(std::iter::from_fn(move || lines.next_offered(&beside))),
        expected: count_lines(path)?,
        skipped: None,
    })
}

/// Opens a manifest, after its byte order mark.
///
/// # Errors
/// If it cannot be read, or is not UTF-8 by its byte order mark.
pub fn open(path: &Path) -> Result<impl BufRead + use<>> {
    let unread = || format!("{} cannot be read", path.display());
    let file = File::open(path).with_context(unread)?;
    unmarked_reader(BufReader::new(file)).with_context(unread)
}

/// The number of lines in a file, for the progress bar.
///
/// # Errors
/// If it cannot be read.
pub fn count_lines(path: &Path) -> Result<usize> {
    let mut file = open(path)?;
    let mut lines = 0;
    loop {
        let piece = file
            .fill_buf()
            .with_context(|| format!("{} cannot be read", path.display()))?;
        if piece.is_empty() {
            return Ok(lines);
        }
        lines += piece.iter().filter(|byte| **byte == b'\n').count();
        let length = piece.len();
        file.consume(length);
    }
}

struct Lines<R> {
    file: R,
    number: u64,
    /// Whether reading has failed.
    ended: bool,
}

impl<R: BufRead> Lines<R> {
    fn next_offered(&mut self, beside: &Beside) -> Option<Offered> {
        while !self.ended {
            let mut text = Vec::new();
            let read = (&mut self.file).take(LONGEST + 1).read_until(b'\n', &mut text);
            let line = match read {
                Ok(0) => return None,
                Err(error) => {
                    self.number += 1;
                    self.ended = true;
                    Err(nameless(format!("the line cannot be read: {error}")))
                }
                Ok(_) => {
                    self.number += 1;
                    if text.len() as u64 > LONGEST {
                        self.skip_rest(&text);
                        Err(nameless(format!("the line is longer than {LONGEST} bytes")))
                    } else if text.trim_ascii().is_empty() {
                        continue;
                    } else {
                        line_with(&text, |text| beside.image(text))
                    }
                }
            };
            return Some(Offered::of(format!("line {}", self.number), line));
        }
        None
    }

    /// Skips the rest of a line that is too long.
    fn skip_rest(&mut self, beginning: &[u8]) {
        if !beginning.ends_with(b"\n") {
            // An error is reported with the next line.
            let _ = self.file.skip_until(b'\n');
        }
    }
}

fn nameless(detail: String) -> Refusal {
    Refusal { id: None, detail }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_too_long_is_passed_over_and_the_next_one_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("products.ndjson");
        let long = usize::try_from(LONGEST + 10).unwrap();
        let file = [&vec![b'x'; long][..], b"\n{\"id\": \"a\", \"image\": \"AAE=\"}"].concat();
        std::fs::write(&path, file).unwrap();
        let offered: Vec<Offered> = source(&path).unwrap().offered.collect();
        let refusal = offered[0].line.as_ref().unwrap_err();
        assert!(refusal.detail.contains("longer than"), "{refusal:?}");
        assert_eq!((offered.len(), offered[1].place.as_str()), (2, "line 2"));
        assert_eq!(offered[1].line.as_ref().unwrap().id().as_str(), "a");
    }
}
