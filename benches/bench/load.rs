//! A load generator: threads with one persistent connection each.
//!
//! In a closed loop each client sends its next request when it has an answer, which measures the capacity. In an open
//! loop requests are due at fixed times, independent of earlier answers, and latency counts from that time, so that a
//! server that falls behind shows it. An overload is an open loop above the capacity; its latency counts from sending,
//! because the generator's own queue grows without limit.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;

use crate::summary::{Quantiles, Sorted};

/// The results of one kind of load, over all rounds.
#[derive(Debug, Serialize)]
pub struct Load {
    pub clients: usize,
    /// Requests due per second; `None` in a closed loop.
    pub due_per_s: Option<f64>,
    /// Whether that is above the capacity.
    pub over: bool,
    pub answers_per_s: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub most_ms: f64,
    pub answers: usize,
    /// Number of answers 503 (overloaded).
    pub refused: usize,
    pub quantiles_ms: Quantiles,
    pub round_medians_ms: Vec<f64>,
}

/// One round of one kind of load.
#[derive(Debug)]
pub struct Round {
    times_ms: Vec<f64>,
    refused: usize,
    seconds: f64,
    due_per_s: Option<f64>,
    over: bool,
}

impl Round {
    pub fn answers_per_s(&self) -> f64 {
        self.times_ms.len() as f64 / self.seconds
    }

    pub fn answers(&self) -> usize {
        self.times_ms.len()
    }

    pub fn seconds(&self) -> f64 {
        self.seconds
    }

    pub fn sorted(&self) -> Sorted {
        Sorted::new(self.times_ms.clone())
    }
}

impl Load {
    /// Rounds of one length; their rates may differ.
    pub fn of(clients: usize, rounds: &[Round]) -> Self {
        let seconds: f64 = rounds.iter().map(|round| round.seconds).sum();
        let times: Vec<f64> = rounds.iter().flat_map(|round| &round.times_ms).copied().collect();
        let times = Sorted::new(times);
        let due: Option<f64> = rounds.iter().map(|round| round.due_per_s).sum();
        let medians = rounds.iter().map(|round| round.sorted().median());
        Self {
            clients,
            due_per_s: due.map(|due| due / rounds.len() as f64),
            over: rounds.iter().all(|round| round.over),
            answers_per_s: times.len() as f64 / seconds,
            p50_ms: times.median(),
            p99_ms: times.p99(),
            most_ms: times.at(1.0),
            answers: times.len(),
            refused: rounds.iter().map(|round| round.refused).sum(),
            quantiles_ms: times.quantiles(),
            round_medians_ms: medians.collect(),
        }
    }
}

/// A connection that stays open from request to request.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    bytes: Vec<u8>,
}

impl Connection {
    pub fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).context("the server cannot be reached")?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        Ok(Self {
            stream,
            bytes: Vec::new(),
        })
    }

    /// Sends a request; returns status and body.
    pub fn ask(&mut self, request: &[u8]) -> Result<(u16, Vec<u8>)> {
        self.stream.write_all(request)?;
        let mut room = [0; 16 << 10];
        let (status, start, length) = loop {
            if let Some(end) = self.bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                let (status, length) = head(&self.bytes[..end])?;
                break (status, end + 4, length);
            }
            self.fill(&mut room)?;
        };
        while self.bytes.len() < start + length {
            self.fill(&mut room)?;
        }
        let body = self.bytes[start..start + length].to_vec();
        self.bytes.drain(..start + length);
        Ok((status, body))
    }

    fn fill(&mut self, room: &mut [u8]) -> Result<()> {
        let count = self.stream.read(room).context("no answer came")?;
        ensure!(count > 0, "the server closed the connection");
        self.bytes.extend_from_slice(&room[..count]);
        Ok(())
    }
}

/// Status and length of the body.
fn head(bytes: &[u8]) -> Result<(u16, usize)> {
    let head = std::str::from_utf8(bytes)?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1));
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim())
    });
    let (Some(status), Some(length)) = (status, length) else {
        bail!("an answer has no status or no length: {head}");
    };
    Ok((status.parse()?, length.parse()?))
}

/// A closed loop of `clients` clients.
pub fn closed(address: SocketAddr, requests: &[Vec<u8>], clients: usize, time: Duration) -> Result<Round> {
    let end = Instant::now() + time;
    let next = AtomicUsize::new(0);
    run(address, requests, clients, None, false, || {
        let now = Instant::now();
        (now < end).then(|| (next.fetch_add(1, Ordering::Relaxed), now))
    })
}

/// Requests are due `rate` times a second, evenly; the next free one of `clients` sends each. With `over`, that is
/// above the capacity.
pub fn open(
    address: SocketAddr,
    requests: &[Vec<u8>],
    clients: usize,
    rate: f64,
    over: bool,
    time: Duration,
) -> Result<Round> {
    let start = Instant::now();
    let next = AtomicUsize::new(0);
    run(address, requests, clients, Some(rate), over, || {
        let index = next.fetch_add(1, Ordering::Relaxed);
        let due = Duration::from_secs_f64(index as f64 / rate);
        (due < time).then(|| (index, start + due))
    })
}

/// `next` returns the request that a free client sends, and when it is due.
fn run(
    address: SocketAddr,
    requests: &[Vec<u8>],
    clients: usize,
    rate: Option<f64>,
    over: bool,
    next: impl Fn() -> Option<(usize, Instant)> + Sync,
) -> Result<Round> {
    let start = Instant::now();
    let client = || -> Result<(Vec<f64>, usize)> {
        let mut connection = Connection::open(address)?;
        let mut times = Vec::new();
        let mut refused = 0;
        while let Some((index, due)) = next() {
            // A spinning client would take the CPU from the server; sleeping wakes about 0.06 ms late, which is
            // included.
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            let from = if over { Instant::now() } else { due };
            let (status, body) = connection.ask(&requests[index % requests.len()])?;
            let time = from.elapsed().as_secs_f64() * 1e3;
            match status {
                200 => times.push(time),
                503 => refused += 1,
                _ => bail!(
                    "a search was answered with {status}: {}",
                    String::from_utf8_lossy(&body)
                ),
            }
        }
        Ok((times, refused))
    };
    let (mut times, mut refused) = (Vec::new(), 0);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..clients).map(|_| scope.spawn(client)).collect();
        threads.into_iter().try_for_each(|thread| -> Result<()> {
            let (more, no) = thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            times.extend(more);
            refused += no;
            Ok(())
        })
    })?;
    let seconds = start.elapsed().as_secs_f64();
    ensure!(!times.is_empty(), "the server answered none of the searches");
    Ok(Round {
        times_ms: times,
        refused,
        seconds,
        due_per_s: rate,
        over,
    })
}
