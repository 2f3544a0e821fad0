//! `evaluate`: classification, Top-1, Top-3 and mAP, float and spiking side by side, beside the paper's figures.

mod row;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use indicatif::ProgressBar;
use ndarray::Array2;
use serde_json::json;

use self::row::{Row, paper};
use super::files::{self, Split};
use super::progress;
use crate::chip::cost::CostModel;
use crate::embedding::stopping::Length;
use crate::neighbours::exact::Vectors;
use crate::neighbours::quality::{Ranking, judge};
use crate::network::ann::Ann;
use crate::network::tensors::read_ann;
use crate::network::{Probe, TimeSteps};
use crate::picture::{DecodeLimits, Picture};
use crate::service::embed::{Embedder, RunOptions};
use crate::service::model::Model;

/// The float network that the shipped model was converted from.
const SHIPPED_ANN: &[u8] = include_bytes!("../../models/fashion-mnist-32-64-10.ann.safetensors");

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum EvaluateFormat {
    Text,
    Json,
    Csv,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum QueriesFrom {
    Test,
    Validation,
}

impl QueriesFrom {
    fn as_str(self) -> &'static str {
        match self {
            Self::Test => "test",
            Self::Validation => "validation",
        }
    }

    /// `queries` pictures that are not among the first `corpus` training pictures.
    fn read(self, dataset: &Path, queries: usize, corpus: usize) -> Result<(Vec<Picture>, Vec<u8>)> {
        if self == Self::Test {
            return files::fashion_mnist(dataset, Split::Test, Some(queries));
        }
        let (mut pictures, mut labels) = files::fashion_mnist(dataset, Split::Train, None)?;
        if queries + corpus > pictures.len() {
            bail!(
                "{queries} validation queries and a corpus of {corpus} overlap: there are {} training pictures",
                pictures.len()
            );
        }
        let first = pictures.len() - queries;
        Ok((pictures.split_off(first), labels.split_off(first)))
    }
}

/// Measure classification and search on Fashion-MNIST, float and spiking side by side
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  spikelens evaluate --dataset dataset/fashion-mnist
  spikelens evaluate --dataset dataset/fashion-mnist --time-steps 16,128 --probe membrane,spike_count
  spikelens evaluate --dataset dataset/fashion-mnist --time-steps 8,12,16,auto,auto:0.04 --catalogue-time-steps 16

Top-1, Top-3: share of queries with a picture of their class first, among the first three. mAP: mean average precision
over the full ranking of the corpus by cosine, equals in corpus order. Classification: of the queries.")]
pub struct Evaluate {
    /// Folder with Fashion-MNIST's *-ubyte.gz files
    #[arg(long, value_name = "DIR", env = "SPIKELENS_DATASET")]
    dataset: PathBuf,
    /// The ANN file [default: the shipped one, unless --model names another network]
    #[arg(long, value_name = "ANN", env = "SPIKELENS_ANN")]
    ann: Option<PathBuf>,
    /// The SNN file [default: the shipped one]
    #[arg(long, value_name = "SNN", env = "SPIKELENS_MODEL")]
    model: Option<PathBuf>,
    /// Time steps, several with commas; auto: each query until its answer is settled
    #[arg(
        long,
        value_name = "T",
        value_delimiter = ',',
        default_value = "16,128",
        env = "SPIKELENS_TIME_STEPS"
    )]
    time_steps: Vec<Length>,
    /// Time steps of the training pictures [default: those of the queries; the model's where these are auto]
    #[arg(long, value_name = "T", env = "SPIKELENS_CATALOGUE_TIME_STEPS")]
    catalogue_time_steps: Option<TimeSteps>,
    /// Probes, several with commas [default: the model's]
    #[arg(long, value_name = "P", value_delimiter = ',', env = "SPIKELENS_PROBE")]
    probe: Vec<Probe>,
    /// Where queries are from. validation: the last training pictures, which training holds out, to choose a model by
    #[arg(long, value_enum, default_value = "test", env = "SPIKELENS_QUERIES_FROM")]
    queries_from: QueriesFrom,
    /// How many queries: the first test pictures, or the last training pictures
    #[arg(long, value_name = "N", default_value_t = 1000, env = "SPIKELENS_QUERIES")]
    queries: usize,
    /// How many training pictures are searched among
    #[arg(long, value_name = "N", default_value_t = 20_000, env = "SPIKELENS_CORPUS")]
    corpus: usize,
    /// How to print it
    #[arg(long, value_enum, default_value = "text", env = "SPIKELENS_FORMAT")]
    format: EvaluateFormat,
    /// loihi1-paper or loihi1-cores
    #[arg(long, default_value = "loihi1-paper", env = "SPIKELENS_COST_MODEL")]
    cost_model: CostModel,
}

/// Queries and corpus with their classes.
struct Protocol {
    queries: Vec<Picture>,
    query_labels: Vec<u8>,
    corpus: Vec<Picture>,
    corpus_labels: Vec<u8>,
}

