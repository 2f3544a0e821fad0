//! `evaluate`: classification, Top-1, Top-3 and mAP, float and spiking side by side, beside the paper's figures.

pub(crate) mod protocol;
mod report;
pub(crate) mod row;
pub(crate) mod table;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};

use self::protocol::{Protocol, QueriesFrom};
use self::row::Row;
use crate::ann::Ann;
use crate::ann::file::read_ann;
use crate::{files, progress};
use engine::chip::cost::CostModel;
use engine::embedding::stopping::Length;
use engine::model::Model;
use engine::network::{Probe, TimeSteps};

/// The float network that the shipped model was converted from.
const SHIPPED_ANN: &[u8] = include_bytes!("../../../../models/fashion-mnist.ann.safetensors");

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum EvaluateFormat {
    Text,
    Json,
    Csv,
}

/// Measure classification and search on Fashion-MNIST, float and spiking side by side
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  spikelens evaluate --dataset dataset/fashion-mnist
  spikelens evaluate --dataset dataset/fashion-mnist --time-steps 16,128 --probe membrane,spike_count
  spikelens evaluate --dataset dataset/fashion-mnist --time-steps 8,12,16,auto,auto:0.04 --catalogue-time-steps 16
  spikelens evaluate --dataset dataset/fashion-mnist --model a.safetensors,b.safetensors --report report
  spikelens evaluate --dataset dataset/fashion-mnist --paper

Top-1, Top-3: share of queries with a picture of their class first, among the first three. mAP: mean average precision
over the full ranking of the corpus by cosine, equals in corpus order. Classification: of the queries.")]
pub struct Evaluate {
    /// Folder with Fashion-MNIST's *-ubyte.gz files
    #[arg(long, value_name = "DIR", env = "SPIKELENS_DATASET")]
    pub(crate) dataset: PathBuf,
    /// The ANN file [default: the shipped one, unless --model names another network]
    #[arg(long, value_name = "ANN", env = "SPIKELENS_ANN")]
    pub(crate) ann: Option<PathBuf>,
    /// The SNN files, several with commas [default: the shipped one]
    #[arg(long, value_name = "SNN", value_delimiter = ',', env = "SPIKELENS_MODEL")]
    pub(crate) model: Vec<PathBuf>,
    /// Time steps, several with commas; auto: each query until its answer is settled
    #[arg(
        long,
        value_name = "T",
        value_delimiter = ',',
        default_value = "16,128",
        env = "SPIKELENS_TIME_STEPS"
    )]
    pub(crate) time_steps: Vec<Length>,
    /// Time steps of the training pictures [default: those of the queries; the model's where these are auto]
    #[arg(long, value_name = "T", env = "SPIKELENS_CATALOGUE_TIME_STEPS")]
    pub(crate) catalogue_time_steps: Option<TimeSteps>,
    /// Probes, several with commas [default: the model's]
    #[arg(long, value_name = "P", value_delimiter = ',', env = "SPIKELENS_PROBE")]
    pub(crate) probe: Vec<Probe>,
    /// Where queries are from. validation: the last training pictures, which training holds out, to choose a model by
    #[arg(long, value_enum, default_value = "test", env = "SPIKELENS_QUERIES_FROM")]
    queries_from: QueriesFrom,
    /// How many queries: the first test pictures, or the last training pictures
    #[arg(long, value_name = "N", default_value_t = 1000, env = "SPIKELENS_QUERIES")]
    pub(crate) queries: usize,
    /// How many training pictures are searched among
    #[arg(long, value_name = "N", default_value_t = 20_000, env = "SPIKELENS_CORPUS")]
    pub(crate) corpus: usize,
    /// How to print it
    #[arg(long, value_enum, default_value = "text", env = "SPIKELENS_FORMAT")]
    format: EvaluateFormat,
    /// Also writes a page with tables and figures to this folder, as Markdown, CSV, JSON and SVG (PNG too in a build
    /// with the cargo feature train)
    #[arg(long, value_name = "DIR", env = "SPIKELENS_REPORT")]
    pub(crate) report: Option<PathBuf>,
    /// Makes the paper's tables and figures anew, from training to docs/paper (another folder: --report). Needs a build
    /// with the cargo feature train; goes on where it was stopped
    #[arg(long, env = "SPIKELENS_PAPER", conflicts_with_all = [
        "ann", "model", "time_steps", "catalogue_time_steps", "probe", "queries_from", "queries", "corpus", "format",
        "cost_model",
    ])]
    pub(crate) paper: bool,
    /// With --paper: few epochs, few pictures and two seeds, to see that everything works; kept apart
    #[arg(long, requires = "paper", env = "SPIKELENS_QUICK")]
    pub(crate) quick: bool,
    /// With --paper: only these of Table 1's, several with commas; 32-64-10 is always among them [default: all twelve]
    #[arg(
        long,
        value_name = "NAME",
        value_delimiter = ',',
        requires = "paper",
        env = "SPIKELENS_ARCHITECTURES"
    )]
    pub(crate) architectures: Vec<String>,
    /// With --paper: where finished pieces are kept
    #[arg(
        long,
        value_name = "DIR",
        default_value = "target/paper",
        env = "SPIKELENS_WORK"
    )]
    pub(crate) work: PathBuf,
    /// loihi1-paper or loihi1-cores
    #[arg(long, default_value = "loihi1-paper", env = "SPIKELENS_COST_MODEL")]
    pub(crate) cost_model: CostModel,
}

