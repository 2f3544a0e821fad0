//! `serve --restore` and `backup`, killed at any moment: whole or not there, and no picture number twice.
//!
//! `SPIKELENS_RESTORE_ROUNDS` sets the number of rounds.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::api::{catalogue, test_png};
use crate::crash::Dice;
use crate::server::{Server, run, spikelens};
use crate::storage::noise;

const PRODUCTS: usize = 300;

fn back_up(data_dir: &Path, out: &Path) {
    let (data_dir, out) = (data_dir.to_str().unwrap(), out.to_str().unwrap());
    let backup = run(&["backup", "--data-dir", data_dir, "--out", out]);
    assert!(backup.status.success(), "{backup:?}");
}

/// Stores a product; returns the id of its picture.
fn put(server: &Server, id: &str) -> String {
    let path = format!("/v1/products/{id}");
    let answer = server.ask("PUT", &path, &[("content-type", "image/png")], &test_png(0));
    assert_eq!(answer.status, 201);
    answer.json()["pictures"][0]["id"].as_str().unwrap().to_owned()
}

#[test]
fn a_killed_restore_is_whole_or_was_never_there_and_gives_no_number_twice() {
    let rounds = std::env::var("SPIKELENS_RESTORE_ROUNDS").map_or(20, |rounds| rounds.parse().unwrap());
    let source = catalogue(PRODUCTS, &[]);
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("shop.backup");
    back_up(source.path(), &file);
    let restore = ["--restore", file.to_str().unwrap()];
    // The source goes on after the backup.
    let mut given = BTreeSet::new();
    let server = Server::start(source.path(), &[]).ready();
    for number in 0..3 {
        assert!(given.insert(put(&server, &format!("later-{number}"))));
    }
    drop(server);
    // Kills come until shortly after the database is in its place.
    let begin = |folder: &Path| {
        let data_dir = folder.to_str().unwrap();
        let mut serve = spikelens(&["serve", "--listen", "127.0.0.1:0", "--data-dir", data_dir]);
        serve.args(restore).stderr(Stdio::null()).spawn().unwrap()
    };
    let timed = place.path().join("timed");
    let start = Instant::now();
    let mut first = begin(&timed);
    while !timed.join("catalogue.sqlite3").exists() {
        assert!(start.elapsed() < Duration::from_secs(60), "nothing is restored");
        std::thread::sleep(Duration::from_micros(100));
    }
    let longest = u64::try_from(start.elapsed().as_micros() * 2).unwrap();
    first.kill().unwrap();
    first.wait().unwrap();
    let seed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    let seed = u64::try_from(seed % u128::from(u64::MAX)).unwrap() | 1;
    println!("seed {seed}, up to {longest} us");
    let mut dice = Dice(seed);
    let (mut absent, mut whole) = (0, 0);
    for round in 0..rounds {
        let folder = place.path().join(format!("round-{round}"));
        let data_dir = folder.to_str().unwrap();
        let mut first = begin(&folder);
        std::thread::sleep(Duration::from_micros(dice.below(longest)));
        first.kill().unwrap();
        first.wait().unwrap();
        let restored = folder.join("catalogue.sqlite3").exists();
        if restored {
            whole += 1;
            let checked = run(&["check", "--data-dir", data_dir]);
            let said = String::from_utf8([checked.stdout, checked.stderr].concat()).unwrap();
            assert!(checked.status.success(), "round {round}: {said}");
            assert!(
                said.contains(&format!("no damage found: {PRODUCTS} products")),
                "round {round}: {said}"
            );
        } else {
            absent += 1;
        }
        let arguments = if restored { &[][..] } else { &restore };
        for life in 0..2 {
            let arguments = if life == 0 { arguments } else { &[] };
            let server = Server::start(&folder, arguments).ready();
            assert_eq!(server.get("/readyz").json()["pictures"], PRODUCTS + life);
            let number = put(&server, &format!("new-{life}"));
            assert!(given.insert(number.clone()), "round {round}: {number} again");
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }
    println!("{absent} were not there, {whole} whole");
}

#[test]
fn journals_that_are_left_of_another_database_are_refused_by_name() {
    let source = catalogue(20, &[]);
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("shop.backup");
    back_up(source.path(), &file);
    let restore = ["--restore", file.to_str().unwrap()];
    for ending in ["-wal", "-shm", "-journal"] {
        let folder = place.path().join(format!("with{ending}"));
        std::fs::create_dir(&folder).unwrap();
        let left = folder.join(format!("catalogue.sqlite3{ending}"));
        std::fs::write(&left, b"of another database").unwrap();
        let data_dir = folder.to_str().unwrap();
        let arguments = ["serve", "--listen", "127.0.0.1:0", "--data-dir", data_dir];
        let refused = run(&[&arguments[..], &restore].concat());
        assert_eq!(refused.status.code(), Some(1));
        let said = String::from_utf8(refused.stderr).unwrap();
        assert!(
            said.contains(&format!("{} is left of a database that is gone", left.display())),
            "{said}"
        );
        assert!(left.exists() && !folder.join("catalogue.sqlite3").exists());
        std::fs::remove_file(&left).unwrap();
        let server = Server::start(&folder, &restore).ready();
        assert_eq!(server.get("/readyz").json()["pictures"], 20);
    }
}

#[test]
fn a_killed_backup_leaves_nothing_that_the_next_one_does_not_clear() {
    let source = tempfile::tempdir().unwrap();
    let server = Server::start(source.path(), &[]).ready();
    for seed in 0..20 {
        let path = format!("/v1/products/p-{seed}");
        let answer = server.ask("PUT", &path, &[("content-type", "image/png")], &noise(seed));
        assert_eq!(answer.status, 201);
    }
    let place = tempfile::tempdir().unwrap();
    let out = place.path().join("shop.backup");
    let files = || -> Vec<PathBuf> {
        let listed = std::fs::read_dir(place.path()).unwrap();
        listed.map(|entry| entry.unwrap().path()).collect()
    };
    let arguments = [
        "backup",
        "--data-dir",
        source.path().to_str().unwrap(),
        "--out",
        out.to_str().unwrap(),
    ];
    // Killed as soon as anything is there; one that was too quick is done again.
    let mut tries = 0;
    loop {
        let mut killed = spikelens(&arguments).stdout(Stdio::null()).spawn().unwrap();
        let start = Instant::now();
        while files().is_empty() {
            assert!(start.elapsed() < Duration::from_secs(30), "nothing is written");
        }
        killed.kill().unwrap();
        killed.wait().unwrap();
        if !out.exists() {
            break;
        }
        std::fs::remove_file(&out).unwrap();
        tries += 1;
        assert!(tries < 20, "never killed in time");
    }
    assert!(!files().is_empty(), "half of a backup");
    back_up(source.path(), &out);
    assert_eq!(files(), std::slice::from_ref(&out));
    let restored = Server::start(&place.path().join("fresh"), &["--restore", out.to_str().unwrap()]).ready();
    assert_eq!(restored.get("/readyz").json()["pictures"], 20);
}