/// The corpus as it was last embedded: several kinds of queries are often asked of one catalogue.
struct Catalogue {
    time_steps: TimeSteps,
    probe: Probe,
    vectors: Vectors,
}

impl Evaluate {
    pub fn run(self) -> Result<()> {
        if self.queries == 0 || self.corpus == 0 {
            bail!("--queries and --corpus must be at least 1");
        }
        let ann = match (&self.ann, &self.model) {
            (Some(path), _) => Some(
                read_ann(&files::read(path)?).with_context(|| format!("{} is refused", path.display()))?,
            ),
            (None, None) => Some(read_ann(SHIPPED_ANN).context("the ANN inside this program")?),
            (None, Some(_)) => None,
        };
        let model = files::model(self.model.as_deref(), self.cost_model)?;
        let (queries, query_labels) = self.queries_from.read(&self.dataset, self.queries, self.corpus)?;
        let (corpus, corpus_labels) = files::fashion_mnist(&self.dataset, Split::Train, Some(self.corpus))?;
        let protocol = Protocol {
            queries,
            query_labels,
            corpus,
            corpus_labels,
        };
        let wanted = model.snn.network.input;
        if protocol.queries[0].shape() != wanted {
            bail!(
                "the model takes pictures of {wanted}, the data set has {}",
                protocol.queries[0].shape()
            );
        }
        let probes = if self.probe.is_empty() {
            vec![model.snn.network.probe()]
        } else {
            self.probe.clone()
        };
        let pictures = self.queries + self.corpus;
        let runs = self.time_steps.len() * probes.len() + usize::from(ann.is_some());
        let bar = progress::bar("evaluating", runs * (pictures + self.queries));
        let mut rows = Vec::new();
        if let Some(ann) = &ann {
            rows.push(protocol.float(ann, &bar));
        }
        let mut catalogue = None;
        for &time_steps in &self.time_steps {
            let stored = match (self.catalogue_time_steps, time_steps) {
                (Some(stored), _) | (None, Length::Fixed(stored)) => stored,
                (None, Length::Auto(_)) => model.snn.network.time_steps(),
            };
            for &probe in &probes {
                rows.push(protocol.spiking(&model, time_steps, stored, probe, &mut catalogue, &bar)?);
            }
        }
        bar.finish_and_clear();
        self.print(&model, &rows)
    }

    fn print(&self, model: &Model, rows: &[Row]) -> Result<()> {
        let mut out = std::io::stdout().lock();
        match self.format {
            EvaluateFormat::Json => {
                let report = json!({
                    "model": {"id": model.id, "name": model.snn.network.name},
                    "queries": self.queries,
                    "queries_from": self.queries_from.as_str(),
                    "corpus": self.corpus,
                    "cost_model": model.cost_model.as_str(),
                    "rows": rows,
                    "paper": paper(),
                });
                serde_json::to_writer_pretty(&mut out, &report)?;
                writeln!(out)?;
            }
            EvaluateFormat::Csv => {
                writeln!(
                    out,
                    "network,time_steps,probe,classification,top_1,top_3,map,spikes,synaptic_operations,latency_ms,energy_mj,mean_time_steps"
                )?;
                for row in rows {
                    writeln!(out, "{}", row.csv())?;
                }
            }
            EvaluateFormat::Text => {
                writeln!(
                    out,
                    "{}: {} {} queries, {} training pictures; energy and latency modelled by {}\n",
                    model.snn.network.name,
                    self.queries,
                    self.queries_from.as_str(),
                    self.corpus,
                    model.cost_model.as_str()
                )?;
                writeln!(
                    out,
                    "{:28} {:>7} {:>7} {:>7} {:>7} {:>7} {:>9} {:>10} {:>10} {:>9}",
                    "",
                    "class %",
                    "Top-1 %",
                    "Top-3 %",
                    "mAP",
                    "mean T",
                    "spikes",
                    "syn. ops",
                    "latency ms",
                    "energy mJ"
                )?;
                for row in rows {
                    writeln!(out, "{}", row.text(""))?;
                }
                for row in &paper() {
                    writeln!(out, "{}", row.text("paper: "))?;
                }
            }
        }
        Ok(())
    }
}

impl Protocol {
    fn float(&self, ann: &Ann, bar: &ProgressBar) -> Row {
        let run = |pictures: &[Picture]| -> (Array2<f32>, Vec<usize>) {
            let found = in_parallel(
                pictures.len(),
                || (),
                |(), index| {
                    bar.inc(1);
                    let activations = ann.forward(&pictures[index]);
                    let highest = activations.logits.iter().copied().fold(f32::MIN, f32::max);
                    let class = activations.logits.iter().position(|&logit| logit == highest);
                    (activations.embedding, class.unwrap_or(0))
                },
            );
            let width = ann.network.embedding_dimensions();
            let mut matrix = Array2::zeros((pictures.len(), width));
            for (mut row, (embedding, _)) in matrix.outer_iter_mut().zip(&found) {
                let norm = embedding.dot(embedding).sqrt();
                row.assign(&(embedding / if norm == 0.0 { 1.0 } else { norm }));
            }
            (matrix, found.into_iter().map(|(_, class)| class).collect())
        };
        let (corpus, _) = run(&self.corpus);
        let (queries, classes) = run(&self.queries);
        let rankings = in_parallel(
            self.queries.len(),
            || (),
            |(), query| {
                bar.inc(1);
                let similarities = corpus.dot(&queries.row(query));
                let similarities: Vec<f64> = similarities.iter().map(|&s| f64::from(s)).collect();
                self.judge(query, &similarities)
            },
        );
        self.row("ANN", &classes, &rankings)
    }

