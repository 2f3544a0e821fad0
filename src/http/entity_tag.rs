//! `If-None-Match`: whether a client has what it asks for already.

use axum::http::{HeaderMap, HeaderValue, header};

/// Whether `If-None-Match` lists the entity tag `tag`, or `*`. Weak tags are equal to strong ones here (RFC 9110, section
/// 13.1.2).
#[must_use]
pub fn matches(headers: &HeaderMap, tag: &HeaderValue) -> bool {
    let strong = |tag: &[u8]| tag.strip_prefix(b"W/").unwrap_or(tag).to_vec();
    let wanted = strong(tag.as_bytes());
    let given = headers.get_all(header::IF_NONE_MATCH).into_iter();
    let mut given = given.flat_map(|tags| tags.as_bytes().split(|byte| *byte == b','));
    given.any(|known| known.trim_ascii() == b"*" || strong(known.trim_ascii()) == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_found_in_a_list_weak_or_strong() {
        let known = |given: &'static str, tag| {
            let headers = HeaderMap::from_iter([(header::IF_NONE_MATCH, HeaderValue::from_static(given))]);
            matches(&headers, &HeaderValue::from_static(tag))
        };
        for given in ["\"a\"", "W/\"a\"", "\"b\", W/\"a\"", "*"] {
            assert!(known(given, "\"a\"") && known(given, "W/\"a\""), "{given}");
        }
        assert!(!known("\"b\"", "\"a\"") && !known("a", "\"a\""));
    }
}
