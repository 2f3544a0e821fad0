//! One training run: a data set and a recipe in, the file of a float network out.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use indicatif::ProgressBar;
use sha2::{Digest, Sha256};

use crate::ann::file::{read_ann, write_ann};
use crate::ann::{Ann, architecture};
use crate::dataset::{Lessons, Request, lessons};
use crate::recipe::Recipe;
use crate::train::{Contrast, Examples, Progress, Report, Teacher, TrainOptions, Tutor, train_examples};
use crate::{files, progress};
use engine::network::{Network, hex};
use engine::picture::{self, Picture, Shape, npy, stretch};

/// What is trained, on what, and the file to write.
#[derive(Debug, Clone)]
pub struct Training {
    pub recipe: Recipe,
    /// As `crate::ann::architecture` reads it; for photos the number of classes may be left out after a convolution whose
    /// kernel is given and the embedding.
    pub architecture: String,
    /// Levels of the quantised activations; the paper's recipe has none.
    pub levels: u32,
    /// Width and height of the input of a network for photos.
    pub side: usize,
    /// Whether another view of a picture is of any picture of its group.
    pub siblings: bool,
    /// A `.npy` file with another model's embeddings of the training pictures.
    pub teacher: Option<PathBuf>,
    /// A larger float network with the same input and classes, whose classes of the views are followed.
    pub tutor: Option<PathBuf>,
    /// A float network whose layers are where training starts, as far as they fit.
    pub init: Option<PathBuf>,
    pub options: TrainOptions,
    /// The data set, as `crate::dataset` reads it.
    pub dataset: PathBuf,
    /// Only the first so many training pictures; `None`: all of them.
    pub limit: Option<usize>,
    /// The file that is written.
    pub out: PathBuf,
}

/// How long a network of the paper's is trained, and on what.
#[derive(Debug, Clone, Copy)]
pub struct Course {
    pub epochs: usize,
    pub validation: usize,
    pub limit: Option<usize>,
}

impl Training {
    /// The paper's recipe for one of its architectures.
    #[must_use]
    pub fn of_the_paper(architecture: &str, dataset: &Path, out: &Path, course: Course, seed: u64) -> Self {
        let defaults = Recipe::Paper.defaults();
        Self {
            recipe: Recipe::Paper,
            architecture: architecture.to_owned(),
            levels: 8,
            side: 64,
            siblings: false,
            teacher: None,
            tutor: None,
            init: None,
            options: TrainOptions {
                epochs: course.epochs,
                seed,
                batch: defaults.batch,
                learning_rate: 2e-3,
                dropout: defaults.dropout,
                mirror: false,
                shift: 0,
                normalise: false,
                contrast: None,
                validation: course.validation,
                threads: files::threads(),
                ..TrainOptions::default()
            },
            dataset: dataset.to_owned(),
            limit: course.limit,
            out: out.to_owned(),
        }
    }

    /// The beginning of the `trained_with` of a network trained on this many pictures: everything that determines its
    /// parameters.
    #[must_use]
    pub fn provenance(&self, dataset: &str, pictures: usize) -> String {
        let options = &self.options;
        let mut further = String::new();
        if let Some(Contrast { weight, temperature }) = options.contrast {
            further = format!(
                " --levels {} --contrast {weight} --temperature {temperature}",
                self.levels
            );
        }
        if options.shift > 0 {
            further += &format!(" --shift {}", options.shift);
        }
        if options.normalise {
            further += " --normalise true";
        }
        further += &self.photo_provenance();
        format!(
            "spikelens train --architecture {} --epochs {} --seed {} --recipe {} --batch {} --learning-rate {} \
             --dropout {}{further} --validation {}; {pictures} pictures of {dataset}; ",
            self.architecture,
            options.epochs,
            options.seed,
            self.recipe.as_str(),
            options.batch,
            options.learning_rate,
            options.dropout,
            options.validation,
        )
    }

    /// The options of training for photos, those that other recipes do not have.
    fn photo_provenance(&self) -> String {
        let options = &self.options;
        let mut further = String::new();
        if let Some(views) = options.augmentation {
            further += &format!(
                " --side {} --crop {} --aspect {} --rotate {} --mirror {} --colour {} --tint {} --erase {}",
                self.side,
                views.crop,
                views.aspect,
                views.rotate,
                views.mirror,
                views.colour,
                views.tint,
                views.erase
            );
        }
        if let Some(adam_w) = options.adam_w {
            further += &format!(
                " --decay {} --warm-up {} --average {} --smoothing {}",
                adam_w.decay, adam_w.warm_up, adam_w.average, options.smoothing
            );
        }
        if options.views > 1 {
            further += &format!(" --views {}", options.views);
        }
        if self.siblings {
            further += " --siblings";
        }
        if let (Some(teacher), Some(relation)) = (&self.teacher, options.relation) {
            further += &format!(
                " --teacher {} --relation {} --relation-temperature {}",
                teacher.display(),
                relation.weight,
                relation.temperature
            );
        }
        if let (Some(tutor), Some(term)) = (&self.tutor, options.distillation) {
            further += &format!(
                " --tutor {} --distillation {} --distillation-temperature {}",
                tutor.display(),
                term.weight,
                term.temperature
            );
        }
        if let Some(init) = &self.init {
            further += &format!(" --init {}", init.display());
        }
        further
    }