    fn spiking(
        &self,
        model: &std::sync::Arc<Model>,
        time_steps: Length,
        stored: TimeSteps,
        probe: Probe,
        catalogue: &mut Option<Catalogue>,
        bar: &ProgressBar,
    ) -> Result<Row> {
        let make = || Embedder::new(std::sync::Arc::clone(model), DecodeLimits::default());
        let run = |pictures: &[Picture], time_steps: Length| {
            let options = RunOptions {
                time_steps,
                probe,
                ..RunOptions::of(model)
            };
            let found = in_parallel(pictures.len(), make, |embedder, index| {
                bar.inc(1);
                embedder.embed_picture(&pictures[index], options)
            });
            found.into_iter().collect::<Result<Vec<_>, _>>()
        };
        let corpus = match catalogue.take() {
            Some(kept) if (kept.time_steps, kept.probe) == (stored, probe) => {
                bar.inc(self.corpus.len().try_into()?);
                kept.vectors
            }
            _ => {
                let mut vectors = Vectors::new(model.snn.network.embedding_dimensions());
                for embedded in run(&self.corpus, stored.into())? {
                    vectors.push(&embedded.embedding.values);
                }
                vectors
            }
        };
        let queries = run(&self.queries, time_steps)?;
        let rankings = in_parallel(
            queries.len(),
            || (),
            |(), query| {
                bar.inc(1);
                let prepared = corpus.query(&queries[query].embedding.values);
                let similarities: Vec<f64> = corpus.cosines(&prepared).collect();
                self.judge(query, &similarities)
            },
        );
        *catalogue = Some(Catalogue {
            time_steps: stored,
            probe,
            vectors: corpus,
        });
        let classes: Vec<usize> = queries.iter().map(|e| e.prediction.class).collect();
        let mean = |figure: &dyn Fn(&crate::chip::report::Emulation) -> f64| {
            let sum: f64 = queries.iter().map(|e| figure(&e.emulation)).sum();
            Some(sum / queries.len() as f64)
        };
        Ok(Row {
            time_steps: Some(time_steps),
            probe: Some(probe),
            spikes: mean(&|emulation| emulation.spikes as f64),
            synaptic_operations: mean(&|emulation| emulation.synaptic_operations as f64),
            latency_ms: mean(&|emulation| emulation.latency_ms),
            energy_mj: mean(&|emulation| emulation.energy_mj.total),
            mean_time_steps: mean(&|emulation| emulation.time_steps as f64),
            ..self.row("SNN", &classes, &rankings)
        })
    }

    fn judge(&self, query: usize, similarities: &[f64]) -> Ranking {
        let class = self.query_labels[query];
        judge(similarities, |index| self.corpus_labels[index] == class)
    }

    fn row(&self, network: &'static str, classes: &[usize], rankings: &[Ranking]) -> Row {
        let count = rankings.len() as f64;
        let percent = |hits: usize| 100.0 * hits as f64 / count;
        let right = classes
            .iter()
            .zip(&self.query_labels)
            .filter(|(class, label)| **class == usize::from(**label));
        Row {
            network,
            time_steps: None,
            probe: None,
            classification: percent(right.count()),
            top_1: percent(rankings.iter().filter(|ranking| ranking.top_1).count()),
            top_3: percent(rankings.iter().filter(|ranking| ranking.top_3).count()),
            map: rankings
                .iter()
                .map(|ranking| ranking.average_precision)
                .sum::<f64>()
                / count,
            spikes: None,
            synaptic_operations: None,
            latency_ms: None,
            energy_mj: None,
            mean_time_steps: None,
        }
    }
}

/// `each` over `0..count` on all CPUs, each thread with what `make` gives it; results stand in order.
fn in_parallel<S, T: Send>(
    count: usize,
    make: impl Fn() -> S + Sync,
    each: impl Fn(&mut S, usize) -> T + Sync,
) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let mut found: Vec<(usize, T)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..files::threads())
            .map(|_| {
                scope.spawn(|| {
                    let mut state = make();
                    let mut found = Vec::new();
                    loop {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        if index >= count {
                            return found;
                        }
                        found.push((index, each(&mut state, index)));
                    }
                })
            })
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
            .collect()
    });
    found.sort_by_key(|(index, _)| *index);
    found.into_iter().map(|(_, value)| value).collect()
}
