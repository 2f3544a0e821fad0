//! What an answer and the log say for those who trace requests: `Server-Timing`, and the trace of a `traceparent`.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::{Value, json};

use crate::api::{catalogue, test_png};
use crate::server::{Answer, GRAY, Server, run, spikelens};

/// The names and times of an answer's `Server-Timing`.
fn timing(answer: &Answer) -> Vec<(&str, &str)> {
    let header = answer.header("server-timing").expect("Server-Timing");
    let entries = header.split(", ").map(|entry| entry.split_once(";dur="));
    let entries: Vec<_> = entries.map(|entry| entry.expect("a duration")).collect();
    for (_, time) in &entries {
        assert!(time.parse::<f64>().unwrap() >= 0.0, "{header}");
    }
    entries
}

fn assert_is_total(answer: &Answer) {
    let names: Vec<_> = timing(answer).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["total"], "{answer:?}");
}

#[test]
fn the_times_of_an_answer_are_in_its_head_too() {
    let folder = catalogue(300, &[]);
    let server = Server::start(folder.path(), &[]).ready();
    let png = test_png(0);
    let liked = json!({"positive": ["fashion-mnist-train-0"]}).to_string();
    let searched = server.post("/v1/search?trace=true", "image/png", &png);
    for answer in [
        &searched,
        &server.post("/v1/embeddings", "image/png", &png),
        &server.get("/v1/products/fashion-mnist-train-0/similar"),
        &server.post("/v1/recommend", "application/json", liked.as_bytes()),
    ] {
        assert_eq!(answer.status, 200);
        let of_body = &answer.json()["timing"];
        let parts = ["decode", "queue", "emulation", "search", "total"];
        let expected: Vec<_> = parts
            .iter()
            .map(|part| {
                let time = of_body[format!("{part}_ms")].as_f64().unwrap();
                (*part, format!("{time:.3}"))
            })
            .collect();
        let found = timing(answer)
            .into_iter()
            .map(|(name, time)| (name, time.to_owned()));
        assert_eq!(found.collect::<Vec<_>>(), expected);
    }
    let headers = [("content-type", "image/png"), ("accept-encoding", "gzip")];
    let compressed = server.ask("POST", "/v1/search?trace=true", &headers, &png);
    assert_eq!(compressed.header("content-encoding"), Some("gzip"));
    assert!(compressed.body.len() < searched.body.len());
    assert_eq!(timing(&compressed).len(), 5);
}

#[test]
fn answers_without_times_of_their_own_give_the_total() {
    let folder = catalogue(10, &[]);
    let server = Server::start(folder.path(), &["--max-body-bytes", "100000"]).ready();
    for path in [
        "/",
        "/healthz",
        "/metrics",
        "/openapi.yaml",
        "/v1/products",
        "/v1/stats",
    ] {
        assert_is_total(&server.get(path));
    }
    let picture = server.get("/v1/products/fashion-mnist-train-0/pictures/1");
    assert_eq!(picture.header("content-type"), Some("image/png"));
    assert_is_total(&picture);
    let line = br#"{"id": "a", "image": "!"}"#;
    let import = server.post("/v1/imports", "application/x-ndjson", line);
    assert_eq!(import.status, 202);
    assert_is_total(&import);
    let refused = [
        (404, server.get("/nowhere")),
        (405, server.get("/v1/search")),
        (400, server.post("/v1/search?k=0", "image/png", b"x")),
        (413, server.post("/v1/search", "image/png", &[0; 200_000])),
        (415, server.post("/v1/search", "text/csv", b"x")),
        (422, server.post("/v1/search", "image/png", b"x")),
    ];
    for (status, answer) in refused {
        assert_eq!(answer.problem().0, status);
        assert_is_total(&answer);
    }
    let deleted = server.ask("DELETE", "/v1/products/fashion-mnist-train-0", &[], b"");
    assert_eq!(deleted.status, 204);
    assert_is_total(&deleted);
}

