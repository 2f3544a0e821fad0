//! The HTTP API from a client's side: a real server over a catalogue of real pictures.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::server::{Server, run};
use crate::support::{dataset, pictures, shipped};

/// A catalogue of the first `count` training pictures.
pub fn catalogue(count: usize, arguments: &[&str]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let place = ["--data-dir", folder.path().to_str().unwrap()];
    import(count, &[&place, arguments].concat());
    folder
}

/// Imports the first `count` training pictures into the catalogue that the arguments name.
pub fn import(count: usize, arguments: &[&str]) {
    let dataset = dataset();
    let limit = count.to_string();
    let all = ["import", dataset.to_str().unwrap(), "--limit", &limit];
    let output = run(&[&all, arguments].concat());
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

pub fn test_png(index: usize) -> Vec<u8> {
    pictures("t10k", index + 1)[index].to_png().unwrap()
}

fn without_timing(mut answer: Value) -> Value {
    assert!(answer.as_object_mut().unwrap().remove("timing").is_some());
    answer
}

#[test]
fn a_picture_finds_its_like_in_all_three_ways() {
    let folder = catalogue(3000, &[]);
    let server = Server::start(folder.path(), &[]).ready();
    let png = test_png(0);

    let raw = server.post("/v1/search?k=10", "image/png", &png);
    assert_eq!(raw.status, 200);
    let raw = without_timing(raw.json());
    let matches = raw["matches"].as_array().unwrap();
    assert_eq!(matches.len(), 10);
    let boots = matches
        .iter()
        .filter(|found| found["product"]["attributes"]["category"] == "Ankle boot");
    assert!(boots.count() >= 8, "{raw}");
    let scores: Vec<f64> = matches
        .iter()
        .map(|found| found["score"].as_f64().unwrap())
        .collect();
    assert!(scores.is_sorted_by(|a, b| a >= b), "{scores:?}");
    assert_eq!(raw["prediction"]["label"], "Ankle boot");

    let mut form = Vec::new();
    for (name, kind, value) in [
        ("k", "", b"10".as_slice()),
        (
            "image\"; filename=\"boot.png",
            "content-type: image/png\r\n",
            png.as_slice(),
        ),
    ] {
        form.extend(format!("--X\r\ncontent-disposition: form-data; name=\"{name}\"\r\n{kind}\r\n").bytes());
        form.extend(value);
        form.extend(b"\r\n");
    }
    form.extend(b"--X--\r\n");
    let form = server.post("/v1/search", "multipart/form-data; boundary=X", &form);
    assert_eq!(without_timing(form.json()), raw);

    let base64 = STANDARD.encode(&png);
    for image in [base64.clone(), format!("data:image/png;base64,{base64}")] {
        let body = json!({"image": image, "k": 10}).to_string();
        let answer = server.post("/v1/search", "application/json", body.as_bytes());
        assert_eq!(without_timing(answer.json()), raw);
    }
}

#[test]
fn an_embedding_is_searched_like_its_picture() {
    let folder = catalogue(2500, &[]);
    let server = Server::start(folder.path(), &[]).ready();
    let png = test_png(3);
    let embedded = server.post("/v1/embeddings", "image/png", &png).json();
    assert_eq!(
        embedded["dimensions"],
        embedded["embedding"].as_array().unwrap().len()
    );
    let parts = |figure: &str| embedded["emulation"]["energy_mj"][figure].as_f64().unwrap();
    assert!((parts("static") + parts("dynamic") - parts("total")).abs() < 1e-12);
    let layers = embedded["emulation"]["layers"].as_array().unwrap();
    for figure in ["spikes", "synaptic_operations"] {
        let sum: u64 = layers.iter().map(|layer| layer[figure].as_u64().unwrap()).sum();
        assert_eq!(Some(sum), embedded["emulation"][figure].as_u64());
    }

    let by_picture = server.post("/v1/search?exact=true", "image/png", &png).json();
    let body = json!({"embedding": embedded["embedding"], "exact": true}).to_string();
    let by_embedding = server
        .post("/v1/search", "application/json", body.as_bytes())
        .json();
    assert_eq!(by_embedding["matches"], by_picture["matches"]);
    assert!(by_embedding.get("emulation").is_none());

    let least = by_picture["matches"][4]["score"].as_f64().unwrap();
    let path = format!("/v1/search?exact=true&min_score={least}");
    let above = server.post(&path, "image/png", &png).json();
    assert_eq!(
        above["matches"].as_array().unwrap()[..],
        by_picture["matches"].as_array().unwrap()[..5]
    );
}

#[test]
fn what_is_wrong_is_refused_with_its_name() {
    let folder = catalogue(50, &[]);
    let server = Server::start(folder.path(), &["--max-body-bytes", "100000"]).ready();
    let png = test_png(0);
    let refusal = |path: &str, content_type: &str, body: &[u8]| {
        let answer = server.post(path, content_type, body);
        let (status, code) = answer.problem();
        let field = answer.json()["errors"][0]["field"]
            .as_str()
            .unwrap_or("")
            .to_owned();
        (status, code, field)
    };
    let expected = |status: u16, code: &str, field: &str| (status, code.to_owned(), field.to_owned());

    for value in ["0", "100000", "abc", "-1", "1.5", ""] {
        let found = refusal(&format!("/v1/search?time_steps={value}"), "image/png", &png);
        assert_eq!(found, expected(400, "invalid_request", "time_steps"), "{value}");
    }
    for (query, field) in [
        ("k=0", "k"),
        ("k=101", "k"),
        ("colour=red", "colour"),
        ("probe=membrane", "probe"),
        ("min_score=2", "min_score"),
        ("exact=perhaps", "exact"),
        ("prepare=nicely", "prepare"),
        ("k=1&k=2", "k"),
        ("image=abc", "image"),
    ] {
        let found = refusal(&format!("/v1/search?{query}"), "image/png", &png);
        assert_eq!(found, expected(400, "invalid_request", field), "{query}");
    }
    for (body, field) in [
        ("", ""),
        ("{", ""),
        ("[]", ""),
        ("{}", "image"),
        (r#"{"image": 7}"#, "image"),
        (r#"{"image": "no base64!"}"#, "image"),
        (r#"{"embedding": [1, 2]}"#, "embedding"),
        (r#"{"embedding": [1.5]}"#, "embedding"),
        (r#"{"embedding": [99999999999]}"#, "embedding"),
        (r#"{"embedding": [1], "time_steps": 3}"#, "embedding"),
        (r#"{"picture": ""}"#, "picture"),
        (r#"{"k": [1]}"#, "k"),
    ] {
        let found = refusal("/v1/search", "application/json", body.as_bytes());
        assert_eq!(found, expected(400, "invalid_request", field), "{body}");
    }
    let undecodable = expected(422, "undecodable_image", "");
    assert_eq!(refusal("/v1/search", "image/png", b"not a picture"), undecodable);
    assert_eq!(refusal("/v1/search", "image/png", b""), undecodable);
    assert_eq!(
        refusal("/v1/search", "image/png", &png[..png.len() / 2]),
        undecodable
    );
    let unsupported = expected(415, "unsupported_media_type", "");
    assert_eq!(refusal("/v1/search", "text/plain", &png), unsupported);
    assert_eq!(refusal("/v1/search", "multipart/form-data", &png).0, 400);
    assert_eq!(
        refusal("/v1/search", "image/png", &vec![0; 200_000]),
        expected(413, "too_large", "")
    );
    assert_eq!(
        refusal("/v1/search", "image/png", &claiming(30_000, 30_000)),
        expected(413, "too_large", "")
    );

    let black = engine::picture::Picture::new(ndarray::Array3::zeros((1, 28, 28))).unwrap();
    let black = black.to_png().unwrap();
    let empty = json!({"embedding": vec![0; shipped().network.embedding_dimensions()]}).to_string();
    let found = refusal("/v1/search", "application/json", empty.as_bytes());
    assert_eq!(found, expected(422, "empty_embedding", ""));
    assert_eq!(server.post("/v1/embeddings", "image/png", &black).status, 200);
}

/// A PNG whose header claims a larger size than its data has.
fn claiming(width: u32, height: u32) -> Vec<u8> {
    let mut header = b"IHDR".to_vec();
    header.extend(width.to_be_bytes());
    header.extend(height.to_be_bytes());
    header.extend([8, 0, 0, 0, 0]);
    let mut checksum = flate2::Crc::new();
    checksum.update(&header);
    let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\x0d".to_vec();
    png.extend(&header);
    png.extend(checksum.sum().to_be_bytes());
    png.extend(b"\0\0\0\0IDAT\x35\xaf\x06\x1e\0\0\0\0IEND\xae\x42\x60\x82");
    png
}

#[test]
fn what_the_framework_refuses_is_a_problem_too() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &[]).ready();
    assert_eq!(server.get("/nowhere").problem(), (404, "not_found".to_owned()));
    assert_eq!(server.get("/v1/model/").problem().0, 404);
    for (method, path) in [
        ("GET", "/v1/search"),
        ("DELETE", "/v1/model"),
        ("PUT", "/healthz"),
    ] {
        let answer = server.ask(method, path, &[], b"");
        assert_eq!(
            answer.problem(),
            (405, "method_not_allowed".to_owned()),
            "{method} {path}"
        );
        let allow = answer.header("allow").unwrap();
        assert!(!allow.contains(method) && !allow.is_empty(), "{allow}");
    }
    // A search in an empty catalogue returns no matches and is not an error.
    let answer = server.post("/v1/search", "image/png", &test_png(0));
    assert_eq!(answer.json()["matches"], json!([]));
}

#[test]
fn a_request_id_is_taken_or_made() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &[]);
    let taken = server.ask("GET", "/nowhere", &[("x-request-id", "order-66")], b"");
    assert_eq!(taken.json()["request_id"], "order-66");
    let long = "x".repeat(200);
    for bad in ["", "two words", &long] {
        let made = server.ask("GET", "/healthz", &[("x-request-id", bad)], b"");
        assert_eq!(made.header("x-request-id").unwrap().len(), 36, "{bad}");
    }
}

#[test]
fn the_model_and_the_description_are_served() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &[]);
    let model = server.get("/v1/model").json();
    let names: Vec<&str> = model["layers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|layer| layer["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["input", "conv1", "conv2", "dense1", "dense2"]);
    let inspected = run(&["inspect", "fashion-mnist", "--format", "json"]);
    let inspected: Value = serde_json::from_slice(&inspected.stdout).unwrap();
    assert_eq!(inspected["model"], model);
    let mut chip = server.get("/v1/chip").json();
    assert!(
        chip.as_object_mut()
            .unwrap()
            .remove("pool")
            .unwrap()
            .as_u64()
            .unwrap()
            >= 1
    );
    assert_eq!(inspected["chip"], chip);
    let described = server.get("/openapi.yaml");
    let file = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.yaml")).unwrap();
    assert_eq!(described.body, file);
}

#[test]
fn equal_requests_get_equal_answers_from_every_chip() {
    let folder = catalogue(300, &[]);
    let one = Server::start(folder.path(), &["--chips", "1"]).ready();
    let png = test_png(5);
    let alone = without_timing(one.post("/v1/search", "image/png", &png).json());
    drop(one);
    let many = Server::start(folder.path(), &["--chips", "4"]).ready();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..5 {
                    let answer = many.post("/v1/search", "image/png", &png).json();
                    assert_eq!(without_timing(answer), alone);
                }
            });
        }
    });
}

