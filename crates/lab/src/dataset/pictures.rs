//! Reads and prepares the pictures of a data set, on all threads.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail};
use serde::Serialize;

use super::entry::{Entry, Part};
use super::inside::Inside;
use super::listing::Listing;
use crate::{files, progress};
use engine::parallel::in_parallel;
use engine::picture::prepare::MAX_INPUT_SIDE;
use engine::picture::{DecodeLimits, Mode, Picture, Recipe, Shape, decode, prepare};

/// The most bytes of prepared pictures that are kept: 330,000 pictures of 3 x 64 x 64.
const MAX_KEPT: usize = 4 << 30;

/// Pictures that could not be read are named up to this number, and counted beyond.
const NAMED: usize = 20;

/// What is read of a data set, and for which input.
#[derive(Debug, Clone)]
pub struct Wanted<'a> {
    /// One or three channels.
    pub input: Shape,
    pub recipe: Recipe,
    /// The splits, each with the largest number of pictures, which are then spread evenly over the split.
    pub parts: &'a [(Part, Option<usize>)],
    /// Whether pictures without a label are left out, and there must be at least two classes.
    pub labelled: bool,
}

/// The prepared pictures of a split, in the data set's order.
#[derive(Debug, Default)]
pub struct Set {
    pub pictures: Vec<Picture>,
    /// Indices into the classes; `None` without a label. As many as there are pictures.
    pub labels: Vec<Option<usize>>,
    /// Ids, groups and files; as many as there are pictures.
    pub entries: Vec<Entry>,
}

/// A data set, read and prepared. A split that was not asked for is empty.
#[derive(Debug)]
pub struct DataSet {
    /// The labels of the training pictures, sorted.
    pub classes: Vec<String>,
    pub train: Set,
    pub validation: Set,
    pub test: Set,
    pub left_out: LeftOut,
}

/// The pictures that are not used.
#[derive(Debug, Clone, Default, Serialize)]
pub struct LeftOut {
    /// Of no split.
    pub unused: usize,
    /// Files and folders beside the pictures.
    pub skipped: usize,
    pub unreadable: usize,
    /// Without a label, if labels are needed.
    pub unlabelled: usize,
    /// Validation and test pictures of a class that no training picture has.
    pub unknown_class: usize,
    /// The first of the unreadable ones, with the reason.
    pub named: Vec<String>,
}

impl LeftOut {
    /// Tells on stderr what is left out, if anything is.
    pub fn tell(&self) {
        for named in &self.named {
            eprintln!("{named}");
        }
        for (count, what) in [
            (self.unreadable, "pictures that cannot be read are left out"),
            (self.unlabelled, "pictures without a label are left out"),
            (
                self.unknown_class,
                "validation and test pictures of classes without a training picture are left out",
            ),
            (
                self.skipped,
                "files and folders that are not pictures in class folders are skipped",
            ),
            (self.unused, "pictures without a split are not used"),
        ] {
            if count > 0 {
                eprintln!("{count} {what}");
            }
        }
    }
}

/// Reads one picture and prepares it; the error is a sentence that names it.
///
/// # Errors
/// If the file leads out of the data set's folder, or is not a picture that can be decoded.
pub fn picture(listing: &Listing, entry: &Entry, input: Shape, recipe: Recipe) -> Result<Picture, String> {
    one(&listing.inside, entry, input, recipe)
}

fn one(inside: &Inside, entry: &Entry, input: Shape, recipe: Recipe) -> Result<Picture, String> {
    let named = |reason: String| format!("{}: {reason}", entry.file.display());
    let bytes = inside.read(&entry.file).map_err(named)?;
    // A data set is the user's own: however narrow a picture is, it is fitted.
    let limits = DecodeLimits {
        max_ratio: u32::MAX,
        ..DecodeLimits::default()
    };
    let decoded = decode(&bytes, &limits).map_err(|error| named(error.to_string()))?;
    drop(bytes);
    prepare(&decoded, input, recipe, Mode::Auto).map_err(|error| named(error.to_string()))
}

