//! Manifests: a picture a row (CSV) or a line (NDJSON), and `photos.csv` beside a folder `photos`.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use csv::{ErrorKind, StringRecord, Trim};
use serde_json::Value;

use super::entry::{Entry, Part};
use engine::text::unmarked_reader;

/// The largest manifest, in bytes: a million rows of 256.
const MAX_MANIFEST: u64 = 256 << 20;

/// The folder of the pictures of a `photos.csv`.
const PHOTOS: &str = "photos";

/// The pictures of a manifest in its order, and whether it has splits.
#[derive(Debug)]
pub struct Manifest {
    pub entries: Vec<Entry>,
    pub has_splits: bool,
}

/// Reads a CSV manifest. One with a column `id` and without `image` is a `photos.csv`, if a folder `photos` lies beside
/// it.
///
/// # Errors
/// If the columns are not those of a data set, or a row is invalid; the error names its line.
pub fn csv(path: &Path) -> Result<Manifest> {
    let mut reader = csv::ReaderBuilder::new().trim(Trim::All).from_reader(open(path)?);
    let names = reader.headers().cloned();
    let names = names.map_err(|error| anyhow!("{}, line 1: {}", path.display(), reason(&error)))?;
    let columns = Columns::of(path, &names)?;
    let mut entries = Vec::new();
    for row in reader.records() {
        let row = row.map_err(|error| {
            let line = error.position().map_or(0, csv::Position::line);
            anyhow!("{}, line {line}: {}", path.display(), reason(&error))
        })?;
        let line = row.position().map_or(0, csv::Position::line);
        let entry = columns.entry(&row);
        entries.push(entry.map_err(|reason| anyhow!("{}, line {line}: {reason}", path.display()))?);
    }
    Ok(Manifest {
        entries,
        has_splits: columns.split.is_some(),
    })
}

/// Reads an NDJSON manifest.
///
/// # Errors
/// If a line is not an object with the fields of a data set; the error names it.
pub fn ndjson(path: &Path) -> Result<Manifest> {
    let mut entries = Vec::new();
    let mut has_splits = false;
    for (number, line) in open(path)?.lines().enumerate() {
        let named = || format!("{}, line {}", path.display(), number + 1);
        let line = line.with_context(named)?;
        // Joined files have a mark in the middle.
        let line = line.trim_start_matches('\u{feff}').trim();
        if line.is_empty() {
            continue;
        }
        let value: Value = serde_json::from_str(line).with_context(named)?;
        let Value::Object(fields) = value else {
            bail!("{}: it must be a JSON object with image and label", named());
        };
        let field = |name: &str| match fields.get(name) {
            None | Some(Value::Null) => Ok(String::new()),
            Some(Value::String(text)) => Ok(text.clone()),
            Some(Value::Number(number)) => Ok(number.to_string()),
            Some(_) => Err(anyhow!("{}: {name} must be a string", named())),
        };
        if !fields.contains_key("image") || !fields.contains_key("label") {
            let there: Vec<&str> = fields.keys().map(String::as_str).collect();
            bail!(
                "{}: image and label are needed (optionally id, split and group); there are {}",
                named(),
                list(&there)
            );
        }
        has_splits |= fields.contains_key("split");
        let cells = Cells {
            image: field("image")?,
            id: field("id")?,
            label: field("label")?,
            group: field("group")?,
            split: field("split")?,
        };
        entries.push(cells.entry().map_err(|reason| anyhow!("{}: {reason}", named()))?);
    }
    Ok(Manifest { entries, has_splits })
}

/// Opens a manifest, after its byte order mark.
fn open(path: &Path) -> Result<impl BufRead + use<>> {
    let unread = || format!("{} cannot be read", path.display());
    let file = std::fs::File::open(path).with_context(unread)?;
    let bytes = file.metadata().with_context(unread)?.len();
    if bytes > MAX_MANIFEST {
        bail!(
            "{} has {bytes} bytes; a manifest has at most {MAX_MANIFEST}",
            path.display()
        );
    }
    unmarked_reader(BufReader::new(file)).with_context(unread)
}

fn reason(error: &csv::Error) -> String {
    match error.kind() {
        ErrorKind::UnequalLengths {
            expected_len, len, ..
        } => format!("the row has {len} cells, the first line names {expected_len} columns"),
        ErrorKind::Utf8 { .. } => "the text is not UTF-8".to_owned(),
        _ => error.to_string(),
    }
}

fn list(names: &[&str]) -> String {
    match names {
        [] => "none".to_owned(),
        names => names[..names.len().min(20)].join(", "),
    }
}

/// What a row says of a picture; empty cells say nothing.
struct Cells {
    image: String,
    id: String,
    label: String,
    group: String,
    split: String,
}

impl Cells {
    fn entry(self) -> Result<Entry, String> {
        if self.image.is_empty() {
            return Err("image is empty; it must be a path beside the manifest".to_owned());
        }
        let some = |text: String| (!text.is_empty()).then_some(text);
        let part = some(self.split).map(|name| name.parse::<Part>()).transpose()?;
        Ok(Entry {
            id: some(self.id).unwrap_or_else(|| self.image.clone()),
            file: PathBuf::from(self.image),
            label: some(self.label),
            group: some(self.group),
            part,
        })
    }
}

/// Where the columns are.
struct Columns {
    /// `None` in a `photos.csv`, whose ids name the files.
    image: Option<usize>,
    id: Option<usize>,
    /// The first of them that is not empty is the label.
    labels: Vec<usize>,
    group: Option<usize>,
    split: Option<usize>,
}

impl Columns {
    fn of(path: &Path, names: &StringRecord) -> Result<Self> {
        let place = |wanted: &str| names.iter().position(|name| name == wanted);
        for (column, name) in names.iter().enumerate() {
            if place(name) != Some(column) {
                bail!(
                    "{}: the first line names the column {name:?} twice",
                    path.display()
                );
            }
        }
        let (image, id, label, class) = (place("image"), place("id"), place("label"), place("class"));
        if image.is_some() && label.is_some() {
            return Ok(Self {
                image,
                id,
                labels: label.into_iter().collect(),
                group: place("group"),
                split: place("split"),
            });
        }
        let beside = path.with_file_name(PHOTOS).is_dir();
        if image.is_none() && id.is_some() && (label.is_some() || class.is_some()) && beside {
            return Ok(Self {
                image: None,
                id,
                labels: class.into_iter().chain(label).collect(),
                group: place("sender"),
                split: place("split"),
            });
        }
        bail!(
            "{}: the first line names the columns {}; a manifest needs image and label (optionally id, split and \
             group), or, with a folder photos beside it, id and label (optionally sender, split and class)",
            path.display(),
            list(&names.iter().collect::<Vec<_>>())
        );
    }

    fn entry(&self, row: &StringRecord) -> Result<Entry, String> {
        let cell = |column: Option<usize>| column.map_or("", |column| &row[column]).to_owned();
        let label = self.labels.iter().map(|&column| &row[column]);
        let label = label.into_iter().find(|label| !label.is_empty());
        let id = cell(self.id);
        let image = match self.image {
            Some(column) => row[column].to_owned(),
            None if id.is_empty() => return Err("id is empty; it must name a file of photos".to_owned()),
            None => format!("{PHOTOS}/{id}.jpg"),
        };
        Cells {
            image,
            id,
            label: label.unwrap_or_default().to_owned(),
            group: cell(self.group),
            split: cell(self.split),
        }
        .entry()
    }
}
