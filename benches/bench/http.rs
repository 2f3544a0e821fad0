//! Searches over HTTP: the real executable, pictures of the test split as PNG to `POST /v1/search`.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use engine::picture::Picture;
use serde::Serialize;
use serde_json::Value;

use crate::indexing::spikelens;
use crate::load::{Connection, Load, Round, closed, open};
use crate::machine::{cpus, number, read, said};
use crate::summary::Sorted;

/// Request rates, as shares of the server's capacity.
const RATES: [f64; 2] = [0.5, 0.8];
/// The overload: its rate relative to the closed loop with the most clients, and its number of connections.
const OVERLOAD: (f64, usize) = (4.0, 1000);
/// Number of requests whose `timing` is evaluated.
const TAKEN_APART: usize = 300;
/// The parts of an answer's `timing`.
const PARTS: [&str; 4] = ["decode_ms", "queue_ms", "emulation_ms", "search_ms"];

#[derive(Debug, Serialize)]
pub struct Http {
    pub cpus: usize,
    pub rounds: usize,
    pub pictures: usize,
    pub body_bytes: usize,
    pub answer_bytes: usize,
    /// From starting the process to the first answer, with the stored graph.
    pub start_s: f64,
    /// Medians, one client.
    pub parts: Vec<Part>,
    pub loads: Vec<Load>,
    pub memory: Vec<Memory>,
}

/// Where one client's time goes.
#[derive(Debug, Serialize)]
pub struct Part {
    pub name: String,
    pub median_ms: f64,
}

/// The first start over a large catalogue builds its graph.
const LONGEST_START: Duration = Duration::from_secs(1800);

#[derive(Debug, Serialize)]
pub struct Memory {
    pub when: &'static str,
    pub resident_mib: f64,
    pub peak_mib: f64,
}

