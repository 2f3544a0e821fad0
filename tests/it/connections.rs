//! Connections when all of them are taken, requests that are refused early, and a server whose files or log hang.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::server::{Server, spikelens};

fn started(arguments: &[&str]) -> (tempfile::TempDir, Server) {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), arguments).ready();
    // The connections of the readiness checks may still be closing.
    std::thread::sleep(Duration::from_millis(200));
    (folder, server)
}

/// What a raw request is answered with, up to its end or the connection's.
fn raw(server: &Server, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(request).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// A connection in the middle of a request's body: neither idle nor answered.
fn asking(server: &Server) -> TcpStream {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    let head = "POST /v1/search HTTP/1.1\r\nhost: test\r\ncontent-type: image/png\r\nconnection: close\r\n\
                content-length: 5\r\n\r\n12";
    stream.write_all(head.as_bytes()).unwrap();
    stream
}

#[test]
fn health_is_told_whatever_takes_the_connections() {
    let (_folder, server) = started(&["--max-connections", "3"]);
    let mut held: Vec<TcpStream> = (0..3).map(|_| asking(&server)).collect();
    std::thread::sleep(Duration::from_millis(200));
    // More than may be open over the limit.
    let silent: Vec<TcpStream> = (0..300)
        .map(|_| TcpStream::connect(server.address()).unwrap())
        .collect();
    for path in ["/healthz", "/readyz"] {
        let answer = server.get(path);
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.header("connection"), Some("close"));
    }
    let refused = server.get("/v1/model");
    assert_eq!(refused.problem(), (503, "overloaded".to_owned()));
    assert!(refused.header("retry-after").is_some());
    let start = Instant::now();
    for mut stream in silent {
        // Closed, or reset.
        let _ = stream.set_read_timeout(Some(Duration::from_secs(15)));
        assert_eq!(stream.read(&mut [0; 10]).unwrap_or(0), 0);
        assert!(
            start.elapsed() < Duration::from_secs(10),
            "it is open for too long"
        );
    }
    // Those in place are served.
    let stream = &mut held[0];
    stream.write_all(b"345").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 422"), "{answer}");
}

#[test]
fn idle_connections_give_way_to_new_ones() {
    let (_folder, server) = started(&["--max-connections", "3"]);
    let _silent = TcpStream::connect(server.address()).unwrap();
    let mut half = TcpStream::connect(server.address()).unwrap();
    half.write_all(b"GET / HTTP/1.1\r\nhost: test\r\n").unwrap();
    let mut asking = asking(&server);
    std::thread::sleep(Duration::from_millis(1300));
    for _ in 0..3 {
        assert_eq!(server.get("/v1/model").status, 200);
    }
    asking.write_all(b"345").unwrap();
    let mut answer = String::new();
    asking.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 422"), "{answer}");
}

#[test]
fn a_client_that_sends_everything_first_reads_why_it_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("keys");
    std::fs::write(&keys, "write 0123456789abcdef one\n").unwrap();
    let data = folder.path().join("data");
    let server = Server::start(&data, &["--api-keys", keys.to_str().unwrap()]).ready();
    let key = ("authorization", "Bearer 0123456789abcdef");
    let (png, text) = (("content-type", "image/png"), ("content-type", "text/html"));
    for (headers, size, status) in [
        (&[png][..], 9_000_000, 401),
        (&[key, text], 9_000_000, 415),
        (&[key, png], 30_000_000, 413),
    ] {
        let answer = server.ask("POST", "/v1/search", headers, &vec![7; size]);
        assert_eq!(answer.problem().0, status);
    }
    // Of what is far too large, not everything is read.
    let mut stream = TcpStream::connect(server.address()).unwrap();
    let head = "POST /v1/search HTTP/1.1\r\nhost: test\r\ncontent-length: 1000000000\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let piece = vec![7; 1_000_000];
    let written = (0..1000).take_while(|_| stream.write_all(&piece).is_ok()).count();
    assert!((70..110).contains(&written), "{written} MB");
}

#[test]
fn a_request_of_http_1_1_names_one_host() {
    let (_folder, server) = started(&[]);
    for (head, status) in [
        ("GET /healthz HTTP/1.1\r\nconnection: close\r\n\r\n", 400),
        (
            "GET /healthz HTTP/1.1\r\nhost: a\r\nhost: b\r\nconnection: close\r\n\r\n",
            400,
        ),
        ("GET /healthz HTTP/1.1\r\nhost:\r\nconnection: close\r\n\r\n", 200),
        ("GET /healthz HTTP/1.0\r\n\r\n", 200),
    ] {
        let answer = raw(&server, head.as_bytes());
        assert_eq!(answer[9..12], status.to_string(), "{head}: {answer}");
    }
}

#[test]
fn wrong_keys_are_counted_by_address_and_right_ones_are_still_admitted() {
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("keys");
    std::fs::write(&keys, "read 0123456789abcdef one\n").unwrap();
    let data = folder.path().join("data");
    let arguments = ["--api-keys", keys.to_str().unwrap(), "--rate-limit", "5"];
    let server = Server::start(&data, &arguments).ready();
    let ask = |key: &str| {
        let bearer = format!("Bearer {key}");
        server
            .ask("GET", "/v1/model", &[("authorization", &bearer)], b"")
            .status
    };
    let tried: Vec<u16> = (0..40).map(|_| ask("fedcba9876543210")).collect();
    assert!(tried.starts_with(&[401; 5]) && tried.contains(&429), "{tried:?}");
    assert_eq!(ask("0123456789abcdef"), 200);
}

#[test]
fn a_file_of_keys_that_hangs_changes_nothing_and_stops_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("keys");
    std::fs::write(&keys, "read 0123456789abcdef one\n").unwrap();
    let data = folder.path().join("data");
    let server = Server::start(&data, &["--api-keys", keys.to_str().unwrap()]).ready();
    std::fs::remove_file(&keys).unwrap();
    assert!(Command::new("mkfifo").arg(&keys).status().unwrap().success());
    let id = server.id().to_string();
    for _ in 0..10 {
        assert!(
            Command::new("kill")
                .args(["-HUP", &id])
                .status()
                .unwrap()
                .success()
        );
    }
    std::thread::sleep(Duration::from_millis(300));
    let key = ("authorization", "Bearer 0123456789abcdef");
    for _ in 0..10 {
        assert_eq!(server.get("/healthz").status, 200);
        assert_eq!(server.ask("GET", "/v1/model", &[key], b"").status, 200);
    }
    let (code, took) = server.signal("-TERM");
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(8), "{took:?}");
}

#[test]
fn a_log_that_nobody_reads_stops_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let (data, listen) = (folder.path().join("data"), address.to_string());
    let arguments = ["serve", "--listen", &listen, "--data-dir", data.to_str().unwrap()];
    let mut child = spikelens(&arguments)
        .args(crate::server::GRAY)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let start = Instant::now();
    let mut stream = loop {
        match TcpStream::connect(address) {
            Ok(stream) => break stream,
            Err(error) => assert!(start.elapsed() < Duration::from_secs(60), "{error}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    // A line for each answer: more than a pipe holds.
    let head = "GET /healthz HTTP/1.1\r\nhost: test\r\n\r\n";
    for _ in 0..1000 {
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200");
        let mut tail = Vec::new();
        while !tail.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            tail.push(byte[0]);
        }
        let tail = String::from_utf8(tail).unwrap();
        let length = tail
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
        stream.read_exact(&mut body).unwrap();
    }
    child.kill().unwrap();
    child.wait().unwrap();
}
