//! The index while products come and go: the graph begins when there are enough, and is built anew without the removed.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::server::Server;
use crate::support::pictures;

/// Waits until the index is as `wanted`, asking what it is all the while.
fn wait(server: &Server, wanted: impl Fn(&Value) -> bool) -> Value {
    let start = Instant::now();
    loop {
        let stats = server.get("/v1/stats").json();
        if wanted(&stats) {
            return stats;
        }
        assert!(start.elapsed() < Duration::from_secs(120), "{stats}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn the_graph_comes_and_goes_with_the_number_of_products_and_answers_stay_right() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &[]).ready();
    let files: Vec<Vec<u8>> = pictures("train", 2300)
        .iter()
        .map(|picture| picture.to_png().unwrap())
        .collect();
    let mut body = String::new();
    for (number, file) in files.iter().enumerate() {
        let image = STANDARD.encode(file);
        writeln!(body, "{}", json!({"id": format!("p-{number}"), "image": image})).unwrap();
    }
    let answer = server.post("/v1/imports", "application/x-ndjson", body.as_bytes());
    assert_eq!(answer.status, 202);
    let stats = wait(&server, |stats| {
        stats["products"] == 2300 && stats["index"]["search"] == "graph" && stats["index"]["unlinked"] == 0
    });
    assert!(stats["recall"]["recall"].as_f64().unwrap() >= 0.98, "{stats}");

    let found = |number: usize| {
        let path = "/v1/search?k=5";
        let answer = server.post(path, "image/png", &files[number]).json();
        answer["matches"].as_array().unwrap().clone()
    };
    for number in 0..1900 {
        let deleted = server.ask("DELETE", &format!("/v1/products/p-{number}"), &[], b"");
        assert_eq!(deleted.status, 204);
        if number % 100 == 0 {
            // The deleted one is nobody's answer from now on, whatever the index is being made into.
            let name = format!("p-{number}");
            assert!(
                found(number)
                    .iter()
                    .all(|found| found["product_id"] != name.as_str())
            );
        }
    }
    let stats = wait(&server, |stats| {
        let removed = stats["index"]["removed"].as_u64().unwrap();
        removed < 1500 && stats["index"]["unlinked"] == 0
    });
    assert_eq!(
        (&stats["products"], &stats["pictures"]),
        (&json!(400), &json!(400))
    );
    let right = |server: &Server| {
        for number in (1900..2300).step_by(37) {
            let answer = server
                .post("/v1/search?k=100", "image/png", &files[number])
                .json();
            let matches = answer["matches"].as_array().unwrap();
            assert_eq!(matches.len(), 100);
            assert_eq!(matches[0]["score"], 1.0);
            for found in matches {
                let id = found["product_id"].as_str().unwrap();
                let number: usize = id.trim_start_matches("p-").parse().unwrap();
                assert!(number >= 1900, "{id} was deleted");
            }
        }
    };
    right(&server);
    assert_eq!(server.signal("-TERM").0, Some(0));
    right(&Server::start(folder.path(), &[]).ready());
}
