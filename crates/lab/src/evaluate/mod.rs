//! Classification, Top-1, Top-3 and mAP, float and spiking side by side, beside the paper's figures.
//!
//! In: networks, a data set, and the numbers of queries and pictures. Out: a row for each network, number of time
//! steps and probe; as text, JSON, CSV or a report in files. Absent: command line arguments (`crate::commands`).

pub mod asked;
mod gallery;
pub mod measured;
pub mod options;
pub mod protocol;
mod reading;
pub mod report;
pub mod row;
pub mod runs;
pub mod table;

use anyhow::Result;

use crate::{files, progress};
use engine::embedding::stopping::Length;
use engine::model::Model;
use engine::model::built_in::Asked;
use measured::{Measured, Named};
use options::Evaluation;
use protocol::QueriesFrom;
use reading::Reading;
use row::Row;

/// Measures the float network and every spiking one, in that order.
///
/// # Errors
/// If a file cannot be read, the data set is too small, or its pictures cannot be prepared for a network.
pub fn measure(options: &Evaluation) -> Result<Measured> {
    let ann = options.ann.as_ref().map(files::ann).transpose()?;
    let models = models(options)?;
    let networks = ann.iter().map(|ann| &ann.network);
    let networks = networks.chain(models.iter().map(|named| &named.model.snn.network));
    let reading = Reading::read(options, networks)?;
    let probes = |model: &Model| match options.probe.is_empty() {
        true => vec![model.snn.network.probe()],
        false => options.probe.clone(),
    };
    let runs = models.iter().map(|named| {
        let probes = probes(&named.model).len();
        options.time_steps.len() * reading.of(&named.model.snn.network).steps(probes)
    });
    let floats = ann.as_ref().map_or(0, |ann| reading.of(&ann.network).steps(1));
    let bar = progress::bar("evaluating", floats + runs.sum::<usize>());
    let mut rows = Vec::new();
    if let Some(ann) = &ann {
        rows.extend(reading.of(&ann.network).float(ann, &bar));
    }
    for Named { label, model } in &models {
        let protocol = reading.of(&model.snn.network);
        let mut catalogue = None;
        for &time_steps in &options.time_steps {
            let stored = match (options.catalogue_time_steps, time_steps) {
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
    let [queries, corpus] = reading.size();
    let own = reading.into_own();
    Ok(Measured {
        models,
        rows,
        queries,
        corpus,
        queries_from: match (options.queries_from, &own) {
            (Some(from), _) => from.as_str(),
            (None, None) => QueriesFrom::Test.as_str(),
            (None, Some(_)) => "validation and test",
        },
        own,
    })
}

/// Reads the models. Labels are names: of built-in networks, of files, or paths if file names are not unique.
fn models(options: &Evaluation) -> Result<Vec<Named>> {
    let short = |asked: &Asked| {
        let Asked::File(path) = asked else {
            return asked.to_string();
        };
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
        let name = name.strip_suffix(".safetensors").unwrap_or(&name);
        name.strip_suffix(".snn").unwrap_or(name).to_owned()
    };
    let alone = |label: &String| {
        options
            .model
            .iter()
            .map(short)
            .filter(|other| other == label)
            .count()
            == 1
    };
    options
        .model
        .iter()
        .map(|asked| {
            let model = files::model(asked, options.cost_model)?;
            let label = Some(short(asked)).filter(alone);
            let label = label.unwrap_or_else(|| asked.to_string());
            Ok(Named { label, model })
        })
        .collect()
}
