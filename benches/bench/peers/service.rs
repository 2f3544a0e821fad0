//! The server beside `benches/peers/service.py`, which is FastAPI, onnxruntime and hnswlib: the same pictures in the
//! catalogue, the same searches, each server alone on one CPU, the load generator on another, in turn in each round.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use engine::chip::cost::CostModel;
use engine::model::Model;
use engine::model::built_in::BuiltIn;
use engine::picture::Picture;
use serde::Serialize;
use serde_json::Value;

use crate::http::{Memory, Server, searches};
use crate::indexing::{self, Opened, spikelens_on};
use crate::large;
use crate::load::{Connection, Load, Round, closed, open};
use crate::machine::{cpus, first_cpu, on_one_cpu, read};
use crate::python::{environment, run, source};
use crate::summary::{Ratio, Sorted};

const ANN: &str = "models/fashion-mnist.ann.safetensors";
/// Clients of the two closed loops; the second one's are also the connections of the open loop.
const CLIENTS: [usize; 2] = [1, 8];
/// The rate of the open loop, as a share of what the slower server reached in the same round.
const SHARE: f64 = 0.5;
/// Matches of each search: the interface's default.
const K: usize = 10;
/// The least share of the exact nearest products that each server must find.
const RECALL: f64 = 0.95;

/// What to run.
#[derive(Debug)]
pub struct Plan<'a> {
    pub dataset: &'a Path,
    /// The catalogue, which is made if it is missing or another one.
    pub data: &'a Path,
    pub products: usize,
    /// Test pictures, which are searched for, and the names of their classes.
    pub pictures: &'a [Picture],
    pub classes: &'a [String],
    /// How many of them are compared with an exact search.
    pub checked: usize,
    pub rounds: usize,
    /// Duration of each load of each server in each round.
    pub load: Duration,
    pub python: &'a Path,
    /// A folder for what the peer loads.
    pub work: &'a Path,
}

#[derive(Debug, Serialize)]
pub struct Service {
    pub server_cpu: usize,
    pub generator_cpu: usize,
    pub products: usize,
    pub pictures: usize,
    pub checked: usize,
    pub rounds: usize,
    pub seconds: f64,
    pub ours: Side,
    pub peer: Side,
    /// For each load, of ours to the peer's.
    pub ratios: Vec<Ratios>,
}

/// One server's figures.
#[derive(Debug, Serialize)]
pub struct Side {
    pub runtime: String,
    pub answer_bytes: usize,
    /// The share of the exact nearest products that it finds, of its own embeddings.
    pub recall: f64,
    /// The share of products found that are of the query's class.
    pub same_class: f64,
    /// From starting the process to the first answer.
    pub start_s: f64,
    pub loads: Vec<Load>,
    /// For each load: CPU time of an answer, and the share of the time that the server's CPU was busy with it.
    pub cpu: Vec<Cpu>,
    pub memory: Vec<Memory>,
}

#[derive(Debug, Serialize)]
pub struct Cpu {
    pub answer_ms: f64,
    pub busy: f64,
}

/// Ratios of rounds in which both ran directly after each other, each so that more than 1 is better for ours.
#[derive(Debug, Serialize)]
pub struct Ratios {
    /// Ours to the peer's.
    pub answers_per_s: Ratio,
    /// The peer's to ours.
    pub p50: Ratio,
    pub p99: Ratio,
    pub cpu: Ratio,
}

/// The peer's Python, installed into `folder` if it is missing.
pub fn python(folder: &Path) -> Result<PathBuf> {
    ensure!(
        cpus()? > 1,
        "a server and a load generator need a CPU each, this machine has one"
    );
    environment(folder, "peers/requirements.txt")
}

pub fn measure(plan: &Plan<'_>) -> Result<Service> {
    catalogue(plan)?;
    let folder = plan.work.join(format!("peer-{}", plan.products));
    eprintln!("  the peer's index");
    run(
        Command::new(plan.python)
            .arg(source("peers/prepare.py"))
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(ANN))
            .args([plan.dataset, &folder])
            .args([plan.products.to_string(), plan.checked.to_string()]),
        "making the peer's index",
    )?;
    let server_cpu = first_cpu()?;
    let (mut service, generator_cpu) = on_one_cpu(|| beside(plan, &folder, server_cpu))?;
    service.generator_cpu = generator_cpu;
    Ok(service)
}

