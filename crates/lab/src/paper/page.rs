//! The page: every table and figure of the paper beside ours, and a description of the differences.

use std::fmt::Write;
use std::path::Path;

use anyhow::Result;

use super::figures::{figure_4, figure_5};
use super::measure::{Data, Trained};
use super::outcome::Outcome;
use super::plan::{EXAMPLE_STEPS, Plan};
use super::tables::{
    Cell, Table, accuracy_at, cells, full, layouts, searched, seeds, table_1, table_2, tables_3_to_5,
};
use crate::published::{BEST, TABLE_1};
use crate::{figures, files};
use engine::chip::draw;

pub(super) fn write(plan: &Plan, outcome: &Outcome, data: &Data, folder: &Path) -> Result<()> {
    let best = best(outcome);
    let [table_3, table_4, table_5] = tables_3_to_5(&best.chip, &outcome.host);
    let tables = [
        ("table-1", table_1(&outcome.networks)),
        ("table-1-layouts", layouts(&outcome.networks)),
        ("table-2", table_2(outcome.search(), &outcome.half)),
        (
            "full-protocol",
            full(outcome.search(), plan.search, &outcome.full),
        ),
        ("table-3", table_3),
        ("table-4", table_4),
        ("table-5", table_5),
        ("figure-4", seeds(&outcome.searches)),
    ];
    for (name, table) in &tables {
        files::write_whole(&folder.join(format!("{name}.csv")), table.csv().as_bytes())?;
    }
    let drawing = draw::svg(BEST, &outcome.model.placement);
    figures::write(folder, "figure-3", &drawing)?;
    let [queries, corpus] = plan.search;
    let title = format!(
        "{BEST}, mean and standard deviation over {} seeds; {queries} test queries, {corpus} training pictures",
        plan.seeds.len()
    );
    let names = ["figure-4-accuracy", "figure-4-map"];
    for (name, chart) in names
        .iter()
        .zip(figure_4(&outcome.searches, &plan.time_steps, &title))
    {
        figures::write(folder, name, &chart.svg())?;
    }
    let subtitle = format!(
        "{BEST}, seed {}; three nearest of {corpus} training pictures by cosine; SNN: membranes at T = {EXAMPLE_STEPS}",
        outcome.seed
    );
    let examples = figure_5(
        &outcome.examples,
        &data.tests,
        &data.train,
        &data.train_labels,
        &subtitle,
    )?;
    figures::write(folder, "figure-5", &examples)?;
    let page = page(plan, outcome, &tables.map(|(_, table)| table))?;
    files::write_whole(&folder.join("README.md"), page.as_bytes())
}

/// The row of the network that the search was measured with.
fn best(outcome: &Outcome) -> &Trained {
    let mut networks = outcome.networks.iter();
    networks
        .find(|network| network.name == BEST)
        .expect("the best network is one of Table 1's")
}

