//! What makes a match right, and which queries are also judged on their own.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::ValueEnum;
use serde::Serialize;

use crate::dataset::{Entry, Listing, Part, is_fashion_mnist};

/// What a right match shares with its query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// Its class.
    #[default]
    Label,
    /// Its group, where that is a product: a query is searched for among all other pictures of the data set.
    Group,
}

impl By {
    /// The word in options and answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Label => "label",
            Self::Group => "group",
        }
    }
}

/// Queries that are judged on their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Asked {
    /// What they have in common.
    pub of: &'static str,
    pub count: usize,
}

/// Queries whose group has no training picture.
pub const UNSEEN: &str = "unseen groups";

/// The groups of training pictures.
#[derive(Debug, Clone, Default)]
pub struct Groups(BTreeSet<String>);

impl Groups {
    /// Those of a data set, and of others that a network was trained on.
    ///
    /// # Errors
    /// If one of the others is not a data set, or has no groups.
    pub fn of(listing: &Listing, trained_on: &[PathBuf]) -> Result<Self> {
        let mut groups = BTreeSet::new();
        let mut add = |listing: &Listing| {
            let training = listing
                .entries
                .iter()
                .filter(|entry| entry.part == Some(Part::Train));
            let before = groups.len();
            let mut found = 0;
            for group in training.filter_map(|entry| entry.group.clone()) {
                found += 1;
                groups.insert(group);
            }
            (found, groups.len() - before)
        };
        add(listing);
        for path in trained_on {
            if is_fashion_mnist(path) {
                bail!("--trained-on {}: Fashion-MNIST has no groups", path.display());
            }
            let (found, _) = add(&Listing::open(path)?);
            if found == 0 {
                bail!(
                    "--trained-on {}: no training picture has a group; its manifest needs a column group, or sender in \
                     a photos.csv",
                    path.display()
                );
            }
        }
        Ok(Self(groups))
    }

    /// The places of the queries whose group is not among these; none if that is so of all or of none.
    #[must_use]
    pub fn unseen(&self, queries: &[Entry]) -> Vec<usize> {
        let unseen = |entry: &Entry| entry.group.as_ref().is_some_and(|group| !self.0.contains(group));
        let found: Vec<usize> = (0..queries.len())
            .filter(|&query| unseen(&queries[query]))
            .collect();
        match found.len() == queries.len() {
            true => Vec::new(),
            false => found,
        }
    }
}
