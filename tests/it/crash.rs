//! The server, killed at random moments under mixed writes: acknowledged writes are there, deleted products are not.
//!
//! `SPIKELENS_CRASH_ROUNDS` sets the number of rounds, which is small by default.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::api::{catalogue, test_png};
use crate::server::{Server, run};

/// The states in which a product may be stored, as far as a client knows. One entry: the last write was acknowledged.
/// Several: it was not answered, and any of them is valid.
pub type Known = BTreeMap<String, BTreeSet<Option<String>>>;

/// One request on its own connection; `None` if the server died before the answer was complete.
fn ask(address: SocketAddr, method: &str, path: &str, kind: &str, body: &[u8]) -> Option<(u16, Vec<u8>)> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(30))).ok()?;
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(body).ok()?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).ok()?;
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).ok()?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, bytes[end + 4..].to_vec()))
}

/// A small random number generator, so that a seed reproduces a round (Marsaglia's xorshift, 2003).
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// Writes to its own products until the server is killed.
pub fn client(number: u64, address: SocketAddr, known: &Mutex<Known>, pictures: &[Vec<u8>], dice: &mut Dice) {
    let mut count = 0;
    loop {
        count += 1;
        let id = format!("client-{number}-product-{}", dice.below(12));
        let path = format!("/v1/products/{id}");
        let before = known.lock().unwrap()[&id].clone();
        let title = format!("{number}-{count}-{}", dice.0);
        let picture = &pictures[usize::try_from(dice.below(pictures.len() as u64)).unwrap()];
        let there = before.iter().any(Option::is_some);
        let (after, answer) = match dice.below(10) {
            0..=2 if there => (None, ask(address, "DELETE", &path, "text/plain", b"")),
            3..=4 if there => {
                let body = format!(r#"{{"title": "{title}"}}"#);
                let answer = ask(address, "PATCH", &path, "application/json", body.as_bytes());
                (Some(title), answer)
            }
            _ => {
                let path = format!("{path}?title={title}");
                (Some(title), ask(address, "PUT", &path, "image/png", picture))
            }
        };
        let mut known = known.lock().unwrap();
        let states = known.get_mut(&id).unwrap();
        match answer {
            Some((200 | 201 | 204, _)) => *states = BTreeSet::from([after]),
            // Not found: the delete that was not answered in the last round had been done.
            Some((404, _)) => *states = BTreeSet::from([None]),
            // It may be stored, or not: the answer is lost between the database and the server.
            Some((503, body)) if body.windows(17).any(|part| part == b"store_unavailable") => {
                states.insert(after);
            }
            Some((504, _)) => {
                states.insert(after);
            }
            Some((503, _)) => {}
            Some((status, body)) => panic!("{status}: {}", String::from_utf8_lossy(&body)),
            None => {
                states.insert(after);
                return;
            }
        }
    }
}

#[test]
fn a_killed_server_has_lost_nothing_that_it_acknowledged() {
    rounds_of_kills(&[&[]]);
}

#[test]
fn a_server_killed_while_other_embeddings_are_made_and_take_over_has_lost_nothing() {
    // Each round starts with another T: some are killed before the new embeddings are adopted, some after.
    rounds_of_kills(&[
        &["--time-steps", "9"],
        &["--time-steps", "10"],
        &["--time-steps", "10"],
    ]);
}

/// Kills one server after the other, started with these arguments in turn.
fn rounds_of_kills(arguments: &[&[&str]]) {
    let rounds: u64 = std::env::var("SPIKELENS_CRASH_ROUNDS").map_or(3, |rounds| rounds.parse().unwrap());
    // Long enough for new embeddings to be adopted in some rounds.
    let longest = if arguments.len() > 1 { 6000 } else { 1500 };
    let folder = catalogue(2100, &[]);
    let pictures: Vec<Vec<u8>> = (0..20).map(test_png).collect();
    let clients = 4;
    let known: Known = (0..clients)
        .flat_map(|client| (0..12).map(move |product| format!("client-{client}-product-{product}")))
        .map(|id| (id, BTreeSet::from([None])))
        .collect();
    let known = Mutex::new(known);
    let seed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    let seed = u64::try_from(seed % u128::from(u64::MAX)).unwrap() | 1;
    println!("seed {seed}");
    let mut dice = Dice(seed);
    for round in 0..rounds {
        let turn = usize::try_from(round).unwrap() % arguments.len();
        let server = Server::start(
            folder.path(),
            &[&["--queue-ms", "60000"], arguments[turn]].concat(),
        )
        .ready();
        check(&server, &mut known.lock().unwrap(), &pictures, round, 2100);
        let address = server.address();
        let life = Duration::from_millis(50 + dice.below(longest));
        let killed = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for number in 0..clients {
                let (known, pictures, killed) = (&known, &pictures, &killed);
                let mut dice = Dice(seed.wrapping_mul(2 * (round * 8 + number) + 3) | 1);
                scope.spawn(move || {
                    client(number, address, known, pictures, &mut dice);
                    assert!(killed.load(Ordering::SeqCst), "the server left by itself");
                });
            }
            std::thread::sleep(life);
            killed.store(true, Ordering::SeqCst);
            // Dropping the server kills it by SIGKILL: nothing is flushed or closed.
            drop(server);
        });
        let checked = run(&["check", "--data-dir", folder.path().to_str().unwrap()]);
        assert!(checked.status.success(), "round {round}: {checked:?}");
    }
    let server = Server::start(folder.path(), &[]).ready();
    check(&server, &mut known.lock().unwrap(), &pictures, rounds, 2100);
    assert_eq!(server.signal("-TERM").0, Some(0));
    // A clean shutdown saves the index; it must give the same answers.
    let server = Server::start(folder.path(), &[]).ready();
    check(&server, &mut known.lock().unwrap(), &pictures, rounds, 2100);
}

