//! `adapt`: from a catalogue's own pictures to a network of the shop's own, if it is better than the one in use.

mod label;
mod pictures;
#[cfg(feature = "train")]
mod reading;
#[cfg(all(test, feature = "train"))]
mod tests;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};

use crate::catalogue::sqlite::{Sqlite, Survey};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum AdaptFormat {
    Text,
    Json,
}

/// Make a network for this shop from its catalogue's own pictures, and judge it
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  spikelens adapt --data-dir data --out snn.safetensors --label category
  spikelens serve --data-dir data --model snn.safetensors
  spikelens adapt --data-dir data --pictures pictures

About a fifth of the products (20 to 1,000) is held out by their ids: nothing is trained, tuned or chosen on them. Both
networks, the one in use and the new one, then find the same held-out products, and the difference is given with its
standard error. With --label, a match is right if it has the query's label; where products have several pictures, if it
is another picture of the same product; with a teacher alone, if it is among the teacher's ten nearest. The new network
is better if its mAP is higher by more than two standard errors and nothing is lower by as much. Otherwise nothing is
written, and the exit code is 1. A server may be running on the catalogue. Needs a build that includes training:
cargo build --release --features train")]
pub struct Adapt {
    /// The catalogue's directory
    #[arg(long, value_name = "DIR", env = "SPIKELENS_DATA_DIR")]
    data_dir: PathBuf,
    /// The SNN file to write, if the new network is better
    #[arg(
        long,
        value_name = "FILE",
        env = "SPIKELENS_OUT",
        required_unless_present = "pictures"
    )]
    out: Option<PathBuf>,
    /// The attribute that says which products are alike: text, or a list, of which the first element counts. Values that
    /// only one product has are no label; of more than 256, the 255 commonest are
    #[arg(long, value_name = "ATTRIBUTE", env = "SPIKELENS_LABEL")]
    label: Option<String>,
    /// Follow the cosines among another model's embeddings of the pictures: a .npy file of float32 or float64 [pictures,
    /// dimensions] with a row for each picture of the catalogue in the order of --pictures
    #[arg(long, value_name = "NPY", env = "SPIKELENS_TEACHER")]
    teacher: Option<PathBuf>,
    /// The time for all of it
    #[arg(long, default_value_t = 10.0, env = "SPIKELENS_MINUTES", value_parser = minutes)]
    minutes: f64,
    /// Write the network even if it is not better
    #[arg(long, env = "SPIKELENS_FORCE")]
    force: bool,
    /// Random seed
    #[arg(long, default_value_t = 1, env = "SPIKELENS_SEED")]
    seed: u64,
    /// Start from the layers of this ANN file that have the same place and shape [default: those of the built-in network
    /// that is in use]
    #[arg(long, value_name = "ANN", env = "SPIKELENS_INIT")]
    init: Option<PathBuf>,
    /// The network's layers, without the number of classes, as in train --recipe photos
    #[arg(
        long,
        default_value = lab::recipe::Recipe::Photos.defaults().architecture,
        env = "SPIKELENS_ARCHITECTURE"
    )]
    architecture: String,
    /// Width and height of the network's input
    #[arg(long, value_name = "PIXELS", default_value_t = 64, env = "SPIKELENS_SIDE",
          value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(8..=512))]
    side: usize,
    /// Write the catalogue's pictures to this new directory instead, in the order of a teacher's rows, with a manifest
    /// pictures.csv: for making a teacher
    #[arg(
        long,
        value_name = "DIR",
        env = "SPIKELENS_PICTURES",
        conflicts_with_all = ["out", "teacher", "force", "init"]
    )]
    pictures: Option<PathBuf>,
    /// Output format
    #[arg(long, value_enum, default_value = "text", env = "SPIKELENS_FORMAT")]
    format: AdaptFormat,
}

fn minutes(text: &str) -> Result<f64, String> {
    let minutes: f64 = text
        .parse()
        .map_err(|_| "it must be a number of minutes".to_owned())?;
    match minutes > 0.0 && minutes <= 10_080.0 {
        true => Ok(minutes),
        false => Err("it must be more than 0, and at most 10080 minutes (a week)".to_owned()),
    }
}

impl Adapt {
    /// Runs the command.
    ///
    /// # Errors
    /// If the catalogue cannot be read, there is too little in it or too little time, or the new network is not better.
    pub fn run(self) -> Result<()> {
        match &self.pictures {
            Some(folder) => pictures::write(&survey(&self.data_dir)?, self.label.as_deref(), folder),
            None => self.adapt(),
        }
    }

    #[cfg(not(feature = "train"))]
    fn adapt(self) -> Result<()> {
        bail!(
            "this build does not include training; build one that does with: cargo build --release --features train"
        )
    }
}

