//! The record as a page of tables.

mod peers;

use std::fmt::Write;

use crate::emulation::{Emulation, Network, Row};
use crate::http::{Http, Memory};
use crate::indexing::Indexing;
use crate::large::Large;
use crate::load::Load;
use crate::machine::Machine;
use crate::search::Search;
use crate::{Record, Took};

/// The whole page.
pub fn page(record: &Record) -> String {
    let mut out = String::new();
    machine(&mut out, &record.machine, record.quick);
    if let Some(emulation) = &record.emulation {
        self::emulation(&mut out, emulation);
    }
    if let Some(found) = &record.search {
        search(&mut out, found);
    }
    if let Some(found) = &record.http {
        http(&mut out, found);
    }
    if let Some(found) = &record.indexing {
        indexing(&mut out, found);
    }
    if let Some(found) = &record.http {
        memory(&mut out, found);
    }
    if let Some(found) = &record.peers {
        peers::peers(&mut out, found);
    }
    if let Some(found) = &record.large {
        large(&mut out, found);
    }
    took(&mut out, &record.took);
    out
}

fn machine(out: &mut String, machine: &Machine, quick: bool) {
    let dirty = if machine.dirty {
        ", with changes that are not committed"
    } else {
        ""
    };
    line(out, &format!("# Speed at commit {}\n", machine.commit));
    if quick {
        line(
            out,
            "**A quick run**: few pictures, one round. It shows that everything runs; its figures are not a record.\n",
        );
    }
    if machine.load_now() > 0.25 * machine.cpus as f64 {
        line(
            out,
            &format!(
                "**The machine was not idle** when this run began (load {} on {} CPUs): times are too long, above all \
                 the p99 and everything over HTTP; ratios are more reliable.\n",
                machine.load, machine.cpus
            ),
        );
    }
    let memory = format!("{:.1} GiB", machine.memory_gib);
    let rows = [
        ("commit", format!("{}{dirty}", machine.commit)),
        ("date", machine.date.clone()),
        ("command", format!("`{}`", machine.command)),
        (
            "CPU",
            format!(
                "{}, {} CPUs ({})",
                machine.cpu,
                machine.cpus,
                machine.flags.join(" ")
            ),
        ),
        ("memory", memory),
        ("load at the start", machine.load.clone()),
        ("system", machine.kernel.clone()),
        ("compiler", machine.rustc.clone()),
    ];
    let rows = rows.map(|(name, value)| vec![name.to_owned(), value]);
    table(out, &["", ""], "ll", &rows);
}

fn emulation(out: &mut String, found: &Emulation) {
    line(out, "## Emulation against the float network\n");
    line(
        out,
        &format!(
            "One thread on CPU {}, batch 1, {} test pictures, rounds: {}, the candidates take turns slice by \
             slice. The float network is the ANN of the same weights in {}, one thread; its scores are checked against \
             the program's own ANN, and the kernels against the reference emulator. The emulator takes u8 pixels and \
             returns embedding, scores and the counts of every layer and core; the float network takes prepared floats \
             and returns embedding and scores. The reference emulator runs only a few pictures.\n",
            found.cpu, found.pictures, found.rounds, found.runtime
        ),
    );
    for network in &found.networks {
        line(out, &format!("### {}\n", network.name));
        ratios(out, network);
        times(out, network);
    }
}

/// One row per engine, one column per number of time steps.
fn ratios(out: &mut String, network: &Network) {
    line(
        out,
        "Time of one picture as a multiple of the float network's (median over slices; below it, the range of the middle four \
         fifths of the slices):\n",
    );
    let mut steps: Vec<u32> = network.rows.iter().map(|row| row.time_steps).collect();
    steps.dedup();
    let mut engines: Vec<&str> = Vec::new();
    for row in &network.rows {
        if !engines.contains(&row.engine.as_str()) {
            engines.push(&row.engine);
        }
    }
    let find = |engine: &str, steps: u32| {
        let mut rows = network.rows.iter();
        rows.find(|row| row.engine == engine && row.time_steps == steps)
    };
    let mut header = vec!["".to_owned()];
    header.extend(steps.iter().map(|steps| format!("T = {steps}")));
    let mut rows = Vec::new();
    for engine in engines {
        let mut cells = vec![engine.to_owned()];
        cells.extend(steps.iter().map(|&steps| {
            find(engine, steps).map_or_else(String::new, |row| {
                let ratio = row.to_float;
                if engine == "float" {
                    return "1".to_owned();
                }
                format!(
                    "**{}**<br>{}–{}",
                    short(ratio.median),
                    short(ratio.p10),
                    short(ratio.p90)
                )
            })
        }));
        rows.push(cells);
    }
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    table(out, &header, &format!("l{}", "r".repeat(steps.len())), &rows);
}

