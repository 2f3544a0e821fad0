//! An evaluation on stdout: text, JSON, CSV.

use std::io::Write;

use anyhow::Result;
use serde_json::{Value, json};

use super::row::{Row, paper};
use super::{Evaluate, EvaluateFormat, Measured};

pub fn print(evaluate: &Evaluate, measured: &Measured) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match evaluate.format {
        EvaluateFormat::Json => {
            serde_json::to_writer_pretty(&mut out, &json(evaluate, measured))?;
            writeln!(out)?;
        }
        EvaluateFormat::Csv => write!(out, "{}", csv(measured))?,
        EvaluateFormat::Text => write!(out, "{}", text(evaluate, measured))?,
    }
    Ok(())
}

/// With `model`, or with `models` and each row's model where there are several.
pub fn json(evaluate: &Evaluate, measured: &Measured) -> Value {
    let mut report = json!({
        "queries": evaluate.queries,
        "queries_from": evaluate.queries_from.as_str(),
        "corpus": evaluate.corpus,
        "cost_model": evaluate.cost_model.as_str(),
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

/// A last column names each row's model where there are several.
pub fn csv(measured: &Measured) -> String {
    fn shown<T: ToString>(value: Option<T>) -> String {
        value.map(|value| value.to_string()).unwrap_or_default()
    }
    let several = measured.models.len() > 1;
    let mut out =
        "network,time_steps,probe,classification,top_1,top_3,map,spikes,synaptic_operations,latency_ms,\
                   energy_mj,mean_time_steps"
            .to_owned();
    out.push_str(if several { ",model\n" } else { "\n" });
    for row in &measured.rows {
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
            fields.push(quoted(row.model.as_deref().unwrap_or_default()));
        }
        out.push_str(&fields.join(","));
        out.push('\n');
    }
    out
}

/// A name as RFC 4180 wants it: in quotes where it holds what would end the field.
pub fn quoted(name: &str) -> String {
    match name.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", name.replace('"', "\"\"")),
        false => name.to_owned(),
    }
}

fn text(evaluate: &Evaluate, measured: &Measured) -> String {
    let names: Vec<&str> = measured.models.iter().map(|named| named.label.as_str()).collect();
    let what = match measured.models.as_slice() {
        [alone] => alone.model.snn.network.name.clone(),
        _ => names.join(", "),
    };
    let mut out = format!(
        "{what}: {} {} queries, {} training pictures; energy and latency modelled by {}\n\n",
        evaluate.queries,
        evaluate.queries_from.as_str(),
        evaluate.corpus,
        evaluate.cost_model.as_str()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_break_its_line() {
        assert_eq!(quoted("tuned"), "tuned");
        assert_eq!(quoted("a,\"b\""), "\"a,\"\"b\"\"\"");
    }
}