#[cfg(feature = "train")]
impl Adapt {
    fn adapt(self) -> Result<()> {
        use std::io::Write;

        use lab::adapt::report;
        use lab::adapt::verdict::Verdict;

        let out = self.out.clone().context("--out names the SNN file to write")?;
        // In ten minutes it would be too late to say so.
        let folder = super::files::beside(&out)?;
        if let Some(folder) = folder.parent().filter(|folder| !folder.is_dir()) {
            bail!("--out: {} is not a directory", folder.display());
        }
        let (adapted, in_use) = self.learn()?;
        let written = adapted.verdict == Verdict::Better || self.force;
        if written {
            super::files::write_whole(&out, &adapted.file)?;
        }
        let mut stdout = std::io::stdout().lock();
        match self.format {
            AdaptFormat::Json => {
                let name = out.display().to_string();
                let json = report::json(&adapted, &in_use, written.then_some(name.as_str()));
                serde_json::to_writer_pretty(&mut stdout, &json)?;
                writeln!(stdout)?;
            }
            AdaptFormat::Text => {
                write!(stdout, "{}", report::text(&adapted, &in_use))?;
                if written {
                    writeln!(
                        stdout,
                        "{}: {} bytes, id {}, {} cores; `spikelens serve --data-dir {} --model {}` re-embeds the catalogue \
                         behind the old index",
                        out.display(),
                        adapted.file.len(),
                        adapted.id(),
                        adapted.model.placement.cores(),
                        self.data_dir.display(),
                        out.display()
                    )?;
                }
            }
        }
        if !written {
            bail!(
                "{} was not written: {}; --force writes the network all the same",
                out.display(),
                adapted.verdict.sentence(&adapted.judgements)
            );
        }
        Ok(())
    }

    /// Reads the catalogue, learns from it and judges what was learned.
    fn learn(&self) -> Result<(lab::adapt::learn::Adapted, lab::adapt::learn::InUse)> {
        use std::time::Instant;

        use engine::picture::npy;
        use lab::adapt::learn::{InUse, Wish, adapt};
        use lab::adapt::task::{Offer, Task};
        use lab::ann::file::read_ann;

        let started = Instant::now();
        let survey = survey(&self.data_dir)?;
        let moment = survey.moment()?;
        let mut in_use = reading::in_use(&survey)?;
        if let Some(path) = &self.init {
            let bytes = super::files::read(path)?;
            let ann = read_ann(&bytes).with_context(|| format!("{} is refused", path.display()))?;
            in_use.ann = Some(ann);
        }
        let shelf = reading::shelf(&survey, self.label.as_deref())?;
        let all = shelf.products.iter().map(|product| product.pictures).sum();
        let teacher = match &self.teacher {
            None => None,
            Some(path) => {
                let bytes = super::files::read(path)?;
                let rows = npy::rows(&bytes).with_context(|| format!("{} is refused", path.display()))?;
                lab::train::Teacher::new(rows.view(), all).with_context(|| {
                    format!(
                        "{} is refused: its rows must be those of the catalogue's {all} pictures, in the order of \
                         `adapt --pictures`",
                        path.display()
                    )
                })?;
                Some(rows)
            }
        };
        let task = Task::of(Offer {
            products: shelf.products,
            attribute: self.label.as_deref(),
            present: &shelf.attributes,
            taught: teacher.is_some(),
            force: self.force,
        })
        .with_context(|| self.data_dir.display().to_string())?;
        tell(&task, all);
        let kept = reading::pictures(&survey, &task, &in_use, self.side)?;
        // The lock, where no server has it, is free again while the network learns.
        drop(moment);
        drop(survey);
        let wish = Wish {
            architecture: self.architecture.clone(),
            side: self.side,
            seed: self.seed,
            minutes: self.minutes,
            started,
            command: self.command(),
        };
        let adapted = adapt(&task, kept, teacher.as_ref(), &in_use, &wish)?;
        Ok((adapted, InUse { ann: None, ..in_use }))
    }

    /// The options that determine the network.
    fn command(&self) -> String {
        let mut command = format!("spikelens adapt --minutes {} --seed {}", self.minutes, self.seed);
        for (option, value) in [
            ("label", self.label.clone()),
            (
                "teacher",
                self.teacher.as_ref().map(|path| path.display().to_string()),
            ),
            ("init", self.init.as_ref().map(|path| path.display().to_string())),
        ] {
            if let Some(value) = value {
                command += &format!(" --{option} {value}");
            }
        }
        command + &format!(" --architecture {} --side {}", self.architecture, self.side)
    }
}

/// Says what is learned from and what is left out.
#[cfg(feature = "train")]
fn tell(task: &lab::adapt::task::Task, pictures: usize) {
    let labels = &task.labels;
    if !labels.classes.is_empty() {
        let labelled = labels.of.iter().flatten().count();
        eprintln!(
            "{} labels of {labelled} of {} products",
            labels.classes.len(),
            task.products.len()
        );
    }
    if labels.single > 0 {
        eprintln!("{} values that only one product has are no labels", labels.single);
    }
    if labels.rare > 0 {
        eprintln!("{} rarer values are no labels", labels.rare);
    }
    if task.pictures() < pictures {
        eprintln!(
            "{} of {pictures} pictures are used, whose products are chosen by their ids",
            task.pictures()
        );
    }
}

/// Opens a catalogue for reading, even while a server runs on it.
fn survey(data_dir: &Path) -> Result<Survey> {
    if !Sqlite::exists(data_dir) {
        bail!(
            "{} contains no catalogue; create one with `spikelens import`",
            data_dir.display()
        );
    }
    Survey::open(data_dir).with_context(|| format!("{} cannot be read", data_dir.display()))
}