#[test]
fn web_pages_that_may_read_an_answer_may_read_its_times() {
    let folder = tempfile::tempdir().unwrap();
    let ask = |arguments: &[&str], origin: &str| {
        let server = Server::start(folder.path(), arguments);
        let answer = server.ask("GET", "/v1/model", &[("origin", origin)], b"");
        assert_is_total(&answer);
        let exposed = answer.header("access-control-expose-headers");
        let exposed = exposed.is_some_and(|names| names.contains("server-timing"));
        (answer.header("timing-allow-origin").map(str::to_owned), exposed)
    };
    let shop = "https://shop.example";
    let two = ["--cors-origin", "https://shop.example,http://localhost:3000"];
    assert_eq!(ask(&two, shop), (Some(shop.to_owned()), true));
    assert_eq!(ask(&two, "https://evil.example").0, None);
    assert_eq!(ask(&["--cors-origin", "*"], shop), (Some("*".to_owned()), true));
    assert_eq!(ask(&[], shop), (None, false));
}

/// A server whose log is read.
struct Logged {
    child: Child,
    log: Receiver<Value>,
    address: SocketAddr,
}

impl Logged {
    fn start(arguments: &[&str]) -> Self {
        let mut child = spikelens(&[&["serve", "--listen", "127.0.0.1:0"], arguments].concat())
            .args(GRAY)
            .args(["--log-format", "json"])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (lines, log) = channel();
        let errors = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in errors.lines().map_while(Result::ok) {
                // What is not JSON is progress.
                let _ = serde_json::from_str(&line).map(|line| lines.send(line));
            }
        });
        let mut server = Self {
            child,
            log,
            address: ([127, 0, 0, 1], 0).into(),
        };
        let listening = server.says("listening");
        server.address = listening["fields"]["address"].as_str().unwrap().parse().unwrap();
        server
    }

    /// The next line with this message.
    fn says(&self, message: &str) -> Value {
        loop {
            let line = self.log.recv_timeout(Duration::from_secs(20)).unwrap();
            if line["fields"]["message"] == message {
                return line;
            }
        }
    }

    /// Sends a request with these further lines in its head; gives the trace of its line in the log.
    fn traced(&self, lines: &str) -> String {
        let mut stream = TcpStream::connect(self.address).unwrap();
        write!(
            stream,
            "GET /healthz HTTP/1.1\r\nhost: test\r\nconnection: close\r\nx-request-id: asked\r\n{lines}\r\n"
        )
        .unwrap();
        let answered = std::io::read_to_string(stream).unwrap();
        assert!(answered.starts_with("HTTP/1.1 200"), "{answered}");
        let fields = &self.says("answered")["fields"];
        assert_eq!(fields["request_id"], "asked");
        fields["trace_id"].as_str().unwrap().to_owned()
    }
}

impl Drop for Logged {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_log_names_the_trace_of_a_request() {
    let folder = tempfile::tempdir().unwrap();
    let server = Logged::start(&["--data-dir", folder.path().to_str().unwrap()]);
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let parent = format!("traceparent: 00-{trace}-00f067aa0ba902b7-01\r\n");
    assert_eq!(server.traced(&parent), trace);
    assert_eq!(server.traced(&parent.replace("01\r\n", "00 \t\r\n")), trace);
    let long = format!("traceparent: 00-{}\r\n", "4".repeat(50_000));
    for invalid in [
        "",
        "traceparent:\r\n",
        &parent.replace("-01", "-0X"),
        &parent.replace(trace, &trace.to_uppercase()),
        &parent.replace(trace, &"0".repeat(32)),
        &format!("{parent}{parent}"),
        &long,
        &format!("{parent}{long}"),
    ] {
        let made = [(); 2].map(|()| server.traced(invalid));
        for trace_id in &made {
            let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
            assert!(trace_id.len() == 32 && trace_id.bytes().all(is_hex), "{trace_id}");
        }
        assert!(
            made[0] != made[1] && !made.contains(&trace.to_owned()),
            "{made:?}"
        );
    }
}

#[test]
fn a_collector_must_have_an_address_and_a_build_that_can_send() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |endpoint: &str| {
        let data = folder.path().to_str().unwrap();
        let output = run(&["serve", "--data-dir", data, "--otlp-endpoint", endpoint]);
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, said) = refused("127.0.0.1:4318");
    assert!(
        code == Some(2) && said.contains("is not the address of a collector; write http://127.0.0.1:4318"),
        "{said}"
    );
    if cfg!(not(feature = "otlp")) {
        let (code, said) = refused("http://127.0.0.1:4318");
        assert!(
            code == Some(1) && said.contains("cargo build --release --features otlp"),
            "{said}"
        );
    }
}
