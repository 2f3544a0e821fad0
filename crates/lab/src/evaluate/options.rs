//! The options of an evaluation.

use std::path::PathBuf;

use super::asked::By;
use super::protocol::QueriesFrom;
use engine::chip::cost::CostModel;
use engine::embedding::stopping::Length;
use engine::model::built_in::Asked;
use engine::network::{Probe, TimeSteps};

/// What is evaluated, and on what.
#[derive(Debug, Clone)]
pub struct Evaluation {
    /// The data set, as `crate::dataset` reads it.
    pub dataset: PathBuf,
    /// The float network.
    pub ann: Option<Asked>,
    /// The spiking networks.
    pub model: Vec<Asked>,
    /// Time steps of the queries, one run each.
    pub time_steps: Vec<Length>,
    /// Time steps of the corpus; `None`: those of the queries, or the model's for queries that stop early.
    pub catalogue_time_steps: Option<TimeSteps>,
    /// What is read from the embedding layer; empty: each model's own probe.
    pub probe: Vec<Probe>,
    /// `None`: the test pictures of Fashion-MNIST, the validation and test pictures of another data set.
    pub queries_from: Option<QueriesFrom>,
    /// The number of queries, at least 1; `None`: 1,000 of Fashion-MNIST, all of another data set.
    pub queries: Option<usize>,
    /// The number of training pictures searched, at least 1; `None`: 20,000 of Fashion-MNIST, all of another data set.
    pub corpus: Option<usize>,
    /// What a right match shares with its query; Fashion-MNIST has labels alone.
    pub by: By,
    /// Data sets that the networks were trained on besides the one evaluated: their groups are not unseen.
    pub trained_on: Vec<PathBuf>,
    pub cost_model: CostModel,
    /// The directory that a report is written to.
    pub report: Option<PathBuf>,
}

impl Evaluation {
    /// The command line that repeats the evaluation of so many queries in a corpus of that size, with every option that
    /// differs from its default.
    #[must_use]
    pub fn command(&self, [queries, corpus]: [usize; 2]) -> String {
        fn list<T: ToString>(values: &[T]) -> String {
            let values: Vec<String> = values.iter().map(T::to_string).collect();
            values.join(",")
        }
        let mut command = format!("spikelens evaluate --dataset {}", self.dataset.display());
        let mut add = |option: &str, value: String| {
            command.push_str(&format!(" --{option} {value}"));
        };
        // Of one built-in network, the float one is evaluated as well.
        match (&self.ann, self.model.as_slice()) {
            (Some(ann), [model]) if ann == model && matches!(ann, Asked::BuiltIn(_)) => {}
            (Some(ann), _) => add("ann", ann.to_string()),
            (None, _) => {}
        }
        if !self.model.is_empty() {
            add("model", list(&self.model));
        }
        add("time-steps", list(&self.time_steps));
        if let Some(steps) = self.catalogue_time_steps {
            add("catalogue-time-steps", steps.to_string());
        }
        if !self.probe.is_empty() {
            add("probe", list(&self.probe));
        }
        if let Some(from) = self.queries_from.filter(|from| *from != QueriesFrom::Test) {
            add("queries-from", from.as_str().to_owned());
        }
        add("queries", queries.to_string());
        add("corpus", corpus.to_string());
        if self.by != By::Label {
            add("by", self.by.as_str().to_owned());
        }
        if !self.trained_on.is_empty() {
            add(
                "trained-on",
                list(
                    &self
                        .trained_on
                        .iter()
                        .map(|path| path.display())
                        .collect::<Vec<_>>(),
                ),
            );
        }
        if self.cost_model != CostModel::ALL[0] {
            add("cost-model", self.cost_model.as_str().to_owned());
        }
        if let Some(folder) = &self.report {
            add("report", folder.display().to_string());
        }
        command
    }
}
