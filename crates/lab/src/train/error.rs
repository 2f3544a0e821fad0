//! Why training fails.

use thiserror::Error;

use engine::picture::{PictureError, Shape};

/// Why training fails.
#[derive(Debug, Error)]
pub enum TrainError {
    #[error("there are {pictures} pictures and {labels} labels; each picture needs one label")]
    LabelCount { pictures: usize, labels: usize },
    #[error(
        "{validation} of {pictures} pictures are held out for validation; at least one must be left to train on"
    )]
    TooFewPictures { pictures: usize, validation: usize },
    #[error("picture {index} is {found}, the network takes {expected}")]
    PictureShape {
        index: usize,
        found: Shape,
        expected: Shape,
    },
    #[error("picture {index} is labelled {label}; the network's last layer has the classes 0 to {}", classes - 1)]
    Label { index: usize, label: u8, classes: usize },
    #[error("{setting} is {given}; it must be {range}")]
    Setting {
        setting: &'static str,
        given: String,
        range: &'static str,
    },
    #[error("picture {index} cannot be resized to the network's input")]
    Picture { index: usize, source: PictureError },
    #[error("the teacher has {rows} embeddings for {pictures} training pictures; each picture needs one")]
    TeacherRows { rows: usize, pictures: usize },
    #[error("the teacher's embedding of picture {index} {problem}")]
    TeacherRow { index: usize, problem: &'static str },
    #[error(
        "the tutor takes {found} and tells {found_classes} classes apart, the network {expected} and {classes}"
    )]
    Tutor {
        found: Shape,
        found_classes: usize,
        expected: Shape,
        classes: usize,
    },
    #[error("there are {pictures} pictures and {groups} groups; each picture needs one group")]
    GroupCount { pictures: usize, groups: usize },
    #[error(
        "no picture has a label, there is no teacher, and each picture has one view: there is nothing to learn from"
    )]
    NothingToLearn,
    #[error("the loss of batch {batch} in epoch {epoch} is not finite; try a lower learning rate")]
    Diverged { epoch: usize, batch: usize },
    #[error("{threads} threads cannot be started: {source}")]
    Threads {
        threads: usize,
        source: rayon::ThreadPoolBuildError,
    },
    #[error("the tensor library failed: {source}")]
    Tensors {
        #[from]
        source: candle_core::Error,
    },
}

/// Refuses a setting that is out of range.
pub(super) fn require(
    holds: bool,
    setting: &'static str,
    given: impl ToString,
    range: &'static str,
) -> Result<(), TrainError> {
    match holds {
        true => Ok(()),
        false => Err(TrainError::Setting {
            setting,
            given: given.to_string(),
            range,
        }),
    }
}
