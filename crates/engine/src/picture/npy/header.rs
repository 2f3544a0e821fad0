//! Parses the header: the forms of a Python dictionary that NumPy writes.

use super::error::NpyError;

/// The content of a header.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Type of the items, such as `|u1`; for records the start of their list.
    pub descr: String,
    pub fortran_order: bool,
    pub shape: Vec<usize>,
}

/// The longest type name that an error message repeats.
const SHOWN_LETTERS: usize = 40;

/// NumPy has at most 64 axes.
const MAX_AXES: usize = 64;

/// Reads a dictionary of exactly `descr`, `fortran_order` and `shape`, in any order.
pub(super) fn parse(text: &[u8]) -> Result<Header, NpyError> {
    let mut text = Text { bytes: text, at: 0 };
    let (mut descr, mut fortran_order, mut shape) = (None, None, None);
    text.expect(b'{', "`{`")?;
    while !text.take(b'}') {
        let key = text.string("a key in quotes")?;
        text.expect(b':', "`:`")?;
        match key.as_str() {
            "descr" => descr = Some(text.item_type()?),
            "fortran_order" => fortran_order = Some(text.truth()?),
            "shape" => shape = Some(text.tuple()?),
            _ => return Err(text.missing("`descr`, `fortran_order` or `shape`")),
        }
        // Records have a type in brackets, which is rejected before the rest is parsed.
        if let Some(found) = descr.as_ref().filter(|found| found.starts_with('[')) {
            return Err(NpyError::ItemType { found: found.clone() });
        }
        if !text.take(b',') {
            text.expect(b'}', "`,` or `}`")?;
            break;
        }
    }
    match (descr, fortran_order, shape) {
        (Some(descr), Some(fortran_order), Some(shape)) => Ok(Header {
            descr,
            fortran_order,
            shape,
        }),
        _ => Err(text.missing("each of `descr`, `fortran_order` and `shape`")),
    }
}

struct Text<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Text<'_> {
    fn missing(&self, expected: &'static str) -> NpyError {
        NpyError::Header {
            expected,
            at: self.at,
        }
    }

    /// The rest of the text after white space.
    fn rest(&mut self) -> &[u8] {
        let rest = &self.bytes[self.at..];
        let spaces = rest.iter().take_while(|b| b.is_ascii_whitespace()).count();
        self.at += spaces;
        &self.bytes[self.at..]
    }

    fn take(&mut self, letter: u8) -> bool {
        let there = self.rest().first() == Some(&letter);
        self.at += usize::from(there);
        there
    }

    fn expect(&mut self, letter: u8, expected: &'static str) -> Result<(), NpyError> {
        if self.take(letter) {
            Ok(())
        } else {
            Err(self.missing(expected))
        }
    }

    fn string(&mut self, expected: &'static str) -> Result<String, NpyError> {
        let rest = self.rest();
        let inside = match rest.first() {
            Some(&quote @ (b'\'' | b'"')) => rest[1..]
                .iter()
                .position(|&letter| letter == quote)
                .map(|length| &rest[1..=length]),
            _ => None,
        };
        let Some(inside) = inside else {
            return Err(self.missing(expected));
        };
        let (length, string) = (inside.len(), String::from_utf8_lossy(inside).into_owned());
        self.at += length + 2;
        Ok(string)
    }

    fn item_type(&mut self) -> Result<String, NpyError> {
        let rest = self.rest();
        if rest.first() == Some(&b'[') {
            let shown = &rest[..rest.len().min(SHOWN_LETTERS)];
            return Ok(String::from_utf8_lossy(shown).into_owned());
        }
        let mut found = self.string("a type in quotes")?;
        if let Some((end, _)) = found.char_indices().nth(SHOWN_LETTERS) {
            found.truncate(end);
        }
        Ok(found)
    }

    fn truth(&mut self) -> Result<bool, NpyError> {
        for (word, value) in [(&b"True"[..], true), (b"False", false)] {
            if self.rest().starts_with(word) {
                self.at += word.len();
                return Ok(value);
            }
        }
        Err(self.missing("True or False"))
    }

    fn tuple(&mut self) -> Result<Vec<usize>, NpyError> {
        const EXPECTED: &str = "a length of digits that fits 64 bits";

        let mut lengths = Vec::new();
        self.expect(b'(', "`(`")?;
        while !self.take(b')') {
            if lengths.len() == MAX_AXES {
                return Err(self.missing("`)`"));
            }
            let rest = self.rest();
            let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
            let length = std::str::from_utf8(&rest[..digits])
                .ok()
                .and_then(|text| text.parse().ok());
            lengths.push(length.ok_or_else(|| self.missing(EXPECTED))?);
            self.at += digits;
            // Python 2 marked long integers.
            self.at += usize::from(self.bytes.get(self.at) == Some(&b'L'));
            if !self.take(b',') {
                self.expect(b')', "`,` or `)`")?;
                break;
            }
        }
        Ok(lengths)
    }
}
