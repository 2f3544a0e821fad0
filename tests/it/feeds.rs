//! Feeds of a shop: imports that change, delete and replace a catalogue, exports, and removals by a filter.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::read::GzDecoder;
use serde_json::{Value, json};

use crate::api::{catalogue, test_png};
use crate::imports::{done, line, post};
use crate::server::{Answer, Server, run};

const COUNTS: [&str; 6] = ["received", "stored", "joined", "merged", "deleted", "failed"];

fn counts(import: &Value) -> [u64; 6] {
    COUNTS.map(|name| {
        import[name]
            .as_u64()
            .unwrap_or_else(|| panic!("{name}: {import}"))
    })
}

/// Imports some lines, and gives the report.
fn imported(server: &Server, path: &str, lines: &[String]) -> Value {
    let body = lines.join("\n");
    let answer = server.post(path, "application/x-ndjson", body.as_bytes());
    assert_eq!(answer.status, 202, "{answer:?}");
    let id = answer.json()["id"].as_str().unwrap().to_owned();
    let import = server.get(&format!("/v1/imports/{id}?wait=60")).json();
    assert_eq!(import["state"], "done", "{import}");
    import
}

/// All ids, in stored order.
fn ids(server: &Server) -> Vec<String> {
    let (mut ids, mut path) = (Vec::new(), "/v1/products?limit=100".to_owned());
    loop {
        let page = server.get(&path).json();
        let products = page["products"].as_array().unwrap();
        ids.extend(
            products
                .iter()
                .map(|product| product["id"].as_str().unwrap().to_owned()),
        );
        let Some(next) = page["next"].as_str() else {
            return ids;
        };
        path = format!("/v1/products?limit=100&after={next}");
    }
}

fn encoded(filter: &Value) -> String {
    form_urlencoded::byte_serialize(filter.to_string().as_bytes()).collect()
}

fn mnist(number: usize) -> String {
    format!("fashion-mnist-train-{number}")
}

#[test]
fn lines_change_and_delete_products_in_their_order() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &[]).ready();
    done(
        &server,
        &post(
            &server,
            &[line("a", 0), line("b", 1), line("c", 2), line("d", 3)].join("\n"),
        ),
    );
    let before = server.get("/v1/products/a").json();
    let large = u64::MAX;
    let import = imported(
        &server,
        "/v1/imports",
        &[
            json!({"id": "a", "title": "A", "attributes": {"n": null, "big": large, "sizes": ["40", "41"]}})
                .to_string(),
            json!({"id": "nobody", "title": "N"}).to_string(),
            json!({"id": "b", "delete": true}).to_string(),
            json!({"id": "nobody", "delete": true}).to_string(),
            json!({"id": "c", "delete": true, "title": "C"}).to_string(),
            json!({"id": "c", "attributes": {"x": {"y": 1}}}).to_string(),
            // Of two lines with one id the later one wins, whichever of them needs a chip.
            line("new", 4),
            json!({"id": "new", "delete": true}).to_string(),
            json!({"id": "d", "delete": true}).to_string(),
            line("d", 5),
            line("both", 6),
            json!({"id": "both", "title": "changed", "attributes": {"n": 1}}).to_string(),
            json!({"id": "c", "title": "changed"}).to_string(),
            line("c", 7),
        ],
    );
    // Both deletions of what was there, and the one of the new product.
    assert_eq!(counts(&import), [14, 4, 0, 3, 3, 3], "{import}");
    assert_eq!(
        (&import["missing"], &import["note"]),
        (&json!("keep"), &Value::Null)
    );
    let told: Vec<(u64, &str)> = import["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| (error["line"].as_u64().unwrap(), error["detail"].as_str().unwrap()))
        .collect();
    assert_eq!(
        told[0],
        (
            2,
            "there is no product \"nobody\" to be changed; a new one needs an image"
        )
    );
    assert_eq!(
        told[1],
        (
            5,
            "delete: is true, and title is given; a line that deletes has nothing but id and delete"
        )
    );
    assert_eq!(told[2].0, 6);
    assert!(told[2].1.starts_with("attributes.x must be"), "{told:?}");
    assert_eq!(ids(&server), ["a", "c", "d", "both"]);
    let product = |id: &str| server.get(&format!("/v1/products/{id}")).json();
    let a = product("a");
    assert_eq!(
        (&a["title"], &a["attributes"], &a["pictures"]),
        (
            &json!("A"),
            &json!({"big": large, "sizes": ["40", "41"]}),
            &before["pictures"]
        )
    );
    assert_eq!(product("both")["title"], "changed");
    assert_eq!(product("both")["attributes"], json!({"n": 1}));
    assert_eq!(
        (&product("c")["title"], &product("d")["title"]),
        (&json!("picture 7"), &json!("picture 5"))
    );
    let found = server
        .post("/v1/search?k=10&exact=true", "image/png", &test_png(1))
        .json();
    let matches = found["matches"].as_array().unwrap();
    assert_eq!(matches.len(), 4, "what was deleted is not found: {found}");
}