    /// Trains and writes the file; returns the accuracies of the epoch that is kept.
    ///
    /// # Errors
    /// If the data set or the architecture is invalid, training fails, or the file cannot be written.
    pub fn run(&self) -> Result<String> {
        let lessons = lessons(
            &self.dataset,
            &Request {
                input: (self.recipe == Recipe::Photos).then(|| {
                    let input = Shape {
                        channels: 3,
                        height: self.side,
                        width: self.side,
                    };
                    stored(input, picture::Recipe::Stretched)
                }),
                limit: self.limit,
                validation: self.options.validation,
                tests: true,
                unlabelled: self.options.views > 1,
                taught: self.teacher.is_some(),
            },
        )?;
        let Lessons {
            name,
            classes,
            pictures,
            labels,
            groups,
            validation,
            tests,
            test_labels,
        } = lessons;
        let options = TrainOptions {
            validation,
            ..self.options.clone()
        };
        let learner = Self {
            options,
            ..self.clone()
        };
        let (mut ann, report, origins) =
            learner.learn(&pictures, &labels, self.siblings.then_some(&groups[..]), &classes)?;
        let mut right = 0;
        for (picture, label) in tests.iter().zip(&test_labels) {
            right += usize::from(self.class(&ann, picture)? == usize::from(*label));
        }
        let test = match tests.len() {
            0 => "none".to_owned(),
            count => format!("{:.2} %", 100.0 * right as f64 / count as f64),
        };
        let kept = &report.epochs[report.kept_epoch - 1];
        let validation = kept
            .validation_accuracy
            .map_or("none".to_owned(), |share| format!("{:.2} %", 100.0 * share));
        let figures = format!(
            "epoch {} of {} kept: training {:.2} %, validation {validation}, test {test}",
            report.kept_epoch,
            report.epochs.len(),
            100.0 * kept.train_accuracy
        );
        ann.network.trained_with = Some(learner.provenance(&name, pictures.len()) + &origins + &figures);
        files::write_whole(&self.out, &write_ann(&ann))?;
        Ok(figures)
    }

    /// Trains on `pictures`, whose labels are places in `classes`, and whose groups, if given, are products; also returns what it took from other files, for
    /// `trained_with`.
    ///
    /// # Errors
    /// If the architecture, the teacher or the network to start from is invalid, or training fails.
    pub fn learn(
        &self,
        pictures: &[Picture],
        labels: &[Option<u8>],
        groups: Option<&[u32]>,
        classes: &[String],
    ) -> Result<(Ann, Report, String)> {
        let first = pictures.first().context("there are no training pictures")?;
        let network = self.network(first.shape(), classes)?;
        let mut origins = String::new();
        let teacher = match &self.teacher {
            None => None,
            Some(path) => {
                let bytes = files::read(path)?;
                origins += &format!("teacher {}; ", hex(&Sha256::digest(&bytes)));
                Some(read_teacher(path, &bytes, pictures.len())?)
            }
        };
        let tutor = match &self.tutor {
            None => None,
            Some(path) => {
                let bytes = files::read(path)?;
                origins += &format!("tutor {}; ", hex(&Sha256::digest(&bytes)));
                Some(read_tutor(path, &bytes, classes)?)
            }
        };
        let start = match &self.init {
            None => None,
            Some(path) => {
                let bytes = files::read(path)?;
                origins += &format!("started from {}; ", hex(&Sha256::digest(&bytes)));
                let refused = || format!("{} is refused", path.display());
                Some(read_ann(&bytes).with_context(refused)?)
            }
        };
        let examples = Examples {
            pictures,
            labels,
            groups,
            teacher: teacher.as_ref(),
            tutor: tutor.as_ref(),
        };
        let mut follow = EpochProgress::new("training");
        let (ann, report, taken) =
            train_examples(&network, examples, start.as_ref(), &self.options, &mut |now| {
                follow.show(&now);
            })?;
        if let Some(init) = &self.init {
            let taken = match taken.is_empty() {
                true => "no layer".to_owned(),
                false => taken.join(", "),
            };
            eprintln!("{taken} taken from {}", init.display());
            origins += &format!("{taken} taken; ");
        }
        Ok((ann, report, origins))
    }

