//! The measurement: queries against a corpus, with a float network or on the emulated chip.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use anyhow::{Result, bail};
use clap::ValueEnum;
use indicatif::ProgressBar;
use ndarray::{Array2, s};

use super::asked::{By, Groups, QuerySet, UNSEEN};
use super::row::{ByClass, Row};
use super::runs::{BATCH, float_embeddings, run};
use crate::ann::Ann;
use crate::dataset::{DataSet, Entry, Set, Split, fashion_mnist, prepared};
use crate::files;
use crate::progress;
use engine::chip::report::Emulation;
use engine::embedding::stopping::Length;

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
    /// The place of each query in the corpus, where it is in it: it does not find itself.
    own: Vec<usize>,
    /// `None`: Fashion-MNIST.
    photos: Option<Photos>,
}

/// What is known of a data set of photos besides the prepared pictures.
#[derive(Debug)]
pub struct Photos {
    pub by: By,
    pub classes: Vec<String>,
    /// The places of the queries of groups without a training picture; empty if that is all or none of them.
    pub unseen: Vec<usize>,
    /// As many as there are queries.
    pub queries: Vec<Entry>,
    /// As many as there are pictures in the corpus.
    pub corpus: Vec<Entry>,
}

impl Photos {
    /// Whether a picture of the corpus is a right match of a query.
    #[must_use]
    pub fn alike(&self, query: &Entry, found: &Entry) -> bool {
        match self.by {
            By::Label => query.label == found.label,
            By::Group => query.group == found.group,
        }
    }
}

