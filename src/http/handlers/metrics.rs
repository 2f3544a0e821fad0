//! `GET /metrics`: latency, traffic, errors and load of the server, and what its chips did, for Prometheus.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};

use crate::admission::Stopped;
use crate::catalogue::Scope;
use crate::catalogue::StoreStats;
use crate::http::app::App;
use crate::http::metrics::{counter, gauge, gauges, summary};
use crate::http::problem::Problem;
use crate::http::unread::Unread;
use crate::service::imports::OpenImportStatus;
use crate::service::stats::Stats;
use crate::service::{Clock, Service, ServiceError};

/// All metrics; those of the catalogue only while it is ready and there is room to read it.
pub async fn metrics(
    State(app): State<Arc<App>>,
    Extension(clock): Extension<Clock>,
) -> Result<Response, Problem> {
    let service = &app.service;
    let ready = service.ready().is_ok();
    let mut out = String::new();
    app.requests.render(&mut out);
    emulation(&mut out, service);
    load(&mut out, service, ready);
    connections(&mut out, &app.unread);
    if let Some(stats) = service.store_stats() {
        store(&mut out, &stats);
    }
    if ready {
        let read = async || {
            let stats = service.stats(clock).await?;
            Ok((stats, service.open_imports(&Scope::ALL, clock).await?))
        };
        match read().await {
            Ok((stats, open)) => {
                catalogue(&mut out, &stats);
                imports(&mut out, &open);
                recall(&mut out, &stats);
            }
            // An overloaded server is watched all the same.
            Err(ServiceError::Stopped(Stopped::Full)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let content_type = HeaderValue::from_static("text/plain; version=0.0.4");
    Ok(([(header::CONTENT_TYPE, content_type)], out).into_response())
}

fn emulation(out: &mut String, service: &Service) {
    let counted = service.counters.now();
    for (name, help, value) in [
        (
            "spikelens_pictures_emulated_total",
            "Pictures run on the emulated chips for requests.",
            counted.pictures as f64,
        ),
        (
            "spikelens_emulated_spikes_total",
            "Spikes fired by them, input layer included.",
            counted.spikes as f64,
        ),
        (
            "spikelens_emulated_synaptic_operations_total",
            "Weights added to membranes by them.",
            counted.synaptic_operations as f64,
        ),
        (
            "spikelens_modelled_energy_joules_total",
            "Energy that the chip would have spent on them, modelled.",
            counted.energy_j,
        ),
    ] {
        counter(out, name, help, value);
    }
}

fn load(out: &mut String, service: &Service, ready: bool) {
    let flag = |set: bool| f64::from(u8::from(set));
    for (name, help, value) in [
        (
            "spikelens_queue_seconds",
            "Estimated work that waits for the emulators or runs on them.",
            service.queued().as_secs_f64(),
        ),
        (
            "spikelens_queue_limit_seconds",
            "Work at which requests are refused as overloaded.",
            service.queue_limit().as_secs_f64(),
        ),
        ("spikelens_chips", "Emulated chips.", service.chips() as f64),
        ("spikelens_ready", "1 while searches are answered.", flag(ready)),
        (
            "spikelens_reembedding",
            "1 while the stored pictures are re-embedded and the old embeddings answer.",
            flag(service.reembedding().is_some()),
        ),
    ] {
        gauge(out, name, help, value);
    }
}

fn connections(out: &mut String, unread: &Unread) {
    for (name, help, value) in [
        (
            "spikelens_connections",
            "Open connections.",
            unread.connections() as f64,
        ),
        (
            "spikelens_unread_bytes",
            "Bytes of answers that their clients have not read.",
            unread.held() as f64,
        ),
    ] {
        gauge(out, name, help, value);
    }
}

fn store(out: &mut String, stats: &StoreStats) {
    gauges(
        out,
        "spikelens_store_connections",
        "Open connections to the database.",
        &[
            ("{state=\"used\"}", stats.used as f64),
            ("{state=\"idle\"}", stats.idle as f64),
        ],
    );
    let help = "The most connections to the database.";
    gauge(out, "spikelens_store_connections_limit", help, stats.limit as f64);
    let help = "Waits for a connection to the database.";
    summary(
        out,
        "spikelens_store_wait_seconds",
        help,
        &[(String::new(), stats.waits)],
    );
    let times = stats.kinds.iter();
    let times: Vec<_> = times
        .map(|(kind, times)| (format!("{{kind=\"{kind}\"}}"), *times))
        .collect();
    let help = "Use of a connection to the database, by what for.";
    summary(out, "spikelens_store_seconds", help, &times);
    let help = "Transactions that were done again after a conflict.";
    counter(out, "spikelens_store_retries_total", help, stats.retries as f64);
}

fn catalogue(out: &mut String, stats: &Stats) {
    for (name, help, value) in [
        ("spikelens_products", "Stored products.", stats.catalogue.products),
        ("spikelens_pictures", "Stored pictures.", stats.catalogue.pictures),
        (
            "spikelens_index_removed",
            "Embeddings of removed pictures that are in the index until it is rebuilt.",
            stats.catalogue.index.removed,
        ),
        (
            "spikelens_index_unlinked",
            "Embeddings that are not linked yet.",
            stats.catalogue.index.unlinked,
        ),
    ] {
        gauge(out, name, help, value as f64);
    }
    let shown = stats.catalogue.shown;
    for (name, help, value) in [
        (
            "spikelens_product_cache_hits_total",
            "Products of answers that were in memory.",
            shown.hits,
        ),
        (
            "spikelens_product_cache_misses_total",
            "Products of answers that were read from the store.",
            shown.misses,
        ),
    ] {
        counter(out, name, help, value as f64);
    }
    gauge(
        out,
        "spikelens_product_cache_bytes",
        "Memory for products that were found lately.",
        shown.bytes as f64,
    );
}

fn recall(out: &mut String, stats: &Stats) {
    let recall = stats.catalogue.recall;
    if let (Some(recall), Some(margin)) = (recall.recall, recall.margin) {
        let help = "Share of the exact search's ten best that the index finds, on a sample.";
        gauge(out, "spikelens_index_recall", help, recall);
        let help = "How far the recall may be off, in 19 of 20 measurements.";
        gauge(out, "spikelens_index_recall_margin", help, margin);
    }
}

fn imports(out: &mut String, open: &[OpenImportStatus]) {
    let waiting = open.iter().map(|open| {
        let import = &open.import;
        import.counts.waiting()
    });
    for (name, help, value) in [
        (
            "spikelens_imports_open",
            "Unfinished imports, at most 100.",
            open.len() as f64,
        ),
        (
            "spikelens_import_lines_waiting",
            "Lines of these imports that are not done yet.",
            waiting.sum::<u64>() as f64,
        ),
    ] {
        gauge(out, name, help, value);
    }
}