    /// The network for pictures of this shape.
    fn network(&self, pictures: Shape, classes: &[String]) -> Result<Network> {
        let name = &self.architecture;
        let mut network = match self.recipe {
            Recipe::Paper => architecture::parse(name, pictures)?,
            Recipe::Metric => architecture::parse_metric(name, pictures, self.levels)?,
            Recipe::Photos => {
                let input = Shape {
                    height: self.side,
                    width: self.side,
                    ..pictures
                };
                photo_network(name, input, self.levels, classes.len())?
            }
        };
        // Without labels, only a teacher is followed; a classifier there must be.
        if network.classes() != classes.len().max(1) {
            bail!(
                "--architecture {name} ends in {} classes, the data set has {}: {}",
                network.classes(),
                classes.len(),
                classes.join(", ")
            );
        }
        network.labels = (!classes.is_empty()).then(|| classes.to_vec());
        Ok(network)
    }

    /// The class that `ann` gives a picture, which is stretched to its input for photos.
    fn class(&self, ann: &Ann, picture: &Picture) -> Result<usize> {
        if self.recipe != Recipe::Photos {
            return Ok(ann.forward(picture).class());
        }
        let Shape { height, width, .. } = ann.network.input;
        Ok(ann.forward(&stretch(picture, height, width)?).class())
    }
}

/// The network of the recipe for photos; without classes it has one, because a network ends in a classifier.
///
/// # Errors
/// If the name is not that of an architecture, or does not fit the input.
pub fn photo_network(name: &str, input: Shape, levels: u32, classes: usize) -> Result<Network> {
    let name = architecture::with_classes(name, classes.max(1));
    let mut network = architecture::parse_metric(&name, input, levels)?;
    network.recipe = picture::Recipe::Stretched;
    Ok(network)
}

/// The form in which training keeps pictures for a network's input: photos half as large again, so that a view of a part
/// of one has pixels enough.
#[must_use]
pub fn stored(input: Shape, recipe: picture::Recipe) -> (Shape, picture::Recipe) {
    if recipe != picture::Recipe::Stretched {
        return (input, recipe);
    }
    let larger = Shape {
        height: input.height * 3 / 2,
        width: input.width * 3 / 2,
        ..input
    };
    (larger, recipe)
}

/// Reads another model's embeddings of `pictures` pictures from the `.npy` file `path`, which contains `bytes`.
///
/// # Errors
/// If it is not a `.npy` file of float rows, has another number of rows, or a value is not finite.
pub fn read_teacher(path: &Path, bytes: &[u8], pictures: usize) -> Result<Teacher> {
    let refused = || format!("{} is refused", path.display());
    let rows = npy::rows(bytes).with_context(refused)?;
    Teacher::new(rows.view(), pictures).with_context(refused)
}

/// Reads the larger float network `path`, which contains `bytes`, to learn `classes` from.
///
/// # Errors
/// If it is not an ANN file, or tells other classes apart.
pub fn read_tutor(path: &Path, bytes: &[u8], classes: &[String]) -> Result<Tutor> {
    let refused = || format!("{} is refused", path.display());
    let ann = read_ann(bytes).with_context(refused)?;
    if let Some(labels) = ann.network.labels.as_ref().filter(|labels| *labels != classes) {
        bail!(
            "{} is refused: its classes are {}; the data set's are {}",
            path.display(),
            labels.join(", "),
            classes.join(", ")
        );
    }
    Ok(Tutor::new(&ann)?)
}

/// A progress bar over all batches, and a line per epoch.
#[derive(Debug)]
pub struct EpochProgress {
    what: &'static str,
    bar: Option<ProgressBar>,
}

impl EpochProgress {
    #[must_use]
    pub fn new(what: &'static str) -> Self {
        Self { what, bar: None }
    }

    pub fn show(&mut self, now: &Progress) {
        let what = self.what;
        let bar = self
            .bar
            .get_or_insert_with(|| progress::bar(what, now.batches * now.epochs));
        bar.set_position(progress::steps((now.epoch - 1) * now.batches + now.batch));
        if let Some(accuracy) = now.validation_accuracy {
            let line = format!(
                "epoch {:2} of {}: loss {:.4}, training {:.2} %, validation {:.2} %",
                now.epoch,
                now.epochs,
                now.loss,
                100.0 * now.train_accuracy,
                100.0 * accuracy
            );
            // A hidden bar prints nothing, but logs should contain the epochs.
            bar.suspend(|| eprintln!("{line}"));
        }
    }
}