fn times(out: &mut String, network: &Network) {
    let reference = |row: &Row| {
        let mut rows = network.rows.iter();
        let same = rows.find(|other| other.engine == "reference" && other.time_steps == row.time_steps);
        same.map_or_else(
            || "–".to_owned(),
            |reference| short(reference.median_ms / row.median_ms),
        )
    };
    let cells = |row: &Row| {
        // The slowest 1 % of few runs is one run.
        let tail = row.pictures >= 100;
        let or_none = |text: String| if tail { text } else { "–".to_owned() };
        vec![
            row.time_steps.to_string(),
            row.engine.clone(),
            short(row.median_ms),
            or_none(short(row.p99_ms)),
            or_none(short(row.p99_ms / row.median_ms)),
            short(row.best_ms),
            or_none(short(row.best_p99_ms)),
            reference(row),
            row.pictures.to_string(),
        ]
    };
    let rows: Vec<_> = network.rows.iter().map(cells).collect();
    let header = [
        "T",
        "engine",
        "median ms",
        "p99 ms",
        "p99 / median",
        "best round: median ms",
        "best round: p99 ms",
        "times as fast as the reference",
        "pictures",
    ];
    table(out, &header, "rlrrrrrrr", &rows);
    line(
        out,
        &format!(
            "An empty call of the float network's runtime takes {} ms, which is included in its times.\n",
            short(network.empty_call_ms)
        ),
    );
    for (before, row) in network.rows.iter().zip(&network.rows[1..]) {
        let steps = row.time_steps;
        let others = [
            ((row.engine != "float").then_some(row.to_float), "float"),
            (row.to_kernel_before, before.engine.as_str()),
        ];
        for (ratio, other) in others {
            if let Some(ratio) = ratio.filter(|ratio| !ratio.tells()) {
                line(
                    out,
                    &format!(
                        "At T = {steps} this run shows no difference between {} and {other}: {} times as long ({}–{}).\n",
                        row.engine,
                        short(ratio.median),
                        short(ratio.p10),
                        short(ratio.p90)
                    ),
                );
            }
        }
    }
}

fn search(out: &mut String, found: &Search) {
    line(out, "## Search\n");
    line(
        out,
        &format!(
            "The {} nearest of {} embeddings of {} values, {} queries, one thread on CPU {}. The exact search takes \
             {} times as long as the graph ({}–{}).\n",
            found.k,
            found.embeddings,
            found.dimensions,
            found.queries,
            found.cpu,
            short(found.exact_to_graph.median),
            short(found.exact_to_graph.p10),
            short(found.exact_to_graph.p90)
        ),
    );
    let kind = |name: &str, kind: &crate::search::Kind, recall: String, worst: String| {
        vec![
            name.to_owned(),
            short(kind.median_ms),
            short(kind.p99_ms),
            short(kind.p99_ms / kind.median_ms),
            recall,
            worst,
        ]
    };
    let rows = [
        kind(
            "graph",
            &found.graph,
            format!("{:.4}", found.recall),
            format!("{:.2}", found.recall_p1),
        ),
        kind("exact", &found.exact, "1".to_owned(), "1".to_owned()),
    ];
    let recall = format!("recall@{}", found.k);
    let header = [
        "",
        "median ms",
        "p99 ms",
        "p99 / median",
        &recall,
        "of the worst 1 %",
    ];
    table(out, &header, "lrrrrr", &rows);
}

fn http(out: &mut String, found: &Http) {
    line(out, "## The answer over HTTP\n");
    line(
        out,
        &format!(
            "`POST /v1/search` with {} test pictures as PNG ({} bytes on average), answers of {} bytes, persistent \
             connections; server and load generator share the {} CPUs; {} rounds of all loads. Closed loop: a client sends its next \
             request when it has an answer. Open loop: requests are due at fixed moments, at half and at four fifths of \
             the rate of the previous closed loop with as many clients; time counts from when a request is due. \
             Overload: four times the rate of the most clients; time counts from when a request is sent.\n",
            found.pictures, found.body_bytes, found.answer_bytes, found.cpus, found.rounds
        ),
    );
    loads(out, &found.loads);
    line(out, "The time of one client by part, medians:\n");
    let whole = found.parts.last().map_or(f64::NAN, |part| part.median_ms);
    let rows: Vec<_> = found
        .parts
        .iter()
        .map(|part| {
            vec![
                part.name.clone(),
                short(part.median_ms),
                format!("{:.0} %", 100.0 * part.median_ms / whole),
            ]
        })
        .collect();
    table(out, &["", "ms", "share"], "lrr", &rows);
}

fn loads(out: &mut String, loads: &[Load]) {
    let rows: Vec<_> = loads
        .iter()
        .map(|load| {
            vec![
                load.clients.to_string(),
                match load.due_per_s {
                    None => "closed".to_owned(),
                    Some(rate) if load.over => format!("overload, {rate:.0} due a second"),
                    Some(rate) => format!("{rate:.0} due a second"),
                },
                format!("{:.0}", load.answers_per_s),
                short(load.p50_ms),
                short(load.p99_ms),
                short(load.p99_ms / load.p50_ms),
                short(load.most_ms),
                load.answers.to_string(),
                load.refused.to_string(),
            ]
        })
        .collect();
    let header = [
        "clients",
        "loop",
        "answers a second",
        "p50 ms",
        "p99 ms",
        "p99 / p50",
        "longest ms",
        "answers",
        "refused (503)",
    ];
    table(out, &header, "rlrrrrrrr", &rows);
}

