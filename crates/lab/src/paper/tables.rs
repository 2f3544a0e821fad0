//! The paper's tables, with ours beside them.

use super::measure::{Host, OnChip, Searched, Trained};
use crate::csv_text::csv_text;
use crate::published::{BEST, TABLE_1, TABLE_2, TABLES_3_TO_5};

/// A table that can be written as Markdown and CSV.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Table {
    head: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn markdown(&self) -> String {
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let head: Vec<String> = self.head.iter().map(|&name| name.to_owned()).collect();
        let mut out = line(&head);
        out.push_str(&format!("|{}\n", "---|".repeat(head.len())));
        for row in &self.rows {
            let cells: Vec<String> = row.iter().map(|cell| cell.replace('|', "\\|")).collect();
            out.push_str(&line(&cells));
        }
        out
    }

    pub(super) fn csv(&self) -> String {
        csv_text(&self.head, self.rows.iter().cloned())
    }
}

fn shown(value: Option<f64>, digits: usize) -> String {
    value.map_or(String::new(), |value| format!("{value:.digits$}"))
}

/// A network's accuracy at `time_steps`.
pub(super) fn accuracy_at(trained: &Trained, time_steps: u32) -> Option<f64> {
    let mut runs = trained.chip.iter();
    runs.find(|run| run.time_steps == time_steps)
        .map(|run| run.accuracy)
}

/// Table 1: accuracies, with the paper's in separate columns.
pub(super) fn table_1(networks: &[Trained]) -> Table {
    let rows = networks.iter().map(|network| {
        let published = TABLE_1.iter().find(|line| line.name == network.name);
        let theirs = |of: fn(&crate::published::Published) -> Option<f64>| shown(published.and_then(of), 2);
        let on_chip = |time_steps| match network.refusal {
            Some(_) => "N/A".to_owned(),
            None => shown(accuracy_at(network, time_steps), 2),
        };
        vec![
            network.name.clone(),
            format!("{:.2}", network.ann.train),
            theirs(|line| Some(line.train)),
            format!("{:.2}", network.ann.validation),
            theirs(|line| Some(line.validation)),
            format!("{:.2}", network.ann.test),
            theirs(|line| Some(line.test)),
            on_chip(16),
            on_chip(128),
            match published {
                Some(line) if line.snn_test.is_none() => "N/A".to_owned(),
                _ => theirs(|line| line.snn_test),
            },
        ]
    });
    Table {
        head: vec![
            "architecture",
            "ANN train %",
            "paper",
            "ANN validation %",
            "paper",
            "ANN test %",
            "paper",
            "SNN test %, T = 16",
            "SNN test %, T = 128",
            "paper",
        ],
        rows: rows.collect(),
    }
}

/// The layers that were chosen, as the paper gives channel counts only.
pub(super) fn layouts(networks: &[Trained]) -> Table {
    let rows = networks.iter().map(|network| {
        vec![
            network.name.clone(),
            network.layout.layers.clone(),
            network.layout.neurons.to_string(),
            network.layout.fan_in.to_string(),
            network
                .cores
                .map_or("refused".to_owned(), |cores| cores.to_string()),
            network.seed.to_string(),
        ]
    });
    Table {
        head: vec![
            "architecture",
            "layers: kernel by stride to channels x height x width",
            "neurons, input included",
            "largest fan-in",
            "cores",
            "seed",
        ],
        rows: rows.collect(),
    }
}

pub(super) fn searched<'a>(
    rows: &'a [Searched],
    time_steps: Option<u32>,
    probe: Option<&str>,
) -> Option<&'a Searched> {
    let mut rows = rows.iter();
    rows.find(|row| row.time_steps == time_steps && row.probe.as_deref() == probe)
}

fn search_line(name: &str, [classification, top_1, top_3, map]: [f64; 4]) -> Vec<String> {
    vec![
        name.to_owned(),
        format!("{classification:.2}"),
        format!("{top_1:.2}"),
        format!("{top_3:.2}"),
        format!("{map:.4}"),
    ]
}

impl Searched {
    fn figures(&self) -> [f64; 4] {
        [self.classification, self.top_1, self.top_3, self.map]
    }
}

const MODES: [(&str, Option<u32>); 3] = [("ANN", None), ("SNN (16)", Some(16)), ("SNN (128)", Some(128))];

