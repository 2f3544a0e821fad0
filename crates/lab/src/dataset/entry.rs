//! One picture of a data set, before it is read.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::Serialize;

/// A split of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    Train,
    Validation,
    Test,
}

impl Part {
    /// All three.
    pub const ALL: [Self; 3] = [Self::Train, Self::Validation, Self::Test];

    /// The name in manifests and of folders.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

impl FromStr for Part {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|part| part.as_str() == name);
        found.ok_or_else(|| {
            format!("the split {name:?} is unknown; it must be train, validation, test or empty (not used)")
        })
    }
}

/// One picture of a data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The manifest's, or else the path inside the data set.
    pub id: String,
    /// The path inside the data set's folder; not yet checked.
    pub file: PathBuf,
    /// The class, in words; `None` if it is not known.
    pub label: Option<String>,
    /// Pictures of one group are never divided between splits.
    pub group: Option<String>,
    /// `None`: the picture is not used.
    pub part: Option<Part>,
}
