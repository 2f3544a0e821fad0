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

pub fn line(id: &str, picture: usize) -> String {
    let image = STANDARD.encode(test_png(picture));
    json!({"id": id, "title": format!("picture {picture}"), "attributes": {"n": picture}, "image": image})
        .to_string()
}

pub fn post(server: &Server, body: &str) -> String {
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
pub fn done(server: &Server, id: &str) -> Value {
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
    assert_eq!(server.get("/v1/stats").json()["pictures"], count);
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

/// An import whose stream stays open: its head, and what `body` has so far.
fn open(server: &Server, body: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    write!(
        stream,
        "POST /v1/imports HTTP/1.1\r\nhost: x\r\ncontent-length: 9999999\r\n\r\n"
    )
    .unwrap();
    stream.write_all(body).unwrap();
    stream
}

/// The head of an answer on a stream, with what came of its body.
fn answer(stream: &mut TcpStream) -> String {
    let mut answer = vec![0; 4096];
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let bytes = std::io::Read::read(stream, &mut answer).unwrap();
    String::from_utf8_lossy(&answer[..bytes]).into_owned()
}

#[test]
fn a_stream_that_trickles_is_ended_in_a_line_or_between_blank_ones() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &["--request-timeout-ms", "400"]).ready();
    let whole = format!("{}\n", line("a", 0));
    for (piece, number) in [(b"x", "line 2"), (b"\n", "line ")] {
        let mut stream = open(&server, whole.as_bytes());
        let start = Instant::now();
        let mut writer = stream.try_clone().unwrap();
        let trickle = std::thread::spawn(move || {
            while writer.write_all(piece).is_ok() && start.elapsed() < Duration::from_secs(15) {
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        let said = answer(&mut stream);
        let took = start.elapsed();
        drop(stream);
        trickle.join().unwrap();
        assert!(said.starts_with("HTTP/1.1 400"), "{said}");
        // Six times the time limit of a request.
        assert!(
            (Duration::from_millis(2300)..Duration::from_secs(10)).contains(&took),
            "{took:?}"
        );
        if let Some((_, body)) = said.split_once("\r\n\r\n") {
            assert!(body.is_empty() || body.contains(number), "{said}");
        }
    }
    assert_eq!(server.get("/v1/products").json()["products"], json!([]));
}

#[test]
fn streams_have_places_and_count_in_the_bodies_budget() {
    let folder = tempfile::tempdir().unwrap();
    let limits = ["--max-body-bytes", "1000000", "--max-bodies-bytes", "1000000"];
    let server = Server::start(folder.path(), &limits).ready();
    let until = |is: &dyn Fn() -> bool, what: &str| {
        let start = Instant::now();
        while !is() {
            assert!(start.elapsed() < Duration::from_secs(10), "{what}");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    let post = || {
        let body = format!("{}\n", line("a", 0));
        server.post("/v1/imports", "application/x-ndjson", body.as_bytes())
    };
    let mut line_of_as_many = vec![b'x'; 700_000];
    line_of_as_many.push(b'\n');
    let is_refused_beside_another = || {
        let _held = open(&server, &[b'x'; 700_000]);
        // The first one is to be read before the second comes, else either of them is refused.
        std::thread::sleep(Duration::from_millis(100));
        let answer = server.post("/v1/imports", "application/x-ndjson", &line_of_as_many);
        answer.status == 503
    };
    until(&is_refused_beside_another, "the line that is held is not counted");
    until(&|| post().status == 202, "its bytes are not returned");
    let mut alone = open(&server, &[b'x'; 999_999]);
    alone.write_all(b"xx").unwrap();
    assert!(answer(&mut alone).starts_with("HTTP/1.1 413"));

    let streams: Vec<TcpStream> = (0..16).map(|_| open(&server, b"{")).collect();
    let receiving = || {
        let stats = server.get("/v1/stats").json();
        let open = stats["imports"].as_array().unwrap().clone();
        open.iter()
            .filter(|import| import["state"] == "receiving")
            .count()
    };
    until(&|| receiving() == 16, "the streams are not received");
    let refused = post();
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert!(
        refused.json()["detail"]
            .as_str()
            .unwrap()
            .starts_with("16 imports are being received")
    );
    drop(streams);
    until(&|| post().status == 202, "the places are not returned");
}
