//! Imports over HTTP: many products in one stream, errors by line, nothing lost to a restart.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::api::test_png;
use crate::server::Server;
use crate::support::pictures;

fn line(id: &str, picture: usize) -> String {
    let image = STANDARD.encode(test_png(picture));
    json!({"id": id, "title": format!("picture {picture}"), "attributes": {"n": picture}, "image": image})
        .to_string()
}

fn post(server: &Server, body: &str) -> String {
    let answer = server.post("/v1/imports", "application/x-ndjson", body.as_bytes());
    assert_eq!(answer.status, 202, "{answer:?}");
    let id = answer.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(
        answer.header("location"),
        Some(format!("/v1/imports/{id}").as_str())
    );
    id
}

/// Waits until an import is done or failed.
fn done(server: &Server, id: &str) -> Value {
    let start = Instant::now();
    loop {
        let import = server.get(&format!("/v1/imports/{id}")).json();
        if import["state"] != "running" {
            return import;
        }
        assert!(start.elapsed() < Duration::from_secs(120), "{import}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn lines_become_products_and_errors_are_told_by_line() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &[]).ready();
    let views = json!({"id": "views", "image": [STANDARD.encode(test_png(1)), STANDARD.encode(test_png(2))]});
    let body = format!(
        "{}\n\n  \nnonsense\n{views}\r\n{}\n{}",
        line("a", 0),
        json!({"id": "b", "image": "AAAA"}),
        json!({"id": "c", "image": STANDARD.encode(test_png(0)), "colour": "red"}),
    );
    let import = done(&server, &post(&server, &body));
    assert_eq!(import["state"], "done");
    let counts = ["received", "stored", "failed"].map(|name| import[name].as_u64().unwrap());
    assert_eq!(counts, [5, 2, 3], "{import}");
    assert_eq!(import["seconds_left"], 0.0);
    let errors = import["errors"].as_array().unwrap();
    let told: Vec<(u64, Option<&str>)> = errors
        .iter()
        .map(|error| (error["line"].as_u64().unwrap(), error["id"].as_str()))
        .collect();
    assert_eq!(told, [(4, None), (6, Some("b")), (7, Some("c"))]);
    assert!(
        errors[2]["detail"]
            .as_str()
            .unwrap()
            .starts_with("colour: is unknown")
    );
    assert_eq!(server.get("/v1/products/a").json()["attributes"], json!({"n": 0}));
    assert_eq!(
        server.get("/v1/products/views").json()["pictures"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    let found = server.post("/v1/search?k=1", "image/png", &test_png(2)).json();
    assert_eq!(
        (&found["matches"][0]["product_id"], &found["matches"][0]["score"]),
        (&json!("views"), &json!(1.0))
    );

    assert_eq!(done(&server, &post(&server, ""))["received"], 0);
    assert_eq!(
        server.get("/v1/imports/nothing").problem(),
        (404, "not_found".to_owned())
    );
    assert_eq!(server.post("/v1/imports", "image/png", b"x").problem().0, 415);
    assert_eq!(server.post("/v1/imports?k=3", "text/plain", b"").problem().0, 400);
}

/// The number of waiting lines in the database files that a killed server left.
fn held(server: &Server, id: &str) -> u64 {
    let import = server.get(&format!("/v1/imports/{id}")).json();
    import["received"].as_u64().unwrap()
        - import["stored"].as_u64().unwrap()
        - import["failed"].as_u64().unwrap()
}

fn start(folder: &Path) -> Server {
    Server::start(folder, &[]).ready()
}

#[test]
fn an_import_goes_on_after_a_kill_and_does_nothing_twice() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path());
    let mut body = String::new();
    let count = 1500;
    for (index, picture) in pictures("train", count).iter().enumerate() {
        let image = STANDARD.encode(picture.to_png().unwrap());
        let id = format!("p-{index}");
        writeln!(body, "{}", json!({"id": id, "image": image})).unwrap();
        if index == 700 {
            body.push_str("broken\n");
        }
    }
    let id = post(&server, &body);
    let waited = held(&server, &id);
    // Killed in the middle of the import.
    drop(server);
    let server = start(folder.path());
    assert!(held(&server, &id) <= waited);
    let import = done(&server, &id);
    assert_eq!(import["state"], "done");
    let counts = ["received", "stored", "failed"].map(|name| import[name].as_u64().unwrap());
    assert_eq!(counts, [count as u64 + 1, count as u64, 1]);
    assert_eq!(import["errors"][0]["line"], 702);
    assert_eq!(server.get("/readyz").json()["pictures"], count);
}

#[test]
fn a_stream_that_breaks_off_imports_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(
        folder.path(),
        &["--max-body-bytes", "4000", "--request-timeout-ms", "400"],
    )
    .ready();
    let mut stream = TcpStream::connect(server.address()).unwrap();
    let body = format!("{}\n", line("a", 0));
    write!(
        stream,
        "POST /v1/imports HTTP/1.1\r\nhost: x\r\ncontent-length: 99999\r\n\r\n{body}"
    )
    .unwrap();
    // No more data: the next piece exceeds its time limit.
    let mut answer = [0; 12];
    std::io::Read::read_exact(&mut stream, &mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 504");
    let long = format!("{}\n{{\"id\": \"{}\"}}\n", line("a", 0), "x".repeat(5000));
    let refusal = server.post("/v1/imports", "application/x-ndjson", long.as_bytes());
    assert_eq!(refusal.problem(), (413, "too_large".to_owned()));
    assert!(refusal.json()["detail"].as_str().unwrap().contains("line 2"));
    assert_eq!(server.get("/v1/products").json()["products"], json!([]));
}
