//! What training learns from: labelled pictures of any data set, the held-out ones last.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Result, anyhow, bail};

use super::divide::place;
use super::entry::{Entry, Part};
use super::fashion_mnist::{fashion_mnist, is_fashion_mnist, prepared};
use super::listing::Listing;
use super::pictures::{DataSet, Set, Wanted, read};
use engine::picture::idx::{CLASS_NAMES, Split};
use engine::picture::{Picture, Recipe, Shape};

/// The input of a network for a data set of photos, if nothing else says it.
const PHOTO_INPUT: Shape = Shape {
    channels: 3,
    height: 64,
    width: 64,
};

/// Which pictures are read.
#[derive(Debug, Clone, Copy)]
pub struct Request {
    /// `None`: Fashion-MNIST's pictures as they are, photos in colour at 64 x 64.
    pub input: Option<(Shape, Recipe)>,
    /// Of Fashion-MNIST the first so many training pictures; of another data set so many, spread evenly.
    pub limit: Option<usize>,
    /// The pictures to hold out where the data set has no validation pictures; a tenth at most, except of
    /// Fashion-MNIST.
    pub validation: usize,
    /// Whether test pictures are read.
    pub tests: bool,
    /// Whether pictures without a label are read too.
    pub unlabelled: bool,
    /// Whether a teacher has a row for each training picture: all of them stay in the data set's order, those without a
    /// label too, and none is held out.
    pub taught: bool,
}

/// Pictures to train with.
#[derive(Debug)]
pub struct Lessons {
    /// The data set's name.
    pub name: String,
    pub classes: Vec<String>,
    /// Training pictures, then those to hold out.
    pub pictures: Vec<Picture>,
    /// Indices into `classes`, `None` without a label; as many as there are pictures.
    pub labels: Vec<Option<u8>>,
    /// The data set's groups, numbered; a picture without one has a number of its own. As many as there are pictures.
    pub groups: Vec<u32>,
    /// The number of pictures, the last ones, to hold out.
    pub validation: usize,
    /// Empty if the data set has none.
    pub tests: Vec<Picture>,
    pub test_labels: Vec<u8>,
}

/// Reads the pictures of a data set to train with.
///
/// # Errors
/// If the data set cannot be read, has fewer than two or more than 256 classes, or its pictures cannot be prepared for
/// the network's input.
pub fn lessons(path: &Path, request: &Request) -> Result<Lessons> {
    if is_fashion_mnist(path) {
        return of_fashion_mnist(path, request);
    }
    let listing = Listing::open(path)?;
    let (input, recipe) = request.input.unwrap_or((PHOTO_INPUT, Recipe::Plain));
    let mut parts = vec![(Part::Train, request.limit)];
    if !request.taught {
        parts.push((Part::Validation, None));
    }
    if request.tests {
        parts.push((Part::Test, None));
    }
    let read = read(
        &listing,
        &Wanted {
            input,
            recipe,
            parts: &parts,
            labelled: !(request.taught || request.unlabelled),
        },
    )?;
    read.left_out.tell();
    let DataSet {
        classes,
        train,
        validation,
        test,
        ..
    } = read;
    let name = listing.name;
    if classes.len() > 256 {
        bail!("{name} has {} classes; training takes at most 256", classes.len());
    }
    let (mut pictures, mut labels, mut held_out) = (Vec::new(), Vec::new(), validation.pictures.len());
    let mut groups = Groups::default();
    if held_out > 0 || request.taught {
        for set in [train, validation] {
            labels.extend(bytes(&set)?);
            set.entries.iter().for_each(|entry| groups.push(entry));
            pictures.extend(set.pictures);
        }
    } else {
        // In another order than the data set's, which may be that of the classes; groups stay together.
        let known = bytes(&train)?;
        let mut order: Vec<usize> = (0..known.len()).collect();
        let key = |index: usize| (place(&train.entries[index]), train.entries[index].group.as_ref());
        order.sort_by(|&a, &b| key(a).cmp(&key(b)));
        held_out = request.validation.min(known.len() / 10);
        while held_out > 0 && held_out < order.len() {
            let first = order.len() - held_out;
            let [before, group] = [first - 1, first].map(|index| key(order[index]).1);
            if group.is_none() || before != group {
                break;
            }
            held_out += 1;
        }
        if held_out == order.len() {
            bail!("{name}: all training pictures are of one group, so none can be held out");
        }
        labels.extend(order.iter().map(|&index| known[index]));
        order.iter().for_each(|&index| groups.push(&train.entries[index]));
        // Moved, not copied: there may be gigabytes of them.
        let mut left: Vec<Option<Picture>> = train.pictures.into_iter().map(Some).collect();
        pictures.extend(order.iter().filter_map(|&index| left[index].take()));
    }
    // A test needs a label; training does not.
    let (mut tests, mut test_labels) = (Vec::new(), Vec::new());
    let known = bytes(&test)?;
    for (picture, label) in test.pictures.into_iter().zip(known) {
        if let Some(label) = label {
            tests.push(picture);
            test_labels.push(label);
        }
    }
    Ok(Lessons {
        test_labels,
        tests,
        validation: held_out,
        name,
        classes,
        pictures,
        labels,
        groups: groups.numbers,
    })
}

