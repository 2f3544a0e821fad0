//! The measurement: queries against a corpus, with a float network or on the emulated chip.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, bail};
use clap::ValueEnum;
use indicatif::ProgressBar;
use ndarray::{Array2, Axis, s};

use super::row::Row;
use crate::ann::Ann;
use crate::dataset::{Split, fashion_mnist};
use crate::files;
use crate::progress;
use engine::chip::report::Emulation;
use engine::embedding::stopping::Length;
use engine::embedding::{Embedding, Prediction};
use engine::emulator::Emulator;
use engine::model::Model;
use engine::neighbours::exact::Vectors;
use engine::neighbours::quality::{Ranking, judge};
use engine::network::{Probe, TimeSteps};
use engine::parallel::in_parallel;
use engine::picture::{Picture, Shape};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum QueriesFrom {
    Test,
    Validation,
}

impl QueriesFrom {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Test => "test",
            Self::Validation => "validation",
        }
    }

    /// `queries` pictures that are not among the first `corpus` training pictures.
    fn read(self, dataset: &Path, queries: usize, corpus: usize) -> Result<(Vec<Picture>, Vec<u8>)> {
        if self == Self::Test {
            return fashion_mnist(dataset, Split::Test, Some(queries));
        }
        let (mut pictures, mut labels) = fashion_mnist(dataset, Split::Train, None)?;
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

/// Queries and corpus, with their classes.
#[derive(Debug)]
pub struct Protocol {
    queries: Vec<Picture>,
    query_labels: Vec<u8>,
    corpus: Vec<Picture>,
    corpus_labels: Vec<u8>,
}

/// The embedded corpus, by probe, kept because queries of several lengths often use the same corpus.
#[derive(Debug)]
pub struct Catalogue {
    time_steps: TimeSteps,
    probes: Vec<(Probe, Vectors)>,
}

/// The result of one picture on the emulated chip, by probe.
#[derive(Debug)]
pub struct Seen {
    pub embeddings: Vec<Vec<i32>>,
    pub class: usize,
    pub emulation: Emulation,
}

/// Pictures embedded at a time, which bounds the memory for what is not kept.
const BATCH: usize = 2000;

/// Queries compared with the whole corpus at a time; 60,000 similarities each take 60 megabytes per thread.
const BLOCK: usize = 128;

impl Protocol {
    /// Reads `queries` pictures and the first `corpus` training pictures.
    ///
    /// # Errors
    /// If the data set cannot be read, is smaller than `queries` or `corpus`, or the two overlap.
    pub fn read(dataset: &Path, from: QueriesFrom, queries: usize, corpus: usize) -> Result<Self> {
        let (queries, query_labels) = from.read(dataset, queries, corpus)?;
        let (corpus, corpus_labels) = fashion_mnist(dataset, Split::Train, Some(corpus))?;
        Ok(Self {
            queries,
            query_labels,
            corpus,
            corpus_labels,
        })
    }

    /// The shape of every picture.
    #[must_use]
    pub fn shape(&self) -> Shape {
        self.queries[0].shape()
    }

    /// Queries, and pictures that are searched among.
    #[must_use]
    pub fn size(&self) -> [usize; 2] {
        [self.queries.len(), self.corpus.len()]
    }

    /// The number of progress steps for the rows of `probes` probes: one per picture, and one per query and probe.
    #[must_use]
    pub fn steps(&self, probes: usize) -> usize {
        let [queries, corpus] = self.size();
        corpus + (1 + probes) * queries
    }

    /// The row of the float network.
    #[must_use]
    pub fn float(&self, ann: &Ann, bar: &ProgressBar) -> Row {
        let (corpus, _) = float_embeddings(ann, &self.corpus, bar);
        let (queries, classes) = float_embeddings(ann, &self.queries, bar);
        let rankings = self.rank(bar, |block| {
            let queries = queries.slice(s![block, ..]);
            queries.dot(&corpus.t()).mapv(f64::from)
        });
        self.row("ANN", &classes, &rankings)
    }

    /// The rows of the emulated chip, one per probe: queries of `time_steps` in a corpus of `stored` time steps.
    ///
    /// # Errors
    /// If a picture cannot be run or its embedding cannot be read.
    pub fn spiking(
        &self,
        model: &Model,
        time_steps: Length,
        stored: TimeSteps,
        probes: &[Probe],
        catalogue: &mut Option<Catalogue>,
        bar: &ProgressBar,
    ) -> Result<Vec<Row>> {
        let found = catalogue.take();
        let same = |kept: &Catalogue| {
            kept.time_steps == stored && kept.probes.iter().map(|(probe, _)| probe).eq(probes)
        };
        let corpus = match found.filter(same) {
            Some(kept) => {
                bar.inc(progress::steps(self.corpus.len()));
                kept
            }
            None => {
                let empty = Vectors::new(model.snn.network.embedding_dimensions());
                let mut stores: Vec<Vectors> = vec![empty; probes.len()];
                for batch in self.corpus.chunks(BATCH) {
                    for seen in run(model, batch, stored.into(), probes, bar)? {
                        for (vectors, values) in stores.iter_mut().zip(&seen.embeddings) {
                            vectors.push(values);
                        }
                    }
                }
                Catalogue {
                    time_steps: stored,
                    probes: probes.iter().copied().zip(stores).collect(),
                }
            }
        };
        let mut queries = Vec::with_capacity(self.queries.len());
        for batch in self.queries.chunks(BATCH) {
            queries.extend(run(model, batch, time_steps, probes, bar)?);
        }
        let classes: Vec<usize> = queries.iter().map(|seen| seen.class).collect();
        let mean = |figure: &dyn Fn(&Emulation) -> f64| {
            let sum: f64 = queries.iter().map(|seen| figure(&seen.emulation)).sum();
            Some(sum / queries.len() as f64)
        };
        let rows = corpus
            .probes
            .iter()
            .enumerate()
            .map(|(number, (probe, vectors))| {
                let rankings = self.rank(bar, |block| {
                    let values = queries[block]
                        .iter()
                        .map(|seen| seen.embeddings[number].as_slice());
                    vectors.cosines_of_each(&values.collect::<Vec<_>>())
                });
                Row {
                    time_steps: Some(time_steps),
                    probe: Some(*probe),
                    spikes: mean(&|emulation| emulation.spikes as f64),
                    synaptic_operations: mean(&|emulation| emulation.synaptic_operations as f64),
                    latency_ms: mean(&|emulation| emulation.latency_ms),
                    energy_mj: mean(&|emulation| emulation.energy_mj.total),
                    mean_time_steps: mean(&|emulation| emulation.time_steps as f64),
                    ..self.row("SNN", &classes, &rankings)
                }
            });
        let rows = rows.collect();
        *catalogue = Some(corpus);
        Ok(rows)
    }

    /// Judges every query's ranking of the corpus; `similarities` returns those of a block of queries, `[query,
    /// corpus]`.
    fn rank(
        &self,
        bar: &ProgressBar,
        similarities: impl Fn(Range<usize>) -> Array2<f64> + Sync,
    ) -> Vec<Ranking> {
        let count = self.queries.len();
        let blocks = in_parallel(
            files::threads(),
            count.div_ceil(BLOCK),
            || (),
            |(), block| {
                let block = block * BLOCK..count.min((block + 1) * BLOCK);
                let similarities = similarities(block.clone());
                let judged = block.zip(similarities.outer_iter()).map(|(query, row)| {
                    bar.inc(1);
                    self.judge(query, row.as_slice().expect("a row of a fresh matrix is whole"))
                });
                judged.collect::<Vec<_>>()
            },
        );
        blocks.concat()
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

/// The float network's embeddings, each with norm 1 or 0, and its classes.
#[must_use]
pub fn float_embeddings(ann: &Ann, pictures: &[Picture], bar: &ProgressBar) -> (Array2<f32>, Vec<usize>) {
    let mut matrix = Array2::zeros((pictures.len(), ann.network.embedding_dimensions()));
    let mut classes = Vec::with_capacity(pictures.len());
    let batches = pictures
        .chunks(BATCH)
        .zip(matrix.axis_chunks_iter_mut(Axis(0), BATCH));
    for (batch, mut rows) in batches {
        let each = |(): &mut (), index: usize| {
            bar.inc(1);
            ann.forward(&batch[index])
        };
        for (mut row, found) in
            rows.outer_iter_mut()
                .zip(in_parallel(files::threads(), batch.len(), || (), each))
        {
            classes.push(found.class());
            let norm = found.embedding.dot(&found.embedding).sqrt();
            row.assign(&(found.embedding / if norm == 0.0 { 1.0 } else { norm }));
        }
    }
    (matrix, classes)
}

/// Runs pictures on emulated chips, one per CPU.
///
/// # Errors
/// If a picture cannot be run or its embedding cannot be read.
pub fn run(
    model: &Model,
    pictures: &[Picture],
    time_steps: Length,
    probes: &[Probe],
    bar: &ProgressBar,
) -> Result<Vec<Seen>> {
    let snn = &model.snn;
    let tilings = model.placement.tilings();
    let make = || Emulator::new(Arc::clone(snn), &tilings);
    let found = in_parallel(
        files::threads(),
        pictures.len(),
        make,
        |emulator, index| -> Result<Seen> {
            bar.inc(1);
            let picture = &pictures[index];
            let steps = time_steps.of(emulator, picture)?;
            let outcome = emulator.run(picture, steps)?;
            let embeddings = probes.iter().map(|&probe| {
                let embedding = Embedding::read(snn, outcome, probe, steps)?;
                Ok(embedding.values)
            });
            Ok(Seen {
                embeddings: embeddings.collect::<Result<_>>()?,
                class: Prediction::read(snn, outcome).class,
                emulation: Emulation::of(&snn.network, &outcome.events, &model.placement, model.cost_model),
            })
        },
    );
    found.into_iter().collect()
}
