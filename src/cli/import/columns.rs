//! A CSV manifest: one product per row, attributes in columns.

use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, bail};
use csv::{ErrorKind, StringRecord, Trim};
use serde_json::Value;

use super::beside::Beside;
use super::lines::{LONGEST, count_lines, open};
use super::source::Source;
use crate::catalogue::manifest::{ManifestProduct, Refusal};
use crate::service::ingest::{Image, Offered};
use engine::picture::Mode;

/// The rows of a file after the header.
///
/// # Errors
/// If the file cannot be read or its header is invalid.
pub fn source(path: &Path) -> Result<Source> {
    let beside = Beside::of(path)?;
    let capped = Capped {
        file: open(path)?,
        left: LONGEST,
    };
    let mut reader = csv::ReaderBuilder::new().trim(Trim::Headers).from_reader(capped);
    let named = reader.headers();
    let named = named.with_context(|| format!("the first line of {} is not a header", path.display()))?;
    let columns = Columns::of(named).with_context(|| path.display().to_string())?;
    let mut rows = Rows { reader, ended: false };
    Ok(Source {
        offered: Box::new(std::iter::from_fn(move || rows.next_offered(&columns, &beside))),
        // Without the header.
        expected: count_lines(path)?.saturating_sub(1),
        skipped: None,
    })
}

/// The position of each column.
struct Columns {
    id: usize,
    title: Option<usize>,
    image: usize,
    attributes: Vec<(usize, String)>,
}

impl Columns {
    fn of(names: &StringRecord) -> Result<Self> {
        let place = |wanted: &str| names.iter().position(|name| name == wanted);
        let listed = || names.iter().take(20).collect::<Vec<_>>().join(", ");
        let (Some(id), Some(image)) = (place("id"), place("image")) else {
            bail!(
                "the first line must name the columns id, image and, optionally, title, separated by commas; it names \
                 {:?}",
                listed()
            );
        };
        for (column, name) in names.iter().enumerate() {
            if name.is_empty() {
                bail!("column {} has no name in the first line", column + 1);
            }
            if place(name) != Some(column) {
                bail!("the first line names the column {name:?} twice");
            }
        }
        let title = place("title");
        let attribute = |column: &usize| ![Some(id), Some(image), title].contains(&Some(*column));
        let attributes = (0..names.len()).filter(attribute);
        Ok(Self {
            id,
            title,
            image,
            attributes: attributes
                .map(|column| (column, names[column].to_owned()))
                .collect(),
        })
    }

    fn product(&self, row: &StringRecord, beside: &Beside) -> Result<ManifestProduct<Image>, Refusal> {
        let id = &row[self.id];
        let refuse = |reason: String| Refusal::of(id, format!("image: {reason}"));
        let image = match &row[self.image] {
            "" => return Err(refuse("is missing".to_owned())),
            text => beside.image(text).map_err(refuse)?,
        };
        let title = self.title.map_or("", |column| &row[column]).to_owned();
        let cells = self
            .attributes
            .iter()
            .filter(|(column, _)| !row[*column].is_empty());
        let attributes: serde_json::Map<_, _> = cells
            .map(|(column, name)| (name.clone(), value(&row[*column])))
            .collect();
        ManifestProduct::new(id, title, attributes, vec![image], Mode::Auto)
    }
}

/// The value of a cell: a boolean or number if it is one in JSON, else a string.
fn value(cell: &str) -> Value {
    let plain = cell.trim() == cell;
    let read = serde_json::from_str(cell).ok().filter(|_| plain);
    let kept = read.filter(|value: &Value| match value {
        Value::Bool(_) => true,
        // An integer of more than 64 bits, such as a long product code, would be rounded.
        Value::Number(number) => number.is_i64() || number.is_u64() || cell.contains(['.', 'e', 'E']),
        _ => false,
    });
    kept.unwrap_or_else(|| cell.into())
}

struct Rows<R> {
    reader: csv::Reader<Capped<R>>,
    /// Whether reading has failed.
    ended: bool,
}

impl<R: Read> Rows<R> {
    fn next_offered(&mut self, columns: &Columns, beside: &Beside) -> Option<Offered> {
        if self.ended {
            return None;
        }
        let mut row = StringRecord::new();
        self.reader.get_mut().left = LONGEST;
        let before = self.reader.position().line();
        let read = self.reader.read_record(&mut row);
        let (line, product) = match read {
            Ok(false) => return None,
            Ok(true) => {
                let line = row.position().map_or(before, csv::Position::line);
                (line, columns.product(&row, beside))
            }
            Err(error) => {
                let line = error.position().map_or(before, csv::Position::line);
                let detail = match error.kind() {
                    ErrorKind::UnequalLengths {
                        expected_len, len, ..
                    } => {
                        format!("the row has {len} cells, but the first line names {expected_len} columns")
                    }
                    ErrorKind::Utf8 { .. } => "the row is not UTF-8".to_owned(),
                    ErrorKind::Io(error) => {
                        self.ended = true;
                        format!("{error}; the rest of the file was not read")
                    }
                    _ => error.to_string(),
                };
                (line, Err(Refusal { id: None, detail }))
            }
        };
        Some(Offered {
            place: format!("line {line}"),
            product,
        })
    }
}

/// A file with a limit on the bytes read for one row, because a quote that is never closed would make the rest of the
/// file one row.
struct Capped<R> {
    file: R,
    left: u64,
}

impl<R: Read> Read for Capped<R> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        if self.left == 0 {
            return Err(std::io::Error::other(format!(
                "the row is longer than {LONGEST} bytes; is a quote not closed?"
            )));
        }
        let read = self.file.read(into)?;
        self.left = self.left.saturating_sub(read as u64);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_a_number_or_a_boolean_as_json_reads_it_and_else_a_string() {
        for (cell, expected) in [
            ("40", 40.into()),
            ("-2.50", (-2.5).into()),
            ("1e3", 1000.0.into()),
            ("true", true.into()),
            ("false", false.into()),
            ("18446744073709551615", u64::MAX.into()),
            ("18446744073709551616", "18446744073709551616".into()),
            ("007", "007".into()),
            ("1e999", "1e999".into()),
            (" 40", " 40".into()),
            ("True", "True".into()),
            ("null", "null".into()),
            ("\"a\"", "\"a\"".into()),
            ("[\"a\"]", "[\"a\"]".into()),
            ("NaN", "NaN".into()),
        ] {
            let expected: Value = expected;
            assert_eq!(value(cell), expected, "{cell}");
        }
    }

    #[test]
    fn a_quote_that_is_never_closed_does_not_take_the_whole_file_into_memory() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("products.csv");
        let long = usize::try_from(2 * LONGEST).unwrap();
        let file = [&b"id,image\na,AAE=\nb,\""[..], &vec![b'x'; long]].concat();
        std::fs::write(&path, file).unwrap();
        let offered: Vec<Offered> = source(&path).unwrap().offered.collect();
        assert_eq!(offered[0].product.as_ref().unwrap().id.as_str(), "a");
        let refusal = offered[1].product.as_ref().unwrap_err();
        assert!(refusal.detail.contains("is a quote not closed?"), "{refusal:?}");
        assert_eq!((offered.len(), offered[1].place.as_str()), (2, "line 3"));
    }
}
