//! Counts of answered requests, and the text format 0.0.4 of Prometheus.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use axum::http::Method;
use parking_lot::Mutex;

use crate::catalogue::Timed;

/// Upper bounds of the latency buckets, in seconds.
const BUCKETS: [f64; 13] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// Answered requests by method, route and status: a bounded number of series, whatever clients send.
#[derive(Debug, Default)]
pub struct Requests(Mutex<BTreeMap<(&'static str, String), Series>>);

#[derive(Debug, Default, Clone)]
struct Series {
    by_status: BTreeMap<u16, u64>,
    /// Not cumulative; the last one has no upper bound.
    buckets: [u64; BUCKETS.len() + 1],
    seconds: f64,
}

impl Requests {
    /// Counts an answered request.
    pub fn count(&self, method: &Method, route: Option<&str>, status: u16, took: Duration) {
        let seconds = took.as_secs_f64();
        let bucket = BUCKETS.partition_point(|bound| *bound < seconds);
        let route = route.unwrap_or("none").to_owned();
        let mut all = self.0.lock();
        let series = all.entry((known(method), route)).or_default();
        *series.by_status.entry(status).or_default() += 1;
        series.buckets[bucket] += 1;
        series.seconds += seconds;
    }

    /// Writes the counts and the latency histogram.
    pub fn render(&self, out: &mut String) {
        let all = self.0.lock().clone();
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

/// The method's name, or `other` for one that no route has.
fn known(method: &Method) -> &'static str {
    ["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE"]
        .into_iter()
        .find(|known| method == known)
        .unwrap_or("other")
}

/// Writes the head of a metric.
fn family(out: &mut String, name: &str, kind: &str, help: &str) {
    line(out, format_args!("# HELP {name} {help}\n# TYPE {name} {kind}"));
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    writeln!(out, "{text}").expect("writing to a String does not fail");
}

/// Writes a counter without labels.
pub fn counter(out: &mut String, name: &str, help: &str, value: f64) {
    single(out, "counter", name, help, value);
}

/// Writes a gauge without labels.
pub fn gauge(out: &mut String, name: &str, help: &str, value: f64) {
    single(out, "gauge", name, help, value);
}

/// Writes a gauge's values, each with its labels.
pub fn gauges(out: &mut String, name: &str, help: &str, values: &[(&str, f64)]) {
    family(out, name, "gauge", help);
    for (labels, value) in values {
        line(out, format_args!("{name}{labels} {value}"));
    }
}

/// Writes how often something was done and how many seconds it took in all, each with its labels.
pub fn summary(out: &mut String, name: &str, help: &str, times: &[(String, Timed)]) {
    family(out, name, "summary", help);
    for (labels, Timed { count, seconds }) in times {
        line(out, format_args!("{name}_sum{labels} {seconds}"));
        line(out, format_args!("{name}_count{labels} {count}"));
    }
}

fn single(out: &mut String, kind: &str, name: &str, help: &str, value: f64) {
    family(out, name, kind, help);
    line(out, format_args!("{name} {value}"));
}
