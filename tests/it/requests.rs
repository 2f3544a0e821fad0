//! What real clients send, against a real server: compressed bodies and answers, marked texts, types that say little.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::api::test_png;
use crate::server::{Answer, Server};

fn empty(arguments: &[&str]) -> (tempfile::TempDir, Server) {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), arguments).ready();
    (folder, server)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn post(server: &Server, path: &str, content_type: &str, coding: &str, body: &[u8]) -> Answer {
    let headers = [("content-type", content_type), ("content-encoding", coding)];
    server.ask("POST", path, &headers, body)
}

fn line(id: &str, picture: usize) -> String {
    json!({"id": id, "image": STANDARD.encode(test_png(picture))}).to_string()
}

/// The end of an import.
fn imported(server: &Server, answer: &Answer) -> Value {
    assert_eq!(answer.status, 202, "{answer:?}");
    let path = answer.header("location").unwrap();
    let start = Instant::now();
    loop {
        let import = server.get(path).json();
        if import["state"] == "done" {
            return import;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "{import}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn compressed_bodies_are_read_like_plain_ones() {
    let (_folder, server) = empty(&[]);
    let lines = format!("{}\n{}\n", line("a", 0), line("b", 1));
    let import = post(
        &server,
        "/v1/imports",
        "application/x-ndjson",
        "gzip",
        &gzip(lines.as_bytes()),
    );
    let import = imported(&server, &import);
    assert_eq!(
        (&import["stored"], &import["failed"]),
        (&json!(2), &json!(0)),
        "{import}"
    );
    let png = test_png(1);
    let query = json!({"image": STANDARD.encode(&png), "k": 1}).to_string();
    for (content_type, body) in [("application/json", query.as_bytes()), ("image/png", &png)] {
        let found = post(&server, "/v1/search", content_type, "gzip", &gzip(body)).json();
        let plain = post(&server, "/v1/search", content_type, "identity", body).json();
        assert_eq!(found["matches"][0]["product_id"], "b");
        assert_eq!(found["matches"][0], plain["matches"][0]);
    }
    let refused = post(&server, "/v1/search", "image/png", "lz4", &png);
    assert_eq!(refused.problem(), (415, "unsupported_media_type".to_owned()));
    assert_eq!(refused.header("accept-encoding"), Some("gzip, deflate, br, zstd"));
    assert_eq!(
        server
            .post("/v1/search", "text/html", &png)
            .header("accept-encoding"),
        None
    );

    let broken = &gzip(lines.as_bytes())[..200];
    let refused = post(&server, "/v1/imports", "application/x-ndjson", "gzip", broken);
    assert_eq!(refused.problem(), (400, "invalid_request".to_owned()));
    let detail = refused.json()["detail"].clone();
    assert_eq!(detail, "the body ends before its gzip data are complete");
}

/// The most memory that a server has had, in KiB.
fn peak(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    peak.unwrap().trim_end_matches("kB").trim().parse().unwrap()
}

#[test]
fn a_body_that_decodes_to_far_more_is_refused_early_and_in_little_memory() {
    let (_folder, server) = empty(&["--request-timeout-ms", "5000"]);
    // 1 GiB in 1 MB.
    let mut bomb = GzEncoder::new(Vec::new(), Compression::best());
    let zeros = vec![b' '; 1 << 20];
    for _ in 0..1024 {
        bomb.write_all(&zeros).unwrap();
    }
    let bomb = bomb.finish().unwrap();
    let before = peak(&server);
    for (path, content_type, expected) in [
        (
            "/v1/search",
            "application/json",
            "the body is larger than 10485760 bytes",
        ),
        (
            "/v1/search",
            "image/png",
            "the body is larger than 10485760 bytes",
        ),
        (
            "/v1/imports",
            "application/x-ndjson",
            "line 1 is larger than 10485760 bytes; nothing was imported",
        ),
    ] {
        let refused = post(&server, path, content_type, "gzip", &bomb);
        assert_eq!(refused.problem(), (413, "too_large".to_owned()), "{path}");
        assert_eq!(refused.json()["detail"], expected);
    }
    let grown = peak(&server) - before;
    assert!(grown < 64 << 10, "{grown} KiB for {} bytes", bomb.len());
}

#[test]
fn a_compressed_body_that_stops_coming_meets_the_time_limit() {
    let (_folder, server) = empty(&["--request-timeout-ms", "400"]);
    let sent = gzip(line("a", 0).as_bytes());
    for path in ["/v1/search", "/v1/imports"] {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-encoding: gzip\r\n\
             content-length: {}\r\n\r\n",
            sent.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&sent[..100]).unwrap();
        let start = Instant::now();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 504", "{path}");
        assert!(start.elapsed() < Duration::from_secs(5), "{path}");
    }
}

fn unzipped(answer: &Answer) -> Vec<u8> {
    let mut bytes = Vec::new();
    GzDecoder::new(&answer.body[..]).read_to_end(&mut bytes).unwrap();
    bytes
}

#[test]
fn answers_are_compressed_where_it_is_asked_for_and_worth_it() {
    let (_folder, server) = empty(&[]);
    imported(
        &server,
        &server.post("/v1/imports", "application/x-ndjson", line("a", 0).as_bytes()),
    );
    let accept = |path: &str, codings: &str| server.ask("GET", path, &[("accept-encoding", codings)], b"");
    let plain = server.get("/v1/chip");
    assert_eq!(
        (plain.header("content-encoding"), plain.header("vary")),
        (None, Some("accept-encoding"))
    );
    for path in [
        "/v1/chip",
        "/openapi.yaml",
        "/metrics",
        "/",
        "/catalogue",
        "/status",
    ] {
        let answer = accept(path, "gzip");
        assert_eq!(answer.header("content-encoding"), Some("gzip"), "{path}");
        assert_eq!(answer.header("vary"), Some("accept-encoding"), "{path}");
        let whole = unzipped(&answer);
        assert!(
            answer.body.len() * 2 < whole.len(),
            "{path}: {} of {}",
            answer.body.len(),
            whole.len()
        );
        if path != "/metrics" {
            assert!(whole == server.get(path).body, "{path}");
        }
        for coding in ["br", "zstd"] {
            let answer = accept(path, &format!("{coding}, gzip;q=0.5"));
            assert_eq!(answer.header("content-encoding"), Some(coding), "{path}");
            assert!(answer.body.len() * 2 < whole.len(), "{path}");
        }
    }
    let picture = server.get("/v1/products/a").json()["pictures"][0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let picture = format!("/v1/products/a/pictures/{picture}");
    for (path, codings) in [
        ("/healthz", "gzip"),
        (&picture, "gzip, br"),
        ("/v1/chip", "gzip;q=0, identity"),
    ] {
        assert_eq!(accept(path, codings).header("content-encoding"), None, "{path}");
    }
    assert!(accept(&picture, "gzip").header("etag").unwrap().starts_with('"'));

    // One tag for all codings: a weak one.
    let tags =
        ["identity", "gzip", "br"].map(|coding| accept("/", coding).header("etag").unwrap().to_owned());
    assert!(
        tags[0].starts_with("W/\"") && tags.iter().all(|tag| *tag == tags[0]),
        "{tags:?}"
    );
    let known = [("accept-encoding", "br"), ("if-none-match", &tags[0])];
    let known = server.ask("GET", "/", &known, b"");
    assert_eq!((known.status, known.body.len()), (304, 0));
    assert_eq!(known.header("vary"), Some("accept-encoding"));
}

#[test]
fn a_byte_order_mark_does_not_lose_the_first_line_of_an_import() {
    let (_folder, server) = empty(&[]);
    let body = format!("\u{feff}{}\r\n\u{feff}{}", line("a", 0), line("b", 1));
    for content_type in ["application/x-ndjson", "application/x-www-form-urlencoded"] {
        let import = imported(
            &server,
            &server.post("/v1/imports", content_type, body.as_bytes()),
        );
        assert_eq!(
            (&import["stored"], &import["errors"]),
            (&json!(2), &json!([])),
            "{content_type}"
        );
    }
    let only = imported(
        &server,
        &server.post("/v1/imports", "text/plain", "\u{feff}\n".as_bytes()),
    );
    assert_eq!(only["received"], 0);
    let utf16: Vec<u8> = body.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let refused = server.post("/v1/imports", "application/x-ndjson", &utf16);
    assert_eq!(refused.problem().0, 400);
    assert_eq!(
        refused.json()["detail"],
        "the body is UTF-16; it must be UTF-8; nothing was imported"
    );
}

#[test]
fn a_picture_is_stored_by_its_bytes_whatever_its_type_is_said_to_be() {
    let (_folder, server) = empty(&[]);
    let jpeg = {
        let mut bytes = std::io::Cursor::new(Vec::new());
        let gray = image::GrayImage::from_fn(64, 64, |x, y| image::Luma([(x * y / 16) as u8]));
        gray.write_to(&mut bytes, image::ImageFormat::Jpeg).unwrap();
        bytes.into_inner()
    };
    let types = [
        "image/png",
        "image/jpg",
        "image/*",
        "application/octet-stream",
        "application/x-www-form-urlencoded",
    ];
    let given = types.map(|content_type| vec![("content-type", content_type)]);
    for headers in given.into_iter().chain([vec![]]) {
        let answer = server.ask("PUT", "/v1/products/a?title=A", &headers, &jpeg);
        assert!([200, 201].contains(&answer.status), "{headers:?}: {answer:?}");
        assert_eq!(
            answer.json()["pictures"][0]["content_type"],
            "image/jpeg",
            "{headers:?}"
        );
    }
    let typed = b"--X\r\ncontent-disposition: form-data; name=\"image\"; filename=\"a\"\r\ncontent-type: text/html\r\n\r\n";
    let form = [&typed[..], &jpeg, b"\r\n--X--\r\n"].concat();
    let answer = server.post(
        "/v1/products/a/pictures",
        "multipart/form-data; boundary=X",
        &form,
    );
    assert_eq!(
        (answer.status, &answer.json()["content_type"]),
        (201, &json!("image/jpeg"))
    );
}
