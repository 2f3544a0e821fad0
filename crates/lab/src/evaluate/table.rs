//! An evaluation as text, JSON and CSV.

use serde_json::{Value, json};

use super::measured::Measured;
use super::options::Evaluation;
use super::row::{Row, paper};
use crate::csv_text::csv_text;

/// With `model`, or with `models` and each row's model if there are several.
#[must_use]
pub fn json(options: &Evaluation, measured: &Measured) -> Value {
    let mut report = json!({
        "queries": options.queries,
        "queries_from": options.queries_from.as_str(),
        "corpus": options.corpus,
        "cost_model": options.cost_model.as_str(),
        "rows": measured.rows,
        "paper": paper(),
    });
    match measured.models.as_slice() {
        [alone] => {
            let model = &alone.model;
            report["model"] = json!({"id": model.id, "name": model.snn.network.name});
        }
        several => {
            let each = several.iter().map(|named| {
                json!({"label": named.label, "id": named.model.id, "name": named.model.snn.network.name})
            });
            report["models"] = each.collect();
        }
    }
    report
}

/// If there are several models, the last column is the row's model.
#[must_use]
pub fn csv(measured: &Measured) -> String {
    fn shown<T: ToString>(value: Option<T>) -> String {
        value.map(|value| value.to_string()).unwrap_or_default()
    }
    let several = measured.models.len() > 1;
    let mut head = vec![
        "network",
        "time_steps",
        "probe",
        "classification",
        "top_1",
        "top_3",
        "map",
        "spikes",
        "synaptic_operations",
        "latency_ms",
        "energy_mj",
        "mean_time_steps",
    ];
    if several {
        head.push("model");
    }
    let fields = |row: &Row| {
        let mut fields = vec![
            row.network.to_owned(),
            shown(row.time_steps),
            shown(row.probe),
            row.classification.to_string(),
            row.top_1.to_string(),
            row.top_3.to_string(),
            row.map.to_string(),
            shown(row.spikes),
            shown(row.synaptic_operations),
            shown(row.latency_ms),
            shown(row.energy_mj),
            shown(row.mean_time_steps),
        ];
        if several {
            fields.push(row.model.clone().unwrap_or_default());
        }
        fields
    };
    csv_text(&head, measured.rows.iter().map(fields))
}

/// A table for a terminal.
#[must_use]
pub fn text(options: &Evaluation, measured: &Measured) -> String {
    let names: Vec<&str> = measured.models.iter().map(|named| named.label.as_str()).collect();
    let what = match measured.models.as_slice() {
        [alone] => alone.model.snn.network.name.clone(),
        _ => names.join(", "),
    };
    let mut out = format!(
        "{what}: {} {} queries, {} training pictures; energy and latency modelled by {}\n\n",
        options.queries,
        options.queries_from.as_str(),
        options.corpus,
        options.cost_model.as_str()
    );
    let named = |row: &Row| match &row.model {
        None => row.name(),
        Some(model) => format!("{model}: {}", row.name()),
    };
    let mut lines: Vec<(String, &Row)> = measured.rows.iter().map(|row| (named(row), row)).collect();
    let paper = paper();
    lines.extend(paper.iter().map(|row| (format!("paper: {}", row.name()), row)));
    let longest = lines.iter().map(|(name, _)| name.chars().count()).max();
    let width = longest.unwrap_or_default().max(28);
    out.push_str(&format!(
        "{:width$} {:>7} {:>7} {:>7} {:>7} {:>7} {:>9} {:>10} {:>10} {:>9}\n",
        "", "class %", "Top-1 %", "Top-3 %", "mAP", "mean T", "spikes", "syn. ops", "latency ms", "energy mJ"
    ));
    for (name, row) in lines {
        let [steps, spikes, operations, latency, energy] = row.costs();
        out.push_str(&format!(
            "{name:width$} {:>7.2} {:>7.2} {:>7.2} {:>7.4} {steps:>7} {spikes:>9} {operations:>10} {latency:>10} \
             {energy:>9}\n",
            row.classification, row.top_1, row.top_3, row.map,
        ));
    }
    out
}
