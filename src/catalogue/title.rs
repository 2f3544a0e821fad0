//! A product's title.

use serde::Serialize;

use super::error::CatalogueError;

/// A product's title: at most [`Title::LONGEST`] characters, possibly none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Title(String);

impl Title {
    /// The most characters of a title.
    pub const LONGEST: usize = 1000;

    /// Checks the length of a title.
    ///
    /// # Errors
    /// [`CatalogueError::Invalid`] with the field `title` if it has more than [`Title::LONGEST`] characters.
    pub fn new(title: impl Into<String>) -> Result<Self, CatalogueError> {
        let title = title.into();
        let (length, most) = (title.chars().count(), Self::LONGEST);
        if length <= most {
            return Ok(Self(title));
        }
        Err(CatalogueError::Invalid {
            field: "title".to_owned(),
            reason: format!("has {length} characters; at most {most} are kept"),
        })
    }

    /// A title that was checked when it was stored.
    pub(super) fn stored(title: String) -> Self {
        Self(title)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_is_measured_in_characters() {
        let longest = "\u{e9}".repeat(Title::LONGEST);
        assert_eq!(Title::new(longest.as_str()).unwrap().as_str(), longest);
        let refusal = Title::new(longest + "x").unwrap_err().to_string();
        assert_eq!(refusal, "title has 1001 characters; at most 1000 are kept");
        assert_eq!(Title::default().as_str(), "");
    }
}