/// Numbers groups in the order in which they come.
#[derive(Default)]
struct Groups {
    known: HashMap<String, u32>,
    numbers: Vec<u32>,
    next: u32,
}

impl Groups {
    fn push(&mut self, entry: &Entry) {
        let next = self.next;
        let number = match &entry.group {
            None => next,
            Some(group) => *self.known.entry(group.clone()).or_insert(next),
        };
        self.next += u32::from(number == next);
        self.numbers.push(number);
    }
}

fn of_fashion_mnist(path: &Path, request: &Request) -> Result<Lessons> {
    let prepared = |(pictures, labels): (Vec<Picture>, Vec<u8>)| -> Result<_> {
        Ok(match request.input {
            None => (pictures, labels),
            Some((input, recipe)) => (prepared(pictures, input, recipe)?, labels),
        })
    };
    let (pictures, labels) = prepared(fashion_mnist(path, Split::Train, request.limit)?)?;
    let (tests, test_labels) = match request.tests {
        true => prepared(fashion_mnist(path, Split::Test, None)?)?,
        false => (Vec::new(), Vec::new()),
    };
    Ok(Lessons {
        name: "Fashion-MNIST".to_owned(),
        classes: CLASS_NAMES.map(str::to_owned).to_vec(),
        pictures,
        groups: (0..).take(labels.len()).collect(),
        labels: labels.into_iter().map(Some).collect(),
        validation: request.validation,
        tests,
        test_labels,
    })
}

/// The labels of a set.
fn bytes(set: &Set) -> Result<Vec<Option<u8>>> {
    let byte = |label: usize| u8::try_from(label).map_err(|_| anyhow!("class {label} is above 255"));
    set.labels
        .iter()
        .map(|label| label.map(byte).transpose())
        .collect()
}

impl Lessons {
    /// Renumbers the labels to the classes of a network, by name.
    ///
    /// # Errors
    /// If the network lacks one of the data set's classes.
    pub fn of_network(&mut self, labels: &[String]) -> Result<()> {
        let mut known = Vec::with_capacity(self.classes.len());
        for class in &self.classes {
            let found = labels.iter().position(|label| label == class);
            match found.and_then(|index| u8::try_from(index).ok()) {
                Some(index) => known.push(index),
                None => bail!(
                    "{} has the class {class:?}, which the network does not have; its classes are {}",
                    self.name,
                    labels.join(", ")
                ),
            }
        }
        for label in self.labels.iter_mut().flatten().chain(&mut self.test_labels) {
            *label = known[usize::from(*label)];
        }
        labels.clone_into(&mut self.classes);
        Ok(())
    }
}
