//! `/metrics`, read as Prometheus reads it.

use std::collections::BTreeMap;

use serde_json::json;

use crate::api::{catalogue, import, test_png};
use crate::server::Server;
use crate::support::postgres::database;

/// Parses every series and its value, and checks the format line by line.
fn scrape(server: &Server) -> BTreeMap<String, f64> {
    let answer = server.get("/metrics");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4"));
    let text = String::from_utf8(answer.body).unwrap();
    let mut typed = Vec::new();
    let mut found = BTreeMap::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            typed.push(rest.split(' ').next().unwrap().to_owned());
        } else if !line.starts_with('#') {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let name = series.split('{').next().unwrap();
            assert!(
                typed.iter().any(|known| name.starts_with(known)),
                "{line} has no type"
            );
            assert!(
                found.insert(series.to_owned(), value.parse().unwrap()).is_none(),
                "{line} twice"
            );
        }
    }
    found
}

#[test]
fn requests_errors_queue_energy_and_index_are_counted() {
    let folder = catalogue(30, &[]);
    let server = Server::start(folder.path(), &[]).ready();
    let png = test_png(0);
    let answer = server.post("/v1/search", "image/png", &png).json();
    server.post("/v1/search?k=0", "image/png", &png);
    server.get("/v1/products/fashion-mnist-train-1");
    server.get("/v1/products/nobody");
    server.ask("BREW", "/coffee/%22pot%22", &[], b"");
    server.measured_stats();
    let found = scrape(&server);
    let requests = |method: &str, route: &str, status: u16| {
        let labels = format!("method=\"{method}\",route=\"{route}\",status=\"{status}\"");
        found
            .get(&format!("spikelens_requests_total{{{labels}}}"))
            .copied()
    };
    assert_eq!(requests("POST", "/v1/search", 200), Some(1.0));
    assert_eq!(requests("POST", "/v1/search", 400), Some(1.0));
    assert_eq!(requests("GET", "/v1/products/{id}", 200), Some(1.0));
    assert_eq!(requests("GET", "/v1/products/{id}", 404), Some(1.0));
    assert_eq!(requests("other", "none", 404), Some(1.0));
    let labels = "method=\"POST\",route=\"/v1/search\"";
    let bucket = format!("spikelens_request_seconds_bucket{{{labels},le=\"+Inf\"}}");
    assert_eq!(found[&bucket], 2.0);
    assert_eq!(
        found[&format!("spikelens_request_seconds_count{{{labels}}}")],
        2.0
    );
    let emulation = &answer["emulation"];
    assert_eq!(found["spikelens_pictures_emulated_total"], 1.0);
    assert_eq!(
        Some(found["spikelens_emulated_spikes_total"]),
        emulation["spikes"].as_f64()
    );
    let energy = emulation["energy_mj"]["total"].as_f64().unwrap() * 1e-3;
    assert!((found["spikelens_modelled_energy_joules_total"] - energy).abs() < 1e-8);
    assert_eq!(found["spikelens_queue_seconds"], 0.0);
    assert_eq!(
        (found["spikelens_products"], found["spikelens_ready"]),
        (30.0, 1.0)
    );
    assert_eq!(found["spikelens_index_recall"], 1.0);
}

#[test]
fn the_use_of_a_database_is_counted_and_its_password_is_not_told() {
    let folder = catalogue(5, &[]);
    let alone = Server::start(folder.path(), &[]).ready();
    let database = database();
    import(5, &["--store", &database.url()]);
    let server = Server::over(&database.url(), &["--store-connections", "5"]).ready();
    let found = scrape(&server);
    let seconds =
        |part: &str, kind: &str| found[&format!("spikelens_store_seconds_{part}{{kind=\"{kind}\"}}")];
    assert_eq!(
        (seconds("count", "search"), seconds("count", "write")),
        (0.0, 0.0)
    );
    for _ in 0..3 {
        server.post("/v1/search", "image/png", &test_png(0));
    }
    server.ask("DELETE", "/v1/products/fashion-mnist-train-1", &[], b"");
    let before = found;
    let found = scrape(&server);
    let more = |series: &str| found[series] - before[series];
    assert_eq!(more("spikelens_store_seconds_count{kind=\"search\"}"), 3.0);
    assert_eq!(more("spikelens_store_seconds_count{kind=\"write\"}"), 1.0);
    assert!(more("spikelens_store_seconds_sum{kind=\"search\"}") > 0.0);
    // Each use waited for its connection, and the server itself looks at the database, too.
    assert!(
        more("spikelens_store_wait_seconds_count") >= 4.0 && more("spikelens_store_wait_seconds_sum") > 0.0
    );
    let open: f64 = ["used", "idle"]
        .map(|state| found[&format!("spikelens_store_connections{{state=\"{state}\"}}")])
        .iter()
        .sum();
    assert!((1.0..=5.0).contains(&open), "{open}");
    assert_eq!(found["spikelens_store_connections_limit"], 5.0);
    assert_eq!(found["spikelens_store_retries_total"], 0.0);

    let place = database.url().replace(":only-for-tests", "");
    let expected = json!({"kind": "postgresql", "place": place, "servers": 1});
    assert_eq!(server.get("/v1/stats").json()["store"], expected);
    assert_eq!(server.get("/readyz").json()["store"], "postgresql");
    let expected = json!({"kind": "sqlite", "place": null, "servers": 1});
    assert_eq!(alone.get("/v1/stats").json()["store"], expected);
    assert!(
        scrape(&alone)
            .keys()
            .all(|name| !name.starts_with("spikelens_store"))
    );
}