fn page(plan: &Plan, outcome: &Outcome, tables: &[Table; 8]) -> Result<String> {
    let [table_1, layouts, table_2, full, table_3, table_4, table_5, _] =
        tables.each_ref().map(Table::markdown);
    let mut out = String::new();
    let [queries, corpus] = plan.search;
    writeln!(out, "# The paper, reproduced\n")?;
    if plan.quick {
        writeln!(
            out,
            "**A quick run: few epochs on few pictures. Its figures say that everything works, and nothing of how good \
             the networks are.**\n"
        )?;
    }
    let mut options = if plan.quick { " --quick" } else { "" }.to_owned();
    let left_out = plan.left_out();
    if !left_out.is_empty() {
        options.push_str(&format!(" --architectures {}", plan.architectures.join(",")));
    }
    writeln!(
        out,
        "Liu, Mahjoubfar, Prusinski and Stevens, *Neuromorphic Computing for Content-based Image Retrieval*: its tables \
         and figures made anew on Fashion-MNIST and an emulated Loihi chip, by one command\n\n\
         ```sh\nspikelens evaluate --paper{options} --dataset dataset/fashion-mnist    # make paper{}\n```\n",
        if plan.quick { " QUICK=1" } else { "" }
    )?;
    writeln!(
        out,
        "Training (`spikelens train --recipe paper`): {} epochs for every network, Adam from 0.002 down half a cosine, \
         batches of 64, half of the classifier's inputs silenced, no mirrored pictures; the last {} training pictures are \
         held out and choose the epoch that is kept. {BEST} has the seeds {}; seed {} did best on its held-out pictures \
         and stands for it in every table. The others have seed {}. Conversion: Algorithm 1, 9 bits, from the first {} \
         training pictures; membranes start at 0. Search: {queries} test queries in the first {corpus} training pictures \
         by cosine, average precision over the full ranking. Accuracies are of {} test pictures, but in Table 2, where \
         they are of the queries.\n",
        plan.course.epochs,
        plan.course.validation,
        listed(&plan.seeds),
        outcome.seed,
        plan.seeds[0],
        plan.samples,
        plan.tests
            .map_or("all 10,000".to_owned(), |tests| format!("the first {tests}")),
    )?;
    verdict(&mut out, outcome)?;
    writeln!(out, "## Table 1: architectures\n\n{table_1}")?;
    writeln!(
        out,
        "The training column is of the network as it was kept, without dropout.{}{}\n",
        refusals(outcome),
        match left_out.is_empty() {
            true => String::new(),
            false => format!(" This run left out {}.", left_out.join(", ")),
        }
    )?;
    writeln!(
        out,
        "The paper gives channel counts alone. Kernels, strides and paddings are our choice, one for each depth \
         (`crates/lab/src/ann/architecture.rs`):\n\n{layouts}"
    )?;
    writeln!(
        out,
        "## Table 2: search\n\n{BEST}, seed {}.\n\n{table_2}",
        outcome.seed
    )?;
    let [queries, corpus] = plan.full;
    writeln!(
        out,
        "### The full protocol\n\n{queries} test queries in {corpus} training pictures, each beside the figure of the \
         smaller protocol above. `spikelens evaluate --queries {queries} --corpus {corpus}` measures any model so.\n\n{full}"
    )?;
    writeln!(
        out,
        "## Tables 3 to 5: latency, power, energy\n\nThe paper's rows were measured on its machines. The emulated chip's \
         are modelled (`loihi1-paper`, [how](../cost-model.md)), means over the test pictures; five constants of \
         that model were fitted to the paper's very rows, on another network of this architecture: agreement is by \
         construction. The host's row is this program's \
         float network, one picture at a time on one thread: the median of {} passes, the fastest took {:.3} ms. Larger \
         batches were not run on the host, and its power was not measured.\n\n{table_3}\n{table_4}\n{table_5}",
        outcome.host.pictures, outcome.host.fastest_ms
    )?;
    writeln!(
        out,
        "## Figure 3: the chip\n\n![The layers of {BEST} on the chip](figure-3.svg)\n\n\
         ## Figure 4: time steps\n\n![Accuracies against time steps](figure-4-accuracy.svg)\n\n\
         ![mAP against time steps](figure-4-map.svg)\n\n\
         ## Figure 5: search examples\n\nThe first test picture of each class.\n\n![Search examples](figure-5.svg)\n"
    )?;
    differences(&mut out, plan, outcome)?;
    writeln!(
        out,
        "Every table is here as CSV (`table-1.csv` to `table-5.csv`, `full-protocol.csv`, `figure-4.csv` with every \
         seed), every figure as SVG and PNG."
    )?;
    Ok(out)
}

fn listed(seeds: &[u64]) -> String {
    let seeds: Vec<String> = seeds.iter().map(u64::to_string).collect();
    seeds.join(", ")
}

fn refusals(outcome: &Outcome) -> String {
    let refused = outcome.networks.iter().filter_map(|network| {
        let refusal = network.refusal.as_ref()?;
        Some(format!(
            " {} is refused, as in the paper: \"the chip cannot hold this network: {refusal}\".",
            network.name
        ))
    });
    refused.collect()
}

/// Compares each of the paper's search figures with ours.
fn verdict(out: &mut String, outcome: &Outcome) -> Result<()> {
    let test = best(outcome).ann.test;
    let by_membrane = cells(outcome.search(), "membrane");
    let by_count = cells(outcome.search(), "spike_count");
    writeln!(
        out,
        "## In short\n\n{BEST} as a float network classifies {test:.2} % of the test pictures (the paper's: 90.07 %). Its \
         spiking one against the paper's Table 2, in points (mAP in hundredths); the paper read membranes:\n\n\
         | | paper | membrane | points | spike counts | points |\n|---|---|---|---|---|---|"
    )?;
    for (membrane, count) in by_membrane.iter().zip(&by_count) {
        let digits = if membrane.what.ends_with("mAP") { 4 } else { 2 };
        writeln!(
            out,
            "| {} | {:.digits$} | {:.digits$} | {} | {:.digits$} | {} |",
            membrane.what,
            membrane.theirs,
            membrane.ours,
            points(membrane),
            count.ours,
            points(count)
        )?;
    }
    let within = |cells: &[Cell]| cells.iter().filter(|cell| cell.points >= -1.0).count();
    writeln!(
        out,
        "\nWithin a point of the paper or better: {} of {} cells by membrane, {} of {} by spike counts.{}\n",
        within(&by_membrane),
        by_membrane.len(),
        within(&by_count),
        by_count.len(),
        short(&by_membrane)
    )?;
    Ok(())
}

/// The difference with its sign; bold if it is below -1 point.
fn points(cell: &Cell) -> String {
    match cell.points < -1.0 {
        true => format!("**{:+.2}**", cell.points),
        false => format!("{:+.2}", cell.points),
    }
}

fn short(cells: &[Cell]) -> String {
    let short: Vec<String> = cells
        .iter()
        .filter(|cell| cell.points < -1.0)
        .map(|cell| format!("{} ({:+.2})", cell.what, cell.points))
        .collect();
    match short.is_empty() {
        true => String::new(),
        false => format!(" By membrane these fall short: {}.", short.join("; ")),
    }
}

