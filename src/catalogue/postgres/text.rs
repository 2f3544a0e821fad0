//! Texts without the character that PostgreSQL cannot store, U+0000, in the same order as the texts themselves.

use std::borrow::Cow;

/// U+0000 and U+0001 become two characters each; no two texts become one, and none changes its place among others.
pub fn storable(text: &str) -> Cow<'_, str> {
    if !text.contains(['\0', '\u{1}']) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\0' => out.push_str("\u{1}\u{1}"),
            '\u{1}' => out.push_str("\u{1}\u{2}"),
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// The text that [`storable`] was given.
pub fn original(stored: String) -> String {
    if !stored.contains('\u{1}') {
        return stored;
    }
    let mut out = String::with_capacity(stored.len());
    let mut chars = stored.chars();
    while let Some(c) = chars.next() {
        out.push(match c {
            '\u{1}' if chars.next() == Some('\u{1}') => '\0',
            c => c,
        });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn texts_come_back_and_keep_their_order(a in "[\0\u{1}\u{2}a]{0,6}", b in "[\0\u{1}\u{2}a]{0,6}") {
            let (stored_a, stored_b) = (storable(&a).into_owned(), storable(&b).into_owned());
            prop_assert!(!stored_a.contains('\0'));
            prop_assert_eq!(stored_a.cmp(&stored_b), a.cmp(&b));
            prop_assert_eq!(original(stored_a), a);
        }
    }
}
