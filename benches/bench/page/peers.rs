//! The peers' part of the page.

use super::{line, short, table};
use crate::peers::service::{Cpu, Service, Side};
use crate::peers::spiking::Beside;
use crate::peers::{Outcome, Peers};
use crate::summary::Ratio;

/// The share of its CPU that a server has in a closed loop if it is alone there.
const BUSY: f64 = 0.9;

pub fn peers(out: &mut String, found: &Peers) {
    line(out, "## The server beside one in Python\n");
    match &found.service {
        Outcome::Measured(found) => service(out, found),
        Outcome::Missing(why) => line(out, &format!("It was not measured: {why}.\n")),
    }
    if !found.spiking.is_empty() {
        spiking(out, &found.spiking);
    }
}

fn service(out: &mut String, found: &Service) {
    line(
        out,
        &format!(
            "`POST /v1/search` with {} test pictures as PNG, k = 10, {} products, each server alone on CPU {}, the load \
             generator on CPU {}; {} rounds of {} s for each load and server, in turn. The peer is \
             [service.py](../peers/service.py), the float network of the same weights: {}. Ratios are of the two runs \
             of a round: the median, and the range of the middle four fifths of the rounds; above 1, ours is better. \
             Open loop: requests are due at half of what the slower server reached in the same round.\n",
            found.pictures,
            found.products,
            found.server_cpu,
            found.generator_cpu,
            found.rounds,
            found.seconds,
            found.peer.runtime
        ),
    );
    loads(out, found);
    sides(out, found);
}

fn loads(out: &mut String, found: &Service) {
    let mut rows = Vec::new();
    let sides = found.ours.loads.iter().zip(&found.peer.loads);
    for (index, (ours, peer)) in sides.enumerate() {
        let ratios = &found.ratios[index];
        let (ours_cpu, peer_cpu) = (&found.ours.cpu[index], &found.peer.cpu[index]);
        let name = ours.due_per_s.map_or_else(
            || match ours.clients {
                1 => "closed, 1 client".to_owned(),
                clients => format!("closed, {clients} clients"),
            },
            |rate| format!("open, {rate:.0} due a second"),
        );
        let per_cpu_s = |cpu: &Cpu| 1e3 / cpu.answer_ms;
        let figures = [
            (
                "answers per second",
                ours.answers_per_s,
                peer.answers_per_s,
                ratios.answers_per_s,
            ),
            (
                "answers per CPU second",
                per_cpu_s(ours_cpu),
                per_cpu_s(peer_cpu),
                ratios.cpu,
            ),
            ("p50 ms", ours.p50_ms, peer.p50_ms, ratios.p50),
            ("p99 ms", ours.p99_ms, peer.p99_ms, ratios.p99),
        ];
        // Both answer what is due in an open loop.
        let skipped = usize::from(ours.due_per_s.is_some());
        for (place, (what, ours, peer, ratio)) in figures.into_iter().skip(skipped).enumerate() {
            let name = if place == 0 { name.as_str() } else { "" };
            rows.push(vec![
                name.to_owned(),
                what.to_owned(),
                short(ours),
                short(peer),
                with_range(ratio),
            ]);
        }
    }
    table(out, &["load", "", "ours", "peer", "ratio"], "llrrr", &rows);
    let most = busiest(found);
    let least = found.ours.cpu[most].busy.min(found.peer.cpu[most].busy);
    if least < BUSY {
        line(
            out,
            &format!(
                "**Other programs used CPU {}**: with most clients a server had only {:.0} % of it. They take more from a \
                 server of one thread, like the peer: answers per second and times favour ours. Rely on the answers per \
                 CPU second.\n",
                found.server_cpu,
                100.0 * least
            ),
        );
    }
}

fn sides(out: &mut String, found: &Service) {
    let percent = |share: f64| format!("{:.0} %", 100.0 * share);
    let checked = found.checked;
    let row =
        |what: &str, of: &dyn Fn(&Side) -> String| vec![what.to_owned(), of(&found.ours), of(&found.peer)];
    let memory = |index: usize| move |side: &Side| format!("{:.0}", side.memory[index].resident_mib);
    let most = busiest(found);
    let rows = [
        row(
            &format!("recall@10 against an exact search, {checked} pictures"),
            &|side| format!("{:.3}", side.recall),
        ),
        row("products found that are of the query's class", &|side| {
            format!("{:.1} %", 100.0 * side.same_class)
        }),
        row("bytes of an answer", &|side| side.answer_bytes.to_string()),
        row(
            "the server's CPU is busy, closed loop with most clients",
            &|side| percent(side.cpu[most].busy),
        ),
        row("start s, with the stored index", &|side| {
            format!("{:.1}", side.start_s)
        }),
        row("resident MiB, ready", &memory(0)),
        row("resident MiB, after the loads", &memory(1)),
        row("peak MiB", &|side| format!("{:.0}", side.memory[1].peak_mib)),
    ];
    table(out, &["", "ours", "peer"], "lrr", &rows);
}

/// The closed loop with most clients, which the open loop follows.
fn busiest(found: &Service) -> usize {
    found.ours.loads.len().saturating_sub(2)
}

fn spiking(out: &mut String, found: &[Beside]) {
    line(out, "## The emulator beside libraries for spiking networks\n");
    line(
        out,
        "The shipped network, one picture at a time, one thread on one CPU, in turn slice by slice. The libraries take \
         prepared floats and return spike counts, as [spiking.py](../peers/spiking.py) says.\n",
    );
    let mut rows = Vec::new();
    for beside in found {
        match &beside.outcome {
            Outcome::Missing(why) => line(out, &format!("{} was not measured: {why}.\n", beside.library)),
            Outcome::Measured(measured) => rows.push(vec![
                measured.runtime.clone(),
                measured.time_steps.to_string(),
                short(measured.ours_ms),
                short(measured.ours_p99_ms),
                short(measured.library_ms),
                short(measured.library_p99_ms),
                with_range(measured.ratio),
                format!("{} of {}", measured.equal, measured.checked),
                format!("{:.3} %", 100.0 * measured.spikes_apart),
                format!("{} × {}", measured.rounds, measured.pictures),
            ]),
        }
    }
    if rows.is_empty() {
        return;
    }
    let header = [
        "library",
        "T",
        "ours: median ms",
        "p99 ms",
        "library: median ms",
        "p99 ms",
        "ratio",
        "pictures with equal spike counts",
        "spikes apart",
        "runs",
    ];
    table(out, &header, "lrrrrrrrrr", &rows);
}

/// The median above the range.
fn with_range(ratio: Ratio) -> String {
    format!(
        "**{}**<br>{}–{}",
        short(ratio.median),
        short(ratio.p10),
        short(ratio.p90)
    )
}
