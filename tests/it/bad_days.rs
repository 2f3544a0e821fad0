//! Bad days of a database: what clients see of each, that nothing acknowledged is lost, and that all is well soon after
//! without anybody's doing.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::api::test_png;
use crate::disk::Disk;
use crate::server::{Answer, GRAY, Server, run, spikelens};
use crate::several::{import, put};
use crate::support::postgres::{Database, Postgres, database, psql};
use crate::support::proxy::Proxy;

/// The most that a refusal may take.
const REFUSED_IN: Duration = Duration::from_millis(3000);
const PATIENT: [&str; 4] = ["--queue-ms", "60000", "--model", "fashion-mnist"];

fn timed(ask: impl FnOnce() -> Answer) -> (Answer, Duration) {
    let start = Instant::now();
    let answer = ask();
    (answer, start.elapsed())
}

fn search(server: &Server) -> Answer {
    server.post("/v1/search?k=5", "image/png", &test_png(1))
}

/// The status, after checking that a refusal is the one of a database that cannot be reached.
fn status(answer: &Answer) -> u16 {
    if answer.status == 503 {
        assert_eq!(answer.problem().1, "store_unavailable", "{answer:?}");
        assert!(answer.header("retry-after").is_some(), "{answer:?}");
    }
    answer.status
}

/// Asks until the answer has this status; returns the time.
fn until(wanted: u16, limit: u64, mut ask: impl FnMut() -> Answer) -> Duration {
    let start = Instant::now();
    loop {
        let answer = ask();
        if answer.status == wanted {
            return start.elapsed();
        }
        assert!(start.elapsed() < Duration::from_secs(limit), "{answer:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn clean(url: &str) {
    let checked = run(&["check", "--store", url]);
    assert!(checked.status.success(), "{checked:?}");
}

/// What clients saw.
#[derive(Default)]
struct Seen {
    statuses: BTreeMap<u16, usize>,
    /// The longest of each status.
    longest: BTreeMap<u16, Duration>,
    acknowledged: BTreeSet<String>,
}

impl Seen {
    fn add(&mut self, answer: &Answer, took: Duration, stored: Option<String>) {
        *self.statuses.entry(status(answer)).or_default() += 1;
        let longest = self.longest.entry(answer.status).or_default();
        *longest = took.max(*longest);
        self.acknowledged
            .extend(stored.filter(|_| matches!(answer.status, 200 | 201)));
    }
}

/// Clients that write new products and search, until they are stopped.
fn load(servers: &[&Server], clients: usize, seen: &Mutex<Seen>, during: impl FnOnce()) {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for client in 0..clients {
            let (server, stop) = (servers[client % servers.len()], &stop);
            scope.spawn(move || {
                for count in 0.. {
                    if stop.load(Ordering::SeqCst) {
                        return;
                    }
                    let id = format!("new-{client}-{count}");
                    let (answer, took) = timed(|| put(server, &id, count % 20, &json!({"by": "load"})));
                    seen.lock().unwrap().add(&answer, took, Some(id));
                    let (answer, took) = timed(|| search(server));
                    seen.lock().unwrap().add(&answer, took, None);
                }
            });
        }
        during();
        stop.store(true, Ordering::SeqCst);
    });
}

fn nothing_is_lost(server: &Server, seen: &Seen) {
    assert!(!seen.acknowledged.is_empty());
    let lost: Vec<_> = seen
        .acknowledged
        .iter()
        .filter(|id| server.get(&format!("/v1/products/{id}")).status != 200)
        .collect();
    assert!(lost.is_empty(), "{lost:?} of {}", seen.acknowledged.len());
}

/// A server that may not have begun to listen.
struct Starting {
    child: Child,
    log: Receiver<String>,
    since: Instant,
}

