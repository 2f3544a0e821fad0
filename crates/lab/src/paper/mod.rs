//! `evaluate --paper`: the paper's tables and figures made anew, from training to the page that shows them.

mod figures;
mod measure;
mod page;
mod published;
#[cfg(test)]
mod sample;
mod tables;
mod work;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Value, json};

use self::figures::Example;
use self::measure::{Data, Host, Layout, Searched, Trained};
use self::published::{BEST, TABLE_1};
use self::work::Work;
use crate::ann::Ann;
use crate::ann::file::read_ann;
use crate::commands::train::{Course, Train};
use crate::evaluate::Evaluate;
use crate::evaluate::protocol::{self, Protocol, QueriesFrom};
use crate::{files, progress};
use engine::chip::cost::CostModel;
use engine::model::Model;
use engine::neighbours::Neighbour;
use engine::neighbours::exact::{Vectors, nearest_first};
use engine::network::{Probe, TimeSteps};

/// How much is done.
#[derive(Debug, Clone)]
struct Plan {
    quick: bool,
    /// Of Table 1, in its order.
    architectures: Vec<&'static str>,
    course: Course,
    /// Of the best architecture; the others have the first alone.
    seeds: Vec<u64>,
    /// Training pictures that calibrate thresholds.
    samples: usize,
    tests: Option<usize>,
    /// Queries and corpus of the paper's size.
    search: [usize; 2],
    full: [usize; 2],
    time_steps: Vec<u32>,
}

impl Plan {
    /// The paper's.
    fn whole() -> Self {
        Self {
            quick: false,
            architectures: TABLE_1.iter().map(|line| line.name).collect(),
            course: Course {
                epochs: 10,
                validation: 6000,
                limit: None,
            },
            seeds: vec![1, 2, 3, 4, 5],
            samples: 2000,
            tests: None,
            search: [1000, 20_000],
            full: [10_000, 60_000],
            time_steps: vec![4, 8, 12, 16, 24, 32, 48, 64, 96, 128],
        }
    }

    /// Everything once, small enough to be looked at while one waits.
    fn quick() -> Self {
        Self {
            quick: true,
            architectures: TABLE_1.iter().map(|line| line.name).collect(),
            course: Course {
                epochs: 2,
                validation: 1000,
                limit: Some(7000),
            },
            seeds: vec![1, 2],
            samples: 500,
            tests: Some(1000),
            search: [200, 2000],
            full: [400, 4000],
            time_steps: vec![4, 8, 16, 128],
        }
    }

    fn steps(&self) -> Result<Vec<TimeSteps>> {
        let steps = self.time_steps.iter().map(|&steps| Ok(TimeSteps::new(steps)?));
        steps.collect()
    }

    /// Leaves out what `wanted` does not name, unless it names nothing.
    fn only(mut self, wanted: &[String]) -> Result<Self> {
        let names = &self.architectures;
        if let Some(unknown) = wanted.iter().find(|name| !names.contains(&name.as_str())) {
            bail!(
                "--architectures: {unknown} is not in Table 1, which has {}",
                names.join(", ")
            );
        }
        let named =
            |name: &str| wanted.is_empty() || name == BEST || wanted.iter().any(|wanted| wanted == name);
        self.architectures.retain(|name| named(name));
        Ok(self)
    }

    /// The lines of Table 1 that are left out.
    fn left_out(&self) -> Vec<&'static str> {
        let names = TABLE_1.iter().map(|line| line.name);
        names.filter(|name| !self.architectures.contains(name)).collect()
    }

    /// Trainings, lines of Table 1, searches, the full protocol, other initial membranes, the examples and the host's
    /// time.
    fn pieces(&self) -> usize {
        (self.seeds.len() + self.architectures.len() - 1) + self.architectures.len() + self.seeds.len() + 4
    }
}

/// All that the page shows.
#[derive(Debug)]
struct Outcome {
    networks: Vec<Trained>,
    /// The best architecture's seed with the highest validation accuracy.
    seed: u64,
    searches: Vec<(u64, Vec<Searched>)>,
    full: Vec<Searched>,
    /// The chosen seed's search with membranes that start at half a threshold.
    half: Vec<Searched>,
    examples: Vec<Example>,
    host: Host,
    model: Arc<Model>,
}

impl Outcome {
    /// The chosen seed's search at the paper's size.
    fn search(&self) -> &[Searched] {
        let mut searches = self.searches.iter();
        let chosen = searches.find(|(seed, _)| *seed == self.seed);
        chosen.map_or(&[], |(_, rows)| rows)
    }
}

/// The time steps of Figure 5's embeddings; the paper does not say its own.
const EXAMPLE_STEPS: u32 = 16;

pub(crate) fn run(evaluate: &Evaluate) -> Result<()> {
    let plan = match evaluate.quick {
        true => Plan::quick(),
        false => Plan::whole(),
    };
    let plan = plan.only(&evaluate.architectures)?;
    let folder = match plan.quick {
        true => evaluate.work.join("quick"),
        false => evaluate.work.clone(),
    };
    let report = match (&evaluate.report, plan.quick) {
        (Some(folder), _) => folder.clone(),
        (None, true) => folder.join("report"),
        (None, false) => PathBuf::from("docs/paper"),
    };
    std::fs::create_dir_all(&report)
        .with_context(|| format!("--report: {} cannot be made", report.display()))?;
    let data = Data::read(&evaluate.dataset, plan.course.limit, plan.tests)?;
    let mut bench = Bench {
        plan: &plan,
        dataset: &evaluate.dataset,
        cost_model: evaluate.cost_model,
        work: Work::new(&folder, plan.pieces())?,
        data,
    };
    let outcome = bench.outcome()?;
    page::write(&plan, &outcome, &bench.data, &report)?;
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

/// What every piece needs.
struct Bench<'a> {
    plan: &'a Plan,
    dataset: &'a Path,
    cost_model: CostModel,
    work: Work,
    data: Data,
}

