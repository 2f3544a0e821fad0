//! The file of a table, row by row or at a row's place.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use csv::{ErrorKind, Position, StringRecord, Trim};

use super::separator::beginning;
use crate::cli::import::lines::LONGEST;
use engine::text::unmarked;

/// A row, or why it cannot be read.
type Row = Result<StringRecord, String>;

/// The header is within so many bytes.
const HEADER: u64 = 1 << 20;

/// Where a row is.
#[derive(Debug, Clone)]
pub struct Place {
    position: Position,
    /// The line of its first cell, from 1.
    pub line: u64,
}

/// Counts lines. The reader of CSV does not: where a line ends with two bytes, it counts some of them to the next row.
#[derive(Debug)]
struct Lines {
    file: BufReader<File>,
    /// Bytes that have been read, and the line feeds among them.
    at: u64,
    before: u64,
}

impl Lines {
    /// The line of the first row that begins at or behind a place, which is not before the last one asked for.
    fn of(&mut self, place: u64) -> io::Result<u64> {
        loop {
            let piece = self.file.fill_buf()?;
            let Some(&first) = piece.first() else { break };
            let wanted = usize::try_from(place.saturating_sub(self.at)).unwrap_or(usize::MAX);
            let piece = match wanted {
                // Ends of lines before the row.
                0 if matches!(first, b'\r' | b'\n') => &piece[..1],
                0 => break,
                _ => &piece[..piece.len().min(wanted)],
            };
            let (length, feeds) = (piece.len(), piece.iter().filter(|&&byte| byte == b'\n').count());
            self.file.consume(length);
            self.at += length as u64;
            self.before += feeds as u64;
        }
        Ok(self.before + 1)
    }
}

/// An open table; its header is read first.
#[derive(Debug)]
pub struct Table {
    reader: csv::Reader<Capped>,
    lines: Lines,
    /// The header's place in the file.
    start: u64,
    /// Whether reading has failed.
    ended: bool,
}

impl Table {
    /// Opens a table.
    ///
    /// # Errors
    /// If it cannot be read, or is not UTF-8 by its byte order mark.
    pub fn open(path: &Path) -> Result<Self> {
        let unread = || format!("{} cannot be read", path.display());
        let mut head = Vec::new();
        let mut file = BufReader::new(File::open(path).with_context(unread)?);
        (&mut file)
            .take(HEADER)
            .read_until(b'\n', &mut head)
            .with_context(unread)?;
        let text = unmarked(&head)
            .map_err(|other| anyhow!("the text {other}"))
            .with_context(unread)?;
        let beginning = beginning(text);
        let start = u64::try_from(head.len() - text.len() + beginning.bytes)?;
        let mut file = file.into_inner();
        file.seek(SeekFrom::Start(start)).with_context(unread)?;
        let capped = Capped {
            file,
            start,
            left: LONGEST,
        };
        let reader = csv::ReaderBuilder::new()
            .trim(Trim::Headers)
            .delimiter(beginning.separator)
            .from_reader(capped);
        Ok(Self {
            reader,
            lines: Lines {
                file: BufReader::new(File::open(path).with_context(unread)?),
                at: 0,
                before: 0,
            },
            start,
            ended: false,
        })
    }

    /// The names of the columns.
    ///
    /// # Errors
    /// If the first line cannot be read as CSV.
    pub fn header(&mut self) -> Result<StringRecord, csv::Error> {
        self.reader.headers().cloned()
    }

    /// The next row and its place; none at the end of the file, or after a failure.
    pub fn next(&mut self) -> Option<(Place, Row)> {
        let (position, row) = self.next_at()?;
        // A file that cannot be read twice says so with its rows.
        let line = self.lines.of(self.start + position.byte()).unwrap_or(0);
        Some((Place { position, line }, row))
    }

    fn next_at(&mut self) -> Option<(Position, Row)> {
        if self.ended {
            return None;
        }
        let mut row = StringRecord::new();
        self.reader.get_mut().left = LONGEST;
        let before = self.reader.position().clone();
        match self.reader.read_record(&mut row) {
            Ok(false) => None,
            Ok(true) => Some((row.position().cloned().unwrap_or(before), Ok(row))),
            Err(error) => {
                let position = error.position().cloned().unwrap_or(before);
                let detail = match error.kind() {
                    ErrorKind::UnequalLengths {
                        expected_len, len, ..
                    } => format!("the row has {len} cells, but the first line names {expected_len} columns"),
                    ErrorKind::Utf8 { .. } => "the row is not UTF-8".to_owned(),
                    ErrorKind::Io(error) => {
                        self.ended = true;
                        format!("{error}; the rest of the file was not read")
                    }
                    _ => error.to_string(),
                };
                Some((position, Err(detail)))
            }
        }
    }

    /// The row at a place where one was read before.
    ///
    /// # Errors
    /// If the file cannot be read, or has changed.
    pub fn row_at(&mut self, place: &Place) -> Row {
        self.ended = false;
        let sought = self.reader.seek(place.position.clone());
        sought.map_err(|error| error.to_string())?;
        match self.next_at() {
            Some((_, row)) => row,
            None => Err("the file has become shorter".to_owned()),
        }
    }
}

/// A file from its header on, with a limit on the bytes read for one row, because a quote that is never closed would make
/// the rest of the file one row.
#[derive(Debug)]
struct Capped {
    file: File,
    /// The header's place.
    start: u64,
    left: u64,
}

impl Read for Capped {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            return Err(io::Error::other(format!(
                "the row is longer than {LONGEST} bytes; is a quote not closed?"
            )));
        }
        let read = self.file.read(into)?;
        self.left = self.left.saturating_sub(read as u64);
        Ok(read)
    }
}

impl Seek for Capped {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let to = match to {
            SeekFrom::Start(place) => SeekFrom::Start(place + self.start),
            other => other,
        };
        self.file.seek(to).map(|place| place.saturating_sub(self.start))
    }
}
