//! The status page in a real browser, and the Grafana dashboard of the same metrics.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::api::{catalogue, import, test_png};
use crate::browser::{self, DESK, PHONE, Page};
use crate::page::{check_manners, keep};
use crate::server::Server;
use crate::support::postgres::database;

#[test]
fn the_status_page_tells_what_the_server_does() {
    let folder = catalogue(60, &[]);
    let server = Server::start(folder.path(), &[]).ready();
    server.post("/v1/search", "image/png", &test_png(0));
    server.post("/v1/search?k=0", "image/png", &test_png(0));
    server.measured_stats();
    for look in [DESK, PHONE] {
        let page = Page::open(&format!("http://{}/status", server.address()), look);
        page.until("document.querySelector('#state').textContent.startsWith('Ready')");
        // A rate needs two scrapes.
        page.until("/\\d a second/.test(document.querySelector('#traffic').textContent)");
        let text = |id: &str| page.text(&format!("document.querySelector('{id}').innerText"));
        assert!(text("#index").contains("60 pictures"), "{}", text("#index"));
        assert!(text("#index").contains("100.0 ± 0.8 %"), "{}", text("#index"));
        assert!(text("#pool").contains("ms of work"), "{}", text("#pool"));
        let answer = server.get("/metrics").body;
        let metrics = String::from_utf8(answer).unwrap();
        let joules = metrics
            .lines()
            .find_map(|line| line.strip_prefix("spikelens_modelled_energy_joules_total "));
        let joules: f64 = joules.unwrap().parse().unwrap();
        assert!(
            text("#emulated").contains(&format!("{joules:.4}")[..5]),
            "{}",
            text("#emulated")
        );
        assert!(text("#statuses").contains("400"), "{}", text("#statuses"));
        assert!(
            text("#latency").contains("POST /v1/search"),
            "{}",
            text("#latency")
        );
        assert!(
            text("#imports").contains("None is running"),
            "{}",
            text("#imports")
        );
        check_manners(&page, &server);
        keep(&page, &format!("status-{}", look.width));
    }
}

#[test]
fn the_status_page_says_which_store_answers() {
    let folder = catalogue(5, &[]);
    let database = database();
    import(5, &["--store", &database.url()]);
    let one = Server::over(&database.url(), &["--store-connections", "7"]).ready();
    let other = Server::over(&database.url(), &[]).ready();
    let alone = Server::start(folder.path(), &[]).ready();
    for (server, footer, told) in [
        (&alone, "in SQLite.", &["Store\nSQLite"][..]),
        (
            &one,
            "in PostgreSQL.",
            &[
                "Store\nPostgreSQL",
                database.name(),
                "Servers that share it\n2",
                " of 7",
            ],
        ),
    ] {
        let page = Page::open(&format!("http://{}/status", server.address()), DESK);
        page.until("document.querySelector('#store').textContent");
        let text = page.text("document.querySelector('#store').innerText");
        for part in told {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("only-for-tests"), "{text}");
        check_manners(&page, server);
        let page = Page::open(&format!("http://{}/", server.address()), DESK);
        page.until("document.querySelector('#model').textContent");
        let text = page.text("document.querySelector('#model').textContent");
        assert!(text.ends_with(footer), "{text}");
    }
    drop(other);
}

#[test]
fn running_imports_are_shown_in_the_stats_and_on_the_status_page() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &[]).ready();
    assert_eq!(server.get("/v1/stats").json()["imports"], json!([]));
    browser::start();
    let image = STANDARD.encode(test_png(0));
    let line = |id: usize| json!({"id": format!("p{id}"), "image": image}).to_string() + "\n";
    let lines: String = (0..6000).map(line).collect();
    let id = server
        .post("/v1/imports", "application/x-ndjson", lines.as_bytes())
        .json()["id"]
        .clone();
    let import = server.get("/v1/stats").json()["imports"][0].clone();
    assert_eq!(
        (&import["id"], &import["state"], &import["received"]),
        (&id, &json!("running"), &json!(6000))
    );
    let page = Page::open(&format!("http://{}/status", server.address()), DESK);
    page.until("/\\d of 6,000 lines/.test(document.querySelector('#imports').textContent)");
    assert!(
        page.text("document.querySelector('#imports').textContent")
            .contains(id.as_str().unwrap())
    );
    let metrics = String::from_utf8(server.get("/metrics").body).unwrap();
    assert!(metrics.contains("\nspikelens_imports_open 1\n"), "{metrics}");
    let start = Instant::now();
    while server.get("/v1/stats").json()["imports"] != json!([]) {
        assert!(start.elapsed() < Duration::from_secs(120));
        std::thread::sleep(Duration::from_millis(200));
    }
    page.until("document.querySelector('#imports').textContent === 'None is running.'");
}

