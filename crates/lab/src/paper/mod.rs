//! Reproduces the paper's tables and figures, from training to a page with all of them.

mod figures;
mod measure;
mod outcome;
mod page;
mod pieces;
mod plan;
#[cfg(test)]
mod sample;
mod tables;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use serde_json::{Value, json};

use self::figures::Example;
use self::measure::{Data, Layout, Searched, Trained};
use self::outcome::Outcome;
use self::pieces::Pieces;
use self::plan::{EXAMPLE_STEPS, Plan};
use crate::ann::Ann;
use crate::ann::file::read_ann;
use crate::evaluate::protocol::{Protocol, QueriesFrom};
use crate::evaluate::runs;
use crate::published::BEST;
use crate::training::Training;
use crate::{files, progress};
use engine::chip::cost::CostModel;
use engine::model::Model;
use engine::neighbours::Neighbour;
use engine::neighbours::exact::{Vectors, nearest_first};
use engine::network::{Probe, TimeSteps};

/// What is reproduced, from what, and where the result goes.
#[derive(Debug, Clone)]
pub struct Reproduction {
    /// The directory with Fashion-MNIST's files.
    pub dataset: PathBuf,
    /// Few epochs, few pictures and two seeds, to see that everything works.
    pub quick: bool,
    /// Lines of Table 1; empty: all of them.
    pub architectures: Vec<String>,
    /// The directory of finished pieces.
    pub work: PathBuf,
    /// The directory of the page; `None`: `docs/paper`, or a quick run's own.
    pub report: Option<PathBuf>,
    pub cost_model: CostModel,
}

/// Reproduces the paper's tables and figures, continuing where an earlier run was stopped.
///
/// # Errors
/// If the data set cannot be read, an architecture is not in Table 1, or a file cannot be written.
pub fn run(options: &Reproduction) -> Result<()> {
    let plan = match options.quick {
        true => Plan::quick(),
        false => Plan::whole(),
    };
    let plan = plan.only(&options.architectures)?;
    let folder = match plan.quick {
        true => options.work.join("quick"),
        false => options.work.clone(),
    };
    let report = match (&options.report, plan.quick) {
        (Some(folder), _) => folder.clone(),
        (None, true) => folder.join("report"),
        (None, false) => PathBuf::from("docs/paper"),
    };
    std::fs::create_dir_all(&report)
        .with_context(|| format!("--report: {} cannot be created", report.display()))?;
    let data = Data::read(&options.dataset, plan.course.limit, plan.tests)?;
    let mut run = Run {
        plan: &plan,
        dataset: &options.dataset,
        cost_model: options.cost_model,
        pieces: Pieces::new(&folder, plan.pieces())?,
        data,
    };
    let outcome = run.outcome()?;
    page::write(&plan, &outcome, &run.data, &report)?;
    let mut out = std::io::stdout().lock();
    for network in &outcome.networks {
        if let Some(refusal) = &network.refusal {
            writeln!(
                out,
                "{}: the chip cannot hold this network: {refusal}",
                network.name
            )?;
        }
    }
    writeln!(out, "{}", report.join("README.md").display())?;
    Ok(())
}

/// The state that all pieces use.
struct Run<'a> {
    plan: &'a Plan,
    dataset: &'a Path,
    cost_model: CostModel,
    pieces: Pieces,
    data: Data,
}