impl Starting {
    fn over(url: &str) -> Self {
        let arguments = [
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--log-format",
            "json",
            "--store",
            url,
        ];
        let mut child = spikelens(&arguments)
            .args(GRAY)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (lines, log) = channel();
        let errors = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in errors.lines().map_while(Result::ok) {
                let _ = lines.send(line);
            }
        });
        Self {
            child,
            log,
            since: Instant::now(),
        }
    }

    /// The fields of the next line with this message, and when it came.
    fn says(&self, message: &str) -> (Value, Duration) {
        loop {
            let line = self.log.recv_timeout(Duration::from_secs(20)).unwrap();
            assert!(!line.contains("only-for-tests"), "{line}");
            let line: Value = serde_json::from_str(&line).unwrap();
            if line["fields"]["message"] == message {
                return (line["fields"].clone(), self.since.elapsed());
            }
        }
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_server_waits_for_a_database_that_is_down_and_commands_do_not() {
    let postgres = Postgres::start(&[]);
    let database = postgres.database();
    let url = database.url();
    postgres.stop();
    let [waits, mut ends] = [Starting::over(&url), Starting::over(&url)];
    let place = format!("postgres://shop@{}/{}", postgres.address(), database.name());
    for (first, server) in [(true, &waits), (true, &ends), (false, &waits)] {
        let (said, after) = server.says("waiting for the database");
        assert_eq!(said["store"], place);
        assert!(said["error"].as_str().unwrap().contains("refused"), "{said}");
        assert!(!first || after < Duration::from_secs(2), "{after:?}");
        assert!(after < Duration::from_secs(8), "{after:?}");
    }
    let id = ends.child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &id])
            .status()
            .unwrap()
            .success()
    );
    let begun = Instant::now();
    assert_eq!(ends.child.wait().unwrap().code(), Some(0));
    println!("SIGTERM ended the wait in {:?}", begun.elapsed());
    let folder = tempfile::tempdir().unwrap();
    let manifest = folder.path().join("products.ndjson");
    std::fs::write(&manifest, "").unwrap();
    let picture = folder.path().join("shoe.png");
    std::fs::write(&picture, test_png(0)).unwrap();
    let (manifest, picture) = (manifest.to_str().unwrap(), picture.to_str().unwrap());
    let data = folder.path().join("data");
    let commands: [&[&str]; 4] = [
        &["import", manifest, "--store", &url],
        &["search", picture, "--store", &url],
        &["check", "--store", &url],
        &["copy", "--from", &url, "--to", data.to_str().unwrap()],
    ];
    for arguments in commands {
        let begun = Instant::now();
        let output = run(arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(
            begun.elapsed() < Duration::from_secs(2),
            "{arguments:?}: {:?}",
            begun.elapsed()
        );
        assert!(
            said.contains("refused") && !said.contains("only-for-tests"),
            "{said}"
        );
    }
    postgres.restart();
    let begun = Instant::now();
    waits.says("ready");
    println!("ready {:?} after the database", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[test]
fn what_waiting_does_not_mend_ends_a_server_at_once() {
    let postgres = Postgres::start(&[]);
    let database = postgres.database();
    let url = database.url();
    let bare = postgres.database_without_vector().url();
    let newer = postgres.database();
    import(&newer.url(), 1);
    newer.psql("UPDATE catalogue SET least_schema = 99");
    let poor = url.replace("shop:only-for-tests", "poor:only-for-tests");
    postgres.psql("postgres", "CREATE ROLE poor LOGIN PASSWORD 'only-for-tests'");
    let cases = [
        (
            url.replace("only-for-tests", "guessed"),
            "put the password of the role shop",
        ),
        (
            url.replace("shop:", "nobody:"),
            "put the password of the role nobody",
        ),
        (
            url.replace(database.name(), "nowhere"),
            "\"nowhere\" does not exist; create it: CREATE DATABASE \"nowhere\" OWNER \"shop\"",
        ),
        (format!("{url}?sslmode=require"), "sslmode"),
        (poor, "GRANT CREATE ON SCHEMA public"),
        (bare, "pgvector is missing"),
        (newer.url(), "schema 99 is newer than this version"),
    ];
    for (url, right) in &cases {
        let begun = Instant::now();
        let output = run(&["serve", "--listen", "127.0.0.1:0", "--store", url]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
        assert!(said.contains(right), "{right}: {said}");
        assert!(
            !said.contains("only-for-tests") && !said.contains("guessed"),
            "{said}"
        );
        println!("{}", said.lines().last().unwrap());
    }
}

#[test]
fn a_database_that_ends_under_load_is_missed_for_seconds_and_no_longer() {
    let postgres = Postgres::start(&[]);
    let database = postgres.database();
    import(&database.url(), 100);
    let server = Server::over(&database.url(), &PATIENT).ready();
    for (name, end) in [
        ("killed", Postgres::kill as fn(&Postgres)),
        ("immediate", Postgres::immediate),
    ] {
        let seen = Mutex::default();
        load(&[&server], 8, &seen, || {
            std::thread::sleep(Duration::from_millis(700));
            end(&postgres);
            let away = until(503, 3, || server.get("/readyz"));
            std::thread::sleep(Duration::from_secs(2).saturating_sub(away));
            postgres.restart();
            let begun = Instant::now();
            let ready = until(200, 10, || server.get("/readyz"));
            until(200, 10, || search(&server));
            let recovered = begun.elapsed();
            println!(
                "{name}: missed after {away:?}, ready again {ready:?}, searched {recovered:?} after its start"
            );
            std::thread::sleep(Duration::from_millis(700));
        });
        let seen = seen.into_inner().unwrap();
        println!("{name}: {:?}, longest {:?}", seen.statuses, seen.longest);
        assert!(
            seen.statuses
                .keys()
                .all(|status| matches!(status, 200 | 201 | 503))
        );
        assert!(seen.longest[&503] < REFUSED_IN, "{:?}", seen.longest);
        nothing_is_lost(&server, &seen);
    }
    clean(&database.url());
}

#[test]
fn a_standby_takes_over_with_all_that_was_acknowledged() {
    let primary = Postgres::start(&[]);
    let database = primary.database();
    import(&database.url(), 100);
    let standby = primary.standby();
    let proxy = Proxy::to(primary.address());
    let server = Server::over(&database.url_at(proxy.address()), &PATIENT).ready();
    let seen = Mutex::default();
    load(&[&server], 4, &seen, || {
        std::thread::sleep(Duration::from_millis(1000));
        primary.kill();
        let begun = Instant::now();
        proxy.switch(standby.address());
        // It is not promoted yet: read only.
        until(200, 5, || search(&server));
        println!("read from the standby after {:?}", begun.elapsed());
        let write = || put(&server, "read-only", 0, &json!({"by": "nobody"}));
        for _ in 0..10 {
            let (answer, took) = timed(write);
            assert!(status(&answer) == 503 && took < REFUSED_IN, "{answer:?}");
            assert_eq!(search(&server).status, 200);
        }
        let begun = Instant::now();
        standby.promote();
        let promoted = begun.elapsed();
        until(201, 10, write);
        println!("promoted in {promoted:?}, written after {:?}", begun.elapsed());
        std::thread::sleep(Duration::from_millis(500));
    });
    let seen = seen.into_inner().unwrap();
    println!("{:?}, longest {:?}", seen.statuses, seen.longest);
    assert!(
        seen.statuses
            .keys()
            .all(|status| matches!(status, 200 | 201 | 503))
    );
    assert!(seen.longest[&503] < REFUSED_IN, "{:?}", seen.longest);
    nothing_is_lost(&server, &seen);
    clean(&database.url_at(standby.address()));
}

#[test]
fn without_free_connections_a_server_says_so_until_there_are_some() {
    let postgres = Postgres::start(&["max_connections=12"]);
    let database = postgres.database();
    import(&database.url(), 50);
    let server = Server::over(
        &database.url(),
        &[&PATIENT[..], &["--store-connections", "4"]].concat(),
    )
    .ready();
    assert_eq!(search(&server).status, 200);
    std::thread::scope(|scope| {
        for _ in 0..9 {
            scope.spawn(|| {
                // Whatever is free is taken, and held.
                while psql(
                    &database.url(),
                    "SET application_name = 'crowd'; SELECT pg_sleep(6)",
                )
                .is_err()
                {}
            });
        }
        let crowd = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'crowd'";
        let others =
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'spikelens'";
        let begun = Instant::now();
        // Now and then there is no room for this question, either.
        let ask = |sql| postgres.try_psql(database.name(), sql).unwrap_or_default();
        while ask(crowd) != "9" {
            ask(others);
            assert!(begun.elapsed() < Duration::from_secs(5));
            std::thread::sleep(Duration::from_millis(20));
        }
        until(503, 3, || server.get("/readyz"));
        for _ in 0..5 {
            let (answer, took) = timed(|| search(&server));
            assert!(status(&answer) == 503 && took < REFUSED_IN, "{answer:?}");
        }
        println!("{}", server.get("/readyz").json()["detail"]);
    });
    let begun = Instant::now();
    until(200, 5, || server.get("/readyz"));
    until(200, 5, || search(&server));
    println!("searched {:?} after the others ended", begun.elapsed());
}

#[test]
fn a_full_disk_refuses_writes_and_nothing_else() {
    let Some(disk) = Disk::new("128m") else {
        return;
    };
    let postgres = Postgres::start_on(disk, &["max_wal_size=2MB", "min_wal_size=2MB"]);
    let database = postgres.database();
    import(&database.url(), 50);
    let server = Server::over(&database.url(), &PATIENT).ready();
    postgres.disk().fill();
    let mut stored = Vec::new();
    let mut refused = 0;
    let text = "x".repeat(900);
    let attributes = json!({"by": "full", "a": text, "b": text, "c": text, "d": text});
    let mut statuses: BTreeMap<u16, usize> = BTreeMap::new();
    let begun = Instant::now();
    for count in 0.. {
        let id = format!("full-{count}");
        let (answer, took) = timed(|| put(&server, &id, count, &attributes));
        *statuses.entry(answer.status).or_default() += 1;
        match answer.status {
            201 => stored.push(id),
            507 => {
                assert_eq!(answer.problem().1, "storage_full");
                assert_eq!(search(&server).status, 200);
                refused += 1;
            }
            503 => assert!(status(&answer) == 503 && took < REFUSED_IN, "{answer:?}"),
            _ => panic!("{answer:?}"),
        }
        if refused == 20 || begun.elapsed() > Duration::from_secs(15) {
            break;
        }
    }
    println!("{statuses:?}");
    assert!(refused > 0, "{}", postgres.log());
    // The second that a server says of itself is refused, too.
    std::thread::sleep(Duration::from_millis(1200));
    assert_eq!(server.get("/readyz").status, 200);
    postgres.disk().empty();
    let begun = Instant::now();
    until(201, 10, || put(&server, "after", 1, &json!({"by": "after"})));
    println!("written {:?} after there was room", begun.elapsed());
    for id in stored {
        assert_eq!(server.get(&format!("/v1/products/{id}")).status, 200, "{id}");
    }
    clean(&database.url());
}

/// A server whose way to the database goes through a proxy.
fn by_proxy(postgres: SocketAddr, database: &Database, arguments: &[&str]) -> (Proxy, Server) {
    let proxy = Proxy::to(postgres);
    let server = Server::over(&database.url_at(proxy.address()), arguments).ready();
    (proxy, server)
}

#[test]
fn a_slow_database_is_waited_for_as_long_as_a_request_may_take() {
    let database = database();
    import(&database.url(), 50);
    let limit = Duration::from_millis(4000);
    let arguments = [&PATIENT[..], &["--request-timeout-ms", "4000"]].concat();
    let (proxy, server) = by_proxy(database.address(), &database, &arguments);
    let right = search(&server).json()["matches"].clone();
    for each_way in [50, 500] {
        proxy.delay(Duration::from_millis(each_way));
        for round in 0..3 {
            let (answer, took) = timed(|| search(&server));
            println!("{each_way} ms: searched in {took:?}: {}", answer.status);
            assert!(took < limit + Duration::from_millis(500), "{took:?}");
            match status(&answer) {
                200 => assert_eq!(answer.json()["matches"], right),
                503 | 504 => assert_eq!(each_way, 500),
                _ => panic!("{answer:?}"),
            }
            let id = format!("slow-{each_way}-{round}");
            let (answer, took) = timed(|| put(&server, &id, 7, &json!({"by": "slow"})));
            println!("{each_way} ms: written in {took:?}: {}", answer.status);
            assert!(took < limit + Duration::from_millis(500), "{took:?}");
            assert!(matches!(status(&answer), 201 | 503 | 504), "{answer:?}");
            assert!(answer.status == 201 || each_way == 500, "{answer:?}");
            assert_eq!(server.get("/readyz").status, 200);
            // Answers stay what they were.
            if answer.status == 201 {
                let path = format!("/v1/products/{id}");
                until(204, 20, || server.ask("DELETE", &path, &[], b""));
            }
        }
    }
    proxy.pass();
    let begun = Instant::now();
    until(200, 5, || search(&server));
    println!("searched {:?} after the delay", begun.elapsed());
    let failed = (0..50).filter(|_| search(&server).status != 200).count();
    assert_eq!(failed, 0);
}

#[test]
fn a_database_that_says_nothing_is_not_waited_for() {
    let database = database();
    import(&database.url(), 50);
    let (proxy, server) = by_proxy(database.address(), &database, &PATIENT);
    for cut in [false, true] {
        assert_eq!(search(&server).status, 200);
        proxy.silence();
        let begun = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for count in 0..3 {
                        let (answer, took) = timed(|| search(&server));
                        println!("{count}: {took:?}");
                        assert_eq!(status(&answer), 503);
                        assert!(took < REFUSED_IN, "{took:?}");
                    }
                });
            }
            scope.spawn(|| {
                let (answer, took) = timed(|| put(&server, "silent", 1, &json!({"by": "silence"})));
                assert!(status(&answer) == 503 && took < REFUSED_IN, "{answer:?}");
            });
            until(503, 4, || server.get("/readyz"));
            println!("missed after {:?}", begun.elapsed());
        });
        std::thread::sleep(Duration::from_millis(1500));
        if cut {
            proxy.cut();
        }
        proxy.pass();
        let begun = Instant::now();
        until(200, 5, || server.get("/readyz"));
        println!("reached again after {:?}", begun.elapsed());
        let failed = (0..50).filter(|_| search(&server).status != 200).count();
        assert_eq!(failed, 0, "after it was reached again");
        let written = put(&server, "spoken", 1, &json!({"by": "pass"}));
        assert!(matches!(written.status, 200 | 201), "{written:?}");
    }
}

