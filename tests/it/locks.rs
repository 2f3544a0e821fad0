//! A data directory that other programs lock, remove or write-protect.

use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::api::test_png;
use crate::disk::Disk;
use crate::server::{Answer, Server};

fn put(server: &Server, id: &str) -> Answer {
    let path = format!("/v1/products/{id}");
    server.ask("PUT", &path, &[("content-type", "image/png")], &test_png(0))
}

#[test]
fn a_write_waits_shortly_for_another_program_and_is_then_refused_whole() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &[]).ready();
    assert_eq!(put(&server, "before").status, 201);
    let other = Connection::open(folder.path().join("catalogue.sqlite3")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let delete = || server.ask("DELETE", "/v1/products/before", &[], b"");
    for write in [&|| put(&server, "while"), &delete as &dyn Fn() -> Answer] {
        let start = Instant::now();
        let refused = write();
        assert_eq!(refused.problem(), (503, "overloaded".to_owned()));
        assert_eq!(refused.header("retry-after"), Some("1"));
        let detail = refused.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains("another program holds a lock"), "{detail}");
        let took = start.elapsed();
        assert!(
            took > Duration::from_millis(500) && took < Duration::from_secs(4),
            "{took:?}"
        );
    }
    let search = server.post("/v1/search?k=5", "image/png", &test_png(0)).json();
    assert_eq!(search["matches"].as_array().unwrap().len(), 1);
    assert_eq!(server.get("/v1/products/while").status, 404);
    drop(server);
    // Nor does it keep a server from starting.
    let server = Server::start(folder.path(), &[]).ready();
    assert_eq!(server.get("/v1/products/before").status, 200);
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(put(&server, "while").status, 201);
    // One that is released in time is waited for.
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| put(&server, "after").status);
        std::thread::sleep(Duration::from_millis(200));
        other.execute_batch("ROLLBACK").unwrap();
        assert_eq!(waiting.join().unwrap(), 201);
    });
}

#[test]
fn a_data_directory_that_was_moved_away_is_noticed_and_nothing_is_written_into_it_until_it_is_back() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("data");
    let aside = place.path().join("aside");
    let server = Server::start(&folder, &[]).ready();
    assert_eq!(put(&server, "before").status, 201);
    let becomes = |status: u16| {
        let start = Instant::now();
        loop {
            let answer = server.get("/readyz");
            if answer.status == status {
                return answer;
            }
            assert!(start.elapsed() < Duration::from_secs(10), "{answer:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    for lost in ["", "lock", "catalogue.sqlite3"] {
        let path = folder.join(lost);
        std::fs::rename(&path, &aside).unwrap();
        // Seen by the write itself, whether or not the server has looked before.
        let refused = put(&server, "while");
        assert_eq!(refused.problem(), (503, "not_ready".to_owned()), "{lost}");
        let detail = becomes(503).json()["detail"].as_str().unwrap().to_owned();
        assert!(
            detail.contains(folder.join(lost).to_str().unwrap())
                && detail.contains("was removed or replaced"),
            "{lost}: {detail}"
        );
        assert!(!path.exists() || lost.is_empty(), "{lost}");
        std::fs::rename(&aside, &path).unwrap();
        becomes(200);
        assert_eq!(server.get("/v1/products/while").status, 404, "{lost}");
    }
    assert_eq!(put(&server, "after").status, 201);
    std::fs::remove_dir_all(&folder).unwrap();
    becomes(503);
    assert_eq!(server.signal("-TERM").0, Some(0));
    assert!(!folder.exists());
}

#[test]
fn a_catalogue_on_a_read_only_disk_is_checked_as_it_is_or_refused_with_the_reason() {
    let Some(disk) = Disk::new("24m") else { return };
    let said = |code: i32| {
        let output = disk.check();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_eq!(output.status.code(), Some(code), "{said}");
        said
    };
    let server = disk.server();
    assert_eq!(put(&server, "one").status, 201);
    assert_eq!(server.signal("-TERM").0, Some(0));
    disk.set_read_only(true);
    let whole = said(0);
    assert!(whole.contains("no damage found: 1 products"), "{whole}");

    // Killed, the second product is in the journal alone.
    disk.set_read_only(false);
    let server = disk.server();
    assert_eq!(put(&server, "two").status, 201);
    drop(server);
    disk.set_read_only(true);
    let with_journal = said(0);
    assert!(with_journal.contains("2 products"), "{with_journal}");

    disk.set_read_only(false);
    std::fs::remove_file(disk.outside("data/catalogue.sqlite3-shm")).unwrap();
    disk.set_read_only(true);
    let refused = said(1);
    assert!(
        refused.contains("it cannot be written to") && !refused.contains("damaged"),
        "{refused}"
    );
    disk.set_read_only(false);
    assert!(said(0).contains("2 products"));
}
