//! Imports: lines that clients have sent, and their results.
//!
//! A line waits in the store until it is a product or an error; both happen in one transaction, so that a restart neither
//! repeats nor loses one.

use super::attributes::AttributeChanges;
use super::error::CatalogueError;
use super::product::{Cursor, NewProduct};
use super::scope::Scope;
use super::title::Title;

/// The most errors that an import keeps by line; further ones are only counted.
pub const MOST_ERRORS: u32 = 1000;

/// An import removes nothing that it did not name if more than this part of its lines failed: one in twenty.
const MOST_FAILED: u64 = 20;

/// What happens to products that an import did not name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Missing {
    #[default]
    Keep,
    /// They are removed once all lines are done.
    Delete,
}

impl Missing {
    /// The one of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Keep, Self::Delete]
            .into_iter()
            .find(|known| known.as_str() == name)
    }

    /// The name in requests and answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Delete => "delete",
        }
    }
}

/// One step of an import.
#[derive(Debug, Clone)]
pub enum ImportStep {
    /// It has an id; lines follow. Products beyond the scope are not there for it.
    Begun { missing: Missing, scope: Scope },
    /// Some lines as they were received, with their numbers.
    Received(Vec<(u64, Vec<u8>)>),
    /// All lines have been received.
    Whole,
    /// The stream broke off; the received lines are dropped.
    Broken,
    /// A line became a product.
    Stored { line: u64, product: NewProduct },
    /// A line changes a product that is there.
    Merged {
        line: u64,
        id: String,
        title: Option<Title>,
        attributes: AttributeChanges,
    },
    /// A line removes a product, if it is there.
    Deleted { line: u64, id: String },
    /// A line became an error.
    Refused {
        line: u64,
        product: Option<String>,
        detail: String,
    },
    /// No line waits: of the products behind `after`, at most `most` are removed that the import did not name.
    RemoveMissing { after: Option<Cursor>, most: usize },
    /// Nothing is left to do.
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

/// Why a line was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportError {
    pub line: u64,
    /// The product's id, where the line had one.
    pub id: Option<String>,
    pub detail: String,
}

/// What became of an import's lines so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Lines, blank ones left out.
    pub received: u64,
    /// Lines that created or replaced a product.
    pub stored: u64,
    /// Lines that changed a product.
    pub merged: u64,
    /// Products that were removed, by lines or as missing.
    pub deleted: u64,
    pub failed: u64,
    /// Lines that are done, whatever became of them.
    pub settled: u64,
}

impl Counts {
    /// Lines that are not done.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.received.saturating_sub(self.settled)
    }

    /// Why nothing may be removed that the import did not name, as a sentence; `None` where it may.
    pub(super) fn keeps_missing(&self) -> Option<String> {
        let Self { received, failed, .. } = self;
        if *received == 0 {
            return Some("no product was removed as missing: the import has no lines".to_owned());
        }
        let too_many = failed.saturating_mul(MOST_FAILED) > *received;
        too_many.then(|| {
            format!(
                "no product was removed as missing: {failed} of {received} lines failed, more than {} %",
                100 / MOST_FAILED
            )
        })
    }
}

/// An import and its results so far.
#[derive(Debug, Clone, PartialEq)]
pub struct Import {
    pub state: ImportState,
    /// What it sees and changes.
    pub scope: Scope,
    pub counts: Counts,
    pub missing: Missing,
    /// What else there is to know, as a sentence: why no product was removed as missing.
    pub note: Option<String>,
    /// The errors of the first failed lines.
    pub errors: Vec<ImportError>,
}

impl Scope {
    /// Whether whoever has this scope is told of an import of another one.
    #[must_use]
    pub fn sees_imports_of(&self, other: &Self) -> bool {
        self.is_all() || self == other
    }
}

/// Why a line stores no product, if its scope does not permit it.
///
/// # Errors
/// Any other error.
pub fn not_stored(error: CatalogueError) -> Result<String, CatalogueError> {
    match error {
        CatalogueError::NoProduct { id } => Ok(format!(
            "the id {id:?} is taken by a product that the key does not see"
        )),
        error @ CatalogueError::OutOfScope { .. } => Ok(error.to_string()),
        error => Err(error),
    }
}

/// Why a line changes no product, if the catalogue's rules or its scope refuse it.
///
/// # Errors
/// Any other error.
pub fn not_merged(error: CatalogueError) -> Result<String, CatalogueError> {
    match error {
        CatalogueError::NoProduct { id } => Ok(format!(
            "there is no product {id:?} to be changed; a new one needs an image"
        )),
        error @ (CatalogueError::Invalid { .. } | CatalogueError::OutOfScope { .. }) => Ok(error.to_string()),
        error => Err(error),
    }
}

/// An import that is not done, and its results so far.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenImport {
    pub id: String,
    /// What it sees and changes.
    pub scope: Scope,
    pub state: ImportState,
    pub counts: Counts,
}

/// Some lines of an import, the next ones to work on.
#[derive(Debug)]
pub struct Lease {
    /// The import's id.
    pub import: String,
    /// Line numbers and lines; none left: the import is done, but for what is missing.
    pub lines: Vec<(u64, Vec<u8>)>,
    pub missing: Missing,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_kept_where_more_than_one_line_in_twenty_failed() {
        let keeps = |received, failed| {
            let counts = Counts {
                received,
                failed,
                ..Counts::default()
            };
            counts.keeps_missing()
        };
        for (received, failed) in [(1, 0), (19, 0), (20, 1), (39, 1), (40, 2), (60_000, 3_000)] {
            assert_eq!(keeps(received, failed), None, "{failed} of {received}");
        }
        for (received, failed) in [(0, 0), (1, 1), (19, 1), (39, 2), (60_000, 3_001)] {
            assert!(keeps(received, failed).is_some(), "{failed} of {received}");
        }
        assert_eq!(
            keeps(19, 1).unwrap(),
            "no product was removed as missing: 1 of 19 lines failed, more than 5 %"
        );
    }
}
