//! `GET /metrics`: latency, traffic, errors and saturation of the server, and what its chips did, for Prometheus (text
//! format 0.0.4).

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderValue, Method, Uri, header};
use axum::response::{IntoResponse, Response};

use super::App;
use super::problem::Problem;
use super::request::{self, Endpoint};

/// Upper bounds of the latency buckets, in seconds.
const BUCKETS: [f64; 13] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// Requests by method, route and status: a bounded number of series whatever clients send.
#[derive(Debug, Default)]
pub struct Requests(Mutex<BTreeMap<(&'static str, String), Series>>);

#[derive(Debug, Default, Clone)]
struct Series {
    by_status: BTreeMap<u16, u64>,
    /// Not cumulated; the last one has no bound.
    buckets: [u64; BUCKETS.len() + 1],
    seconds: f64,
}

impl Requests {
    /// Counts an answered request.
    pub fn count(&self, method: &Method, route: Option<&str>, status: u16, took: Duration) {
        let seconds = took.as_secs_f64();
        let bucket = BUCKETS.partition_point(|bound| *bound < seconds);
        let route = route.unwrap_or("none").to_owned();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let series = all.entry((known(method), route)).or_default();
        *series.by_status.entry(status).or_default() += 1;
        series.buckets[bucket] += 1;
        series.seconds += seconds;
    }

    fn render(&self, out: &mut String) {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        family(out, "spikelens_requests_total", "counter", "Answered requests.");
        for ((method, route), series) in &all {
            for (status, count) in &series.by_status {
                line(
                    out,
                    format_args!(
                        "spikelens_requests_total{{method=\"{method}\",route=\"{route}\",status=\"{status}\"}} {count}"
                    ),
                );
            }
        }
        let name = "spikelens_request_seconds";
        family(
            out,
            name,
            "histogram",
            "From a request's head to its answer's head.",
        );
        for ((method, route), series) in &all {
            let labels = format!("method=\"{method}\",route=\"{route}\"");
            let mut count = 0;
            for (bound, bucket) in BUCKETS.iter().zip(series.buckets) {
                count += bucket;
                line(
                    out,
                    format_args!("{name}_bucket{{{labels},le=\"{bound}\"}} {count}"),
                );
            }
            count += series.buckets[BUCKETS.len()];
            line(out, format_args!("{name}_bucket{{{labels},le=\"+Inf\"}} {count}"));
            line(out, format_args!("{name}_sum{{{labels}}} {}", series.seconds));
            line(out, format_args!("{name}_count{{{labels}}} {count}"));
        }
    }
}

/// The method's name, one for all that are not served.
fn known(method: &Method) -> &'static str {
    ["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE"]
        .into_iter()
        .find(|known| method == known)
        .unwrap_or("other")
}

/// Everything at once.
pub async fn metrics(State(app): State<Arc<App>>, uri: Uri) -> Result<Response, Problem> {
    request::parameters(Endpoint::Nothing, &uri)?;
    let mut out = String::new();
    app.requests.render(&mut out);
    let service = &app.service;
    let counted = service.counters.now();
    let ready = service.ready().is_ok();
    let one = |out: &mut String, name: &str, kind: &str, help: &str, value: f64| {
        family(out, name, kind, help);
        line(out, format_args!("{name} {value}"));
    };
    let whole = |count: u64| count as f64;
    let size = |count: usize| count as f64;
    for (name, help, value) in [
        (
            "spikelens_pictures_emulated_total",
            "Pictures run on the emulated chips for requests.",
            whole(counted.pictures),
        ),
        (
            "spikelens_emulated_spikes_total",
            "Spikes fired by them, input layer included.",
            whole(counted.spikes),
        ),
        (
            "spikelens_emulated_synaptic_operations_total",
            "Weights added to membranes by them.",
            whole(counted.synaptic_operations),
        ),
        (
            "spikelens_modelled_energy_joules_total",
            "Energy that the chip would have spent on them, modelled.",
            counted.energy_j,
        ),
    ] {
        one(&mut out, name, "counter", help, value);
    }
    let queue = service.queued().as_secs_f64();
    for (name, help, value) in [
        (
            "spikelens_queue_seconds",
            "Estimated work that waits for the emulators or runs on them.",
            queue,
        ),
        (
            "spikelens_queue_limit_seconds",
            "Work at which requests are refused as overloaded.",
            service.queue_limit().as_secs_f64(),
        ),
        ("spikelens_chips", "Emulated chips.", size(service.chips())),
        (
            "spikelens_ready",
            "1 while searches are answered.",
            f64::from(u8::from(ready)),
        ),
        (
            "spikelens_reembedding",
            "1 while the stored pictures are embedded anew and the old embeddings answer.",
            f64::from(u8::from(service.reembedding().is_some())),
        ),
    ] {
        one(&mut out, name, "gauge", help, value);
    }
    if ready {
        let stats = service.sampled_stats().await?;
        let imports = service.open_imports().await?;
        let waiting = imports.iter().map(|open| {
            let import = &open.import;
            import.received - import.stored - import.failed
        });
        let waiting: u64 = waiting.sum();
        for (name, help, value) in [
            ("spikelens_products", "Stored products.", size(stats.products)),
            ("spikelens_pictures", "Stored pictures.", size(stats.pictures)),
            (
                "spikelens_index_removed",
                "Embeddings of removed pictures that wait for the index to be built anew.",
                size(stats.index.removed),
            ),
            (
                "spikelens_index_unlinked",
                "Embeddings that are not in the graph yet.",
                size(stats.index.unlinked),
            ),
            (
                "spikelens_imports_open",
                "Imports that are not at their end, 100 at most.",
                size(imports.len()),
            ),
            (
                "spikelens_import_lines_waiting",
                "Lines of these imports that are neither products nor errors yet.",
                whole(waiting),
            ),
        ] {
            one(&mut out, name, "gauge", help, value);
        }
        if let Some(recall) = stats.recall.recall {
            let help = "Share of the exact search's ten best that the index finds, on a sample, at most a minute old.";
            one(&mut out, "spikelens_index_recall", "gauge", help, recall);
        }
    }
    let content_type = HeaderValue::from_static("text/plain; version=0.0.4");
    Ok(([(header::CONTENT_TYPE, content_type)], out).into_response())
}

fn family(out: &mut String, name: &str, kind: &str, help: &str) {
    line(out, format_args!("# HELP {name} {help}\n# TYPE {name} {kind}"));
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    writeln!(out, "{text}").expect("a String takes everything");
}
