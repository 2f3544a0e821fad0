//! Limits on what one client, or all clients together, may use; and the origins whose web pages may send requests.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::server::{Server, run};

fn empty(arguments: &[&str]) -> (tempfile::TempDir, Server) {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), arguments).ready();
    (folder, server)
}

#[test]
fn a_caller_beyond_its_rate_is_told_when_to_come_again_and_others_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("keys");
    std::fs::write(&keys, "read 0123456789abcdef one\nread fedcba9876543210 two\n").unwrap();
    let data = folder.path().join("data");
    let arguments = ["--api-keys", keys.to_str().unwrap(), "--rate-limit", "5"];
    let server = Server::start(&data, &arguments).ready();
    let ask = |key: &str| {
        let bearer = format!("Bearer {key}");
        server.ask("GET", "/v1/model", &[("authorization", &bearer)], b"")
    };
    let answers: Vec<_> = (0..40).map(|_| ask("0123456789abcdef")).collect();
    let (taken, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    assert!(taken.len() >= 5 && !refused.is_empty(), "{} taken", taken.len());
    for answer in refused {
        assert_eq!(answer.problem(), (429, "rate_limited".to_owned()));
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
    assert_eq!(ask("fedcba9876543210").status, 200);
    for _ in 0..20 {
        assert_eq!(
            server.get("/healthz").status,
            200,
            "health checks and metrics are not limited"
        );
    }
}

#[test]
fn only_named_origins_may_ask_from_a_browser() {
    let (_folder, server) = empty(&["--cors-origin", "https://shop.example,http://localhost:3000"]);
    let allowed = |origin: &str| {
        let answer = server.ask("GET", "/v1/model", &[("origin", origin)], b"");
        assert_eq!(answer.status, 200);
        answer.header("access-control-allow-origin").map(str::to_owned)
    };
    assert_eq!(
        allowed("https://shop.example").as_deref(),
        Some("https://shop.example")
    );
    assert_eq!(allowed("https://evil.example"), None);
    let asked = [
        ("origin", "http://localhost:3000"),
        ("access-control-request-method", "PUT"),
        ("access-control-request-headers", "authorization,content-type"),
    ];
    let preflight = server.ask("OPTIONS", "/v1/products/a", &asked, b"");
    assert_eq!(preflight.status, 200);
    let methods = preflight.header("access-control-allow-methods").unwrap();
    assert!(methods.contains("PUT"), "{methods}");
    let sent = preflight.header("access-control-allow-headers").unwrap();
    assert!(sent.contains("content-encoding"), "{sent}");
    let (_folder, closed) = empty(&[]);
    let answer = closed.ask("GET", "/v1/model", &[("origin", "https://shop.example")], b"");
    assert_eq!(answer.header("access-control-allow-origin"), None);
    let refused = closed.ask("OPTIONS", "/v1/model", &asked, b"");
    assert_eq!(refused.problem(), (405, "method_not_allowed".to_owned()));
}

#[test]
fn invalid_origins_and_body_limits_are_refused_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    for (arguments, expected) in [
        (
            ["--cors-origin", "https://shop.example/page"],
            "is not an origin; write https://shop.example",
        ),
        (["--rate-limit", "0"], "rate-limit"),
        (["--max-bodies-bytes", "1000"], "is less than --max-body-bytes"),
    ] {
        let mut all = vec!["serve", "--data-dir", data, "--listen", "127.0.0.1:0"];
        all.extend(arguments);
        let output = run(&all);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(expected), "{said}");
    }
}

#[test]
fn a_head_beyond_its_size_is_refused_and_the_server_lives() {
    let (_folder, server) = empty(&["--max-header-bytes", "8192"]);
    let mut stream = TcpStream::connect(server.address()).unwrap();
    let head = format!(
        "GET /healthz HTTP/1.1\r\nhost: test\r\nx-long: {}\r\n\r\n",
        "a".repeat(20_000)
    );
    // The server may close the connection before everything is written.
    let _ = stream.write_all(head.as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer);
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 431"),
        "{answer}"
    );
    assert_eq!(server.get("/healthz").status, 200);
}

#[test]
fn bodies_share_one_room() {
    let (_folder, server) = empty(&["--max-body-bytes", "100000", "--max-bodies-bytes", "150000"]);
    let mut slow = TcpStream::connect(server.address()).unwrap();
    slow.write_all(
        b"POST /v1/search HTTP/1.1\r\nhost: test\r\ncontent-type: image/png\r\ncontent-length: 90001\r\n\r\n",
    )
    .unwrap();
    slow.write_all(&[0; 90_000]).unwrap();
    std::thread::sleep(Duration::from_millis(200));
    let refused = server.post("/v1/search", "image/png", &[0; 90_000]);
    assert_eq!(refused.problem(), (503, "overloaded".to_owned()));
    assert_eq!(
        server.post("/v1/search", "image/png", &[0; 40_000]).problem().0,
        422
    );
    drop(slow);
    let start = Instant::now();
    while server.post("/v1/search", "image/png", &[0; 90_000]).status != 422 {
        assert!(
            start.elapsed() < Duration::from_secs(10),
            "the bodies' bytes are not released"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}