/// Classification and search: ours by membrane as the paper's and by spike counts, each also with membranes that start
/// at half a threshold, then the paper's.
pub(super) fn table_2(rows: &[Searched], half: &[Searched]) -> Table {
    let mut lines = Vec::new();
    for ((name, time_steps), paper) in MODES.into_iter().zip(TABLE_2) {
        let probes: &[Option<&str>] = match time_steps {
            None => &[None],
            Some(_) => &[Some("membrane"), Some("spike_count")],
        };
        for &probe in probes {
            let probe_name = probe.map(|probe| format!(", {}", probe.replace('_', " ")));
            let name = format!("{name}{}", probe_name.unwrap_or_default());
            if let Some(row) = searched(rows, time_steps, probe) {
                lines.push(search_line(&name, row.figures()));
            }
            if let Some(row) = searched(half, time_steps, probe).filter(|_| probe.is_some()) {
                lines.push(search_line(
                    &format!("{name}, from half a threshold"),
                    row.figures(),
                ));
            }
        }
        lines.push(search_line(&format!("paper: {name}"), paper));
    }
    Table {
        head: vec!["", "classification %", "Top-1 %", "Top-3 %", "mAP"],
        rows: lines,
    }
}

/// A cell of Table 2 compared with the paper's: percentage points, or hundredths of mAP.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Cell {
    pub(super) what: String,
    pub(super) ours: f64,
    pub(super) theirs: f64,
    /// Ours minus theirs, in points.
    pub(super) points: f64,
}

/// The paper's cells for its spiking network, against ours by `probe`.
pub(super) fn cells(rows: &[Searched], probe: &str) -> Vec<Cell> {
    let mut cells = Vec::new();
    for ((name, time_steps), paper) in MODES.into_iter().zip(TABLE_2) {
        let Some(row) = searched(rows, time_steps, Some(probe)) else {
            continue;
        };
        let names = ["classification", "Top-1", "Top-3", "mAP"];
        for ((of, ours), theirs) in names.into_iter().zip(row.figures()).zip(paper) {
            let scale = if of == "mAP" { 100.0 } else { 1.0 };
            cells.push(Cell {
                what: format!("{name}, {of}"),
                ours,
                theirs,
                points: scale * (ours - theirs),
            });
        }
    }
    cells
}

/// The full protocol, each row followed by that of `small`, with its numbers of queries and pictures.
pub(super) fn full(small: &[Searched], [queries, corpus]: [usize; 2], full: &[Searched]) -> Table {
    let mut rows = Vec::new();
    for row in full {
        let name = match (row.time_steps, &row.probe) {
            (Some(steps), Some(probe)) => format!("SNN ({steps}), {}", probe.replace('_', " ")),
            _ => "ANN".to_owned(),
        };
        rows.push(search_line(&name, row.figures()));
        if let Some(row) = searched(small, row.time_steps, row.probe.as_deref()) {
            rows.push(search_line(
                &format!("{name}, {queries} in {corpus}"),
                row.figures(),
            ));
        }
    }
    Table {
        head: vec!["", "classification %", "Top-1 %", "Top-3 %", "mAP"],
        rows,
    }
}

const EMULATED: &str = "emulated chip, modelled by loihi1-paper";

/// Latency, power and energy: the paper's rows, then ours.
pub(super) fn tables_3_to_5(chip: &[OnChip], host: &Host) -> [Table; 3] {
    let own = format!("{}, one thread, measured here", host.cpu);
    let runs = || {
        chip.iter()
            .filter(|run| [16, 128].contains(&run.time_steps))
            .map(|run| (format!("SNN ({})", run.time_steps), run))
    };
    let start = |network: &str, batch: u32, hardware: &str| {
        vec![network.to_owned(), batch.to_string(), hardware.to_owned()]
    };
    let paper = |cells: fn(&crate::published::Board) -> Vec<String>| -> Vec<Vec<String>> {
        TABLES_3_TO_5
            .iter()
            .map(|board| {
                let start = start(board.network, board.batch, &format!("paper: {}", board.hardware));
                [start, cells(board)].concat()
            })
            .collect()
    };
    let mut latency = paper(|board| vec![board.latency_ms.to_string()]);
    latency.push([start("ANN", 1, &own), vec![format!("{:.3}", host.median_ms)]].concat());
    let mut power = paper(|board| board.power_w.iter().map(f64::to_string).collect());
    power.push([start("ANN", 1, &own), vec!["not measured".to_owned(); 3]].concat());
    let base = TABLES_3_TO_5.iter().find(|board| board.network == "SNN (16)");
    let base_mj = base.map_or(1.0, |board| board.energy_mj);
    let mut energy: Vec<Vec<String>> = TABLES_3_TO_5
        .iter()
        .map(|board| {
            let start = start(board.network, board.batch, &format!("paper: {}", board.hardware));
            let relative = format!("{:.3}", board.energy_mj / base_mj);
            [start, vec![board.energy_mj.to_string(), relative]].concat()
        })
        .collect();
    energy.push(
        [
            start("ANN", 1, &own),
            vec!["not measured".to_owned(), String::new()],
        ]
        .concat(),
    );
    for (name, run) in runs() {
        let start = start(&name, 1, EMULATED);
        let total = run.static_mj + run.dynamic_mj;
        let watts = |mj: f64| format!("{:.3}", mj / run.latency_ms);
        latency.push([start.clone(), vec![format!("{:.3}", run.latency_ms)]].concat());
        let parts = [run.static_mj, run.dynamic_mj, total].map(watts);
        power.push([start.clone(), parts.to_vec()].concat());
        let relative = format!("{:.3}", total / base_mj);
        energy.push([start, vec![format!("{total:.3}"), relative]].concat());
    }
    let table = |more: &[&'static str], rows| Table {
        head: [&["network", "batch", "hardware"], more].concat(),
        rows,
    };
    [
        table(&["latency a picture, ms"], latency),
        table(&["static W", "dynamic W", "total W"], power),
        table(&["energy a picture, mJ", "of the paper's SNN (16)"], energy),
    ]
}