/// Every word of a query that starts like one of our metrics.
fn queried(panel: &Value, found: &mut BTreeSet<String>) {
    match panel {
        Value::Object(fields) => {
            if let Some(expression) = fields.get("expr").and_then(Value::as_str) {
                let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
                found.extend(
                    words
                        .filter(|word| word.starts_with("spikelens_"))
                        .map(str::to_owned),
                );
            }
            fields.values().for_each(|value| queried(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| queried(value, found)),
        _ => {}
    }
}

#[test]
fn the_dashboard_asks_for_metrics_that_there_are_and_leaves_none_out() {
    let dashboard: Value = serde_json::from_str(include_str!("../../docker/grafana/dashboard.json")).unwrap();
    let mut asked = BTreeSet::new();
    queried(&dashboard["panels"], &mut asked);
    // PostgreSQL has all metrics of SQLite, and some more.
    let database = database();
    import(30, &["--store", &database.url()]);
    let server = Server::over(&database.url(), &[]).ready();
    server.post("/v1/search", "image/png", &test_png(0));
    server.measured_stats();
    let metrics = String::from_utf8(server.get("/metrics").body).unwrap();
    let series = metrics.lines().filter(|line| !line.starts_with('#'));
    let told: BTreeSet<&str> = series
        .map(|line| line.split(['{', ' ']).next().unwrap())
        .collect();
    for name in &asked {
        assert!(
            told.contains(name.as_str()),
            "{name} is not in /metrics: {told:?}"
        );
    }
    // A histogram's sum and count go with its buckets.
    let parts = ["spikelens_request_seconds_sum", "spikelens_request_seconds_count"];
    for name in told.iter().filter(|name| !parts.contains(name)) {
        assert!(asked.contains(*name), "the dashboard leaves {name} out");
    }
}

#[test]
fn the_paper_s_figures_on_the_page_are_those_of_the_documentation() {
    let script = include_str!("../../src/http/page/paper.js");
    let rows: Vec<Vec<Value>> = script
        .lines()
        .filter_map(|line| line.trim().strip_prefix("[\""))
        .map(|line| serde_json::from_str(&format!("[\"{}", line.trim_end_matches(','))).unwrap())
        .collect();
    let csv = |name: &str| {
        let path = format!("{}/docs/paper/{name}.csv", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).unwrap();
        text.lines()
            .map(|line| line.split(',').map(str::to_owned).collect())
            .collect::<Vec<Vec<String>>>()
    };
    let number = |text: &str| text.parse::<f64>().unwrap();
    for (name, columns) in [("table-4", [3, 4]), ("table-5", [5, 5])] {
        let table = csv(name);
        let paper: Vec<&Vec<String>> = table.iter().filter(|row| row[2].starts_with("paper: ")).collect();
        assert_eq!(paper.len(), rows.len());
        for (published, own) in paper.iter().zip(&rows) {
            assert_eq!(own[0], published[0]);
            assert_eq!(own[1].as_f64(), Some(number(&published[1])));
            assert_eq!(own[2], published[2].trim_start_matches("paper: "));
            for (place, column) in columns.into_iter().enumerate() {
                let told = if name == "table-5" { 3 } else { 3 + place };
                assert_eq!(
                    own[column].as_f64(),
                    Some(number(&published[told])),
                    "{published:?}"
                );
            }
        }
    }
}
