//! An evaluation as text, JSON and CSV.

use serde_json::{Value, json};

use super::asked::By;
use super::measured::Measured;
use super::options::Evaluation;
use super::row::{Row, paper};
use crate::csv_text::csv_text;

/// Why a row has no classification.
pub const NOT_CLASSIFIED: &str = "A network whose labels are not the data set's classes is judged by search alone, without classification.";

/// With `model`, or with `models` and each row's model if there are several.
#[must_use]
pub fn json(options: &Evaluation, measured: &Measured) -> Value {
    let mut report = json!({
        "queries": measured.queries,
        "queries_from": measured.queries_from,
        "corpus": measured.corpus,
        "cost_model": options.cost_model.as_str(),
        "rows": measured.rows,
    });
    match &measured.own {
        // The paper's figures are of Fashion-MNIST.
        None => report["paper"] = json!(paper()),
        Some(own) => {
            report["dataset"] = own.listing.name.as_str().into();
            report["classes"] = json!(own.photos.classes);
            report["by"] = json!(own.photos.by);
            report["left_out"] = json!(own.left_out);
        }
    }
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

/// If there are several models, a last column is the row's model; if some rows are of a part of the queries, the next is
/// what part.
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
    let split = measured.rows.iter().any(|row| row.queries.is_some());
    if split {
        head.push("queries");
    }
    let fields = |row: &Row| {
        let mut fields = vec![
            row.network.to_owned(),
            shown(row.time_steps),
            shown(row.probe),
            shown(row.classification),
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
        if split {
            fields.push(row.queries.map_or("all", |asked| asked.of).to_owned());
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
    let dataset = match &measured.own {
        None => String::new(),
        Some(own) => format!("{}, {} classes: ", own.listing.name, own.photos.classes.len()),
    };
    let searched = match &measured.own {
        Some(own) if own.photos.by == By::Group => {
            "other pictures, of which those of the query's group are right"
        }
        _ => "training pictures",
    };
    let mut out = format!(
        "{what}: {dataset}{} {} queries, {} {searched}; energy and latency modelled by {}\n\n",
        measured.queries,
        measured.queries_from,
        measured.corpus,
        options.cost_model.as_str()
    );
    let named = |row: &Row| match &row.model {
        None => row.name(),
        Some(model) => format!("{model}: {}", row.name()),
    };
    let mut lines: Vec<(String, &Row)> = measured.rows.iter().map(|row| (named(row), row)).collect();
    let paper = paper();
    if measured.own.is_none() {
        lines.extend(paper.iter().map(|row| (format!("paper: {}", row.name()), row)));
    }
    let longest = lines.iter().map(|(name, _)| name.chars().count()).max();
    let width = longest.unwrap_or_default().max(28);
    out.push_str(&format!(
        "{:width$} {:>7} {:>7} {:>7} {:>7} {:>7} {:>9} {:>10} {:>10} {:>9}\n",
        "", "class %", "Top-1 %", "Top-3 %", "mAP", "mean T", "spikes", "syn. ops", "latency ms", "energy mJ"
    ));
    for (name, row) in lines {
        let [steps, spikes, operations, latency, energy] = row.costs();
        out.push_str(&format!(
            "{name:width$} {:>7} {:>7.2} {:>7.2} {:>7.4} {steps:>7} {spikes:>9} {operations:>10} {latency:>10} \
             {energy:>9}\n",
            row.classified(),
            row.top_1,
            row.top_3,
            row.map,
        ));
    }
    let by_label = measured.own.as_ref().is_none_or(|own| own.photos.by == By::Label);
    if by_label && measured.rows.iter().any(|row| row.classification.is_none()) {
        out.push('\n');
        out.push_str(NOT_CLASSIFIED);
        out.push('\n');
    }
    out
}
