//! Imports: lines that clients have sent, and their results.
//!
//! A line waits in the store until it is a product or an error; both happen in one transaction, so that a restart neither
//! repeats nor loses one.

use super::product::NewProduct;

/// The most errors that an import keeps by line; further ones are only counted.
pub const MOST_ERRORS: u32 = 1000;

/// One step of an import.
#[derive(Debug, Clone)]
pub enum ImportStep {
    /// It has an id; lines follow.
    Begun,
    /// Some lines as they were received, with their numbers.
    Received(Vec<(u64, Vec<u8>)>),
    /// All lines have been received.
    Whole,
    /// The stream broke off; the received lines are dropped.
    Broken,
    /// A line became a product.
    Stored { line: u64, product: NewProduct },
    /// A line became an error.
    Refused {
        line: u64,
        product: Option<String>,
        detail: String,
    },
    /// No line waits.
    Done,
}

/// The state of an import.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportState {
    Receiving,
    Running,
    Done,
    Failed,
}

impl ImportState {
    const ALL: [Self; 4] = [Self::Receiving, Self::Running, Self::Done, Self::Failed];

    /// The state of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == name)
    }

    /// The state's name in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Receiving => "receiving",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }
}

/// Why a line did not become a product.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportError {
    pub line: u64,
    /// The product's id, where the line had one.
    pub id: Option<String>,
    pub detail: String,
}

/// An import and its results so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    pub state: ImportState,
    /// Lines, blank ones left out.
    pub received: u64,
    pub stored: u64,
    pub failed: u64,
    /// The errors of the first failed lines.
    pub errors: Vec<ImportError>,
}

/// An import that is not done, and its results so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenImport {
    pub id: String,
    pub state: ImportState,
    /// Lines, blank ones left out.
    pub received: u64,
    pub stored: u64,
    pub failed: u64,
}

/// Some lines of an import, the next ones to work on.
#[derive(Debug)]
pub struct Lease {
    /// The import's id.
    pub import: String,
    /// Line numbers and lines; none left: the import is done.
    pub lines: Vec<(u64, Vec<u8>)>,
}