/// Every product is in one of its valid states, and searches agree with what is stored, also of `others`.
pub fn check(server: &Server, known: &mut Known, pictures: &[Vec<u8>], round: u64, others: usize) {
    for (id, states) in known.iter_mut() {
        let answer = server.get(&format!("/v1/products/{id}"));
        let found = match answer.status {
            404 => None,
            _ => Some(answer.json()["title"].as_str().unwrap().to_owned()),
        };
        assert!(
            states.contains(&found),
            "round {round}, {id}: {found:?} is none of {states:?}"
        );
        if found.is_some() {
            let similar = server.get(&format!("/v1/products/{id}/similar?k=1"));
            assert_eq!(similar.status, 200, "round {round}, {id}");
        }
        *states = BTreeSet::from([found]);
    }
    for picture in pictures {
        for exact in [false, true] {
            let path = format!("/v1/search?k=100&exact={exact}");
            let answer = server.post(&path, "image/png", picture).json();
            let matches = answer["matches"].as_array().unwrap();
            assert_eq!(matches.len(), 100);
            for found in matches {
                let id = found["product_id"].as_str().unwrap();
                if let Some(states) = known.get(id) {
                    let title = found["product"]["title"].as_str().map(str::to_owned);
                    assert!(
                        states.contains(&title),
                        "round {round}: {id} is {states:?}, found {title:?}"
                    );
                }
            }
        }
    }
    let count = known.values().filter(|states| !states.contains(&None)).count();
    let stored: Value = server.get("/v1/stats").json();
    assert_eq!(stored["pictures"], others + count, "round {round}");
}

/// The feed's line that changes a product, or removes it.
fn feed_line(number: usize) -> String {
    let id = format!("fashion-mnist-train-{number}");
    match number {
        0..200 => serde_json::json!({"id": id, "title": "merged"}).to_string(),
        _ => serde_json::json!({"id": id, "delete": true}).to_string(),
    }
}