fn indexing(out: &mut String, found: &Indexing) {
    line(out, "## Indexing\n");
    line(
        out,
        &format!(
            "{} pictures, from the data set's files to an index that can be searched, {} CPUs; {:.0} MiB on disk.\n",
            found.pictures, found.cpus, found.disk_mib
        ),
    );
    let whole = found.import_s + found.graph_s;
    let row = |name: &str, seconds: f64, part: bool| {
        vec![
            name.to_owned(),
            format!("{seconds:.1}"),
            if part {
                format!("{:.0} %", 100.0 * seconds / whole)
            } else {
                String::new()
            },
            format!("{:.0}", found.pictures as f64 / seconds),
        ]
    };
    let rows = [
        row(
            "`spikelens import`: PNGs, emulation, commits",
            found.import_s,
            true,
        ),
        row("the graph: read, build, save", found.graph_s, true),
        row("both", whole, true),
        row("for comparison: the emulation alone", found.emulation_s, false),
        row("for comparison: loading the stored graph", found.reopen_s, false),
    ];
    table(out, &["", "s", "share", "pictures per second"], "lrrr", &rows);
}

fn memory(out: &mut String, found: &Http) {
    line(out, "## Memory of the server\n");
    line(
        out,
        &format!(
            "It starts with the stored graph and is ready after {:.1} s.\n",
            found.start_s
        ),
    );
    residents(out, &found.memory);
}

fn residents(out: &mut String, memory: &[Memory]) {
    let rows: Vec<_> = memory
        .iter()
        .map(|memory| {
            vec![
                memory.when.to_owned(),
                format!("{:.0}", memory.resident_mib),
                format!("{:.0}", memory.peak_mib),
            ]
        })
        .collect();
    table(out, &["", "resident MiB", "peak MiB"], "lrr", &rows);
}

fn large(out: &mut String, found: &Large) {
    line(out, "## A large catalogue\n");
    let each = |mib: f64| mib * f64::from(1 << 20) / found.products as f64;
    let seconds = |time: Option<f64>| {
        time.map_or_else(
            || "by an earlier run".to_owned(),
            |time| format!("in {time:.0} s"),
        )
    };
    line(
        out,
        &format!(
            "{} distorted training pictures as products; {} CPUs. Import {}. The first start builds the graph and is ready after {:.0} s, \
             a later one after {:.1} s, of which {:.1} s are for the index; {:.0} MiB on disk ({:.0} bytes a product). The 10 nearest: median {} ms, p99 {} ms, recall@10 {:.4} against the exact search. Over HTTP, \
             closed loops:\n",
            found.products,
            found.cpus,
            seconds(found.made_s),
            found.graph_s,
            found.start_s,
            found.reopen_s,
            found.disk_mib,
            each(found.disk_mib),
            short(found.search_median_ms),
            short(found.search_p99_ms),
            found.recall,
        ),
    );
    loads(out, &found.loads);
    let rows: Vec<_> = found
        .memory
        .iter()
        .map(|memory| {
            vec![
                memory.when.to_owned(),
                format!("{:.0}", each(memory.resident_mib)),
                format!("{:.0}", each(memory.peak_mib)),
            ]
        })
        .collect();
    line(out, "");
    table(
        out,
        &["the process", "resident bytes a product", "peak"],
        "lrr",
        &rows,
    );
    let parts = found
        .parts
        .iter()
        .map(|(part, bytes)| vec![part.clone(), format!("{bytes:.0}")]);
    line(out, "");
    table(
        out,
        &["of which the index", "bytes a product"],
        "lr",
        &parts.collect::<Vec<_>>(),
    );
}

fn took(out: &mut String, took: &[Took]) {
    let parts: Vec<String> = took
        .iter()
        .map(|took| format!("{} {:.0} s", took.part, took.seconds))
        .collect();
    line(out, &format!("This run took: {}.", parts.join(", ")));
}

fn line(out: &mut String, text: &str) {
    writeln!(out, "{text}").expect("a String takes everything");
}

/// `sides` has `l` or `r` for each column.
fn table(out: &mut String, header: &[&str], sides: &str, rows: &[Vec<String>]) {
    line(out, &format!("| {} |", header.join(" | ")));
    let rule: Vec<&str> = sides
        .chars()
        .map(|side| if side == 'r' { "---:" } else { "---" })
        .collect();
    line(out, &format!("|{}|", rule.join("|")));
    for row in rows {
        line(out, &format!("| {} |", row.join(" | ")));
    }
    line(out, "");
}

/// Three significant digits.
fn short(value: f64) -> String {
    if !value.is_finite() {
        return "–".to_owned();
    }
    let size = value.abs().max(1e-4).log10().floor();
    let digits = (2.0 - size).max(0.0) as usize;
    format!("{value:.digits$}")
}