#[test]
fn a_second_start_loads_the_stored_index_and_rebuilds_a_damaged_one() {
    let folder = catalogue(2500, &[]);
    let png = test_png(8);
    let search = || {
        let server = Server::start(folder.path(), &[]).ready();
        without_timing(server.post("/v1/search", "image/png", &png).json())
    };
    let built = search();
    let links = folder.path().join("index.links");
    let written = std::fs::metadata(&links).unwrap().modified().unwrap();
    assert_eq!(search(), built);
    assert_eq!(std::fs::metadata(&links).unwrap().modified().unwrap(), written);
    let whole = std::fs::read(&links).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    for damaged in [&flipped[..], &whole[..whole.len() - 1], b"{", b""] {
        std::fs::write(&links, damaged).unwrap();
        assert_eq!(search(), built);
        assert_ne!(std::fs::read(&links).unwrap(), damaged);
    }
    // What an older version kept is of no use, and goes.
    std::fs::remove_file(&links).unwrap();
    std::fs::create_dir(folder.path().join("index")).unwrap();
    std::fs::write(folder.path().join("index/graph.hnsw.graph"), b"older").unwrap();
    assert_eq!(search(), built);
    assert!(!folder.path().join("index").exists());
}

#[test]
fn another_probe_or_t_re_embeds_the_catalogue() {
    let folder = catalogue(300, &["--probe", "spike_count", "--time-steps", "16"]);
    let png = test_png(1);
    let server = Server::start(folder.path(), &["--probe", "membrane", "--time-steps", "32"]).settled();
    let answer = server.post("/v1/search?exact=true", "image/png", &png).json();
    assert_eq!(
        (&answer["probe"], &answer["time_steps"]),
        (&json!("membrane"), &json!(32))
    );
    drop(server);
    let fresh = catalogue(300, &["--probe", "membrane", "--time-steps", "32"]);
    let server = Server::start(fresh.path(), &[]).ready();
    let expected = server.post("/v1/search?exact=true", "image/png", &png).json();
    let scores = |answer: &Value| -> Vec<f64> {
        let matches = answer["matches"].as_array().unwrap();
        matches
            .iter()
            .map(|found| found["score"].as_f64().unwrap())
            .collect()
    };
    assert_eq!(scores(&answer), scores(&expected));
}

