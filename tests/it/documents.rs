//! The tables and figures in the documentation match the program.

use engine::chip::cost::CostModel;
use engine::picture::{idx, npy};
use spikelens::http::problem::Code;

use crate::api::import;
use crate::server::{Server, run};
use crate::support::postgres::database;
use crate::support::{dataset, pictures};

fn document(name: &str) -> String {
    let path = format!("{}/docs/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn the_validation_in_the_documentation_is_the_program_s() {
    let output = run(&["inspect", "--validate"]);
    assert!(output.status.success(), "{output:?}");
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(
        document("cost-model.md").contains(&printed),
        "docs/cost-model.md does not hold what `spikelens inspect --validate` prints:\n{printed}"
    );
}

#[test]
fn every_constant_in_the_documentation_is_the_program_s() {
    let document = document("cost-model.md");
    let rows: Vec<Vec<&str>> = document
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    let mut named = std::collections::BTreeSet::new();
    for constant in CostModel::ALL.into_iter().flat_map(CostModel::constants) {
        let name = format!("`{}`", constant.name);
        let word = format!("{:?}", constant.evidence).to_lowercase();
        let row = rows.iter().find(|row| row[0] == name && row[2] == constant.unit);
        let row = row.unwrap_or_else(|| panic!("docs/cost-model.md has no {name} in {}", constant.unit));
        let value: f64 = row[1].parse().unwrap();
        assert!(
            (value / constant.value - 1.0).abs() < 1e-5,
            "{name}: {value} for {}",
            constant.value
        );
        assert_eq!((row[3], row[4]), (word.as_str(), constant.source), "{name}");
        named.insert((constant.name, constant.unit));
    }
    assert_eq!(
        rows.len(),
        named.len(),
        "docs/cost-model.md names a constant that the program has not"
    );
}

#[test]
fn the_sample_pictures_are_the_first_test_picture_of_each_class() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/models/sample-pictures.npy");
    let kept = npy::pictures(&std::fs::read(path).unwrap()).unwrap();
    let labels = idx::labels(&std::fs::read(dataset().join("t10k-labels-idx1-ubyte.gz")).unwrap()).unwrap();
    let firsts = (0..10).map(|class| labels.iter().position(|label| *label == class).unwrap());
    let test = pictures("t10k", 100);
    assert_eq!(kept, firsts.map(|first| test[first].clone()).collect::<Vec<_>>());
}

/// The cells of the table rows whose first cell is a name in backquotes that starts with `start`.
fn rows<'a>(document: &'a str, start: &str) -> Vec<Vec<&'a str>> {
    let start = format!("| `{start}");
    let rows = document.lines().filter(|line| line.starts_with(&start));
    rows.map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect()
}

#[test]
fn every_option_of_the_server_is_in_the_documentation_with_its_default() {
    let output = run(&["serve", "--help"]);
    let help = String::from_utf8(output.stdout).unwrap();
    let mut options: Vec<(String, String)> = Vec::new();
    for line in help.lines() {
        if let Some(option) = line.strip_prefix("      --") {
            let (name, rest) = option.split_once(' ').unwrap();
            options.push((format!("`--{name}`"), rest.to_owned()));
        } else if line.starts_with("        ")
            && let Some((_, text)) = options.last_mut()
        {
            text.push(' ');
            text.push_str(line.trim());
        }
    }
    let expected: Vec<(&str, &str)> = options
        .iter()
        .map(|(name, text)| {
            let default = text
                .split_once("[default: ")
                .and_then(|(_, rest)| rest.split_once(']'));
            (name.as_str(), default.map_or("", |(default, _)| default))
        })
        .collect();
    let document = document("operations.md");
    let found: Vec<(&str, &str)> = rows(&document, "--").iter().map(|row| (row[0], row[1])).collect();
    assert!(found.len() > 15, "{found:?}");
    assert_eq!(found, expected);
}

#[test]
fn every_metric_is_in_the_documentation_with_its_meaning() {
    // PostgreSQL has all metrics of SQLite, and some more.
    let database = database();
    import(5, &["--store", &database.url()]);
    let server = Server::over(&database.url(), &[]).ready();
    server.measured_stats();
    let metrics = String::from_utf8(server.get("/metrics").body).unwrap();
    let lines: Vec<&str> = metrics.lines().collect();
    let expected: Vec<String> = lines
        .windows(2)
        .filter_map(|pair| {
            let (name, help) = pair[0].strip_prefix("# HELP ")?.split_once(' ')?;
            let (_, kind) = pair[1].strip_prefix("# TYPE ")?.split_once(' ')?;
            Some(format!("`{name}` {kind} {help}"))
        })
        .collect();
    let document = document("operations.md");
    let found: Vec<String> = rows(&document, "spikelens_")
        .iter()
        .map(|row| row.join(" "))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn every_refusal_is_in_the_documentation() {
    let document = document("http.md");
    for code in Code::ALL {
        let row = format!("| {} | `{}` | ", code.status().as_u16(), code.as_str());
        assert!(document.contains(&row), "docs/http.md has no row {row}");
    }
}

#[test]
fn every_module_is_in_the_documentation() {
    let document = document("architecture.md");
    let modules = include_str!("../../src/lib.rs")
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    for module in modules {
        assert!(
            document.contains(&format!("`{module}`")),
            "docs/architecture.md does not name {module}"
        );
    }
}
