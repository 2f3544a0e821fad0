//! The servers do what tests rely on.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{Postgres, database, psql};
use crate::disk::Disk;

#[test]
fn a_database_has_vectors_and_an_owner_without_privileges() {
    let first = database();
    let second = database();
    let ask = |sql| psql(&first.url(), sql);
    assert_eq!(ask("SELECT '[1,2]'::vector <-> '[1,4]'").unwrap(), "2");
    assert_eq!(
        ask("SELECT current_user, usesuper FROM pg_user WHERE usename = current_user").unwrap(),
        "shop|f"
    );
    ask("CREATE TABLE products (id text)").unwrap();
    assert!(
        psql(&second.url(), "TABLE products")
            .unwrap_err()
            .contains("does not exist")
    );
    let name = first.name().to_owned();
    drop(first);
    let left = second.psql(&format!(
        "SELECT count(*) FROM pg_database WHERE datname = '{name}'"
    ));
    assert_eq!(left, "0");
}

#[test]
fn a_server_takes_settings_and_checks_passwords() {
    let server = Postgres::start(&["max_connections=17"]);
    let database = server.database();
    assert_eq!(database.psql("SHOW max_connections"), "17");
    assert_eq!(database.psql("SHOW fsync"), "on");
    let wrong = database.url().replace("only-for-tests", "guessed");
    assert!(
        psql(&wrong, "SELECT 1")
            .unwrap_err()
            .contains("password authentication failed")
    );
    let bare = server.database_without_vector();
    let refused = psql(&bare.url(), "CREATE EXTENSION vector").unwrap_err();
    assert!(
        refused.contains("permission denied to create extension"),
        "{refused}"
    );
}

#[test]
fn what_was_committed_survives_every_end() {
    let server = Postgres::start(&[]);
    let database = server.database();
    let url = database.url();
    psql(&url, "CREATE TABLE kept (number int)").unwrap();
    for (number, end) in [Postgres::stop, Postgres::immediate, Postgres::kill]
        .iter()
        .enumerate()
    {
        psql(&url, &format!("INSERT INTO kept VALUES ({number})")).unwrap();
        end(&server);
        assert!(psql(&url, "SELECT 1").unwrap_err().contains("refused"));
        server.restart();
    }
    assert_eq!(
        psql(&url, "SELECT sum(number), count(*) FROM kept").unwrap(),
        "3|3"
    );
    assert_eq!(
        server.log().matches("not properly shut down").count(),
        2,
        "{}",
        server.log()
    );
}

#[test]
fn a_promoted_standby_has_every_row() {
    let primary = Postgres::start(&[]);
    let database = primary.database();
    psql(&database.url(), "CREATE TABLE kept (number int)").unwrap();
    let standby = primary.standby();
    psql(
        &database.url(),
        "INSERT INTO kept SELECT generate_series(1, 1000)",
    )
    .unwrap();
    let there = database.url_at(standby.address());
    primary.kill();
    let refused = psql(&there, "INSERT INTO kept VALUES (0)").unwrap_err();
    assert!(refused.contains("read-only transaction"), "{refused}");
    standby.promote();
    psql(&there, "INSERT INTO kept VALUES (0)").unwrap();
    assert_eq!(standby.psql(database.name(), "SELECT count(*) FROM kept"), "1001");
}

#[test]
fn a_server_on_a_full_disk_refuses_writes_until_there_is_room() {
    let Some(disk) = Disk::new("96m") else {
        return;
    };
    // Less room for its log than the disk has, so that data fills it.
    let server = Postgres::start_on(disk, &["max_wal_size=2MB", "min_wal_size=2MB"]);
    let database = server.database();
    psql(&database.url(), "CREATE TABLE kept (text text)").unwrap();
    server.disk().fill();
    let fill = "INSERT INTO kept SELECT repeat(md5(i::text), 60) FROM generate_series(1, 1000) i";
    let refused = psql(&database.url(), fill).unwrap_err();
    assert!(refused.contains("No space left on device"), "{refused}");
    server.disk().empty();
    psql(&database.url(), fill).unwrap();
    assert_eq!(database.psql("SELECT count(*) FROM kept"), "1000");
}

#[test]
fn no_server_outlives_its_tests() {
    let mut tests = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "support::postgres::tests::a_test_that_is_killed"])
        .args(["--ignored", "--nocapture"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(tests.stdout.take().unwrap()).lines();
    let mut lines = lines.map(|line| line.unwrap());
    let folder = lines.find_map(|line| Some(line.strip_prefix("server in ")?.to_owned()));
    let folder = PathBuf::from(folder.expect("a server"));
    let id = std::fs::read_to_string(folder.join("pid")).unwrap();
    let process = PathBuf::from(format!("/proc/{}/cmdline", id.trim()));
    assert!(std::fs::read_to_string(&process).unwrap().contains("postgres"));
    tests.kill().unwrap();
    tests.wait().unwrap();
    let start = Instant::now();
    while folder.exists() {
        assert!(
            start.elapsed() < Duration::from_secs(30),
            "{} is left",
            folder.display()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    // It is empty of a process that ended and whose end nobody has asked for.
    assert_eq!(std::fs::read_to_string(process).unwrap_or_default(), "");
}

#[test]
#[ignore = "sleeps until another test kills its process"]
fn a_test_that_is_killed() {
    let server = Postgres::start(&[]);
    println!("\nserver in {}", server.cluster.folder.path().display());
    std::thread::sleep(Duration::from_secs(60));
}
