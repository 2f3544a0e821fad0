//! Several servers over one database: each answers from what the others wrote, and whatever one of them held is taken over
//! when it dies.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::api::test_png;
use crate::crash::{Dice, Known, check, client};
use crate::server::{Answer, GRAY, Server, run};
use crate::support::postgres::{Postgres, database};
use crate::support::{dataset, pictures};

const JSON: (&str, &str) = ("content-type", "application/json");
const PAPER: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/models/paper-32-64-10.snn.safetensors"
);

/// Fills a database with training pictures.
pub fn import(url: &str, count: usize) {
    let dataset = dataset();
    let source = dataset.to_str().unwrap();
    let output = run(&["import", source, "--store", url, "--limit", &count.to_string()]);
    assert!(output.status.success(), "{output:?}");
}

pub fn put(server: &Server, id: &str, picture: usize, attributes: &Value) -> Answer {
    let body = json!({
        "image": STANDARD.encode(test_png(picture)),
        "title": attributes["by"],
        "attributes": attributes,
    });
    let path = format!("/v1/products/{id}");
    server.ask("PUT", &path, &[JSON], body.to_string().as_bytes())
}

pub fn found(server: &Server, picture: usize, query: &str) -> Vec<String> {
    let answer = server.post(
        &format!("/v1/search?k=5&{query}"),
        "image/png",
        &test_png(picture),
    );
    assert_eq!(answer.status, 200, "{answer:?}");
    let matches = answer.json()["matches"].as_array().unwrap().clone();
    matches
        .iter()
        .map(|found| found["product_id"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn what_one_server_acknowledged_the_other_answers_with_its_next_request() {
    let database = database();
    import(&database.url(), 300);
    let one = Server::over(&database.url(), &[]).ready();
    let other = Server::over(&database.url(), &[]).ready();
    for round in 0..20 {
        let (writes, reads) = if round % 2 == 0 {
            (&one, &other)
        } else {
            (&other, &one)
        };
        let picture = round % 10;
        let id = format!("new-{round}");
        let cheap = "filter=%7B%22price%22%3A%7B%22lt%22%3A10%7D%7D";
        assert_eq!(
            put(writes, &id, picture, &json!({"by": "one", "price": 3})).status,
            201
        );
        assert_eq!(found(reads, picture, "")[0], id, "round {round}");
        assert_eq!(found(reads, picture, cheap), [id.as_str()]);
        let path = format!("/v1/products/{id}");
        let change = json!({"attributes": {"price": 30}}).to_string();
        assert_eq!(writes.ask("PATCH", &path, &[JSON], change.as_bytes()).status, 200);
        assert_eq!(reads.get(&path).json()["attributes"]["price"], 30);
        assert!(found(reads, picture, cheap).is_empty());
        assert_eq!(writes.ask("DELETE", &path, &[], b"").status, 204);
        assert_eq!(reads.get(&path).status, 404);
        assert_ne!(found(reads, picture, "")[0], id);
    }
}

#[test]
fn of_two_servers_that_write_one_product_one_result_stays() {
    let database = database();
    let servers = [
        Server::over(&database.url(), &GRAY).ready(),
        Server::over(&database.url(), &GRAY).ready(),
    ];
    for round in 0..15 {
        std::thread::scope(|scope| {
            for (number, server) in servers.iter().enumerate() {
                scope.spawn(move || {
                    let attributes = json!({"by": format!("server {number}"), "round": round});
                    let written = put(server, "contested", number, &attributes);
                    assert!(matches!(written.status, 200 | 201), "{written:?}");
                });
            }
        });
        let stored = servers[0].get("/v1/products/contested").json();
        let by = stored["attributes"]["by"].as_str().unwrap().to_owned();
        assert_eq!(
            (stored["title"].as_str().unwrap(), &stored["attributes"]["round"]),
            (by.as_str(), &json!(round))
        );
        assert_eq!(stored["pictures"].as_array().unwrap().len(), 1);
        // The picture is of the same server as the title.
        let number = usize::from(by == "server 1");
        let answer = servers[1]
            .post("/v1/search?k=1", "image/png", &test_png(number))
            .json();
        assert_eq!(answer["matches"][0]["product_id"], "contested");
        assert!(
            answer["matches"][0]["score"].as_f64().unwrap() > 0.999_999,
            "{answer}"
        );
        assert_eq!(servers[1].get("/v1/stats").json()["pictures"], 1);
    }
    // Only one of two creates what both want to create.
    let body = json!({"image": STANDARD.encode(test_png(0))}).to_string();
    for round in 0..10 {
        let path = format!("/v1/products/only-{round}");
        let statuses: Mutex<Vec<u16>> = Mutex::default();
        std::thread::scope(|scope| {
            for server in &servers {
                scope.spawn(|| {
                    let only_new = [JSON, ("if-none-match", "*")];
                    let answer = server.ask("PUT", &path, &only_new, body.as_bytes());
                    statuses.lock().unwrap().push(answer.status);
                });
            }
        });
        let mut statuses = statuses.into_inner().unwrap();
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 412]);
    }
}

/// The lines of an import of training pictures.
fn lines(from: usize, count: usize) -> String {
    let mut body = String::new();
    for (index, picture) in pictures("train", from + count).iter().enumerate().skip(from) {
        let image = STANDARD.encode(picture.to_png().unwrap());
        writeln!(body, "{}", json!({"id": format!("p-{index}"), "image": image})).unwrap();
    }
    body
}

fn begin(server: &Server, body: &str) -> String {
    let answer = server.post("/v1/imports", "application/x-ndjson", body.as_bytes());
    assert_eq!(answer.status, 202, "{answer:?}");
    format!("/v1/imports/{}", answer.json()["id"].as_str().unwrap())
}

/// Waits until an import is at its end.
fn ended(server: &Server, path: &str) -> Value {
    let start = Instant::now();
    loop {
        let import = server.get(path).json();
        if import["state"] == "done" || import["state"] == "failed" {
            return import;
        }
        assert!(start.elapsed() < Duration::from_secs(120), "{import}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn an_import_is_worked_on_by_whoever_is_free_and_taken_over_from_a_dead_server() {
    let database = database();
    let receives = Server::over(&database.url(), &GRAY).ready();
    let helps = Server::over(&database.url(), &GRAY).ready();
    let imports = [
        begin(&receives, &lines(0, 800)),
        begin(&receives, &lines(800, 800)),
    ];
    let holders = "SELECT count(DISTINCT server) FROM imports WHERE state = 'running'";
    let start = Instant::now();
    while database.psql(holders).trim() != "2" {
        assert!(
            start.elapsed() < Duration::from_secs(30),
            "one server does it all"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    // Killed while it works on one of the two.
    drop(receives);
    for import in &imports {
        let import = ended(&helps, import);
        let counts = ["received", "stored", "failed"].map(|name| import[name].as_u64().unwrap());
        assert_eq!((import["state"].as_str(), counts), (Some("done"), [800, 800, 0]));
    }
    let stats = helps.get("/v1/stats").json();
    assert_eq!(
        (&stats["products"], &stats["pictures"]),
        (&json!(1600), &json!(1600))
    );
    // A stream that its server did not receive to its end is broken off.
    let path = begin(&helps, &lines(0, 1));
    assert_eq!(ended(&helps, &path)["state"], "done");
}

#[test]
fn all_servers_re_embed_and_change_over_and_the_death_of_the_one_that_began_changes_nothing() {
    let database = database();
    import(&database.url(), 3000);
    let one = Server::over(&database.url(), &[]).ready();
    let other = Server::over(&database.url(), &[]).ready();
    let old = one.get("/v1/model").json()["id"].clone();
    let begins = Server::over(&database.url(), &["--model", PAPER]).ready();
    let start = Instant::now();
    // It is joined by servers that were never given the model's file.
    while one.get("/readyz").json()["reembedding"].is_null() {
        assert!(start.elapsed() < Duration::from_secs(30), "nobody joins");
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(begins);
    let body = test_png(3);
    let ids = [&one, &other].map(|server| {
        let mut last = old.clone();
        loop {
            let answer = server.post("/v1/search?k=5", "image/png", &body);
            assert_eq!(answer.status, 200, "{answer:?}");
            let answer = answer.json();
            assert_eq!(answer["matches"].as_array().unwrap().len(), 5);
            let id = &answer["model"]["id"];
            assert!(*id == last || last == old, "it does not change back");
            last = id.clone();
            if last != old {
                return last;
            }
            assert!(
                start.elapsed() < Duration::from_secs(120),
                "it never changes over"
            );
        }
    });
    assert_eq!(ids[0], ids[1]);
    let checked = run(&["check", "--store", &database.url()]);
    assert!(checked.status.success(), "{checked:?}");
    let exact = |exact: bool| {
        let path = format!("/v1/search?k=10&exact={exact}");
        let answer = other.post(&path, "image/png", &body).json();
        let matches = answer["matches"].as_array().unwrap().clone();
        matches
            .iter()
            .map(|found| found["score"].as_f64().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(exact(true), exact(false));
}

/// What is killed in a round.
#[derive(Debug, Clone, Copy)]
enum Victim {
    One,
    Other,
    Database,
    DatabaseAtOnce,
}

/// `SPIKELENS_CRASH_ROUNDS` sets the number of rounds, which is small by default.
#[test]
fn whoever_dies_nothing_acknowledged_is_lost_and_nothing_deleted_comes_back() {
    let rounds: u64 = std::env::var("SPIKELENS_CRASH_ROUNDS").map_or(4, |rounds| rounds.parse().unwrap());
    let postgres = Postgres::start(&[]);
    let database = postgres.database();
    import(&database.url(), 2100);
    let pictures: Vec<Vec<u8>> = (0..20).map(test_png).collect();
    let clients = 6;
    let known: Known = (0..clients)
        .flat_map(|client| (0..12).map(move |product| format!("client-{client}-product-{product}")))
        .map(|id| (id, BTreeSet::from([None])))
        .collect();
    let known = Mutex::new(known);
    let seed = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_nanos();
    let seed = u64::try_from(seed % u128::from(u64::MAX)).unwrap() | 1;
    println!("seed {seed}");
    let mut dice = Dice(seed);
    let imported = AtomicUsize::new(0);
    for round in 0..rounds {
        let victim = [
            Victim::One,
            Victim::Database,
            Victim::Other,
            Victim::DatabaseAtOnce,
        ][usize::try_from(round).unwrap() % 4];
        // Each round begins another re-embedding, or ends one that the round before began.
        let time_steps = (8 + round / 2 % 3).to_string();
        let arguments = ["--queue-ms", "60000", "--time-steps", &time_steps];
        let one = Server::over(&database.url(), &arguments).ready();
        let other = Server::over(&database.url(), &arguments).ready();
        let addresses = [one.address(), other.address()];
        let life = Duration::from_millis(300 + dice.below(3000));
        let killed = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for number in 0..clients {
                let (known, pictures, killed) = (&known, &pictures, &killed);
                let address = addresses[usize::try_from(number).unwrap() % 2];
                let mut dice = Dice(seed.wrapping_mul(2 * (round * 8 + number) + 3) | 1);
                scope.spawn(move || {
                    client(number, address, known, pictures, &mut dice);
                    assert!(killed.load(Ordering::SeqCst), "the server left by itself");
                });
            }
            let begun = begin(&one, &lines(0, 200));
            imported.store(200, Ordering::SeqCst);
            std::thread::sleep(life);
            match victim {
                Victim::Database => {
                    postgres.kill();
                    postgres.restart();
                }
                Victim::DatabaseAtOnce => {
                    postgres.immediate();
                    postgres.restart();
                }
                Victim::One | Victim::Other => {}
            }
            let (dies, lives) = match victim {
                Victim::Other => (other, one),
                _ => (one, other),
            };
            if matches!(victim, Victim::One | Victim::Other) {
                killed.store(true, Ordering::SeqCst);
                drop(dies);
                std::thread::sleep(Duration::from_millis(500));
            } else {
                std::thread::sleep(Duration::from_millis(1500));
                killed.store(true, Ordering::SeqCst);
                drop(dies);
            }
            let import = ended(&lives.ready(), &begun);
            let counts = ["received", "stored", "failed"].map(|name| import[name].as_u64().unwrap());
            assert_eq!(counts, [200, 200, 0], "round {round}, {victim:?}: {import}");
        });
        let checked = run(&["check", "--store", &database.url()]);
        assert!(checked.status.success(), "round {round}, {victim:?}: {checked:?}");
        let server = Server::over(&database.url(), &["--time-steps", &time_steps]).ready();
        check(&server, &mut known.lock().unwrap(), &pictures, round, 2300);
    }
}

/// The answer without what differs by the machine's moment: times.
fn timeless(mut answer: Value) -> Value {
    answer.as_object_mut().unwrap().remove("timing");
    answer
}

#[test]
fn a_catalogue_gives_the_same_answers_from_either_store() {
    let folder = tempfile::tempdir().unwrap();
    let database = database();
    let (here, url) = (folder.path().to_str().unwrap().to_owned(), database.url());
    let dataset = dataset();
    let source = dataset.to_str().unwrap();
    let mut import = Command::new(env!("CARGO_BIN_EXE_spikelens"));
    import.args(["import", source, "--data-dir", &here, "--limit", "3000"]);
    assert!(import.output().unwrap().status.success());
    let copy = |from: &str, to: &str| {
        let copied = Command::new(env!("CARGO_BIN_EXE_spikelens"))
            .args(["copy", "--from", from, "--to", to])
            .output()
            .unwrap();
        let said = String::from_utf8([copied.stdout, copied.stderr].concat()).unwrap();
        assert!(copied.status.success(), "{said}");
        said
    };
    assert!(copy(&here, &url).contains("3000 added"));
    assert!(copy(&here, &url).contains("0 added, 0 replaced, 0 removed"));

    let one = Server::in_directory(folder.path()).ready();
    let other = Server::over(&url, &[]).ready();
    let bags = "filter=%7B%22category%22%3A%22Bag%22%7D";
    let many = "filter=%7B%22category%22%3A%7B%22in%22%3A%5B%22Bag%22%2C%22Coat%22%5D%7D%2C%22split%22%3A%7B%22not%22%3A%22test%22%7D%7D";
    let (mut hits, mut wanted) = (0, 0);
    for picture in 0..15 {
        for query in [
            "k=100&exact=true".to_owned(),
            format!("k=20&exact=true&{bags}"),
            format!("k=7&{many}&exact=true&min_score=0.5"),
        ] {
            let path = format!("/v1/search?{query}");
            let ask = |server: &Server| timeless(server.post(&path, "image/png", &test_png(picture)).json());
            assert_eq!(ask(&one), ask(&other), "{picture}: {query}");
        }
        let scores = |exact: bool| {
            let path = format!("/v1/search?k=10&exact={exact}");
            let answer = other.post(&path, "image/png", &test_png(picture)).json();
            let matches = answer["matches"].as_array().unwrap().clone();
            matches
                .iter()
                .map(|found| found["score"].as_f64().unwrap())
                .collect::<Vec<_>>()
        };
        let exact = scores(true);
        wanted += exact.len();
        hits += scores(false)
            .iter()
            .filter(|score| *score >= exact.last().unwrap())
            .count();
    }
    assert!(hits * 100 >= wanted * 99, "{hits} of {wanted}");
    let liked = json!({
        "positive": ["fashion-mnist-train-1", "fashion-mnist-train-2"],
        "negative": ["fashion-mnist-train-3"],
        "k": 12, "diversity": 0.3,
    });
    let recommend = |server: &Server| {
        let answer = server.ask("POST", "/v1/recommend", &[JSON], liked.to_string().as_bytes());
        timeless(answer.json())["matches"].clone()
    };
    // Its candidates come from the index; of so few they are all.
    assert_eq!(
        recommend(&one).as_array().unwrap().len(),
        recommend(&other).as_array().unwrap().len()
    );
    let first = &one.get("/v1/products?limit=1").json()["products"][0]["pictures"][0]["id"];
    let picture = format!(
        "/v1/products/fashion-mnist-train-0/pictures/{}",
        first.as_str().unwrap()
    );
    for path in [
        "/v1/products/fashion-mnist-train-17",
        "/v1/products?limit=50&filter=%7B%22category%22%3A%22Coat%22%7D",
        &picture,
    ] {
        let (one, other) = (one.get(path), other.get(path));
        assert_eq!(
            (one.status, one.header("etag"), &one.body),
            (other.status, other.header("etag"), &other.body)
        );
    }
    drop(one);
    // And back, into a new directory.
    let back = folder.path().join("back");
    let back = back.to_str().unwrap();
    assert!(copy(&url, back).contains("3000 added"));
    let checked = Command::new(env!("CARGO_BIN_EXE_spikelens"))
        .args(["check", "--data-dir", back])
        .output()
        .unwrap();
    assert!(checked.status.success(), "{checked:?}");
}
