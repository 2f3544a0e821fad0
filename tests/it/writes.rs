//! Writing products and pictures over HTTP: searchable and durable once answered, and in no answer once deleted.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::api::{catalogue, test_png};
use crate::server::{Answer, Server, on_postgresql};

const JSON: (&str, &str) = ("content-type", "application/json");
const PNG: (&str, &str) = ("content-type", "image/png");

fn put(server: &Server, id: &str, picture: usize, attributes: &Value) -> Answer {
    let body = json!({
        "image": STANDARD.encode(test_png(picture)),
        "title": format!("picture {picture}"),
        "attributes": attributes,
    });
    let path = format!("/v1/products/{id}");
    server.ask("PUT", &path, &[JSON], body.to_string().as_bytes())
}

/// Id, picture and score of the best match of a test picture.
fn best(server: &Server, picture: usize, query: &str) -> Option<(String, String, f64)> {
    let path = format!("/v1/search?k=1&{query}");
    let answer = server.post(&path, "image/png", &test_png(picture));
    assert_eq!(answer.status, 200, "{answer:?}");
    let answer = answer.json();
    let found = answer["matches"].as_array().unwrap().first()?;
    Some((
        found["product_id"].as_str().unwrap().to_owned(),
        found["picture_id"].as_str().unwrap().to_owned(),
        found["score"].as_f64().unwrap(),
    ))
}

#[test]
fn a_product_is_created_found_replaced_and_removed() {
    let folder = catalogue(2200, &[]);
    let server = Server::start(folder.path(), &[]).ready();

    let created = put(&server, "b%20oot", 0, &json!({"price": 20, "sizes": ["s", "m"]}));
    assert_eq!(created.status, 201);
    assert_eq!(created.header("location"), Some("/v1/products/b%20oot"));
    let created = created.json();
    assert_eq!(created["id"], "b oot");
    assert_eq!(created["title"], "picture 0");
    assert_eq!(created["attributes"], json!({"price": 20, "sizes": ["s", "m"]}));
    assert_eq!(server.get("/v1/products/b%20oot").json(), created);
    for query in ["exact=false", "exact=true", "filter=%7B%22sizes%22%3A%22m%22%7D"] {
        let (id, _, score) = best(&server, 0, query).unwrap();
        assert_eq!((id.as_str(), score), ("b oot", 1.0), "{query}");
    }
    let first = created["pictures"][0]["id"].as_str().unwrap();
    let picture = server.get(&format!("/v1/products/b%20oot/pictures/{first}"));
    assert_eq!(picture.body, test_png(0));
    assert!(picture.header("cache-control").unwrap().contains("immutable"));

    let replaced = put(&server, "b%20oot", 1, &json!({}));
    assert_eq!(replaced.status, 200);
    let replaced = replaced.json();
    assert_eq!(replaced["created_at"], created["created_at"]);
    let second = replaced["pictures"][0]["id"].as_str().unwrap();
    assert_ne!(first, second, "an address never changes its picture");
    let gone = server.get(&format!("/v1/products/b%20oot/pictures/{first}"));
    assert_eq!(gone.problem().0, 404);
    assert_eq!(best(&server, 1, "").unwrap().0, "b oot");
    assert_ne!(best(&server, 0, "").unwrap().0, "b oot");
    assert_eq!(best(&server, 0, "filter=%7B%22sizes%22%3A%22m%22%7D"), None);

    let deleted = server.ask("DELETE", "/v1/products/b%20oot", &[], b"");
    assert_eq!((deleted.status, deleted.body.len()), (204, 0));
    assert_ne!(best(&server, 1, "exact=true").unwrap().0, "b oot");
    for (method, path) in [
        ("GET", "/v1/products/b%20oot"),
        ("DELETE", "/v1/products/b%20oot"),
        ("GET", "/v1/products/b%20oot/similar"),
    ] {
        assert_eq!(
            server.ask(method, path, &[], b"").problem().0,
            404,
            "{method} {path}"
        );
    }
    assert_eq!(server.get("/readyz").json()["pictures"], 2200);
}

