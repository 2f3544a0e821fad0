//! `evaluate`.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};

use crate::dataset::{self, DATASET_HELP};
use crate::evaluate::asked::By;
use crate::evaluate::options::Evaluation;
use crate::evaluate::protocol::QueriesFrom;
use crate::evaluate::{measure, report, table};
use engine::chip::cost::CostModel;
use engine::embedding::stopping::Length;
use engine::model::built_in::{Asked, BuiltIn};
use engine::network::{Probe, TimeSteps};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
    Csv,
}

/// Measure classification and search on a data set, float and spiking side by side
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  spikelens evaluate --dataset dataset/fashion-mnist
  spikelens evaluate --dataset dataset/fashion-mnist --time-steps 16,128 --probe membrane,spike_count
  spikelens evaluate --dataset dataset/fashion-mnist --time-steps 8,12,16,auto,auto:0.04 --catalogue-time-steps 16
  spikelens evaluate --dataset dataset/fashion-mnist --model a.safetensors,b.safetensors --report report
  spikelens evaluate --dataset dataset/fashion-mnist --paper
  spikelens evaluate --dataset photos --model clothing --time-steps 8 --report report

Of Fashion-MNIST, test pictures are searched among training pictures; of any other data set, its validation and test
pictures among its training pictures, prepared for each network's input.
Top-1, Top-3: share of queries with a picture of their class first, among the first three. mAP: mean average precision
over the full ranking of the corpus by cosine, ties in corpus order. Classification: of the queries.")]
pub struct Evaluate {
    #[arg(long, value_name = "DATASET", env = "SPIKELENS_DATASET", help = DATASET_HELP)]
    dataset: PathBuf,
    /// An ANN file, or a built-in network by its name [default: that of --model, if it is one built-in network]
    #[arg(long, value_name = "ANN", env = "SPIKELENS_ANN")]
    ann: Option<Asked>,
    /// SNN files and built-in networks (photos, clothing, fashion-mnist, paper-32-64-10), separated by commas [default:
    /// photos, or fashion-mnist for Fashion-MNIST]
    #[arg(long, value_name = "MODEL", value_delimiter = ',', env = "SPIKELENS_MODEL")]
    model: Vec<Asked>,
    /// Time steps, separated by commas; auto: each query runs until its answer is settled
    #[arg(
        long,
        value_name = "T",
        value_delimiter = ',',
        default_value = "16,128",
        env = "SPIKELENS_TIME_STEPS"
    )]
    time_steps: Vec<Length>,
    /// Time steps of the training pictures [default: those of the queries; for auto, the model's]
    #[arg(long, value_name = "T", env = "SPIKELENS_CATALOGUE_TIME_STEPS")]
    catalogue_time_steps: Option<TimeSteps>,
    /// Probes, separated by commas [default: the model's]
    #[arg(long, value_name = "P", value_delimiter = ',', env = "SPIKELENS_PROBE")]
    probe: Vec<Probe>,
    /// Source of the queries. validation: of Fashion-MNIST the last training pictures, which training holds out, for
    /// choosing a model [default: test; both for other data sets]
    #[arg(long, value_enum, env = "SPIKELENS_QUERIES_FROM")]
    queries_from: Option<QueriesFrom>,
    /// Number of queries: of Fashion-MNIST the first test pictures, or the last training pictures; spread evenly over
    /// another data set [default: 1000; all of another data set]
    #[arg(long, value_name = "N", env = "SPIKELENS_QUERIES")]
    queries: Option<usize>,
    /// Number of training pictures that are searched [default: 20000; all of another data set]
    #[arg(long, value_name = "N", env = "SPIKELENS_CORPUS")]
    corpus: Option<usize>,
    /// What a right match shares with its query. group: of a data set whose groups are products, the product: validation
    /// and test pictures that have another picture in their group, among all other pictures. The groups of a photos.csv are
    /// senders
    #[arg(long, value_enum, default_value = "label", env = "SPIKELENS_BY")]
    by: By,
    /// Further data sets that the networks were trained on, separated by commas. Queries of groups without a training
    /// picture there and in --dataset get rows of their own
    #[arg(
        long,
        value_name = "DATASET",
        value_delimiter = ',',
        env = "SPIKELENS_TRAINED_ON"
    )]
    trained_on: Vec<PathBuf>,
    /// Output format
    #[arg(long, value_enum, default_value = "text", env = "SPIKELENS_FORMAT")]
    format: Format,
    /// Also write a page with tables and figures to this directory, as Markdown, CSV, JSON and SVG (also PNG in a
    /// build with the cargo feature train)
    #[arg(long, value_name = "DIR", env = "SPIKELENS_REPORT")]
    report: Option<PathBuf>,
    /// Reproduce the paper's tables and figures, from training to docs/paper (or the directory of --report). Needs a
    /// build with the cargo feature train; continues an interrupted run
    #[arg(long, env = "SPIKELENS_PAPER", conflicts_with_all = [
        "ann", "model", "time_steps", "catalogue_time_steps", "probe", "queries_from", "queries", "corpus", "format", "by",
        "trained_on",
        "cost_model",
    ])]
    paper: bool,
    /// With --paper: few epochs, few pictures and two seeds, to check that everything works; its results are kept
    /// separately
    #[arg(long, requires = "paper", env = "SPIKELENS_QUICK")]
    quick: bool,
    /// With --paper: only these architectures of Table 1, separated by commas; 32-64-10 is always included [default:
    /// all twelve]
    #[arg(
        long,
        value_name = "NAME",
        value_delimiter = ',',
        requires = "paper",
        env = "SPIKELENS_ARCHITECTURES"
    )]
    architectures: Vec<String>,
    /// With --paper: directory for intermediate results
    #[arg(
        long,
        value_name = "DIR",
        default_value = "target/paper",
        env = "SPIKELENS_WORK"
    )]
    work: PathBuf,
    /// loihi1-paper or loihi1-cores
    #[arg(long, default_value = "loihi1-paper", env = "SPIKELENS_COST_MODEL")]
    cost_model: CostModel,
}