/// A catalogue with its graph, both by all CPUs.
fn catalogue(plan: &Plan<'_>) -> Result<()> {
    let model = Model::read(BuiltIn::FashionMnist.file(), CostModel::Loihi1Paper)?.into();
    if !large::holds(plan.data, &model, plan.products)? {
        indexing::import(plan.dataset, plan.data, plan.products)?;
    }
    Opened::load(plan.data, &model)?.close();
    Ok(())
}

fn beside(plan: &Plan<'_>, folder: &Path, cpu: usize) -> Result<Service> {
    let (requests, _) = searches(plan.pictures)?;
    let mut ours = Running::start(|| {
        let server = Server::launch(&mut spikelens_on(cpu), plan.data)?;
        Ok((server, "spikelens".to_owned()))
    })?;
    let mut peer = Running::start(|| {
        let mut command = Command::new("taskset");
        command.args(["-c", &cpu.to_string()]).arg(plan.python);
        command.arg(source("peers/service.py")).arg(folder);
        let (server, line) =
            Server::started(&mut command, |line| line["listening"].as_str().map(str::to_owned))?;
        let runtime = line["runtime"]
            .as_str()
            .context("the peer says what it runs on")?;
        Ok((server, runtime.to_owned()))
    })?;

    eprintln!("  both against an exact search");
    let exact = exact(ours.server.address(), &requests[..plan.checked])?;
    ours.check(&requests, &exact, plan.classes)?;
    let nearest = serde_json::from_str::<Vec<Vec<String>>>(&read(folder.join("nearest.json"))?)?;
    peer.check(&requests, &nearest, plan.classes)?;

    let most = CLIENTS[CLIENTS.len() - 1];
    for server in [&ours, &peer] {
        closed(server.server.address(), &requests, most, plan.load)?;
    }
    for round in 0..plan.rounds {
        if round % 5 == 0 {
            eprintln!("  round {} of {}", round + 1, plan.rounds);
        }
        let mut both = [&mut ours, &mut peer];
        if round % 2 == 1 {
            both.reverse();
        }
        let mut slower = f64::INFINITY;
        for (kind, clients) in CLIENTS.into_iter().enumerate() {
            for server in &mut both {
                let rate = server.load(kind, |address| closed(address, &requests, clients, plan.load))?;
                if clients == most {
                    slower = slower.min(rate);
                }
            }
        }
        for server in &mut both {
            server.load(CLIENTS.len(), |address| {
                open(address, &requests, most, SHARE * slower, false, plan.load)
            })?;
        }
    }
    let ratios = ours.rounds.iter().zip(&peer.rounds);
    Ok(Service {
        server_cpu: cpu,
        generator_cpu: cpu,
        products: plan.products,
        pictures: requests.len(),
        checked: plan.checked,
        rounds: plan.rounds,
        seconds: plan.load.as_secs_f64(),
        ratios: ratios.map(|(ours, peer)| Ratios::of(ours, peer)).collect(),
        ours: ours.side()?,
        peer: peer.side()?,
    })
}

/// A server under measurement.
#[derive(Debug)]
struct Running {
    server: Server,
    runtime: String,
    start_s: f64,
    answer_bytes: usize,
    recall: f64,
    same_class: f64,
    memory: Vec<Memory>,
    /// `[kind of load][round]`
    rounds: Vec<Vec<Turn>>,
}

/// One load of one server.
#[derive(Debug)]
struct Turn {
    round: Round,
    cpu_s: f64,
}

impl Running {
    fn start(start: impl FnOnce() -> Result<(Server, String)>) -> Result<Self> {
        let began = Instant::now();
        let (mut server, runtime) = start()?;
        server.wait_until_ready()?;
        Ok(Self {
            start_s: began.elapsed().as_secs_f64(),
            memory: vec![server.memory("ready")?],
            server,
            runtime,
            answer_bytes: 0,
            recall: f64::NAN,
            same_class: f64::NAN,
            rounds: (0..=CLIENTS.len()).map(|_| Vec::new()).collect(),
        })
    }

