//! A picture as text: base64 or a `data:` URL, as JSON, manifests and forms hold it.

use std::borrow::Cow;

use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::{DecodeError, Engine};
use percent_encoding::percent_decode_str;

/// Padded or not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The bytes that a text stands for: base64 of either alphabet, padded or not, with line breaks and blanks anywhere; or a
/// `data:` URL of such, percent-encoded or not.
///
/// # Errors
/// Says what is wrong with it, as the end of a sentence about the field.
pub fn picture(text: &str) -> Result<Vec<u8>, String> {
    let text = text.trim_start_matches('\u{feff}').trim();
    let Some((scheme, rest)) = text.split_once(':') else {
        return decoded(text.as_bytes());
    };
    match scheme.to_ascii_lowercase().as_str() {
        "data" => data_url(rest),
        "http" | "https" | "blob" => Err(
            "is a URL, and none is fetched; send the picture's file as base64 or as a data: URL".to_owned(),
        ),
        // A colon is not base64; the refusal says so.
        _ => decoded(text.as_bytes()),
    }
}

/// What follows `data:`, as in `image/png;charset=utf-8;base64,iVBORw0KGgo`.
fn data_url(rest: &str) -> Result<Vec<u8>, String> {
    let (kind, data) = rest.split_once(',').ok_or("is a data: URL without a comma")?;
    let coding = kind.rsplit_once(';').map_or("", |(_, last)| last.trim());
    if !coding.eq_ignore_ascii_case("base64") {
        return Err("is a data: URL that is not base64; write data:image/png;base64,...".to_owned());
    }
    let data: Cow<'_, [u8]> = percent_decode_str(data).into();
    decoded(&data)
}

fn decoded(base64: &[u8]) -> Result<Vec<u8>, String> {
    let is_plain = |byte: &u8| !byte.is_ascii_whitespace() && !b"-_".contains(byte);
    let plain: Cow<'_, [u8]> = if base64.iter().all(is_plain) {
        base64.into()
    } else {
        let kept = base64.iter().filter(|byte| !byte.is_ascii_whitespace());
        let standard = kept.map(|byte| match byte {
            b'-' => b'+',
            b'_' => b'/',
            byte => *byte,
        });
        standard.collect()
    };
    BASE64.decode(&plain).map_err(|error| {
        let cause = match error {
            DecodeError::InvalidByte(_, byte) => format!("it has '{}'", byte.escape_ascii()),
            DecodeError::InvalidLength(_)
            | DecodeError::InvalidLastSymbol(..)
            | DecodeError::InvalidPadding => "it does not end as base64 does".to_owned(),
        };
        format!("is not base64: {cause}; send the picture's file as base64 or as a data: URL")
    })
}

/// Whether a text is a `data:` URL.
#[must_use]
pub fn is_data_url(text: &str) -> bool {
    let scheme = text.trim_start().as_bytes().first_chunk::<5>();
    scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"data:"))
}

/// Whether clients use this name for what is called `image` here.
#[must_use]
pub fn is_meant(name: &str) -> bool {
    const MEANT: [&str; 8] = [
        "image", "images", "img", "file", "files", "photo", "picture", "upload",
    ];
    let plain = name.strip_suffix("[]").unwrap_or(name);
    MEANT.iter().any(|meant| plain.eq_ignore_ascii_case(meant))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 0xfb 0xff 0xbf 0xfe has the two characters in which the alphabets differ, and padding.
    const BYTES: [u8; 4] = [0xfb, 0xff, 0xbf, 0xfe];

    #[test]
    fn base64_is_read_however_it_is_written() {
        for text in [
            "+/+//g==",
            "-_-__g==",
            "+/+//g",
            "-_-__g",
            "+/+/\r\n/g==\r\n",
            "\u{feff} +/ +/\t/g = =",
            "data:image/png;base64,+/+//g==",
            "DATA:image/png;BASE64,-_-__g",
            "data:;base64,+/+//g==",
            "data:image/jpeg;name=a.jpg;charset=utf-8; base64,+/+//g==",
            "data:image/png;base64,%2B%2F%2b%2F%2Fg%3D%3D",
            "data:image/png;base64,+/+/%0D%0A/g==",
            " data:image/png;base64,\n+/+/\n/g==\n",
        ] {
            assert_eq!(picture(text), Ok(BYTES.to_vec()), "{text:?}");
        }
        assert_eq!(picture(""), Ok(Vec::new()));
    }

    #[test]
    fn what_is_not_base64_is_refused_with_what_would_be_right() {
        for (text, reason) in [
            ("?", "is not base64: it has '?'; send the picture's file"),
            ("a", "is not base64: it does not end as base64 does"),
            ("+/+//g==+/", "is not base64: it has '='"),
            ("+/+//h==", "is not base64: it does not end"),
            ("k\u{e9}y+", "is not base64"),
            ("C:\\shoe.jpg", "is not base64"),
            ("data:image/png;base64", "is a data: URL without a comma"),
            ("data:image/png,%89PNG", "is a data: URL that is not base64"),
            (
                "data:image/png;base64;x=1,AAE=",
                "is a data: URL that is not base64",
            ),
            ("data:image/png;base64,%zz", "is not base64"),
            ("https://shop.example/shoe.jpg", "is a URL, and none is fetched"),
        ] {
            let refusal = picture(text).unwrap_err();
            assert!(refusal.starts_with(reason), "{text}: {refusal}");
        }
    }

    #[test]
    fn other_names_of_a_picture_are_known() {
        for name in ["image[]", "images", "file", "photo", "picture", "Image"] {
            assert!(is_meant(name), "{name}");
        }
        assert!(!is_meant("title") && !is_meant("imagine") && !is_meant(""));
    }
}