/// The networks to evaluate: those asked for, else the built-in one for such pictures; of one built-in network the float
/// one as well. A float network of one's own is evaluated beside the built-in one for such pictures.
fn networks(ann: Option<Asked>, model: Vec<Asked>, dataset: &Path) -> (Option<Asked>, Vec<Asked>) {
    let model = if model.is_empty() {
        vec![Asked::BuiltIn(match dataset::is_fashion_mnist(dataset) {
            true => BuiltIn::FashionMnist,
            false => BuiltIn::Photos,
        })]
    } else {
        model
    };
    let ann = ann.or_else(|| match model.as_slice() {
        [one @ Asked::BuiltIn(_)] => Some(one.clone()),
        _ => None,
    });
    (ann, model)
}

impl Evaluate {
    pub fn run(self) -> Result<()> {
        if self.paper {
            return self.reproduce();
        }
        if self.queries == Some(0) || self.corpus == Some(0) {
            bail!("--queries and --corpus must be at least 1");
        }
        if let Some(folder) = &self.report {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("--report: {} cannot be created", folder.display()))?;
        }
        let (ann, model) = networks(self.ann, self.model, &self.dataset);
        let options = Evaluation {
            dataset: self.dataset,
            ann,
            model,
            time_steps: self.time_steps,
            catalogue_time_steps: self.catalogue_time_steps,
            probe: self.probe,
            queries_from: self.queries_from,
            queries: self.queries,
            corpus: self.corpus,
            by: self.by,
            trained_on: self.trained_on,
            cost_model: self.cost_model,
            report: self.report,
        };
        let measured = measure(&options)?;
        let mut out = std::io::stdout().lock();
        match self.format {
            Format::Json => {
                serde_json::to_writer_pretty(&mut out, &table::json(&options, &measured))?;
                writeln!(out)?;
            }
            Format::Csv => write!(out, "{}", table::csv(&measured))?,
            Format::Text => write!(out, "{}", table::text(&options, &measured))?,
        }
        match &options.report {
            None => Ok(()),
            Some(folder) => report::write(&options, &measured, folder),
        }
    }

    #[cfg(feature = "train")]
    fn reproduce(self) -> Result<()> {
        crate::paper::run(&crate::paper::Reproduction {
            dataset: self.dataset,
            quick: self.quick,
            architectures: self.architectures,
            work: self.work,
            report: self.report,
            cost_model: self.cost_model,
        })
    }

    #[cfg(not(feature = "train"))]
    fn reproduce(self) -> Result<()> {
        bail!(
            "--paper trains networks, but this build does not include training; build one that does with: cargo build --release --features train"
        )
    }
}