    /// Wrong answers must not look fast.
    fn check(&mut self, requests: &[Vec<u8>], exact: &[Vec<String>], classes: &[String]) -> Result<()> {
        let mut connection = Connection::open(self.server.address())?;
        let (mut right, mut of_class, mut lengths) = (0, 0, Vec::new());
        for ((request, exact), class) in requests.iter().zip(exact).zip(classes) {
            let (body, matches) = ask(&mut connection, request)?;
            lengths.push(body as f64);
            right += matches.iter().filter(|(id, _)| exact.contains(id)).count();
            of_class += matches.iter().filter(|(_, title)| title == class).count();
        }
        let all = (exact.len() * K) as f64;
        self.recall = right as f64 / all;
        self.same_class = of_class as f64 / all;
        // A length is far below 2^52.
        self.answer_bytes = Sorted::new(lengths).median() as usize;
        ensure!(
            self.recall >= RECALL,
            "{} finds {:.3} of the exact nearest products, {RECALL} are needed",
            self.runtime,
            self.recall
        );
        Ok(())
    }

    /// Runs one load; returns its answers per second.
    fn load(&mut self, kind: usize, load: impl FnOnce(SocketAddr) -> Result<Round>) -> Result<f64> {
        let before = self.server.cpu_seconds()?;
        let round = load(self.server.address())?;
        let cpu_s = self.server.cpu_seconds()? - before;
        let rate = round.answers_per_s();
        self.rounds[kind].push(Turn { round, cpu_s });
        Ok(rate)
    }

    fn side(mut self) -> Result<Side> {
        self.memory.push(self.server.memory("after the loads")?);
        let clients = CLIENTS.into_iter().chain([CLIENTS[CLIENTS.len() - 1]]);
        let cpu = self.rounds.iter().map(|turns| {
            let sum = |of: fn(&Turn) -> f64| turns.iter().map(of).sum::<f64>();
            let cpu_s = sum(|turn| turn.cpu_s);
            Cpu {
                answer_ms: 1e3 * cpu_s / sum(|turn| turn.round.answers() as f64),
                busy: cpu_s / sum(|turn| turn.round.seconds()),
            }
        });
        let cpu = cpu.collect();
        let loads = clients.zip(self.rounds).map(|(clients, turns)| {
            let rounds: Vec<Round> = turns.into_iter().map(|turn| turn.round).collect();
            Load::of(clients, &rounds)
        });
        Ok(Side {
            runtime: self.runtime,
            answer_bytes: self.answer_bytes,
            recall: self.recall,
            same_class: self.same_class,
            start_s: self.start_s,
            loads: loads.collect(),
            cpu,
            memory: self.memory,
        })
    }
}

impl Ratios {
    fn of(ours: &[Turn], peer: &[Turn]) -> Self {
        let pairs = |of: fn(&Turn) -> f64| {
            let pairs = ours.iter().zip(peer);
            pairs.map(move |(ours, peer)| (of(ours), of(peer)))
        };
        let turned = |of| Ratio::of(pairs(of).map(|(ours, peer)| (peer, ours)));
        Self {
            answers_per_s: Ratio::of(pairs(|turn| turn.round.answers_per_s())),
            p50: turned(|turn| turn.round.sorted().median()),
            p99: turned(|turn| turn.round.sorted().p99()),
            cpu: turned(|turn| turn.cpu_s / turn.round.answers() as f64),
        }
    }
}

/// What our server finds by comparing with every embedding.
fn exact(address: SocketAddr, requests: &[Vec<u8>]) -> Result<Vec<Vec<String>>> {
    let mut connection = Connection::open(address)?;
    let plain = b"POST /v1/search HTTP/1.1";
    let found = requests.iter().map(|request| {
        let rest = request.strip_prefix(plain).context("a search")?;
        let request = [b"POST /v1/search?exact=true HTTP/1.1", rest].concat();
        let (_, matches) = ask(&mut connection, &request)?;
        Ok(matches.into_iter().map(|(id, _)| id).collect())
    });
    found.collect()
}

/// The length of the answer to a search, and id and title of each product found.
fn ask(connection: &mut Connection, request: &[u8]) -> Result<(usize, Vec<(String, String)>)> {
    let (status, body) = connection.ask(request)?;
    let text = String::from_utf8_lossy(&body);
    ensure!(status == 200, "a search was answered with {status}: {text}");
    let answer: Value = serde_json::from_slice(&body)?;
    let matches = answer["matches"].as_array().context("an answer has matches")?;
    let found = matches.iter().map(|found| {
        let (id, title) = (found["product_id"].as_str(), found["product"]["title"].as_str());
        let (id, title) = id.zip(title).context("a match has an id and a title")?;
        Ok((id.to_owned(), title.to_owned()))
    });
    let found = found.collect::<Result<Vec<_>>>()?;
    ensure!(
        found.len() == K,
        "{} products were found, {K} are right: {text}",
        found.len()
    );
    Ok((body.len(), found))
}