/// A spiking network and what its rows are called.
#[derive(Debug)]
pub struct Named {
    label: String,
    model: Arc<Model>,
}

/// What came of an evaluation.
#[derive(Debug)]
pub struct Measured {
    models: Vec<Named>,
    rows: Vec<Row>,
}

impl Evaluate {
    pub fn run(self) -> Result<()> {
        if self.paper {
            return self.reproduce();
        }
        if self.queries == 0 || self.corpus == 0 {
            bail!("--queries and --corpus must be at least 1");
        }
        if let Some(folder) = &self.report {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("--report: {} cannot be made", folder.display()))?;
        }
        let measured = self.measure()?;
        table::print(&self, &measured)?;
        match &self.report {
            None => Ok(()),
            Some(folder) => report::write(&self, &measured, folder),
        }
    }

    #[cfg(feature = "train")]
    fn reproduce(&self) -> Result<()> {
        crate::paper::run(self)
    }

    #[cfg(not(feature = "train"))]
    fn reproduce(&self) -> Result<()> {
        bail!(
            "--paper trains networks, and this build has no training in it; get one with: cargo build --release --features train"
        )
    }

    fn measure(&self) -> Result<Measured> {
        let ann = match &self.ann {
            Some(path) => Some(
                read_ann(&files::read(path)?).with_context(|| format!("{} is refused", path.display()))?,
            ),
            None if self.model.is_empty() => Some(shipped_ann()?),
            None => None,
        };
        let models = self.models()?;
        let protocol = Protocol::read(&self.dataset, self.queries_from, self.queries, self.corpus)?;
        for Named { label, model } in &models {
            let (wanted, given) = (model.snn.network.input, protocol.shape());
            if given != wanted {
                bail!("the model {label} takes pictures of {wanted}, the data set has {given}");
            }
        }
        let probes = |model: &Model| match self.probe.is_empty() {
            true => vec![model.snn.network.probe()],
            false => self.probe.clone(),
        };
        let runs = models.iter().map(|named| {
            let probes = probes(&named.model).len();
            self.time_steps.len() * protocol.steps(probes)
        });
        let floats = usize::from(ann.is_some()) * protocol.steps(1);
        let bar = progress::bar("evaluating", floats + runs.sum::<usize>());
        let mut rows = Vec::new();
        if let Some(ann) = &ann {
            rows.push(protocol.float(ann, &bar));
        }
        for Named { label, model } in &models {
            let mut catalogue = None;
            for &time_steps in &self.time_steps {
                let stored = match (self.catalogue_time_steps, time_steps) {
                    (Some(stored), _) | (None, Length::Fixed(stored)) => stored,
                    (None, Length::Auto(_)) => model.snn.network.time_steps(),
                };
                let measured =
                    protocol.spiking(model, time_steps, stored, &probes(model), &mut catalogue, &bar)?;
                rows.extend(measured.into_iter().map(|row| Row {
                    model: (models.len() > 1).then(|| label.clone()),
                    ..row
                }));
            }
        }
        bar.finish_and_clear();
        Ok(Measured { models, rows })
    }

    /// Called by their files' names where those differ, else by their paths.
    fn models(&self) -> Result<Vec<Named>> {
        if self.model.is_empty() {
            let model = files::model(None, self.cost_model)?;
            let label = model.snn.network.name.clone();
            return Ok(vec![Named { label, model }]);
        }
        let short = |path: &Path| {
            let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
            let name = name.strip_suffix(".safetensors").unwrap_or(&name);
            name.strip_suffix(".snn").unwrap_or(name).to_owned()
        };
        let alone = |label: &String| self.model.iter().filter(|path| short(path) == *label).count() == 1;
        self.model
            .iter()
            .map(|path| {
                let model = files::model(Some(path), self.cost_model)?;
                let label = Some(short(path)).filter(alone);
                let label = label.unwrap_or_else(|| path.display().to_string());
                Ok(Named { label, model })
            })
            .collect()
    }

    /// The command that measures the same, with every option that is not its default.
    fn command(&self) -> String {
        fn list<T: ToString>(values: &[T]) -> String {
            let values: Vec<String> = values.iter().map(T::to_string).collect();
            values.join(",")
        }
        let mut command = format!("spikelens evaluate --dataset {}", self.dataset.display());
        let mut add = |option: &str, value: String| {
            command.push_str(&format!(" --{option} {value}"));
        };
        if let Some(path) = &self.ann {
            add("ann", path.display().to_string());
        }
        if !self.model.is_empty() {
            add(
                "model",
                list(&self.model.iter().map(|path| path.display()).collect::<Vec<_>>()),
            );
        }
        add("time-steps", list(&self.time_steps));
        if let Some(steps) = self.catalogue_time_steps {
            add("catalogue-time-steps", steps.to_string());
        }
        if !self.probe.is_empty() {
            add("probe", list(&self.probe));
        }
        if self.queries_from != QueriesFrom::Test {
            add("queries-from", self.queries_from.as_str().to_owned());
        }
        add("queries", self.queries.to_string());
        add("corpus", self.corpus.to_string());
        if self.cost_model != CostModel::ALL[0] {
            add("cost-model", self.cost_model.as_str().to_owned());
        }
        if let Some(folder) = &self.report {
            add("report", folder.display().to_string());
        }
        command
    }
}

fn shipped_ann() -> Result<Ann> {
    read_ann(SHIPPED_ANN).context("the ANN inside this program")
}
