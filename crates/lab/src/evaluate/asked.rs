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
pub struct QuerySet {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::{DataSet, LeftOut, Set};
    use crate::evaluate::protocol::Protocol;
    use engine::picture::{Picture, Shape};

    fn entry(group: &str, part: Part) -> Entry {
        Entry {
            id: group.to_owned(),
            file: PathBuf::from(group),
            label: Some("shoe".to_owned()),
            group: (!group.is_empty()).then(|| group.to_owned()),
            part: Some(part),
        }
    }

    fn groups(names: &[&str]) -> Groups {
        Groups(names.iter().map(|name| (*name).to_owned()).collect())
    }

    #[test]
    fn queries_of_groups_without_training_pictures_are_judged_on_their_own() {
        let queries = ["a", "b", "", "c"].map(|group| entry(group, Part::Test));
        assert_eq!(groups(&["a", "c"]).unseen(&queries), [1]);
        assert_eq!(groups(&["a", "b", "c"]).unseen(&queries), Vec::<usize>::new());
        // All of them are unseen: there is nothing to tell apart.
        assert_eq!(
            groups(&["x"]).unseen(&[entry("a", Part::Test)]),
            Vec::<usize>::new()
        );
    }

    fn set(groups: &[&str], part: Part) -> Set {
        let shape = Shape {
            channels: 1,
            height: 1,
            width: 1,
        };
        let picture = |_: &&str| Picture::from_vec(shape, vec![7]).unwrap();
        Set {
            pictures: groups.iter().map(picture).collect(),
            labels: vec![Some(0); groups.len()],
            entries: groups.iter().map(|group| entry(group, part)).collect(),
        }
    }

    #[test]
    fn by_group_a_query_is_searched_for_among_all_other_pictures() {
        let dataset = || DataSet {
            classes: vec!["shoe".to_owned()],
            train: set(&["a", "b"], Part::Train),
            validation: set(&["c", "c", ""], Part::Validation),
            test: set(&["d", "a"], Part::Test),
            left_out: LeftOut::default(),
        };
        let by_label = Protocol::of(dataset(), By::Label, &groups(&["a", "b"]));
        assert_eq!(by_label.size(), [5, 2]);
        assert_eq!(by_label.into_photos().unwrap().unseen, [0, 1, 3]);
        // Both pictures of c, and the one of a whose other one is for training; d and the one of no group are alone.
        let by_group = Protocol::of(dataset(), By::Group, &groups(&["a", "b"]));
        assert_eq!(by_group.size(), [3, 7]);
        let photos = by_group.into_photos().unwrap();
        let asked: Vec<&str> = photos
            .queries
            .iter()
            .filter_map(|entry| entry.group.as_deref())
            .collect();
        assert_eq!(asked, ["c", "c", "a"]);
        assert!(photos.alike(&photos.queries[2], &photos.corpus[0]));
        assert!(!photos.alike(&photos.queries[2], &photos.corpus[1]));
    }
}
