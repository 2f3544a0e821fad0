//! The real executable on port 0 with its own data directory, and a small HTTP client.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::postgres::{Database, database};

/// Whether data directories stand for databases: with `SPIKELENS_TEST_STORE=postgresql`, each is a PostgreSQL database of its
/// own, so that the same tests run on both stores.
pub fn on_postgresql() -> bool {
    std::env::var_os("SPIKELENS_TEST_STORE").is_some_and(|store| store == "postgresql")
}

/// The databases that data directories stand for.
static DATABASES: Mutex<BTreeMap<PathBuf, Database>> = Mutex::new(BTreeMap::new());

/// Whether there is a catalogue in this place yet.
fn exists(data_dir: &Path) -> bool {
    match on_postgresql() {
        true => DATABASES.lock().unwrap().contains_key(data_dir),
        false => data_dir.join("catalogue.sqlite3").exists(),
    }
}

/// Names the database where the arguments name a data directory that stands for one.
fn placed(arguments: &[&str]) -> Vec<String> {
    let mut arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
    let named = arguments.iter().position(|argument| argument == "--data-dir");
    if let Some(at) = named.filter(|at| on_postgresql() && *at + 1 < arguments.len()) {
        let mut databases = DATABASES.lock().unwrap();
        let place = PathBuf::from(&arguments[at + 1]);
        let url = databases.entry(place).or_insert_with(database).url();
        arguments.splice(at..at + 2, ["--store".to_owned(), url]);
    }
    arguments
}

/// The executable, without the caller's `SPIKELENS_*` variables.
pub fn spikelens(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_spikelens"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SPIKELENS_") {
            command.env_remove(name);
        }
    }
    command.args(placed(arguments));
    command
}

/// Runs the executable to its end.
pub fn run(arguments: &[&str]) -> Output {
    spikelens(arguments).output().unwrap()
}

/// The network of most tests, which use Fashion-MNIST's pictures.
pub const GRAY: [&str; 2] = ["--model", "fashion-mnist"];

/// A running server; killed when dropped.
pub struct Server {
    child: Child,
    address: SocketAddr,
}

/// An answer of a server.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(found, _)| found == name);
        found.map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }

    /// Status and code of an error, after checking that it is a complete problem document.
    pub fn problem(&self) -> (u16, String) {
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{self:?}"
        );
        let document = self.json();
        for field in [
            "type",
            "title",
            "status",
            "detail",
            "code",
            "request_id",
            "errors",
        ] {
            assert!(!document[field].is_null(), "{field} is missing: {document}");
        }
        assert_eq!(document["status"], self.status);
        assert_eq!(document["request_id"].as_str(), self.header("x-request-id"));
        (self.status, document["code"].as_str().unwrap().to_owned())
    }
}

impl Server {
    /// Starts a server on `data_dir` and waits until it listens. A new catalogue takes the network [`GRAY`].
    pub fn start(data_dir: &Path, arguments: &[&str]) -> Self {
        let new = !exists(data_dir);
        let own = ["--model", "--restore"].iter().any(|own| arguments.contains(own));
        let gray = if new && !own { &GRAY[..] } else { &[] };
        Self::start_by(spikelens(&[]), data_dir, &[arguments, gray].concat())
    }

    /// Starts a server with these arguments alone, by a command that passes them to the executable.
    pub fn start_by(command: Command, data_dir: &Path, arguments: &[&str]) -> Self {
        let place = ["--data-dir", data_dir.to_str().unwrap()];
        Self::start_with(command, &[&place, arguments].concat())
    }

    /// Starts a server over a data directory, whatever others stand for.
    pub fn in_directory(data_dir: &Path) -> Self {
        let mut command = spikelens(&["serve", "--listen", "127.0.0.1:0"]);
        command.args(["--data-dir", data_dir.to_str().unwrap()]);
        Self::started(command)
    }

    /// Starts a server over the database at this address.
    pub fn over(url: &str, arguments: &[&str]) -> Self {
        Self::start_with(spikelens(&[]), &[&["--store", url], arguments].concat())
    }

    /// Starts a server on the catalogue that the command's arguments or variables name.
    pub fn start_with(mut command: Command, arguments: &[&str]) -> Self {
        command.args(placed(
            &[&["serve", "--listen", "127.0.0.1:0"], arguments].concat(),
        ));
        Self::started(command)
    }

    fn started(mut command: Command) -> Self {
        let mut child = command
            .args(["--log-format", "json"])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut said = String::new();
        let address = loop {
            let start = said.len();
            assert!(log.read_line(&mut said).unwrap() > 0, "the server ended: {said}");
            let Ok(line) = serde_json::from_str::<Value>(&said[start..]) else {
                continue;
            };
            if line["fields"]["message"] == "listening" {
                break line["fields"]["address"].as_str().unwrap().parse().unwrap();
            }
        };
        // The pipe must be drained, or the server would block on it.
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Self { child, address }
    }

    /// Waits until searches are answered.
    pub fn ready(self) -> Self {
        let start = Instant::now();
        while self.get("/readyz").status != 200 {
            assert!(start.elapsed() < Duration::from_secs(120), "never ready");
            std::thread::sleep(Duration::from_millis(20));
        }
        self
    }

    /// Waits until re-embedding is done.
    pub fn settled(self) -> Self {
        let server = self.ready();
        let start = Instant::now();
        while !server.get("/readyz").json()["reembedding"].is_null() {
            assert!(start.elapsed() < Duration::from_secs(300), "never settled");
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    }

    /// `/v1/stats` once the recall is measured, which is done in the background.
    pub fn measured_stats(&self) -> Answer {
        let start = Instant::now();
        loop {
            let stats = self.get("/v1/stats");
            if stats.json()["recall"]["queries"] != 0 {
                return stats;
            }
            assert!(
                start.elapsed() < Duration::from_secs(60),
                "the recall is not measured"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The process id, for signals.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], b"")
    }

    pub fn post(&self, path: &str, content_type: &str, body: &[u8]) -> Answer {
        self.ask("POST", path, &[("content-type", content_type)], body)
    }

    pub fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n");
        head.push_str(&format!("content-length: {}\r\n", body.len()));
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body).unwrap();
        read_answer(&mut stream)
    }

    /// Sends a signal; returns the exit code and how long the server took to exit.
    pub fn signal(mut self, signal: &str) -> (Option<i32>, Duration) {
        let start = Instant::now();
        let id = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args([signal, &id])
                .status()
                .unwrap()
                .success()
        );
        let status = self.child.wait().unwrap();
        (status.code(), start.elapsed())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have exited already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads one answer to its end; the server closes the connection after it.
fn read_answer(stream: &mut TcpStream) -> Answer {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let end = bytes
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .expect("a head");
    let head = std::str::from_utf8(&bytes[..end]).unwrap();
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers = lines
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let mut answer = Answer {
        status,
        headers,
        body: bytes[end + 4..].to_vec(),
    };
    if answer.header("transfer-encoding") == Some("chunked") {
        answer.body = joined(&answer.body);
    }
    answer
}

/// The chunks of a body (RFC 9112, section 7.1) without their sizes.
fn joined(mut chunks: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let end = chunks.windows(2).position(|two| two == b"\r\n").expect("a size");
        let size = std::str::from_utf8(&chunks[..end]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            return body;
        }
        body.extend(&chunks[end + 2..end + 2 + size]);
        chunks = &chunks[end + 2 + size + 2..];
    }
}
