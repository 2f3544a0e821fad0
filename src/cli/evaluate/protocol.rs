//! What is measured: queries against a corpus, by a float network or on the emulated chip.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Result, bail};
use clap::ValueEnum;
use indicatif::ProgressBar;
use ndarray::Array2;

use super::row::Row;
use crate::chip::report::Emulation;
use crate::cli::files::{self, Split};
use crate::embedding::stopping::Length;
use crate::neighbours::exact::Vectors;
use crate::neighbours::quality::{Ranking, judge};
use crate::network::ann::Ann;
use crate::network::{Probe, TimeSteps};
use crate::picture::{DecodeLimits, Picture, Shape};
use crate::service::embed::{Embedder, RunOptions};
use crate::service::model::Model;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum QueriesFrom {
    Test,
    Validation,
}

impl QueriesFrom {
    pub(super) fn as_str(self) -> &'static str {
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

/// Queries and corpus with their classes.
#[derive(Debug)]
pub(super) struct Protocol {
    queries: Vec<Picture>,
    query_labels: Vec<u8>,
    corpus: Vec<Picture>,
    corpus_labels: Vec<u8>,
}

/// The corpus as it was last embedded: several kinds of queries are often asked of one catalogue.
#[derive(Debug)]
pub(super) struct Catalogue {
    time_steps: TimeSteps,
    probe: Probe,
    vectors: Vectors,
}

impl Protocol {
    /// Reads `queries` pictures and the first `corpus` training pictures.
    pub(super) fn read(dataset: &Path, from: QueriesFrom, queries: usize, corpus: usize) -> Result<Self> {
        let (queries, query_labels) = from.read(dataset, queries, corpus)?;
        let (corpus, corpus_labels) = files::fashion_mnist(dataset, Split::Train, Some(corpus))?;
        Ok(Self {
            queries,
            query_labels,
            corpus,
            corpus_labels,
        })
    }

    /// The shape of every picture.
    pub(super) fn shape(&self) -> Shape {
        self.queries[0].shape()
    }

    /// By how much one row moves a bar: each picture once, and each query's search.
    pub(super) fn steps(&self) -> usize {
        self.corpus.len() + 2 * self.queries.len()
    }

    pub(super) fn float(&self, ann: &Ann, bar: &ProgressBar) -> Row {
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

    pub(super) fn spiking(
        &self,
        model: &Arc<Model>,
        time_steps: Length,
        stored: TimeSteps,
        probe: Probe,
        catalogue: &mut Option<Catalogue>,
        bar: &ProgressBar,
    ) -> Result<Row> {
        let make = || Embedder::new(Arc::clone(model), DecodeLimits::default());
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
        let mean = |figure: &dyn Fn(&Emulation) -> f64| {
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
            model: None,
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