#[test]
fn clients_that_write_the_same_products_and_pictures_at_once_are_all_answered() {
    let database = database();
    let servers = [(), ()].map(|()| Server::over(&database.url(), &PATIENT).ready());
    let statuses: Mutex<BTreeMap<u16, usize>> = Mutex::default();
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for client in 0..8 {
            let (servers, statuses) = (&servers, &statuses);
            scope.spawn(move || {
                for count in client.. {
                    if begun.elapsed() > Duration::from_secs(5) {
                        return;
                    }
                    let server = &servers[client % 2];
                    let path = format!("/v1/products/contested-{}", count % 3);
                    let answer = match count % 5 {
                        0 | 3 => server.ask("DELETE", &path, &[], b""),
                        4 => server.post(&format!("{path}/pictures"), "image/png", &test_png(0)),
                        _ => put(server, &path[13..], 0, &json!({"by": format!("client {client}")})),
                    };
                    *statuses.lock().unwrap().entry(answer.status).or_default() += 1;
                    assert!(
                        matches!(answer.status, 200 | 201 | 204 | 404 | 409),
                        "{count}: {answer:?}"
                    );
                }
            });
        }
    });
    println!("{:?}", statuses.into_inner().unwrap());
    clean(&database.url());
    let space = database.psql("SELECT present FROM catalogue");
    let orphans = format!(
        "SELECT count(*) FROM vectors_{space} v WHERE NOT EXISTS (SELECT 1 FROM embeddings_{space} WHERE vector = v.id)"
    );
    assert_eq!(database.psql(&orphans), "0");
}