/// Reads the wanted splits of a data set.
///
/// # Errors
/// If no picture can be read, there are no training pictures, or, where labels are needed, not two classes of them; or
/// if the prepared pictures would not fit into 4 GiB.
pub fn read(listing: &Listing, wanted: &Wanted<'_>) -> Result<DataSet> {
    let (name, input) = (&listing.name, wanted.input);
    let sides = 1..=MAX_INPUT_SIDE;
    if !matches!(input.channels, 1 | 3) || !sides.contains(&input.width) || !sides.contains(&input.height) {
        bail!(
            "photos cannot be prepared for a network input of {input}: channels must be 1 or 3, height and width 1 to \
             {MAX_INPUT_SIDE}"
        );
    }
    if wanted.labelled {
        listing.check_classes()?;
    }
    let mut left_out = LeftOut {
        unused: listing.unused,
        skipped: listing.skipped,
        ..LeftOut::default()
    };
    let mut chosen: Vec<&Entry> = Vec::new();
    for &(part, limit) in wanted.parts {
        let mut of_part: Vec<&Entry> = Vec::new();
        for entry in listing.entries.iter().filter(|entry| entry.part == Some(part)) {
            if wanted.labelled && entry.label.is_none() {
                left_out.unlabelled += 1;
            } else {
                of_part.push(entry);
            }
        }
        let count = limit.map_or(of_part.len(), |limit| limit.min(of_part.len()));
        chosen.extend((0..count).map(|index| of_part[index * of_part.len() / count]));
    }
    if chosen.len().saturating_mul(input.len()) > MAX_KEPT {
        bail!(
            "{name}: {} pictures of {input} need more than the {MAX_KEPT} bytes that are kept; use fewer",
            chosen.len()
        );
    }
    let bar = progress::bar("reading pictures", chosen.len());
    let each = |(): &mut (), index: usize| {
        bar.inc(1);
        one(&listing.inside, chosen[index], input, wanted.recipe)
    };
    let found = in_parallel(files::threads(), chosen.len(), || (), each);
    bar.finish_and_clear();

    let mut sets: BTreeMap<&str, Set> = BTreeMap::new();
    for (entry, found) in chosen.iter().zip(found) {
        match found {
            Ok(picture) => {
                let part = entry.part.map_or("", Part::as_str);
                let set = sets.entry(part).or_default();
                set.pictures.push(picture);
                set.entries.push((*entry).clone());
            }
            Err(reason) => {
                left_out.unreadable += 1;
                if left_out.named.len() < NAMED {
                    left_out.named.push(reason);
                }
            }
        }
    }
    if sets.is_empty() {
        let first = left_out.named.first().map_or("", String::as_str);
        bail!(
            "{name}: none of the {} pictures can be read; the first: {first}",
            chosen.len()
        );
    }
    let mut take = |part: Part| sets.remove(part.as_str()).unwrap_or_default();
    let mut dataset = DataSet {
        classes: Vec::new(),
        train: take(Part::Train),
        validation: take(Part::Validation),
        test: take(Part::Test),
        left_out,
    };
    dataset.label();
    if dataset.train.pictures.is_empty() {
        dataset.left_out.tell();
        bail!("{name}: no training picture can be read");
    }
    if wanted.labelled && dataset.classes.len() < 2 {
        dataset.left_out.tell();
        bail!(
            "{name}: the training pictures that can be read are all of the class {:?}; at least two classes are needed",
            dataset.classes[0]
        );
    }
    Ok(dataset)
}

impl DataSet {
    /// Names the classes after the training pictures; validation and test pictures of other classes are removed.
    fn label(&mut self) {
        let labels = |set: &Set| -> BTreeSet<String> {
            let labels = set.entries.iter();
            labels.filter_map(|entry| entry.label.clone()).collect()
        };
        self.classes = labels(&self.train).into_iter().collect();
        for set in [&mut self.train, &mut self.validation, &mut self.test] {
            let Set {
                pictures, entries, ..
            } = std::mem::take(set);
            for (picture, entry) in pictures.into_iter().zip(entries) {
                let label = match &entry.label {
                    None => None,
                    Some(label) => match self.classes.binary_search(label) {
                        Ok(class) => Some(class),
                        Err(_) => {
                            self.left_out.unknown_class += 1;
                            continue;
                        }
                    },
                };
                set.pictures.push(picture);
                set.labels.push(label);
                set.entries.push(entry);
            }
        }
    }
}