/// No cosine: ranks the query itself last.
const ITSELF: f64 = -2.0;

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
            own: Vec::new(),
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

    /// The validation and test pictures of a data set of photos against its training pictures, all of which have labels; or,
    /// by group, those of them that have another picture in their group, against all other pictures.
    #[must_use]
    pub fn of(dataset: DataSet, by: By, groups: &Groups) -> Self {
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
        let unseen = groups.unseen(&queries.entries);
        if by == By::Group {
            return Self::by_group(classes, queries, train);
        }
        let numbers = |labels: Vec<Option<usize>>| labels.into_iter().flatten().collect();
        Self {
            queries: queries.pictures,
            query_labels: numbers(queries.labels),
            corpus: train.pictures,
            corpus_labels: numbers(train.labels),
            own: Vec::new(),
            photos: Some(Photos {
                by,
                classes,
                unseen,
                queries: queries.entries,
                corpus: train.entries,
            }),
        }
    }

    fn by_group(classes: Vec<String>, queries: Set, mut corpus: Set) -> Self {
        let first = corpus.entries.len();
        corpus.pictures.extend(queries.pictures.iter().cloned());
        corpus.entries.extend(queries.entries.iter().cloned());
        let mut sizes: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
        let groups = corpus.entries.iter().filter_map(|entry| entry.group.as_deref());
        for group in groups {
            let number = sizes.len();
            sizes.entry(group).or_insert((number, 0)).1 += 1;
        }
        // A picture of no group is like no other.
        let label = |entry: &Entry| Some(sizes.get(entry.group.as_deref()?)?.0);
        let corpus_labels = corpus
            .entries
            .iter()
            .map(|entry| label(entry).unwrap_or(usize::MAX));
        let corpus_labels: Vec<usize> = corpus_labels.collect();
        let several = |entry: &Entry| entry.group.as_deref().is_some_and(|group| sizes[group].1 > 1);
        let chosen: Vec<usize> = (0..queries.entries.len())
            .filter(|&query| several(&queries.entries[query]))
            .collect();
        Self {
            queries: chosen
                .iter()
                .map(|&query| queries.pictures[query].clone())
                .collect(),
            query_labels: chosen.iter().map(|&query| corpus_labels[first + query]).collect(),
            own: chosen.iter().map(|&query| first + query).collect(),
            photos: Some(Photos {
                by: By::Group,
                classes,
                unseen: Vec::new(),
                queries: chosen
                    .iter()
                    .map(|&query| queries.entries[query].clone())
                    .collect(),
                corpus: corpus.entries,
            }),
            corpus: corpus.pictures,
            corpus_labels,
        }
    }

    /// `None` for Fashion-MNIST.
    #[must_use]
    pub fn into_photos(self) -> Option<Photos> {
        self.photos
    }

    /// The class of each output neuron; `None` if the network's labels lack one of the data set's classes.
    fn outputs(&self, network: &Network) -> Option<Vec<usize>> {
        let Some(Photos { by, classes, .. }) = &self.photos else {
            return Some((0..network.classes()).collect());
        };
        if *by == By::Group {
            return None;
        }
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

    /// All queries, and those that are also judged on their own.
    fn asked(&self) -> Vec<(Option<QuerySet>, Vec<usize>)> {
        let mut asked = vec![(None, (0..self.queries.len()).collect())];
        if let Some(Photos { unseen, .. }) = &self.photos
            && !unseen.is_empty()
        {
            let count = unseen.len();
            asked.push((Some(QuerySet { of: UNSEEN, count }), unseen.clone()));
        }
        asked
    }

    /// The rows of the float network: all queries, and those of unseen groups if there are some.
    #[must_use]
    pub fn float(&self, ann: &Ann, bar: &ProgressBar) -> Vec<Row> {
        let (corpus, _) = float_embeddings(ann, &self.corpus, bar);
        let (queries, classes) = float_embeddings(ann, &self.queries, bar);
        let rankings = self.rank(bar, |block| {
            let queries = queries.slice(s![block, ..]);
            queries.dot(&corpus.t()).mapv(f64::from)
        });
        let row = |(asked, chosen): (Option<QuerySet>, Vec<usize>)| Row {
            queries: asked,
            ..self.row("ANN", &ann.network, &classes, &rankings, &chosen)
        };
        self.asked().into_iter().map(row).collect()
    }

    /// The rows of the emulated chip, for each probe those of [`Protocol::float`]: queries of `time_steps` in a corpus of `stored` time steps.
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
        let mean = |chosen: &[usize], figure: &dyn Fn(&Emulation) -> f64| {
            let sum: f64 = chosen
                .iter()
                .map(|&query| figure(&queries[query].emulation))
                .sum();
            Some(sum / chosen.len() as f64)
        };
        let rows = corpus
            .probes
            .iter()
            .enumerate()
            .flat_map(|(number, (probe, vectors))| {
                let rankings = self.rank(bar, |block| {
                    let values = queries[block]
                        .iter()
                        .map(|seen| seen.embeddings[number].as_slice());
                    vectors.cosines_of_each(&values.collect::<Vec<_>>())
                });
                let row = |(asked, chosen): (Option<QuerySet>, Vec<usize>)| Row {
                    queries: asked,
                    time_steps: Some(time_steps),
                    probe: Some(*probe),
                    spikes: mean(&chosen, &|emulation| emulation.spikes as f64),
                    synaptic_operations: mean(&chosen, &|emulation| emulation.synaptic_operations as f64),
                    latency_ms: mean(&chosen, &|emulation| emulation.latency_ms),
                    energy_mj: mean(&chosen, &|emulation| emulation.energy_mj.total),
                    mean_time_steps: mean(&chosen, &|emulation| emulation.time_steps as f64),
                    ..self.row("SNN", &model.snn.network, &classes, &rankings, &chosen)
                };
                self.asked().into_iter().map(row).collect::<Vec<_>>()
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
                let mut similarities = similarities(block.clone());
                let judged = block.zip(similarities.outer_iter_mut()).map(|(query, mut row)| {
                    bar.inc(1);
                    if let Some(&own) = self.own.get(query) {
                        row[own] = ITSELF;
                    }
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

    /// The row of some queries.
    fn row(
        &self,
        kind: &'static str,
        network: &Network,
        found: &[usize],
        judged: &[Judged],
        chosen: &[usize],
    ) -> Row {
        let count = chosen.len() as f64;
        let percent = |hits: usize| 100.0 * hits as f64 / count;
        let rankings = || chosen.iter().map(|&query| judged[query].ranking);
        let classification = self.outputs(network).map(|outputs| {
            let right = |&&query: &&usize| outputs[found[query]] == self.query_labels[query];
            percent(chosen.iter().filter(right).count())
        });
        Row {
            model: None,
            queries: None,
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
            by_class: self.by_class(judged, chosen),
            matches: chosen
                .iter()
                .map(|&query| judged[query].matches.clone())
                .collect(),
        }
    }

    /// Top-1 of each class that has queries; nothing for Fashion-MNIST and by group.
    fn by_class(&self, judged: &[Judged], chosen: &[usize]) -> Vec<ByClass> {
        let Some(Photos {
            by: By::Label,
            classes,
            ..
        }) = &self.photos
        else {
            return Vec::new();
        };
        let mut counts = vec![[0usize; 3]; classes.len()];
        for &query in chosen {
            let count = &mut counts[self.query_labels[query]];
            count[0] += 1;
            count[1] += usize::from(judged[query].ranking.top_1);
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