#[test]
fn a_feed_whose_server_is_killed_is_done_once_and_loses_nothing_that_others_wrote() {
    // Of 500 products the feed changes 200 and deletes 100; it brings 200, and 200 are missing.
    let folder = catalogue(500, &[]);
    // A server takes an import over from one that was killed only after ten seconds.
    let shared = std::env::var("SPIKELENS_TEST_STORE").is_ok_and(|store| store == "postgresql");
    let kills = if shared { 1 } else { 5 };
    let mut lines: Vec<String> = (0..300).map(feed_line).collect();
    for number in 0..200 {
        lines.insert(
            number * 2,
            crate::imports::line(&format!("new-{number}"), number % 20),
        );
    }
    let server = Server::start(folder.path(), &[]).ready();
    let body = lines.join("\n");
    let answer = server.post(
        "/v1/imports?missing=delete",
        "application/x-ndjson",
        body.as_bytes(),
    );
    assert_eq!(answer.status, 202, "{answer:?}");
    let import = format!("/v1/imports/{}", answer.json()["id"].as_str().unwrap());
    let mut server = Some(server);
    let mut written: BTreeSet<String> = BTreeSet::new();
    let picture = test_png(0);
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    for kill in 0..kills {
        let running = server
            .take()
            .unwrap_or_else(|| Server::start(folder.path(), &[]).ready());
        let address = running.address();
        let life = Duration::from_millis(30 + dice.below(150));
        let killer = std::thread::spawn(move || {
            std::thread::sleep(life);
            drop(running);
        });
        // Products of others: new ones, and some that the feed does not name.
        for number in 0..50 {
            let ids = [
                format!("own-{kill}-{number}"),
                format!("fashion-mnist-train-{}", 300 + kill * 30 + number % 30),
            ];
            for id in ids {
                if let Some((200 | 201, _)) = ask(
                    address,
                    "PUT",
                    &format!("/v1/products/{id}"),
                    "image/png",
                    &picture,
                ) {
                    written.insert(id);
                }
            }
        }
        killer.join().unwrap();
        let checked = run(&["check", "--data-dir", folder.path().to_str().unwrap()]);
        assert!(checked.status.success(), "kill {kill}: {checked:?}");
    }
    let server = Server::start(folder.path(), &[]).ready();
    let report = server.get(&format!("{import}?wait=60")).json();
    assert_eq!(report["state"], "done", "{report}");
    let counts = ["received", "stored", "merged", "failed"].map(|name| report[name].as_u64().unwrap());
    assert_eq!(counts, [500, 200, 200, 0], "{report}");
    let export = server.get("/v1/export").body;
    let products = std::str::from_utf8(&export).unwrap().lines();
    let products: BTreeMap<String, String> = products
        .map(|line| {
            let product: Value = serde_json::from_str(line).unwrap();
            let text = |name: &str| product[name].as_str().unwrap().to_owned();
            (text("id"), text("title"))
        })
        .collect();
    for number in 0..200 {
        assert_eq!(
            products
                .get(&format!("fashion-mnist-train-{number}"))
                .map(String::as_str),
            Some("merged")
        );
        assert!(products.contains_key(&format!("new-{number}")), "{number}");
    }
    assert!((200..300).all(|number| !products.contains_key(&format!("fashion-mnist-train-{number}"))));
    let lost: Vec<&String> = written.iter().filter(|id| !products.contains_key(*id)).collect();
    assert!(
        lost.is_empty(),
        "acknowledged while the feed ran, and lost: {lost:?}"
    );
    // What was stored and not acknowledged may be there too, but nothing else of what is missing.
    let kept = products
        .keys()
        .filter(|id| id.starts_with("fashion-mnist-train-"))
        .count();
    assert!(
        kept - 200 <= written.iter().filter(|id| !id.starts_with("own")).count() + kills,
        "{kept}"
    );
    assert_eq!(server.get("/v1/stats").json()["products"], products.len());
}