#[test]
fn a_signal_drains_and_leaves_with_zero() {
    let folder = catalogue(50, &[]);
    for signal in ["-TERM", "-INT"] {
        let server = Server::start(folder.path(), &[]).ready();
        let (code, time) = server.signal(signal);
        assert_eq!(code, Some(0), "{signal}");
        assert!(time < Duration::from_secs(10), "{time:?}");
    }
}

#[test]
fn a_body_that_never_ends_meets_the_time_limit() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &["--request-timeout-ms", "300"]).ready();
    let mut stream = TcpStream::connect(server.address()).unwrap();
    let start = Instant::now();
    write!(
        stream,
        "POST /v1/embeddings HTTP/1.1\r\nhost: x\r\ncontent-type: image/png\r\ncontent-length: 99\r\n\r\nabc"
    )
    .unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 504");
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_filter_holds_for_every_match_and_leaves_as_many() {
    let folder = catalogue(3000, &[]);
    let server = Server::start(folder.path(), &[]).ready();
    let png = test_png(0);
    let search = |filter: &Value, exact: bool| {
        let filter: String = form_urlencoded::byte_serialize(filter.to_string().as_bytes()).collect();
        let path = format!("/v1/search?k=10&exact={exact}&filter={filter}");
        server.post(&path, "image/png", &png).json()["matches"].clone()
    };
    let one = server.post("/v1/search?k=1", "image/png", &png).json()["matches"][0]["score"].clone();
    for (filter, category, count) in [
        (json!({"category": "Bag"}), Some("Bag"), 10),
        (
            json!({"category": {"not": "Ankle boot"}, "split": "train"}),
            None,
            10,
        ),
        (json!({"category": {"in": ["Ankle boot", "Sandal"]}}), None, 10),
        (json!({"category": "Hat"}), None, 0),
    ] {
        let found = search(&filter, false);
        let found = found.as_array().unwrap();
        assert_eq!(found.len(), count, "{filter}");
        for found in found {
            let attributes = &found["product"]["attributes"];
            assert!(category.is_none_or(|category| attributes["category"] == category));
            if filter["category"]["not"].is_string() {
                assert_ne!(attributes["category"], "Ankle boot");
            }
        }
        let scores = |found: &[Value]| -> Vec<Value> { found.iter().map(|m| m["score"].clone()).collect() };
        assert_eq!(
            scores(found),
            scores(search(&filter, true).as_array().unwrap()),
            "{filter}"
        );
    }
    assert_eq!(search(&json!({"category": "Ankle boot"}), false)[0]["score"], one);
    let body = json!({"image": STANDARD.encode(&png), "filter": {"price": {"near": 3}}}).to_string();
    let refusal = server.post("/v1/search", "application/json", body.as_bytes());
    assert_eq!(refusal.problem(), (400, "invalid_request".to_owned()));
    assert_eq!(refusal.json()["errors"][0]["field"], "filter.price.near");
    let refusal = server.post("/v1/search?filter=bag", "image/png", &png);
    assert_eq!(refusal.json()["errors"][0]["field"], "filter");
}