/// An import whose stream stays open: its head, and these lines.
fn open(server: &Server, path: &str, lines: &[String]) -> TcpStream {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    let head = "host: x\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n";
    write!(stream, "POST {path} HTTP/1.1\r\n{head}").unwrap();
    chunk(&mut stream, lines);
    stream
}

fn chunk(stream: &mut TcpStream, lines: &[String]) {
    let body = format!("{}\n", lines.join("\n"));
    write!(stream, "{:x}\r\n{body}\r\n", body.len()).unwrap();
}

#[test]
fn what_a_feed_does_not_name_is_removed_but_for_what_others_wrote_meanwhile() {
    let folder = catalogue(60, &[]);
    let server = Server::start(folder.path(), &[]).ready();
    let path = "/v1/imports?missing=delete";
    let named = |number: usize| json!({"id": mnist(number)}).to_string();
    // In the middle of the stream others write.
    let first: Vec<String> = (0..20).map(named).collect();
    let mut stream = open(&server, path, &first);
    let start = Instant::now();
    while server.get("/v1/stats").json()["imports"] == json!([]) {
        assert!(start.elapsed() < Duration::from_secs(20), "it has not begun");
        std::thread::sleep(Duration::from_millis(10));
    }
    let put = |id: &str| {
        let answer = server.ask(
            "PUT",
            &format!("/v1/products/{id}"),
            &[("content-type", "image/png")],
            &test_png(0),
        );
        assert!([200, 201].contains(&answer.status), "{answer:?}");
    };
    put("created-meanwhile");
    put(&mnist(50));
    let patched = server.ask(
        "PATCH",
        &format!("/v1/products/{}", mnist(51)),
        &[("content-type", "application/json")],
        b"{\"title\": \"changed\"}",
    );
    assert_eq!(patched.status, 200);
    let gone = server.ask("DELETE", &format!("/v1/products/{}", mnist(52)), &[], b"");
    assert_eq!(gone.status, 204);
    // One of 29 lines fails, which names a product all the same; a line without an id names none.
    let mut rest: Vec<String> = (20..26).map(named).collect();
    rest.push(json!({"id": mnist(26), "colour": "red"}).to_string());
    rest.push(json!({"id": mnist(27), "delete": true}).to_string());
    rest.push(line("new", 1));
    chunk(&mut stream, &rest);
    stream.write_all(b"0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    let id = answer
        .rsplit_once("{\"id\":\"")
        .unwrap()
        .1
        .split('"')
        .next()
        .unwrap();
    let import = server.get(&format!("/v1/imports/{id}?wait=60")).json();
    // Of 60 stay 27 that are named, and two that others wrote.
    assert_eq!(counts(&import), [29, 1, 0, 26, 30, 1], "{import}");
    assert_eq!(
        (&import["missing"], &import["note"]),
        (&json!("delete"), &Value::Null)
    );
    let mut expected: Vec<String> = (0..27).chain(50..52).map(mnist).collect();
    expected.extend(["created-meanwhile".to_owned(), "new".to_owned()]);
    assert_eq!(ids(&server), expected);
    let found = server
        .post("/v1/search?k=100&exact=true", "image/png", &test_png(1))
        .json();
    assert_eq!(found["matches"].as_array().unwrap().len(), 31);

    // More than one line in twenty fails: nothing is removed, and the report says so.
    let import = imported(&server, path, &[named(0), "nonsense".to_owned()]);
    assert_eq!(counts(&import), [2, 0, 0, 1, 0, 1]);
    assert_eq!(
        import["note"],
        "no product was removed as missing: 1 of 2 lines failed, more than 5 %"
    );
    for (path, body) in [
        (path, ""),
        (path, "\n \n"),
        ("/v1/imports?missing=all", &named(0)),
    ] {
        let refused = server.post(path, "application/x-ndjson", body.as_bytes());
        assert_eq!(refused.problem(), (400, "invalid_request".to_owned()));
        assert_eq!(refused.json()["errors"][0]["field"], "missing");
    }
    assert_eq!(ids(&server), expected);
    // A feed that came before this one, and is worked on after it began, protects nothing.
    let import = imported(&server, path, &[line("only", 2)]);
    assert_eq!(counts(&import), [1, 1, 0, 0, 31, 0], "{import}");
    assert_eq!(ids(&server), ["only"]);
}

#[test]
fn a_client_waits_for_the_end_of_an_import_or_so_many_seconds() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &["--request-timeout-ms", "700"]).ready();
    let lines: Vec<String> = (0..300)
        .map(|number| line(&number.to_string(), number % 10))
        .collect();
    let id = post(&server, &lines.join("\n"));
    let start = Instant::now();
    let import = server.get(&format!("/v1/imports/{id}?wait=60")).json();
    assert_eq!(
        (&import["state"], &import["stored"]),
        (&json!("done"), &json!(300)),
        "{import}"
    );
    assert!(start.elapsed() < Duration::from_secs(40));
    for wait in ["61", "-1", "0.5", "soon"] {
        let refused = server.get(&format!("/v1/imports/{id}?wait={wait}"));
        assert_eq!(refused.problem().0, 400);
        assert_eq!(refused.json()["errors"][0]["field"], "wait");
    }
    assert_eq!(server.get("/v1/imports/nothing?wait=5").problem().0, 404);

    // Longer than a request may take: the stream is still open.
    let mut stream = open(&server, "/v1/imports", &[line("late", 0)]);
    let start = Instant::now();
    let open_import = loop {
        let open = server.get("/v1/stats").json()["imports"].clone();
        if let Some(id) = open[0]["id"].as_str() {
            break id.to_owned();
        }
        assert!(start.elapsed() < Duration::from_secs(20));
    };
    let keeps = std::thread::spawn(move || {
        for number in 0..40 {
            std::thread::sleep(Duration::from_millis(100));
            chunk(&mut stream, &[line(&format!("late-{number}"), 0)]);
        }
        stream
    });
    let start = Instant::now();
    let import = server.get(&format!("/v1/imports/{open_import}?wait=1")).json();
    let took = start.elapsed();
    assert_eq!(import["state"], "receiving", "{import}");
    assert!(
        (Duration::from_millis(990)..Duration::from_secs(5)).contains(&took),
        "{took:?}"
    );
    let waiting = {
        let (address, path) = (server.address(), format!("/v1/imports/{open_import}?wait=60"));
        std::thread::spawn(move || {
            let mut stream = TcpStream::connect(address).unwrap();
            write!(
                stream,
                "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
            )
            .unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            (answer, Instant::now())
        })
    };
    std::thread::sleep(Duration::from_millis(300));
    let ended = Instant::now();
    let signalled = server.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &signalled])
            .status()
            .unwrap()
            .success()
    );
    let (answer, answered) = waiting.join().unwrap();
    assert!(answer.contains("\"state\":\"receiving\""), "{answer}");
    assert!(
        answered - ended < Duration::from_secs(2),
        "{:?}",
        answered - ended
    );
    drop(server);
    // The connection may be gone.
    let _ = keeps.join();
}