impl Run<'_> {
    /// Runs all pieces: the best architecture and its searches first, then the others of Table 1.
    fn outcome(&mut self) -> Result<Outcome> {
        let mut best = Vec::new();
        for &seed in &self.plan.seeds {
            self.train(BEST, seed)?;
            let (ann, _) = self.ann(BEST, seed)?;
            let trained = self.data.train.len() - self.plan.course.validation;
            let (pictures, labels) = (&self.data.train[trained..], &self.data.train_labels[trained..]);
            best.push((seed, measure::accuracy(&ann, pictures, labels)));
        }
        // The first one on a tie.
        let highest = best.iter().rev().max_by(|a, b| a.1.total_cmp(&b.1));
        let seed = highest.map_or(self.plan.seeds[0], |(seed, _)| *seed);
        let line = self.line(BEST, seed)?;
        let [queries, corpus] = self.plan.search;
        let protocol = Protocol::read(self.dataset, QueriesFrom::Test, queries, corpus)?;
        let mut searches = Vec::new();
        for &each in &self.plan.seeds {
            let model = self.model(BEST, each)?;
            let steps = self.plan.steps()?;
            searches.push((each, self.search(each, "search", &protocol, &model, &steps)?));
        }
        let ends = [TimeSteps::new(16)?, TimeSteps::new(128)?];
        let model = self.model(BEST, seed)?;
        let half = measure::from_half(&model, self.cost_model)?;
        let half = self.search(seed, "half", &protocol, &half, &ends)?;
        drop(protocol);
        let [queries, corpus] = self.plan.full;
        let protocol = Protocol::read(self.dataset, QueriesFrom::Test, queries, corpus)?;
        let full = self.search(seed, "full", &protocol, &model, &ends)?;
        drop(protocol);
        let examples = self.examples(seed)?;
        let (ann, ann_id) = self.ann(BEST, seed)?;
        let settings = json!({"ann": ann_id, "pictures": self.data.tests.len()});
        let tests = &self.data.tests;
        let what = "the float network's time on this host";
        let host = self
            .pieces
            .piece("host", what, &settings, || Ok(measure::host(&ann, tests)))?;
        let mut networks = Vec::new();
        for &name in &self.plan.architectures {
            if name == BEST {
                networks.push(line.clone());
            } else {
                self.train(name, self.plan.seeds[0])?;
                networks.push(self.line(name, self.plan.seeds[0])?);
            }
        }
        Ok(Outcome {
            networks,
            seed,
            searches,
            full,
            half,
            examples,
            host,
            model,
        })
    }

    fn ann_path(&self, name: &str, seed: u64) -> PathBuf {
        self.pieces.path(&format!("{name}-seed-{seed}.ann.safetensors"))
    }

    /// A trained network and its file's id.
    fn ann(&self, name: &str, seed: u64) -> Result<(Ann, String)> {
        let path = self.ann_path(name, seed);
        let bytes = files::read(&path)?;
        let ann = read_ann(&bytes).with_context(|| format!("{} is refused", path.display()))?;
        Ok((ann, measure::id(&bytes)))
    }

    /// Trains a network unless its file records the same training.
    fn train(&mut self, name: &str, seed: u64) -> Result<()> {
        let path = self.ann_path(name, seed);
        let training = Training::of_the_paper(name, self.dataset, &path, self.plan.course, seed);
        let provenance = training.provenance("Fashion-MNIST", self.data.train.len());
        let kept = self.ann(name, seed).is_ok_and(|(ann, _)| {
            let said = ann.network.trained_with.unwrap_or_default();
            said.starts_with(&provenance)
        });
        self.pieces.begin(&format!("{name}, seed {seed}: training"), kept);
        if !kept {
            training.run()?;
        }
        Ok(())
    }

    /// Converts a network and measures its row of Table 1.
    fn line(&mut self, name: &str, seed: u64) -> Result<Trained> {
        let (ann, ann_id) = self.ann(name, seed)?;
        let settings = json!({
            "ann": ann_id,
            "samples": self.plan.samples,
            "validation": self.plan.course.validation,
            "tests": self.data.tests.len(),
            "cost_model": self.cost_model.as_str(),
        });
        let path = self.pieces.path(&format!("{name}-seed-{seed}.snn.safetensors"));
        let (data, plan, cost_model) = (&self.data, self.plan, self.cost_model);
        let piece = format!("{name}-seed-{seed}.accuracy");
        let what = format!("{name}, seed {seed}: converting and classifying");
        self.pieces.piece(&piece, &what, &settings, || {
            let bytes = measure::converted(&ann, &ann_id, &data.train[..plan.samples])?;
            files::write_whole(&path, &bytes)?;
            let (refusal, cores, chip) = match measure::placed(&bytes, cost_model)? {
                Err(refusal) => (Some(refusal), None, Vec::new()),
                Ok(model) => {
                    let runs = [16, 128].map(|steps| {
                        let steps = TimeSteps::new(steps)?;
                        measure::on_chip(&model, data, steps)
                    });
                    let runs = runs.into_iter().collect::<Result<_>>()?;
                    (None, Some(model.placement.cores()), runs)
                }
            };
            Ok(Trained {
                name: name.to_owned(),
                seed,
                ann: measure::accuracies(&ann, data, plan.course.validation),
                layout: Layout::of(&ann.network),
                refusal,
                cores,
                chip,
            })
        })
    }

    /// Converts a seed's float network and places it on the chip.
    fn model(&self, name: &str, seed: u64) -> Result<Arc<Model>> {
        let (ann, ann_id) = self.ann(name, seed)?;
        let bytes = measure::converted(&ann, &ann_id, &self.data.train[..self.plan.samples])?;
        files::write_whole(
            &self.pieces.path(&format!("{name}-seed-{seed}.snn.safetensors")),
            &bytes,
        )?;
        let model = measure::placed(&bytes, self.cost_model)?;
        model.map_err(|refusal| anyhow!("{name}: the chip cannot hold this network: {refusal}"))
    }

    fn search(
        &mut self,
        seed: u64,
        kind: &str,
        protocol: &Protocol,
        model: &Model,
        time_steps: &[TimeSteps],
    ) -> Result<Vec<Searched>> {
        let (ann, ann_id) = self.ann(BEST, seed)?;
        let steps: Vec<u32> = time_steps.iter().map(|steps| steps.get()).collect();
        let [queries, corpus] = protocol.size();
        let settings = json!({
            "ann": ann_id,
            "snn": model.id,
            "queries": queries,
            "corpus": corpus,
            "time_steps": steps,
            "probes": measure::PROBES,
        });
        let piece = format!("{BEST}-seed-{seed}.{kind}");
        let what = format!("{BEST}, seed {seed}: {queries} queries in {corpus} pictures");
        self.pieces.piece(&piece, &what, &settings, || {
            measure::search(protocol, &ann, model, time_steps)
        })
    }

    /// For the first test picture of each class: random pictures of the class, and the nearest ones.
    fn examples(&mut self, seed: u64) -> Result<Vec<Example>> {
        let (ann, ann_id) = self.ann(BEST, seed)?;
        let model = self.model(BEST, seed)?;
        let [_, corpus] = self.plan.search;
        let settings: Value = json!({
            "ann": ann_id, "samples": self.plan.samples, "corpus": corpus, "time_steps": EXAMPLE_STEPS,
        });
        let data = &self.data;
        let what = format!("{BEST}, seed {seed}: search examples");
        self.pieces.piece("examples", &what, &settings, || {
            let queries: Vec<usize> = (0..=9u8)
                .filter_map(|class| data.test_labels.iter().position(|&label| label == class))
                .collect();
            let pictures: Vec<_> = queries.iter().map(|&index| data.tests[index].clone()).collect();
            let corpus = &data.train[..corpus];
            let bar = progress::bar("search examples", 2 * (corpus.len() + queries.len()));
            let (floats, _) = runs::float_embeddings(&ann, corpus, &bar);
            let (asked, _) = runs::float_embeddings(&ann, &pictures, &bar);
            let similarities = asked.dot(&floats.t());
            let steps = TimeSteps::new(EXAMPLE_STEPS)?.into();
            let probe = [Probe::Membrane];
            let mut vectors = Vectors::new(model.snn.network.embedding_dimensions());
            for seen in runs::run(&model, corpus, steps, &probe, &bar)? {
                vectors.push(&seen.embeddings[0]);
            }
            let spiking = runs::run(&model, &pictures, steps, &probe, &bar)?;
            bar.finish_and_clear();
            let examples = queries.iter().enumerate().map(|(number, &query)| {
                let class = data.test_labels[query];
                let row = similarities.row(number);
                let ann = nearest_first(
                    row.iter()
                        .enumerate()
                        .map(|(index, &similarity)| Neighbour {
                            index,
                            similarity: f64::from(similarity),
                        })
                        .collect(),
                    3,
                );
                let snn = vectors.nearest(
                    &vectors.query(&spiking[number].embeddings[0]),
                    3,
                    0..vectors.len(),
                    |_| true,
                );
                let indices = |found: Vec<Neighbour>| found.into_iter().map(|found| found.index).collect();
                Example {
                    query,
                    class,
                    random: random_of(class, &data.train_labels[..corpus.len()]),
                    ann: indices(ann),
                    snn: indices(snn),
                }
            });
            Ok(examples.collect())
        })
    }
}

/// Three pictures of a class in a fixed pseudo-random order: multiples of an odd number modulo 2^32, sorted.
fn random_of(class: u8, labels: &[u8]) -> Vec<usize> {
    const ODD: u32 = 0x9e37_79b1;
    let mut found: Vec<(u32, usize)> = (0u32..)
        .zip(labels)
        .enumerate()
        .filter(|(_, (_, label))| **label == class)
        .map(|(index, (number, _))| (number.wrapping_add(1).wrapping_mul(ODD), index))
        .collect();
    found.sort_unstable();
    found.into_iter().take(3).map(|(_, index)| index).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_pictures_are_of_the_class_and_not_all_the_first() {
        let labels: Vec<u8> = (0..200).map(|index| index % 10).collect();
        let found = random_of(3, &labels);
        assert_eq!(found.len(), 3);
        assert!(found.iter().all(|&index| labels[index] == 3), "{found:?}");
        assert_ne!(found, [3, 13, 23]);
    }
}
