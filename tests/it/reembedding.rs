//! Re-embedding a catalogue for another model, probe or T: the old embeddings answer until the new ones are adopted,
//! through kills and writes, and no answer mixes the two.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::api::{catalogue, test_png};
use crate::server::{Server, run};
use crate::support::pictures;

const PAPER: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/models/paper-32-64-10.snn.safetensors"
);
const PNG: (&str, &str) = ("content-type", "image/png");

/// The model, probe and T that a search's answer names.
fn origin(answer: &Value) -> [Value; 3] {
    ["model", "probe", "time_steps"].map(|name| answer[name].clone())
}

fn search(server: &Server, picture: usize) -> Value {
    let answer = server.post("/v1/search?k=100&exact=true", "image/png", &test_png(picture));
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

/// Products with their scores.
fn matches(answer: &Value) -> Vec<(String, f64)> {
    let matches = answer["matches"].as_array().unwrap().iter();
    let mut matches: Vec<(String, f64)> = matches
        .map(|found| {
            let id = found["product_id"].as_str().unwrap().to_owned();
            (id, found["score"].as_f64().unwrap())
        })
        .collect();
    // Of products with equal scores at the end of the list, any may be there.
    let last = matches.last().unwrap().1;
    matches.retain(|(_, score)| *score > last);
    matches.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    matches
}

/// Waits until some pictures, but not all, are re-embedded and durable.
fn half_way(server: &Server) {
    let start = Instant::now();
    loop {
        let ready = server.get("/readyz").json();
        let reembedding = &ready["reembedding"];
        assert!(!reembedding.is_null(), "over before it was looked at: {ready}");
        if reembedding["done"].as_u64().unwrap() >= 600 {
            // What was done is durable half a second later.
            std::thread::sleep(Duration::from_millis(550));
            return;
        }
        assert!(start.elapsed() < Duration::from_secs(120), "{ready}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Asserts that `check` finds no damage; returns its output.
fn checked(data_dir: &Path) -> String {
    let output = run(&["check", "--data-dir", data_dir.to_str().unwrap()]);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// A number of time steps that takes long enough to observe re-embedding half-way.
const SLOW: [&str; 6] = ["--model", PAPER, "--time-steps", "256", "--probe", "membrane"];

#[test]
fn the_old_model_answers_until_the_new_one_takes_over_through_a_kill_and_writes() {
    let folder = catalogue(2400, &[]);
    let before = {
        let server = Server::start(folder.path(), &[]).ready();
        search(&server, 0)
    };
    let server = Server::start(folder.path(), &SLOW).ready();
    half_way(&server);
    let ready = server.get("/readyz").json();
    let coming = &ready["reembedding"];
    assert_eq!(coming["total"], 2400, "{ready}");
    assert_eq!(
        (&coming["probe"], &coming["time_steps"]),
        (&json!("membrane"), &json!(256))
    );
    let meanwhile = search(&server, 0);
    assert_eq!(origin(&meanwhile), origin(&before));
    assert_eq!(matches(&meanwhile), matches(&before));
    let stats = server.get("/v1/stats").json();
    assert_eq!(origin(&stats), origin(&before));
    assert_eq!(stats["reembedding"]["model"], coming["model"]);
    assert_eq!(server.get("/v1/model").json()["id"], before["model"]["id"]);
    // Killed: the finished embeddings are stored, and none of them is searched.
    drop(server);
    let said = checked(folder.path());
    assert!(said.contains("embeddings by the next model"), "{said}");

    let server = Server::start(folder.path(), &SLOW).ready();
    let gone_on = server.get("/readyz").json()["reembedding"]["done"].as_u64();
    assert!(
        gone_on.is_none_or(|done| done >= 100),
        "started over: {gone_on:?}"
    );
    // Writes of every kind while it runs.
    for (id, picture) in [("new", 5), ("fashion-mnist-train-3", 6), ("gone", 7)] {
        let path = format!("/v1/products/{id}?title={id}");
        let status = server.ask("PUT", &path, &[PNG], &test_png(picture)).status;
        assert!([200, 201].contains(&status), "{status}");
        let found = search(&server, picture);
        assert_eq!(
            (&found["matches"][0]["product_id"], &found["matches"][0]["score"]),
            (&json!(id), &json!(1.0))
        );
    }
    let view = server.ask(
        "POST",
        "/v1/products/fashion-mnist-train-4/pictures",
        &[PNG],
        &test_png(8),
    );
    assert_eq!(view.status, 201);
    for id in ["gone", "fashion-mnist-train-0", "fashion-mnist-train-2399"] {
        let path = format!("/v1/products/{id}");
        assert_eq!(server.ask("DELETE", &path, &[], b"").status, 204);
    }
    let merged = server.ask(
        "PATCH",
        "/v1/products/fashion-mnist-train-5",
        &[("content-type", "application/json")],
        br#"{"attributes": {"seen": true}}"#,
    );
    assert_eq!(merged.status, 200);
    let server = server.settled();
    let after = search(&server, 0);
    assert_eq!(
        (&after["probe"], &after["time_steps"]),
        (&json!("membrane"), &json!(256))
    );
    assert_eq!(server.get("/v1/model").json()["id"], after["model"]["id"]);
    assert_ne!(after["model"]["id"], before["model"]["id"]);
    assert_eq!(server.get("/readyz").json()["pictures"], 2400);
    let filter: String = form_urlencoded::byte_serialize(br#"{"seen": true}"#).collect();
    let seen = format!("/v1/search?filter={filter}");
    let seen = server.post(&seen, "image/png", &test_png(0)).json();
    assert_eq!(seen["matches"][0]["product_id"], "fashion-mnist-train-5");
    let late = server.ask("PUT", "/v1/products/late", &[PNG], &test_png(9));
    assert_eq!(late.status, 201);
    let answers: Vec<_> = (0..10)
        .map(|picture| matches(&search(&server, picture)))
        .collect();
    let similar = |server: &Server| server.get("/v1/products/new/similar?k=20").json()["matches"].clone();
    let nearest = similar(&server);
    assert_eq!(server.signal("-TERM").0, Some(0));
    let said = checked(folder.path());
    assert!(said.contains("2401 embeddings recomputed and equal"), "{said}");
    assert!(said.contains("entries of the stored index"), "{said}");

    // The same products in a catalogue that was embedded by the new model from the start.
    let fresh = catalogue(2400, &SLOW);
    let fresh = Server::start(fresh.path(), &SLOW).ready();
    for (id, picture) in [("new", 5), ("fashion-mnist-train-3", 6), ("late", 9)] {
        let path = format!("/v1/products/{id}?title={id}");
        assert!(fresh.ask("PUT", &path, &[PNG], &test_png(picture)).status < 300);
    }
    let view = fresh.ask(
        "POST",
        "/v1/products/fashion-mnist-train-4/pictures",
        &[PNG],
        &test_png(8),
    );
    assert_eq!(view.status, 201);
    for id in ["fashion-mnist-train-0", "fashion-mnist-train-2399"] {
        assert_eq!(
            fresh
                .ask("DELETE", &format!("/v1/products/{id}"), &[], b"")
                .status,
            204
        );
    }
    let restarted = Server::start(folder.path(), &SLOW).ready();
    assert!(restarted.get("/readyz").json()["reembedding"].is_null());
    for (picture, answer) in answers.iter().enumerate() {
        assert_eq!(&matches(&search(&fresh, picture)), answer, "picture {picture}");
        assert_eq!(
            &matches(&search(&restarted, picture)),
            answer,
            "picture {picture}"
        );
    }
    let scores = |found: &Value| -> Vec<f64> {
        let found = found.as_array().unwrap().iter();
        found.map(|found| found["score"].as_f64().unwrap()).collect()
    };
    assert_eq!(scores(&similar(&restarted)), scores(&nearest));
}

#[test]
fn returning_to_the_old_model_half_way_changes_nothing_and_a_third_model_starts_over() {
    let folder = catalogue(2200, &[]);
    let server = Server::start(folder.path(), &[]).ready();
    let before = search(&server, 1);
    drop(server);
    let server = Server::start(folder.path(), &SLOW).ready();
    half_way(&server);
    // A backup taken half-way is complete: it starts with the old embeddings, and continues with the new ones if asked to.
    let place = tempfile::tempdir().unwrap();
    let backup = place.path().join("backup");
    let taken = run(&[
        "backup",
        "--data-dir",
        folder.path().to_str().unwrap(),
        "--out",
        backup.to_str().unwrap(),
    ]);
    assert!(taken.status.success(), "{taken:?}");
    assert_eq!(server.signal("-TERM").0, Some(0));
    let server = Server::start(folder.path(), &[]).ready();
    assert!(server.get("/readyz").json()["reembedding"].is_null());
    assert_eq!(matches(&search(&server, 1)), matches(&before));
    drop(server);
    let said = checked(folder.path());
    assert!(!said.contains("next model"), "{said}");

    let restored = place.path().join("restored");
    let server = Server::start(
        &restored,
        &["--restore", backup.to_str().unwrap(), "--probe", "integrated"],
    )
    .ready();
    let answer = search(&server, 1);
    assert_eq!(
        answer["probe"], before["probe"],
        "the old one answers while a third is made"
    );
    let server = server.settled();
    assert_eq!(search(&server, 1)["probe"], "integrated");
    drop(server);
    let said = checked(&restored);
    assert!(said.contains("2200 embeddings recomputed and equal"), "{said}");
}

#[test]
fn another_probe_alone_and_another_t_alone_take_over() {
    let folder = catalogue(60, &[]);
    for arguments in [["--probe", "membrane"], ["--time-steps", "20"]] {
        drop(Server::start(folder.path(), &arguments).settled());
        checked(folder.path());
    }
    let server = Server::start(folder.path(), &[]).ready();
    let answer = search(&server, 0);
    assert_eq!(
        (&answer["probe"], &answer["time_steps"]),
        (&json!("membrane"), &json!(20))
    );
}

#[test]
fn a_picture_without_an_embedding_by_the_new_model_stays_and_matches_no_search() {
    // In one time step no spike reaches the embedding layer of this network: every embedding is all zeros.
    let folder = catalogue(30, &[]);
    let few = ["--model", PAPER, "--probe", "spike_count", "--time-steps"];
    let server = Server::start(folder.path(), &[&few[..], &["1"]].concat()).settled();
    assert_eq!(server.get("/readyz").json()["pictures"], 30);
    assert_eq!(server.get("/v1/products/fashion-mnist-train-7").status, 200);
    let similar = server.get("/v1/products/fashion-mnist-train-7/similar");
    assert_eq!(similar.problem(), (422, "empty_embedding".to_owned()));
    drop(server);
    checked(folder.path());
    let server = Server::start(folder.path(), &[&few[..], &["16"]].concat()).settled();
    assert_eq!(
        server.get("/v1/products/fashion-mnist-train-7/similar").status,
        200
    );
}

#[test]
fn answers_and_writes_during_the_takeover_are_wholly_of_the_old_or_wholly_of_the_new() {
    let folder = catalogue(2100, &[]);
    let server = Server::start(folder.path(), &["--model", PAPER, "--queue-ms", "60000"]).ready();
    let stored = pictures("train", 20);
    let stored: Vec<Vec<u8>> = stored.iter().map(|picture| picture.to_png().unwrap()).collect();
    let over = AtomicBool::new(false);
    let models = std::thread::scope(|scope| {
        let searches = scope.spawn(|| {
            let mut models = Vec::new();
            for count in 0.. {
                let path = format!("/v1/search?k=3&exact={}", count % 2 == 0);
                let answer = server.post(&path, "image/png", &stored[count % stored.len()]);
                assert_eq!(answer.status, 200, "{answer:?}");
                let answer = answer.json();
                // The stored picture itself: its embedding and the index's are by the same model.
                assert_eq!(answer["matches"][0]["score"], 1.0, "{answer}");
                let [model, _, time_steps] = origin(&answer);
                if models.last() != Some(&(model.clone(), time_steps.clone())) {
                    models.push((model, time_steps));
                }
                if over.load(Ordering::SeqCst) {
                    break;
                }
            }
            models
        });
        let writes = scope.spawn(|| {
            for count in 0.. {
                let path = format!("/v1/products/w-{}", count % 40);
                let answer = server.ask("PUT", &path, &[PNG], &stored[count % stored.len()]);
                assert!([200, 201].contains(&answer.status), "{answer:?}");
                let similar = server.get(&format!("{path}/similar?k=1")).json();
                assert_eq!(similar["matches"][0]["score"], 1.0, "{similar}");
                if over.load(Ordering::SeqCst) {
                    break;
                }
            }
        });
        let start = Instant::now();
        while !server.get("/readyz").json()["reembedding"].is_null() {
            assert!(start.elapsed() < Duration::from_secs(120), "never settled");
            std::thread::sleep(Duration::from_millis(20));
        }
        std::thread::sleep(Duration::from_millis(300));
        over.store(true, Ordering::SeqCst);
        writes.join().unwrap();
        searches.join().unwrap()
    });
    assert_eq!(models.len(), 2, "first the old, then the new: {models:?}");
    assert_eq!(models[1].0["name"], server.get("/v1/model").json()["name"]);
    drop(server);
    checked(folder.path());
}

/// The answer of `/v1/stats` once the next network's embeddings wait.
fn held(server: &Server) -> Value {
    let start = Instant::now();
    loop {
        let stats = server.get("/v1/stats").json();
        if !stats["reembedding"]["agreement"].is_null() {
            return stats;
        }
        assert!(start.elapsed() < Duration::from_secs(120), "{stats}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn change(server: &Server, next: &str) -> (u16, Value) {
    let body = json!({"next": next}).to_string();
    let answer = server.post("/v1/model", "application/json", body.as_bytes());
    (answer.status, answer.json())
}

#[test]
fn a_held_network_is_tried_beside_the_old_one_then_dropped_or_taken_over() {
    let folder = catalogue(300, &[]);
    let hold = ["--model", PAPER, "--hold"];
    let server = Server::start(folder.path(), &hold).ready();
    let old = search(&server, 3);
    let stats = held(&server);
    let reembedding = &stats["reembedding"];
    assert_eq!(
        (&reembedding["hold"], &reembedding["stage"]),
        (&json!(true), &json!("held"))
    );
    assert_eq!(reembedding["agreement"]["queries"], 100);
    let shared = reembedding["agreement"]["shared"].as_f64().unwrap();
    assert!((0.05..1.0).contains(&shared), "{shared}");
    assert_eq!(
        matches(&search(&server, 3)),
        matches(&old),
        "the old network answers"
    );

    // The next one, by every search; what is written is found by it a moment later.
    let by_next = |server: &Server| {
        server
            .post(
                "/v1/search?k=100&exact=true&model=next",
                "image/png",
                &test_png(3),
            )
            .json()
    };
    let next = by_next(&server);
    assert_eq!(next["model"], reembedding["model"]);
    assert_ne!(matches(&next), matches(&old));
    let similar = server
        .get("/v1/products/fashion-mnist-train-0/similar?model=next&k=3")
        .json();
    assert_eq!(similar["model"], reembedding["model"]);
    let filtered =
        r#"/v1/products/fashion-mnist-train-0/similar?model=next&filter={"category":"Bag"}&facets=[]"#;
    let filtered = server.get(&filtered.replace('"', "%22")).json();
    assert!(filtered["total"].as_u64().unwrap() > 10, "{filtered}");
    assert_eq!(
        server
            .ask("PUT", "/v1/products/fresh", &[PNG], &test_png(3))
            .status,
        201
    );
    let start = Instant::now();
    while by_next(&server)["matches"][0]["product_id"] != "fresh" {
        assert!(start.elapsed() < Duration::from_secs(30));
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(server.ask("DELETE", "/v1/products/fresh", &[], b"").status, 204);
    assert_ne!(by_next(&server)["matches"][0]["product_id"], "fresh");

    // Dropped: as if it had never been there.
    assert_eq!(change(&server, "leave").0, 400);
    let (status, dropped) = change(&server, "drop");
    assert_eq!((status, &dropped["model"]), (200, &old["model"]));
    assert!(dropped.get("reembedding").is_none());
    let refused = server.post("/v1/search?model=next", "image/png", &test_png(3));
    assert_eq!(refused.problem(), (409, "conflict".to_owned()));
    assert_eq!(change(&server, "take_over").0, 409);
    assert_eq!(matches(&search(&server, 3)), matches(&old));
    assert!(server.get("/v1/stats").json()["reembedding"].is_null());

    // Taken over, after a restart.
    assert_eq!(server.signal("-TERM").0, Some(0));
    let server = Server::start(folder.path(), &hold).ready();
    held(&server);
    let (status, taken) = change(&server, "take_over");
    assert_eq!((status, &taken["model"]), (200, &next["model"]), "{taken}");
    assert_eq!(origin(&search(&server, 3)), origin(&next));
    assert_eq!(matches(&search(&server, 3)), matches(&next));
    assert!(server.get("/v1/stats").json()["reembedding"].is_null());
}

#[test]
fn a_backup_over_http_is_the_catalogue_of_that_moment() {
    let folder = catalogue(300, &[]);
    let server = Server::start(folder.path(), &[]).ready();
    let before = search(&server, 3);
    let backup = server.get("/v1/backup");
    if crate::server::on_postgresql() {
        assert_eq!(backup.problem(), (409, "conflict".to_owned()));
        return;
    }
    assert_eq!(
        (backup.status, backup.header("content-type")),
        (200, Some("application/vnd.sqlite3"))
    );
    let left = std::fs::read_dir(folder.path()).unwrap().flatten();
    assert!(left.map(|file| file.file_name()).all(|name| name != "backup.tmp"));
    assert_eq!(
        server
            .ask("DELETE", "/v1/products/fashion-mnist-train-0", &[], b"")
            .status,
        204
    );
    let fresh = tempfile::tempdir().unwrap();
    let (file, data) = (fresh.path().join("shop.backup"), fresh.path().join("data"));
    std::fs::write(&file, &backup.body).unwrap();
    let restored = Server::start(&data, &["--restore", file.to_str().unwrap()]).ready();
    assert_eq!(restored.get("/v1/stats").json()["products"], 300);
    assert_eq!(matches(&search(&restored, 3)), matches(&before));
}