#[test]
fn long_work_is_refused_before_it_keeps_short_work_waiting() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &["--chips", "1"]).ready();
    let png = test_png(0);
    let plain = || server.post("/v1/search", "image/png", &png);
    // Rates are learned from what is measured here.
    (0..20).for_each(|_| assert_eq!(plain().status, 200));
    let done = std::sync::atomic::AtomicBool::new(false);
    let (long, short) = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let mut statuses = Vec::new();
                    while !done.load(std::sync::atomic::Ordering::Relaxed) {
                        let answer = server.post("/v1/search?time_steps=1024&trace=true", "image/png", &png);
                        statuses.push(answer.status);
                    }
                    statuses
                })
            })
            .collect();
        let short: Vec<u16> = (0..50).map(|_| plain().status).collect();
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        let long = clients.into_iter().map(|client| client.join().unwrap());
        (long.collect::<Vec<_>>().concat(), short)
    });
    assert_eq!(short, [200; 50]);
    assert!(long.contains(&200) && long.contains(&503), "{long:?}");
}

#[test]
fn a_full_queue_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &["--chips", "1", "--queue-ms", "1"]).ready();
    let png = test_png(0);
    let answers: Vec<_> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..16)
            .map(|_| scope.spawn(|| server.post("/v1/embeddings?time_steps=1024", "image/png", &png)))
            .collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    let refused: Vec<_> = answers.iter().filter(|answer| answer.status != 200).collect();
    assert!(
        !refused.is_empty() && refused.len() < answers.len(),
        "{} refused",
        refused.len()
    );
    for answer in refused {
        assert_eq!(answer.problem(), (503, "overloaded".to_owned()));
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
}