impl Bench<'_> {
    /// The best architecture and its search first, then the others of Table 1.
    fn outcome(&mut self) -> Result<Outcome> {
        let mut best = Vec::new();
        for &seed in &self.plan.seeds {
            self.train(BEST, seed)?;
            let (ann, _) = self.ann(BEST, seed)?;
            let trained = self.data.train.len() - self.plan.course.validation;
            let (pictures, labels) = (&self.data.train[trained..], &self.data.train_labels[trained..]);
            best.push((seed, measure::accuracy(&ann, pictures, labels)));
        }
        // The first of equals.
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
            .work
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
        self.work.path(&format!("{name}-seed-{seed}.ann.safetensors"))
    }

    /// A trained network and its file's id.
    fn ann(&self, name: &str, seed: u64) -> Result<(Ann, String)> {
        let path = self.ann_path(name, seed);
        let bytes = files::read(&path)?;
        let ann = read_ann(&bytes).with_context(|| format!("{} is refused", path.display()))?;
        Ok((ann, measure::id(&bytes)))
    }

    /// Trains a network unless its file says that it was trained just so.
    fn train(&mut self, name: &str, seed: u64) -> Result<()> {
        let path = self.ann_path(name, seed);
        let train = Train::paper(name, self.dataset, &path, self.plan.course, seed);
        let words = train.words(self.data.train.len());
        let kept = self.ann(name, seed).is_ok_and(|(ann, _)| {
            let said = ann.network.trained_with.unwrap_or_default();
            said.starts_with(&words)
        });
        self.work.begin(&format!("{name}, seed {seed}: training"), kept);
        if !kept {
            train.train()?;
        }
        Ok(())
    }

    /// Converts a network and measures its line of Table 1.
    fn line(&mut self, name: &str, seed: u64) -> Result<Trained> {
        let (ann, ann_id) = self.ann(name, seed)?;
        let settings = json!({
            "ann": ann_id,
            "samples": self.plan.samples,
            "validation": self.plan.course.validation,
            "tests": self.data.tests.len(),
            "cost_model": self.cost_model.as_str(),
        });
        let path = self.work.path(&format!("{name}-seed-{seed}.snn.safetensors"));
        let (data, plan, cost_model) = (&self.data, self.plan, self.cost_model);
        let piece = format!("{name}-seed-{seed}.accuracy");
        let what = format!("{name}, seed {seed}: converting and classifying");
        self.work.piece(&piece, &what, &settings, || {
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

    /// The spiking network that was converted from a seed's float network; converted now where it was not.
    fn model(&self, name: &str, seed: u64) -> Result<Arc<Model>> {
        let (ann, ann_id) = self.ann(name, seed)?;
        let bytes = measure::converted(&ann, &ann_id, &self.data.train[..self.plan.samples])?;
        files::write_whole(
            &self.work.path(&format!("{name}-seed-{seed}.snn.safetensors")),
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
        self.work.piece(&piece, &what, &settings, || {
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
        self.work.piece("examples", &what, &settings, || {
            let queries: Vec<usize> = (0..=9u8)
                .filter_map(|class| data.test_labels.iter().position(|&label| label == class))
                .collect();
            let pictures: Vec<_> = queries.iter().map(|&index| data.tests[index].clone()).collect();
            let corpus = &data.train[..corpus];
            let bar = progress::bar("search examples", 2 * (corpus.len() + queries.len()));
            let (floats, _) = protocol::float_embeddings(&ann, corpus, &bar);
            let (asked, _) = protocol::float_embeddings(&ann, &pictures, &bar);
            let similarities = asked.dot(&floats.t());
            let steps = TimeSteps::new(EXAMPLE_STEPS)?.into();
            let probe = [Probe::Membrane];
            let mut vectors = Vectors::new(model.snn.network.embedding_dimensions());
            for seen in protocol::run(&model, corpus, steps, &probe, &bar)? {
                vectors.push(&seen.embeddings[0]);
            }
            let spiking = protocol::run(&model, &pictures, steps, &probe, &bar)?;
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
                let snn = vectors.nearest(&vectors.query(&spiking[number].embeddings[0]), 3, |_| true);
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

/// Three pictures of a class, drawn by a fixed rule: multiples of an odd number, modulo a power of two, in order of size.
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
    fn a_run_may_leave_architectures_out_but_never_the_one_that_is_searched_with() {
        let only = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
            Plan::whole().only(&names)
        };
        assert_eq!(only(&[]).unwrap().architectures.len(), 12);
        let plan = only(&["4-8-10"]).unwrap();
        assert_eq!(plan.architectures, ["4-8-10", BEST]);
        assert_eq!((plan.left_out().len(), plan.pieces()), (10, 6 + 2 + 5 + 4));
        let refusal = only(&["4-8-11"]).unwrap_err().to_string();
        assert!(
            refusal.contains("4-8-11 is not in Table 1, which has 4-8-10, "),
            "{refusal}"
        );
    }

    #[test]
    fn random_pictures_are_of_the_class_and_not_all_the_first() {
        let labels: Vec<u8> = (0..200).map(|index| index % 10).collect();
        let found = random_of(3, &labels);
        assert_eq!(found.len(), 3);
        assert!(found.iter().all(|&index| labels[index] == 3), "{found:?}");
        assert_ne!(found, [3, 13, 23]);
    }
}
