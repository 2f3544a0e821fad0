//! The measurement: queries against a corpus, with a float network or on the emulated chip.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, bail};
use clap::ValueEnum;
use indicatif::ProgressBar;
use ndarray::{Array2, Axis, s};

use super::row::{ByClass, Row};
use crate::ann::Ann;
use crate::dataset::{DataSet, Entry, Split, fashion_mnist, prepared};
use crate::files;
use crate::progress;
use engine::chip::report::Emulation;
use engine::embedding::stopping::Length;
use engine::embedding::{Embedding, Prediction};
use engine::emulator::Emulator;
use engine::model::Model;
use engine::neighbours::exact::Vectors;
use engine::neighbours::quality::{Ranking, judge};
use engine::network::{Network, Probe, TimeSteps};
use engine::parallel::in_parallel;
use engine::picture::{Picture, Recipe, Shape};

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
    query_labels: Vec<usize>,
    corpus: Vec<Picture>,
    corpus_labels: Vec<usize>,
    /// `None`: Fashion-MNIST.
    photos: Option<Photos>,
}

/// What is known of a data set of photos besides the prepared pictures.
#[derive(Debug)]
pub struct Photos {
    pub classes: Vec<String>,
    /// As many as there are queries.
    pub queries: Vec<Entry>,
    /// As many as there are pictures in the corpus.
    pub corpus: Vec<Entry>,
}

/// The matches of each query that are kept to be drawn.
const MATCHES: usize = 6;

/// What a query's ranking of the corpus is worth.
#[derive(Debug, Clone)]
struct Judged {
    ranking: Ranking,
    /// Empty for Fashion-MNIST.
    matches: Vec<usize>,
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
        let numbers = |labels: Vec<u8>| labels.into_iter().map(usize::from).collect();
        Ok(Self {
            queries,
            query_labels: numbers(query_labels),
            corpus,
            corpus_labels: numbers(corpus_labels),
            photos: None,
        })
    }

    /// Fashion-MNIST's pictures prepared for another input.
    ///
    /// # Errors
    /// If pictures cannot be prepared for it.
    pub fn prepared(self, input: Shape, recipe: Recipe) -> Result<Self> {
        Ok(Self {
            queries: prepared(self.queries, input, recipe)?,
            corpus: prepared(self.corpus, input, recipe)?,
            ..self
        })
    }

    /// The validation and test pictures of a data set of photos against its training pictures; all have labels.
    #[must_use]
    pub fn of(dataset: DataSet) -> Self {
        let DataSet {
            classes,
            train,
            validation,
            test,
            ..
        } = dataset;
        let mut queries = validation;
        queries.pictures.extend(test.pictures);
        queries.labels.extend(test.labels);
        queries.entries.extend(test.entries);
        let numbers = |labels: Vec<Option<usize>>| labels.into_iter().flatten().collect();
        Self {
            queries: queries.pictures,
            query_labels: numbers(queries.labels),
            corpus: train.pictures,
            corpus_labels: numbers(train.labels),
            photos: Some(Photos {
                classes,
                queries: queries.entries,
                corpus: train.entries,
            }),
        }
    }

    /// `None` for Fashion-MNIST.
    #[must_use]
    pub fn into_photos(self) -> Option<Photos> {
        self.photos
    }

    /// The class of each output neuron; `None` if the network's labels lack one of the data set's classes.
    fn outputs(&self, network: &Network) -> Option<Vec<usize>> {
        let Some(Photos { classes, .. }) = &self.photos else {
            return Some((0..network.classes()).collect());
        };
        let labels = network.labels.as_ref()?;
        if !classes.iter().all(|class| labels.contains(class)) {
            return None;
        }
        // What is not a class of the data set is wrong for every query.
        let class = |label: &String| classes.iter().position(|class| class == label);
        let numbers = labels.iter().map(|label| class(label).unwrap_or(usize::MAX));
        Some(numbers.collect())
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
        self.row("ANN", &ann.network, &classes, &rankings)
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
                    ..self.row("SNN", &model.snn.network, &classes, &rankings)
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
    ) -> Vec<Judged> {
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

    fn judge(&self, query: usize, similarities: &[f64]) -> Judged {
        let class = self.query_labels[query];
        Judged {
            ranking: judge(similarities, |index| self.corpus_labels[index] == class),
            matches: match self.photos {
                Some(_) => first(similarities, MATCHES),
                None => Vec::new(),
            },
        }
    }

    fn row(&self, kind: &'static str, network: &Network, found: &[usize], judged: &[Judged]) -> Row {
        let count = judged.len() as f64;
        let percent = |hits: usize| 100.0 * hits as f64 / count;
        let rankings = || judged.iter().map(|judged| judged.ranking);
        let classification = self.outputs(network).map(|outputs| {
            let pairs = found.iter().zip(&self.query_labels);
            percent(pairs.filter(|(found, label)| outputs[**found] == **label).count())
        });
        Row {
            model: None,
            network: kind,
            time_steps: None,
            probe: None,
            classification,
            top_1: percent(rankings().filter(|ranking| ranking.top_1).count()),
            top_3: percent(rankings().filter(|ranking| ranking.top_3).count()),
            map: rankings().map(|ranking| ranking.average_precision).sum::<f64>() / count,
            spikes: None,
            synaptic_operations: None,
            latency_ms: None,
            energy_mj: None,
            mean_time_steps: None,
            by_class: self.by_class(judged),
            matches: judged.iter().map(|judged| judged.matches.clone()).collect(),
        }
    }

    /// Top-1 of each class that has queries; nothing for Fashion-MNIST.
    fn by_class(&self, judged: &[Judged]) -> Vec<ByClass> {
        let Some(Photos { classes, .. }) = &self.photos else {
            return Vec::new();
        };
        let mut counts = vec![[0usize; 3]; classes.len()];
        for (&label, judged) in self.query_labels.iter().zip(judged) {
            counts[label][0] += 1;
            counts[label][1] += usize::from(judged.ranking.top_1);
        }
        for &label in &self.corpus_labels {
            counts[label][2] += 1;
        }
        let some = classes
            .iter()
            .zip(counts)
            .filter(|(_, [queries, ..])| *queries > 0);
        some.map(|(class, [queries, hits, corpus])| ByClass {
            class: class.clone(),
            queries,
            corpus,
            top_1: 100.0 * hits as f64 / queries as f64,
        })
        .collect()
    }
}

/// The indices of the `count` highest similarities, the highest first, ties in their order.
fn first(similarities: &[f64], count: usize) -> Vec<usize> {
    let mut kept: Vec<usize> = Vec::with_capacity(count + 1);
    for (index, similarity) in similarities.iter().enumerate() {
        let place = kept.partition_point(|&other| similarities[other].total_cmp(similarity).is_ge());
        if place < count {
            kept.insert(place, index);
            kept.truncate(count);
        }
    }
    kept
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