/// Describes the differences, computed from the figures.
fn differences(out: &mut String, plan: &Plan, outcome: &Outcome) -> Result<()> {
    let [queries, corpus] = plan.search;
    writeln!(out, "## Where ours differ\n")?;
    let deployed: Vec<(&Trained, f64)> = outcome
        .networks
        .iter()
        .filter_map(|network| Some((network, accuracy_at(network, 128)?)))
        .collect();
    let loss = |(network, accuracy): &(&Trained, f64)| network.ann.test - accuracy;
    if let Some(worst) = deployed.iter().max_by(|a, b| loss(a).total_cmp(&loss(b))) {
        let published = TABLE_1
            .iter()
            .filter_map(|line| Some((line.name, line.test - line.snn_test?)))
            .max_by(|a, b| a.1.total_cmp(&b.1));
        let (name, points) = published.unwrap_or(("none", 0.0));
        writeln!(
            out,
            "- **Conversion.** The network that loses most from ANN to SNN at T = 128 is {}, {:.2} points; in the \
             paper it is {name}, {points:.2} points.",
            worst.0.name,
            loss(worst)
        )?;
    }
    let (rises, steps) = rises(&outcome.networks, |network| network.ann.test);
    writeln!(
        out,
        "- **Sizes.** Of the {steps} steps to the next larger network of the same depth, {rises} raise the ANN's test \
         accuracy; in the paper {} of {} do.",
        published_rises(),
        TABLE_1.len() - 3
    )?;
    let by_membrane = cells(outcome.search(), "membrane");
    let by_count = cells(outcome.search(), "spike_count");
    let top_1 = |cells: &[Cell]| {
        let mut cells = cells.iter();
        cells
            .find(|cell| cell.what == "SNN (128), Top-1")
            .map(|cell| cell.ours)
    };
    let map = |steps, probe| searched(outcome.search(), Some(steps), Some(probe)).map(|row| row.map);
    if let (Some(membrane), Some(count), [Some(m16), Some(m128), Some(c16), Some(c128)]) = (
        top_1(&by_membrane),
        top_1(&by_count),
        [
            map(16, "membrane"),
            map(128, "membrane"),
            map(16, "spike_count"),
            map(128, "spike_count"),
        ],
    ) {
        writeln!(
            out,
            "- **Membranes and spike counts.** At T = 128 the nearest picture is of the query's class for {membrane:.2} % of \
             the queries by membrane and for {count:.2} % by spike counts. From T = 16 to T = 128 mAP moves from {m16:.4} to \
             {m128:.4} by membrane and from {c16:.4} to {c128:.4} by spike counts. A membrane after its last step holds what \
             did not become a spike: of a neuron that fires, the remainder of a division by its threshold. A share of \
             {count:.0} % of {queries} queries has a standard error of {:.1} points.",
            100.0 * (count / 100.0 * (1.0 - count / 100.0) / queries as f64).sqrt()
        )?;
    }
    writeln!(
        out,
        "- **Unknown of the paper's.** Kernels, strides, pooling, optimiser and epochs are not given. It speaks of average \
         pooling; the networks here have strides instead. It trained five networks for Figure 4 and does not say which is \
         in its tables, nor the time steps of Figure 5. It does not say how many queries and pictures its search had: Table \
         2 here is of {queries} in {corpus}, the full protocol stands below it.\n"
    )?;
    Ok(())
}

/// Over pairs of consecutive networks of equal depth: the number for which `of` increases, and the number of pairs.
fn rises(networks: &[Trained], of: impl Fn(&Trained) -> f64) -> (usize, usize) {
    let depth = |network: &Trained| network.name.matches('-').count();
    let pairs: Vec<_> = networks
        .windows(2)
        .filter(|pair| depth(&pair[0]) == depth(&pair[1]))
        .collect();
    let rises = pairs.iter().filter(|pair| of(&pair[1]) > of(&pair[0])).count();
    (rises, pairs.len())
}

fn published_rises() -> usize {
    let depth = |name: &str| name.matches('-').count();
    TABLE_1
        .windows(2)
        .filter(|pair| depth(pair[0].name) == depth(pair[1].name) && pair[1].test > pair[0].test)
        .count()
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn sizes_are_compared_within_a_depth() {
        let mut networks: Vec<Trained> = ["4-8-10", "8-16-10", "4-8-16-10", "8-16-32-10"]
            .map(|name| sample::trained(name, None))
            .into();
        networks[1].ann.test += 1.0;
        assert_eq!(rises(&networks, |network| network.ann.test), (1, 2));
        assert_eq!(published_rises(), 8);
    }

    #[test]
    fn a_cell_that_falls_short_is_marked_and_named() {
        let cell = |points| Cell {
            what: "SNN (16), Top-1".to_owned(),
            ours: 84.0,
            theirs: 85.55,
            points,
        };
        assert_eq!(
            (points(&cell(-1.55)), points(&cell(-0.5))),
            ("**-1.55**".into(), "-0.50".into())
        );
        assert!(short(&[cell(-1.55)]).contains("SNN (16), Top-1 (-1.55)"));
        assert_eq!(short(&[cell(0.5)]), "");
    }
}