#[test]
fn products_that_pass_a_filter_are_removed_and_no_others() {
    let folder = catalogue(700, &[]);
    let server = Server::start(folder.path(), &[]).ready();
    let filter = encoded(&json!({"category": {"in": ["Bag", "Ankle boot"]}}));
    let all: Vec<Value> = {
        let export = server.get("/v1/export").body;
        let lines = export
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty());
        lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
    };
    assert_eq!(all.len(), 700);
    let passes = |product: &&Value| {
        ["Bag", "Ankle boot"].contains(&product["attributes"]["category"].as_str().unwrap())
    };
    let passing = all.iter().filter(passes).count();
    let delete = |query: &str| server.ask("DELETE", &format!("/v1/products{query}"), &[], b"");
    for (query, field) in [
        ("", "filter"),
        ("?dry_run=true", "filter"),
        ("?filter=null", "filter"),
        ("?filter={}&dry_run=1", "dry_run"),
    ] {
        let refused = delete(query);
        assert_eq!(refused.problem(), (400, "invalid_request".to_owned()), "{query}");
        assert_eq!(refused.json()["errors"][0]["field"], field, "{query}");
    }
    let dry = delete(&format!("?filter={filter}&dry_run=true"));
    assert_eq!((dry.status, dry.json()), (200, json!({"deleted": passing})));
    assert_eq!(ids(&server).len(), 700);
    let deleted = delete(&format!("?filter={filter}"));
    assert_eq!(
        (deleted.status, deleted.json()),
        (200, json!({"deleted": passing}))
    );
    let left: Vec<&str> = all
        .iter()
        .filter(|product| !passes(product))
        .map(|product| product["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids(&server), left);
    assert_eq!(server.get("/v1/stats").json()["pictures"], left.len());
    for exact in [true, false] {
        let found = server
            .post(
                &format!("/v1/search?k=100&exact={exact}"),
                "image/png",
                &test_png(0),
            )
            .json();
        let matches = found["matches"].as_array().unwrap();
        assert_eq!(matches.len(), 100);
        assert!(
            matches
                .iter()
                .all(|found| left.contains(&found["product_id"].as_str().unwrap()))
        );
    }
    let named = encoded(&json!({"$id": {"in": [left[0], left[1], "nobody"]}}));
    assert_eq!(delete(&format!("?filter={named}")).json(), json!({"deleted": 2}));
    assert_eq!(delete("?filter={}").json(), json!({"deleted": left.len() - 2}));
    assert_eq!(ids(&server), Vec::<String>::new());
}

/// An export's lines.
fn exported(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/x-ndjson"));
    if answer.header("content-encoding") != Some("gzip") {
        return String::from_utf8(answer.body.clone()).unwrap();
    }
    let mut text = String::new();
    GzDecoder::new(&answer.body[..])
        .read_to_string(&mut text)
        .unwrap();
    text
}

/// What searches find, without what a new catalogue numbers and times anew.
fn searched(server: &Server) -> Vec<Value> {
    let mut found = Vec::new();
    for (path, picture) in [
        ("/v1/search?k=100&exact=true", 0),
        ("/v1/search?k=100", 1),
        ("/v1/search?k=20&embedding=true", 2),
        ("/v1/search?k=50&filter=%7B%22n%22:18446744073709551615%7D", 3),
    ] {
        let mut answer = server.post(path, "image/png", &test_png(picture)).json();
        answer.as_object_mut().unwrap().remove("timing");
        for found in answer["matches"].as_array_mut().unwrap() {
            found.as_object_mut().unwrap().remove("picture_id");
            let product = found["product"].as_object_mut().unwrap();
            product.remove("created_at");
            product.remove("updated_at");
            for picture in product["pictures"].as_array_mut().unwrap() {
                picture.as_object_mut().unwrap().remove("id");
            }
        }
        found.push(answer);
    }
    found
}

/// Products with all that one can have.
fn peculiar() -> Vec<String> {
    let attributes = json!({
        "n": u64::MAX, "least": i64::MIN, "float": 0.1, "tiny": 5e-324, "huge": 1.797_693_134_862_315_7e308, "zero": -0.0,
        "yes": true, "no": false, "text": "a \"quoted\" \\ text\n\u{0} \u{1f45f}", "list": ["\u{e9}", "", "b"], "empty": [],
        "$name": "dollar", "schl\u{fc}ssel": "wert", "": ""
    });
    let mut attributes = attributes.as_object().unwrap().clone();
    attributes.remove("");
    let images = [
        STANDARD.encode(test_png(1)),
        STANDARD.encode(test_png(2)),
        STANDARD.encode(test_png(3)),
    ];
    vec![
        json!({"id": "stiefel \u{1f97e}", "title": "Stiefel \u{201e}Nord\u{201c}", "attributes": attributes, "images": images}).to_string(),
        json!({"id": "as is", "image": images[0], "prepare": "as_is"}).to_string(),
        json!({"id": "mixed", "images": images, "prepare": ["auto", "as_is", "auto"]}).to_string(),
        json!({"id": "embedded", "image": images[1], "embeddings": [[1, 2, 3]]}).to_string(),
    ]
}

#[test]
fn an_export_imported_into_an_empty_catalogue_gives_the_same_answers() {
    let folder = catalogue(600, &[]);
    let server = Server::start(folder.path(), &[]).ready();
    let report = imported(&server, "/v1/imports", &peculiar());
    assert_eq!(counts(&report), [4, 4, 0, 0, 0, 0], "{report}");
    let whole = exported(&server.get("/v1/export?pictures=true"));
    let zipped = server.ask(
        "GET",
        "/v1/export?pictures=true",
        &[("accept-encoding", "gzip")],
        b"",
    );
    assert_eq!(zipped.header("content-encoding"), Some("gzip"));
    assert_eq!(exported(&zipped), whole);
    assert_eq!(whole.lines().count(), 604);
    let (before, expected) = (ids(&server), searched(&server));
    let embedded = exported(&server.get("/v1/export?embeddings=true"));
    drop(server);

    let copies = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let copy = Server::start(copies[0].path(), &[]).ready();
    let lines: Vec<String> = whole.lines().map(str::to_owned).collect();
    let report = imported(&copy, "/v1/imports", &lines);
    assert_eq!(counts(&report), [604, 604, 0, 0, 0, 0], "{}", report["errors"]);
    assert_eq!(ids(&copy), before);
    assert_eq!(searched(&copy), expected);
    assert_eq!(exported(&copy.get("/v1/export?pictures=true")), whole);
    assert_eq!(exported(&copy.get("/v1/export?embeddings=true")), embedded);
    drop(copy);

    // Without a server.
    let file = copies[1].path().join("export.ndjson");
    std::fs::write(&file, &whole).unwrap();
    let data = copies[1].path().join("data");
    let (file, data) = (file.to_str().unwrap(), data.to_str().unwrap());
    let made = run(&["import", file, "--data-dir", data, "--model", "fashion-mnist"]);
    let said = String::from_utf8(made.stdout).unwrap();
    assert!(
        said.starts_with("604 stored, 0 joined, 0 merged, 0 deleted, 0 replaced, 0 skipped, 0 failed;"),
        "{said}"
    );
    let copy = Server::start(Path::new(data), &[]).ready();
    assert_eq!(searched(&copy), expected);
    assert_eq!(exported(&copy.get("/v1/export?pictures=true")), whole);
}

#[test]
fn an_export_has_what_was_asked_for() {
    let folder = catalogue(250, &[]);
    let server = Server::start(folder.path(), &[]).ready();
    let bags = encoded(&json!({"category": "Bag"}));
    let text = exported(&server.get(&format!("/v1/export?filter={bags}&embeddings=true")));
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(lines.len() > 10);
    for line in &lines {
        assert_eq!(line["attributes"]["category"], "Bag");
        assert!(line.get("images").is_none() && line.get("created_at").is_none());
        let embeddings = line["embeddings"].as_array().unwrap();
        assert_eq!(
            (embeddings.len(), embeddings[0].as_array().unwrap().len()),
            (1, 128)
        );
    }
    let body = json!({"embedding": lines[0]["embeddings"][0], "k": 1}).to_string();
    let found = server
        .post("/v1/search", "application/json", body.as_bytes())
        .json();
    assert_eq!(found["matches"][0]["score"], 1.0);
    for (query, field) in [
        ("pictures=yes", "pictures"),
        ("embeddings=2", "embeddings"),
        ("filter=[]", "filter"),
        ("limit=3", "limit"),
    ] {
        let refused = server.get(&format!("/v1/export?{query}"));
        assert_eq!(refused.problem(), (400, "invalid_request".to_owned()));
        assert_eq!(refused.json()["errors"][0]["field"], field);
    }
    let nothing = encoded(&json!({"category": "Hat"}));
    assert_eq!(exported(&server.get(&format!("/v1/export?filter={nothing}"))), "");
}

/// An export whose client reads only its head.
fn unread(server: &Server) -> TcpStream {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    write!(stream, "GET /v1/export?pictures=true HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    let mut head = [0; 12];
    stream.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"HTTP/1.1 200");
    stream
}

#[test]
fn an_export_outlives_the_time_limit_gives_its_place_back_and_is_cut_off_where_the_server_ends() {
    let folder = tempfile::tempdir().unwrap();
    let limits = ["--request-timeout-ms", "500", "--max-body-bytes", "3000000"];
    let server = Server::start(folder.path(), &limits).ready();
    // 30 MB in all, more than sockets hold.
    let picture = {
        let noise = image::GrayImage::from_fn(1100, 900, |x, y| {
            image::Luma([u8::try_from((x * 31 + y * y * 7 + x * y) % 251).unwrap()])
        });
        let mut file = std::io::Cursor::new(Vec::new());
        noise.write_to(&mut file, image::ImageFormat::Bmp).unwrap();
        file.into_inner()
    };
    for number in 0..30 {
        let path = format!("/v1/products/noise-{number}");
        let put = server.ask("PUT", &path, &[("content-type", "image/bmp")], &picture);
        assert_eq!(put.status, 201, "{put:?}");
    }
    let mut slow = unread(&server);
    // Meanwhile others write, to what was read and to what was not.
    let refused = {
        let others: Vec<TcpStream> = (0..7).map(|_| unread(&server)).collect();
        let refused = server.get("/v1/export").problem();
        drop(others);
        refused
    };
    assert_eq!(refused, (503, "overloaded".to_owned()));
    let start = Instant::now();
    while server.get("/v1/export").status != 200 {
        assert!(
            start.elapsed() < Duration::from_secs(10),
            "those who left have their places still"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(
        server.ask("DELETE", "/v1/products/noise-29", &[], b"").status,
        204
    );
    std::thread::sleep(Duration::from_millis(700).saturating_sub(start.elapsed()));
    let read = |stream: &mut TcpStream, most: usize| {
        let (mut bytes, mut piece) = (Vec::new(), vec![0; 1 << 20]);
        while bytes.len() < most {
            match stream.read(&mut piece) {
                Ok(0) | Err(_) => break,
                Ok(count) => bytes.extend_from_slice(&piece[..count]),
            }
        }
        bytes
    };
    let whole = |bytes: &[u8]| bytes.ends_with(b"\r\n0\r\n\r\n");
    let mut cut = unread(&server);
    write!(
        slow,
        "GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    )
    .unwrap();
    let text = String::from_utf8(read(&mut slow, usize::MAX)).unwrap();
    let last = text.rfind("HTTP/1.1 200").unwrap();
    assert!(
        whole(&text.as_bytes()[..last]),
        "the whole export, then the next answer"
    );
    assert!(
        text.contains("noise-28") && !text.contains("noise-29"),
        "as of when it is read"
    );

    let signalled = server.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &signalled])
            .status()
            .unwrap()
            .success()
    );
    std::thread::sleep(Duration::from_millis(200));
    let bytes = read(&mut cut, usize::MAX);
    assert!(
        bytes.len() < 30_000_000 && !whole(&bytes),
        "{} bytes",
        bytes.len()
    );
    drop(server);
}