#[test]
fn a_write_takes_all_three_ways_and_only_creates_where_it_shall() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &[]).ready();
    let raw = server.ask(
        "PUT",
        "/v1/products/raw?title=A%20boot&attributes=%7B%22price%22%3A5%2C%22brand%22%3Anull%7D",
        &[PNG],
        &test_png(0),
    );
    assert_eq!(raw.status, 201);
    assert_eq!(
        (&raw.json()["title"], &raw.json()["attributes"]),
        (&json!("A boot"), &json!({"price": 5}))
    );
    let mut form = Vec::new();
    for (name, value) in [
        ("title", b"A pullover".as_slice()),
        ("attributes", br#"{"price": 7.5}"#),
        ("prepare", b"as_is"),
        ("image\"; filename=\"x.png", &test_png(1)),
    ] {
        form.extend(format!("--X\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n").bytes());
        form.extend(value);
        form.extend(b"\r\n");
    }
    form.extend(b"--X--\r\n");
    let multipart = [("content-type", "multipart/form-data; boundary=X")];
    let form = server.ask("PUT", "/v1/products/form", &multipart, &form);
    assert_eq!((form.status, &form.json()["title"]), (201, &json!("A pullover")));
    assert_eq!(put(&server, "json", 2, &json!({})).status, 201);

    let only_new = |id: &str| {
        let path = format!("/v1/products/{id}");
        server.ask("PUT", &path, &[PNG, ("if-none-match", "*")], &test_png(3))
    };
    assert_eq!(only_new("raw").problem(), (412, "precondition_failed".to_owned()));
    assert_eq!(only_new("new").status, 201);
    assert_eq!(server.get("/v1/products/raw").json()["title"], "A boot");
    drop(server);
    // Killed, not stopped: acknowledged writes are there.
    let server = Server::start(folder.path(), &[]).ready();
    let page = server.get("/v1/products").json();
    assert_eq!(page["products"].as_array().unwrap().len(), 4);
    assert_eq!(best(&server, 3, "").unwrap().0, "new");
}

#[test]
fn attributes_are_merged_and_filters_follow_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &[]).ready();
    put(&server, "a", 0, &json!({"price": 20, "brand": "x"}));
    let patch = |path: &str, body: Value| server.ask("PATCH", path, &[JSON], body.to_string().as_bytes());
    let patched = patch(
        "/v1/products/a",
        json!({"title": "new", "attributes": {"brand": null, "sold_out": true}}),
    );
    assert_eq!(patched.status, 200);
    assert_eq!(patched.json()["title"], "new");
    assert_eq!(
        patched.json()["attributes"],
        json!({"price": 20, "sold_out": true})
    );
    assert!(best(&server, 0, "filter=%7B%22sold_out%22%3Atrue%7D").is_some());
    assert!(best(&server, 0, "filter=%7B%22brand%22%3A%22x%22%7D").is_none());
    assert_eq!(patch("/v1/products/nobody", json!({})).problem().0, 404);
    for (body, field) in [
        (
            json!({"attributes": {"price": {"amount": 3}}}),
            "attributes.price",
        ),
        (json!({"attributes": {"sizes": [1, 2]}}), "attributes.sizes"),
        (json!({"attributes": [1]}), "attributes"),
        (json!({"title": 3}), "title"),
        (json!({"title": "x".repeat(1001)}), "title"),
        (json!({"image": "abc"}), "image"),
        (json!({"colour": "red"}), "colour"),
    ] {
        let refusal = patch("/v1/products/a", body.clone());
        assert_eq!(refusal.problem().0, 400, "{body}");
        assert_eq!(refusal.json()["errors"][0]["field"], field, "{body}");
    }
    assert_eq!(
        server.ask("PATCH", "/v1/products/a", &[PNG], b"x").problem().0,
        415
    );
}

#[test]
fn a_product_has_one_to_sixteen_pictures_and_the_score_of_its_best() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &[]).ready();
    put(&server, "a", 0, &json!({}));
    put(&server, "b", 20, &json!({}));
    let only = server.get("/v1/products/a").json()["pictures"][0]["id"].clone();
    let delete = |picture: &Value| {
        let path = format!("/v1/products/a/pictures/{}", picture.as_str().unwrap());
        server.ask("DELETE", &path, &[], b"")
    };
    assert_eq!(delete(&only).problem(), (409, "conflict".to_owned()));
    let mut last = Value::Null;
    for view in 1..16 {
        let added = server.post("/v1/products/a/pictures", "image/png", &test_png(view));
        assert_eq!(added.status, 201, "{added:?}");
        let picture = added.json();
        let path = added.header("location").unwrap().to_owned();
        assert_eq!(server.get(&path).body, test_png(view));
        last = picture["id"].clone();
        let expected = ("a".to_owned(), last.as_str().unwrap().to_owned(), 1.0);
        assert_eq!(best(&server, view, ""), Some(expected));
    }
    let full = server.post("/v1/products/a/pictures", "image/png", &test_png(16));
    assert_eq!(full.problem(), (409, "conflict".to_owned()));
    assert_eq!(delete(&last).status, 204);
    assert_ne!(best(&server, 15, "").unwrap().2, 1.0);
    assert_eq!(delete(&last).problem().0, 404);
    let nobody = server.post("/v1/products/nobody/pictures", "image/png", &test_png(1));
    assert_eq!(nobody.problem().0, 404);
    // Each product appears once, however many of its pictures are near.
    let both = server.post("/v1/search?k=10", "image/png", &test_png(3)).json();
    assert_eq!(both["matches"].as_array().unwrap().len(), 2);
}