/// The running server; ended when dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    pub fn start(data: &Path) -> Result<Self> {
        Self::launch(&mut spikelens(), data)
    }

    /// Starts `program`, which is the server or runs what follows it.
    pub fn launch(program: &mut Command, data: &Path) -> Result<Self> {
        let options = [
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--log-format",
            "json",
            "--data-dir",
        ];
        let command = program.args(options).arg(data);
        let started = Self::started(command, |line| {
            (line["fields"]["message"] == "listening")
                .then(|| line["fields"]["address"].as_str().map(str::to_owned))?
        });
        Ok(started?.0)
    }

    /// Starts a server that says on stderr, in a line of JSON, where it listens; returns that line too.
    pub fn started(
        command: &mut Command,
        address: impl Fn(&Value) -> Option<String>,
    ) -> Result<(Self, Value)> {
        let mut child = command.stderr(Stdio::piped()).spawn()?;
        let mut log = BufReader::new(child.stderr.take().context("a pipe was asked for")?);
        let mut said = String::new();
        let (address, line) = loop {
            let start = said.len();
            if log.read_line(&mut said)? == 0 {
                bail!("the server ended:\n{said}");
            }
            let Ok(line) = serde_json::from_str::<Value>(&said[start..]) else {
                continue;
            };
            if let Some(address) = address(&line) {
                break (address.parse()?, line);
            }
        };
        // The pipe must be read, or the server would block when it is full.
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Ok((Self { child, address }, line))
    }

    pub fn wait_until_ready(&mut self) -> Result<()> {
        let request = b"GET /readyz HTTP/1.1\r\nhost: bench\r\n\r\n";
        let mut connection = Connection::open(self.address)?;
        let start = Instant::now();
        while connection.ask(request)?.0 != 200 {
            ensure!(
                start.elapsed() < LONGEST_START,
                "the server was not ready within {} s",
                LONGEST_START.as_secs()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The CPU time that it has used, in seconds.
    pub fn cpu_seconds(&self) -> Result<f64> {
        let stat = read(format!("/proc/{}/stat", self.child.id()))?;
        // The name before the last parenthesis may hold spaces; user and system time are the 12th and 13th after it.
        let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        let ticks = fields
            .skip(11)
            .take(2)
            .map(str::parse::<f64>)
            .sum::<Result<f64, _>>()?;
        Ok(ticks / said("getconf", &["CLK_TCK"])?.parse::<f64>()?)
    }

    pub fn memory(&self, when: &'static str) -> Result<Memory> {
        let status = read(format!("/proc/{}/status", self.child.id()))?;
        let mib = |name: &str| -> Result<f64> {
            let kib = number(&status, name).with_context(|| format!("the process has no {name}"))?;
            Ok(kib / 1024.0)
        };
        Ok(Memory {
            when,
            resident_mib: mib("VmRSS:")?,
            peak_mib: mib("VmHWM:")?,
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have exited already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs every load for `time` in each of `rounds`.
pub fn measure(data: &Path, pictures: &[Picture], rounds: usize, time: Duration) -> Result<Http> {
    ensure!(
        data.is_dir(),
        "{} does not exist; leave `indexing` in, it makes it",
        data.display()
    );
    let (requests, body_bytes) = searches(pictures)?;
    eprintln!("  starting the server");
    let start = Instant::now();
    let mut server = Server::start(data)?;
    server.wait_until_ready()?;
    let start_s = start.elapsed().as_secs_f64();
    let mut memory = vec![server.memory("ready")?];
    let address = server.address;

    let (parts, answer_bytes) = take_apart(address, &requests)?;
    let cpus = cpus()?;
    let loads = loads(address, &requests, &[1, cpus, 2 * cpus], rounds, time)?;
    memory.push(server.memory("after the loads")?);
    let again = [closed(address, &requests, OVERLOAD.1, time)?];
    let refused = Load::of(OVERLOAD.1, &again).refused;
    eprintln!("  a last overload: {refused} refused");
    memory.push(server.memory("after one more overload")?);
    Ok(Http {
        cpus,
        rounds,
        pictures: requests.len(),
        body_bytes: body_bytes / requests.len(),
        answer_bytes,
        start_s,
        parts,
        loads,
        memory,
    })
}

/// A request for each picture, and the bytes of all their bodies.
pub fn searches(pictures: &[Picture]) -> Result<(Vec<Vec<u8>>, usize)> {
    let mut body_bytes = 0;
    let requests = pictures
        .iter()
        .map(|picture| {
            let png = picture.to_png()?;
            body_bytes += png.len();
            let head = format!(
                "POST /v1/search HTTP/1.1\r\nhost: bench\r\ncontent-type: image/png\r\ncontent-length: {}\r\n\r\n",
                png.len()
            );
            Ok([head.as_bytes(), &png].concat())
        })
        .collect::<Result<Vec<Vec<u8>>>>()?;
    Ok((requests, body_bytes))
}

/// In each round, for each number of clients: a closed loop, and, for more than one client, open loops at two rates,
/// which are shares of the capacity measured just before. The overload is last in each round.
fn loads(
    address: SocketAddr,
    requests: &[Vec<u8>],
    clients: &[usize],
    rounds: usize,
    time: Duration,
) -> Result<Vec<Load>> {
    let mut clients = clients.to_vec();
    clients.dedup();
    let mut kinds: Vec<(usize, Vec<Round>)> = Vec::new();
    let (times, connections) = OVERLOAD;
    for round in 0..rounds {
        eprintln!("  round {} of {rounds}", round + 1);
        let mut kind = 0;
        let mut add = |clients: usize, round: Round| {
            if kind == kinds.len() {
                kinds.push((clients, Vec::new()));
            }
            kinds[kind].1.push(round);
            kind += 1;
        };
        let mut saturation = 0.0;
        for &clients in &clients {
            let most = closed(address, requests, clients, time)?;
            saturation = most.answers_per_s();
            add(clients, most);
            if clients == 1 && cpus()? > 1 {
                continue;
            }
            for share in RATES {
                add(
                    clients,
                    open(address, requests, clients, share * saturation, false, time)?,
                );
            }
        }
        let over = open(address, requests, connections, times * saturation, true, time)?;
        add(connections, over);
    }
    Ok(kinds
        .iter()
        .map(|(clients, rounds)| Load::of(*clients, rounds))
        .collect())
}

/// Evaluates the `timing` of answers; returns also their median length.
fn take_apart(address: SocketAddr, requests: &[Vec<u8>]) -> Result<(Vec<Part>, usize)> {
    let mut connection = Connection::open(address)?;
    let mut times = vec![Vec::new(); PARTS.len() + 2];
    let mut lengths = Vec::new();
    for request in requests.iter().cycle().take(TAKEN_APART) {
        let start = Instant::now();
        let (status, body) = connection.ask(request)?;
        let whole = start.elapsed().as_secs_f64() * 1e3;
        ensure!(
            status == 200,
            "a search was answered with {status}: {}",
            String::from_utf8_lossy(&body)
        );
        lengths.push(body.len() as f64);
        let answer: Value = serde_json::from_slice(&body)?;
        let mut rest = whole;
        for (name, times) in PARTS.iter().zip(&mut times) {
            let part = answer["timing"][name].as_f64();
            let part = part.with_context(|| format!("an answer's timing has no {name}"))?;
            times.push(part);
            rest -= part;
        }
        times[PARTS.len()].push(rest);
        times[PARTS.len() + 1].push(whole);
    }
    let names = PARTS.map(|name| name.trim_end_matches("_ms"));
    let names = names
        .into_iter()
        .chain(["HTTP, JSON, both processes' wake-ups", "whole answer"]);
    let parts = names
        .zip(times)
        .map(|(name, times)| Part {
            name: name.to_owned(),
            median_ms: Sorted::new(times).median(),
        })
        .collect();
    // A length is far below 2^52.
    Ok((parts, Sorted::new(lengths).median() as usize))
}
