//! The byte order mark that editors and spreadsheets put before a text.
//!
//! In: bytes, or a reader of them. Out: the same after the mark, or the name of an encoding that is not read. Absent:
//! converting encodings.

use std::io::{BufRead, Cursor, Error, ErrorKind, Read, Result as IoResult};

use thiserror::Error;

/// A text whose byte order mark says that it is not UTF-8. The message is the end of a sentence about the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("is {0}; it must be UTF-8")]
pub struct OtherEncoding(&'static str);

/// U+FEFF in UTF-8.
const MARK: &[u8] = "\u{feff}".as_bytes();

/// The marks of other encodings. Those of UTF-32 come first: one of them begins with a mark of UTF-16.
const OTHERS: [(&[u8], &str); 4] = [
    (b"\xff\xfe\0\0", "UTF-32"),
    (b"\0\0\xfe\xff", "UTF-32"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
];

/// The text after its byte order mark, if it has one.
///
/// # Errors
/// If the mark is that of another encoding.
pub fn unmarked(text: &[u8]) -> Result<&[u8], OtherEncoding> {
    match OTHERS.iter().find(|(mark, _)| text.starts_with(mark)) {
        Some((_, name)) => Err(OtherEncoding(name)),
        None => Ok(text.strip_prefix(MARK).unwrap_or(text)),
    }
}

/// A reader of the text after its byte order mark, if it has one.
///
/// # Errors
/// If it cannot be read; [`ErrorKind::InvalidData`] if the mark is that of another encoding.
pub fn unmarked_reader<R: BufRead>(mut reader: R) -> IoResult<impl BufRead> {
    let mut beginning = Vec::new();
    reader.by_ref().take(4).read_to_end(&mut beginning)?;
    let other = |other| Error::new(ErrorKind::InvalidData, format!("the text {other}"));
    let unmarked = unmarked(&beginning).map_err(other)?;
    Ok(Cursor::new(unmarked.to_vec()).chain(reader))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> Result<Vec<u8>, String> {
        let mut read = Vec::new();
        let reader = unmarked_reader(text);
        let end = reader.and_then(|mut reader| reader.read_to_end(&mut read));
        end.map(|_| read).map_err(|error| error.to_string())
    }

    #[test]
    fn a_mark_is_skipped_once() {
        for (text, expected) in [
            ("", ""),
            ("{}", "{}"),
            ("\u{feff}{}", "{}"),
            ("\u{feff}", ""),
            ("\u{feff}\u{feff}{}", "\u{feff}{}"),
        ] {
            assert_eq!(unmarked(text.as_bytes()), Ok(expected.as_bytes()), "{text:?}");
            assert_eq!(read(text.as_bytes()), Ok(expected.into()), "{text:?}");
        }
        let half: &[u8] = b"\xef\xbb";
        assert_eq!((unmarked(half), read(half)), (Ok(half), Ok(half.to_vec())));
    }

    #[test]
    fn other_encodings_are_named() {
        let text = "\u{feff}{}";
        let little = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        let wide = text.chars().flat_map(|c| u32::from(c).to_le_bytes()).collect();
        let texts: [(Vec<u8>, &str); 3] = [(little, "UTF-16"), (big, "UTF-16"), (wide, "UTF-32")];
        for (text, name) in texts {
            let refusal = unmarked(&text).unwrap_err().to_string();
            assert_eq!(refusal, format!("is {name}; it must be UTF-8"));
            assert_eq!(read(&text), Err(format!("the text {refusal}")));
        }
    }
}