#[test]
fn what_cannot_be_written_is_refused_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &[]).ready();
    let png = test_png(0);
    for (path, headers, body, status, field) in [
        ("/v1/products/a", vec![PNG], b"no picture".as_slice(), 422, None),
        (
            "/v1/products/a",
            vec![("content-type", "text/plain")],
            b"x",
            415,
            None,
        ),
        ("/v1/products/a", vec![JSON], b"{}", 400, Some("image")),
        ("/v1/products/a?k=3", vec![PNG], &png, 400, Some("k")),
        (
            "/v1/products/a?time_steps=4",
            vec![PNG],
            &png,
            400,
            Some("time_steps"),
        ),
        (
            "/v1/products/a?attributes=%5B%5D",
            vec![PNG],
            &png,
            400,
            Some("attributes"),
        ),
        (
            "/v1/products/a?attributes=%7B%22x%22%3A%7B%7D%7D",
            vec![PNG],
            &png,
            400,
            Some("attributes.x"),
        ),
        (
            "/v1/products/a",
            vec![PNG, ("if-none-match", "\"x\"")],
            &png,
            400,
            Some("If-None-Match"),
        ),
        ("/v1/products/%20a", vec![PNG], &png, 400, Some("id")),
        ("/v1/products/a%00", vec![PNG], &png, 400, Some("id")),
    ] {
        let refusal = server.ask("PUT", path, &headers, body);
        assert_eq!(refusal.problem().0, status, "{path}");
        assert_eq!(refusal.json()["errors"][0]["field"].as_str(), field, "{path}");
    }
    let long = format!("/v1/products/{}", "x".repeat(201));
    assert_eq!(server.ask("PUT", &long, &[PNG], &png).problem().0, 400);
    assert_eq!(server.get("/v1/products").json()["products"], json!([]));
}

#[test]
fn no_answer_shows_what_an_answered_write_has_replaced() {
    const WRITES: usize = 100;
    let folder = catalogue(30, &[]);
    let server = Server::start(folder.path(), &[]).ready();
    assert_eq!(put(&server, "changing", 0, &json!({"version": 0})).status, 201);
    let answered = AtomicUsize::new(0);
    // A loaded machine refuses some of them.
    let search = || {
        let before = answered.load(Ordering::SeqCst);
        let answer = server.post("/v1/search?k=5", "image/png", &test_png(0));
        if answer.status == 503 {
            return;
        }
        let answer = answer.json();
        let matches = answer["matches"].as_array().unwrap();
        let found = matches.iter().find(|found| found["product_id"] == "changing");
        let product = &found.unwrap()["product"];
        let version = product["attributes"]["version"].as_u64().unwrap();
        assert!(version >= before as u64, "{version} after {before}");
    };
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !ended.load(Ordering::SeqCst) {
                    search();
                }
            });
        }
        for version in 1..=WRITES {
            let written = match version % 3 {
                0 => put(&server, "changing", 0, &json!({"version": version})),
                _ => {
                    let body = json!({"attributes": {"version": version}}).to_string();
                    server.ask("PATCH", "/v1/products/changing", &[JSON], body.as_bytes())
                }
            };
            if written.status == 200 {
                answered.store(version, Ordering::SeqCst);
            }
        }
        ended.store(true, Ordering::SeqCst);
    });
    assert!(answered.load(Ordering::SeqCst) > WRITES / 2);
    if on_postgresql() {
        // Nothing is kept between two requests there.
        return;
    }
    let metrics = String::from_utf8(server.get("/metrics").body).unwrap();
    let value = |name: &str| {
        let line = metrics.lines().find(|line| line.starts_with(name)).unwrap();
        line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()
    };
    assert!(value("spikelens_product_cache_hits_total ") > value("spikelens_product_cache_misses_total "));
}
