//! What separates the cells of a table: as its first line says, or shows.

/// What stands before a table's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beginning {
    pub separator: u8,
    /// Bytes before the header.
    pub bytes: usize,
}

/// Reads the beginning of a table, after its byte order mark: `sep=;` in a line of its own, or the separator that the header
/// has most of.
pub fn beginning(text: &[u8]) -> Beginning {
    let first = text.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let said = first.trim_ascii_end();
    if let Some(separator) = said.strip_prefix(b"sep=").or_else(|| said.strip_prefix(b"SEP="))
        && let &[separator] = if first.starts_with(b"sep=\t") {
            b"\t"
        } else {
            separator
        }
    {
        return Beginning {
            separator,
            bytes: (first.len() + 1).min(text.len()),
        };
    }
    let mut quoted = false;
    let mut counts = [(b',', 0), (b';', 0), (b'\t', 0)];
    for &byte in first {
        quoted ^= byte == b'"';
        for (separator, count) in &mut counts {
            *count += u32::from(!quoted && byte == *separator);
        }
    }
    let mut most = counts[0];
    for one in counts {
        if one.1 > most.1 {
            most = one;
        }
    }
    Beginning {
        separator: most.0,
        bytes: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_separator_is_said_or_counted_outside_of_quotes() {
        for (text, separator, bytes) in [
            ("id,image\n1;2;3,4", b',', 0),
            ("id;image;title\n", b';', 0),
            ("id\timage", b'\t', 0),
            ("\"a;b;c;d\",e\n", b',', 0),
            ("sep=;\nid;a,b,c,d", b';', 6),
            ("SEP=,\r\nid,image", b',', 7),
            ("sep=\t\nid\timage", b'\t', 6),
            ("sep=\nid,image", b',', 0),
            ("", b',', 0),
        ] {
            let found = beginning(text.as_bytes());
            assert_eq!((found.separator, found.bytes), (separator, bytes), "{text:?}");
        }
    }
}