#[test]
fn a_lock_that_somebody_holds_is_waited_for_so_long_and_no_longer() {
    let database = database();
    import(&database.url(), 50);
    let short = [
        "--store-connections",
        "2",
        "--lock-timeout-ms",
        "9000",
        "--request-timeout-ms",
        "3000",
    ];
    let servers = [
        (
            Server::over(&database.url(), &PATIENT).ready(),
            Duration::from_secs(4),
        ),
        // Its few connections wait for the lock for longer than a request may take.
        (
            Server::over(&database.url(), &[&PATIENT[..], &short].concat()).ready(),
            Duration::from_millis(3500),
        ),
    ];
    let ended = AtomicBool::new(false);
    let seen = Mutex::new(BTreeMap::<(usize, u16), (usize, Duration)>::new());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            database.psql("BEGIN; LOCK TABLE products IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(6); COMMIT");
            ended.store(true, Ordering::SeqCst);
        });
        std::thread::sleep(Duration::from_millis(300));
        for client in 0..12 {
            let (ended, seen) = (&ended, &seen);
            let number = client % 2;
            let (server, limit) = &servers[number];
            scope.spawn(move || {
                while !ended.load(Ordering::SeqCst) {
                    let (answer, took) = timed(|| match client < 6 {
                        true => search(server),
                        false => put(server, "locked", 1, &json!({"by": format!("client {client}")})),
                    });
                    assert!(matches!(answer.status, 200 | 201 | 503 | 504), "{answer:?}");
                    let mut seen = seen.lock().unwrap();
                    let seen = seen.entry((number, answer.status)).or_default();
                    *seen = (seen.0 + 1, seen.1.max(took));
                    assert!(took < *limit, "{took:?}: {answer:?}");
                    assert_eq!(server.get("/readyz").status, 200);
                }
            });
        }
    });
    println!("{:?}", seen.into_inner().unwrap());
    let begun = Instant::now();
    for (server, _) in &servers {
        until(200, 5, || search(server));
        until(200, 5, || put(server, "locked", 1, &json!({"by": "after"})));
    }
    println!("both written {:?} after the lock", begun.elapsed());
}