/// Every seed's search at every number of time steps: what Figure 4 is drawn from.
pub(super) fn seeds(searches: &[(u64, Vec<Searched>)]) -> Table {
    let mut rows = Vec::new();
    for (seed, search) in searches {
        for row in search {
            rows.push(vec![
                BEST.to_owned(),
                seed.to_string(),
                row.time_steps.map_or(String::new(), |steps| steps.to_string()),
                row.probe.clone().unwrap_or_default(),
                row.classification.to_string(),
                row.top_1.to_string(),
                row.top_3.to_string(),
                row.map.to_string(),
            ]);
        }
    }
    Table {
        head: vec![
            "architecture",
            "seed",
            "time_steps",
            "probe",
            "classification",
            "top_1",
            "top_3",
            "map",
        ],
        rows,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paper::sample;

    #[test]
    fn table_1_has_the_paper_s_figures_beside_ours_and_says_what_the_chip_refused() {
        let networks = [
            sample::trained("32-64-10", None),
            sample::trained("32-64-128-256-10", Some("no")),
        ];
        let text = table_1(&networks).markdown();
        assert!(
            text.contains(
                "| 32-64-10 | 94.00 | 93.99 | 91.00 | 90.68 | 90.50 | 90.07 | 88.00 | 90.25 | 90.01 |"
            ),
            "{text}"
        );
        assert!(text.contains("| 90.21 | N/A | N/A | N/A |"), "{text}");
        let layouts = layouts(&networks).markdown();
        assert!(
            layouts.contains("| 19 | 1 |") && layouts.contains("| refused | 1 |"),
            "{layouts}"
        );
    }

    #[test]
    fn table_2_has_every_row_of_the_paper_after_ours() {
        let text = table_2(&sample::search(), &sample::search()).markdown();
        let names: Vec<&str> = text
            .lines()
            .skip(2)
            .filter_map(|line| line.split(" | ").next())
            .collect();
        assert_eq!(
            names,
            [
                "| ANN",
                "| paper: ANN",
                "| SNN (16), membrane",
                "| SNN (16), membrane, from half a threshold",
                "| SNN (16), spike count",
                "| SNN (16), spike count, from half a threshold",
                "| paper: SNN (16)",
                "| SNN (128), membrane",
                "| SNN (128), membrane, from half a threshold",
                "| SNN (128), spike count",
                "| SNN (128), spike count, from half a threshold",
                "| paper: SNN (128)",
            ]
        );
    }

    #[test]
    fn cells_are_compared_in_points() {
        let cells = cells(&sample::search(), "membrane");
        assert_eq!(cells.len(), 8);
        let map = cells.iter().find(|cell| cell.what == "SNN (16), mAP").unwrap();
        assert!((map.points - 100.0 * (map.ours - 0.4797)).abs() < 1e-9, "{map:?}");
    }

    #[test]
    fn the_host_s_power_is_not_invented() {
        let tables = tables_3_to_5(&sample::trained("32-64-10", None).chip, &sample::host());
        for (table, measured) in tables.iter().zip([true, false, false]) {
            let csv = table.csv();
            assert_eq!(table.rows.len(), 13, "{csv}");
            let host = csv.lines().find(|line| line.contains("one thread")).unwrap();
            assert_eq!(host.contains("not measured"), !measured, "{host}");
        }
    }
}
