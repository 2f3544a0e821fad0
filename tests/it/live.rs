//! The index while products are added and removed: a graph is built once there are enough, and rebuilt without removed ones.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::api::{catalogue, test_png};
use crate::server::Server;
use crate::support::pictures;

/// Polls the index's state until it is as `wanted`.
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
        let measured = &stats["recall"]["queries"] != 0;
        stats["products"] == 2300 && stats["index"]["search"] == "graph" && measured
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
            // The deleted product is in no answer from now on, even while the index is being rebuilt.
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
        removed < 1500
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

#[test]
fn common_filters_go_through_the_graph_and_rare_ones_find_the_one_that_passes() {
    let folder = catalogue(3000, &[]);
    let server = Server::start(folder.path(), &[]).ready();
    assert_eq!(server.get("/v1/stats").json()["index"]["search"], "graph");
    let patch = server.ask(
        "PATCH",
        "/v1/products/fashion-mnist-train-2222",
        &[("content-type", "application/json")],
        br#"{"attributes": {"rare": true}}"#,
    );
    assert_eq!(patch.status, 200);
    let search = |picture: usize, filter: &str, more: &str| {
        let query: String = form_urlencoded::byte_serialize(filter.as_bytes()).collect();
        let path = format!("/v1/search?filter={query}{more}");
        let answer = server.post(&path, "image/png", &test_png(picture)).json();
        let matches = answer["matches"].as_array().unwrap().clone();
        let ids = matches
            .iter()
            .map(|found| found["product_id"].as_str().unwrap().to_owned());
        let ids: Vec<String> = ids.collect();
        let categories = matches.iter().map(|found| {
            let category = &found["product"]["attributes"]["category"];
            category.as_str().unwrap().to_owned()
        });
        (ids, categories.collect::<Vec<String>>())
    };
    let (mut hits, mut all) = (0, 0);
    for picture in 0..10 {
        for (filter, bag) in [
            (r#"{"category": "Bag"}"#, true),
            (r#"{"category": {"not": "Bag"}}"#, false),
        ] {
            let (found, categories) = search(picture, filter, "");
            let (right, _) = search(picture, filter, "&exact=true");
            assert_eq!(found.len(), 10);
            assert!(
                categories.iter().all(|category| (category == "Bag") == bag),
                "{filter}"
            );
            hits += right.iter().filter(|id| found.contains(id)).count();
            all += right.len();
        }
        let (found, _) = search(picture, r#"{"rare": true}"#, "");
        assert_eq!(found, ["fashion-mnist-train-2222"]);
        assert!(search(picture, r#"{"category": "Nothing"}"#, "").0.is_empty());
        let (none, _) = search(picture, r#"{"category": "Bag"}"#, "&min_score=1");
        assert!(none.len() <= 1, "{none:?}");
    }
    assert!(hits * 100 >= all * 98, "{hits} of {all}");
    // The rows that pass a filter are cached until the next write.
    let rare = |value: &str| {
        let body = format!(r#"{{"attributes": {{"rare": {value}}}}}"#);
        let headers = [("content-type", "application/json")];
        let path = "/v1/products/fashion-mnist-train-1111";
        assert_eq!(server.ask("PATCH", path, &headers, body.as_bytes()).status, 200);
        search(0, r#"{"rare": true}"#, "").0.len()
    };
    assert_eq!([rare("true"), rare("false"), rare("true")], [2, 1, 2]);
    assert_eq!(
        server
            .ask("DELETE", "/v1/products/fashion-mnist-train-2222", &[], b"")
            .status,
        204
    );
    assert_eq!(search(0, r#"{"rare": true}"#, "").0, ["fashion-mnist-train-1111"]);
}
