//! A full disk: what adds is refused completely, reads and deletes continue, and writes work again once there is space.

use std::io::Write;
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::{DynamicImage, ImageFormat, RgbImage};
use serde_json::json;

use crate::disk::Disk;
use crate::server::{Answer, GRAY, Server, run, spikelens};

/// A picture of noise of a few hundred kilobytes; another one for each seed.
pub fn noise(seed: u32) -> Vec<u8> {
    let mut state = seed.wrapping_mul(747_796_405) | 1;
    let picture = RgbImage::from_fn(400, 400, |_, _| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let bytes = state.to_be_bytes();
        image::Rgb([bytes[0], bytes[1], bytes[2]])
    });
    let mut file = std::io::Cursor::new(Vec::new());
    DynamicImage::from(picture)
        .write_to(&mut file, ImageFormat::Png)
        .unwrap();
    file.into_inner()
}

#[test]
fn a_full_disk_is_refused_whole_and_writing_goes_on_when_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    // A limit on file sizes stands in for a full disk: it needs no privileges and can be lifted while the server runs.
    let mut limited = Command::new("bash");
    let executable = spikelens(&[]);
    limited.args(["-c", "trap '' XFSZ; ulimit -S -f 6000; exec \"$0\" \"$@\""]);
    limited.arg(executable.get_program());
    for (name, value) in executable.get_envs() {
        assert!(value.is_none(), "variables are only taken away");
        limited.env_remove(name);
    }
    let server = Server::start_by(limited, folder.path(), &GRAY).ready();
    let put = |number: u32| {
        let path = format!("/v1/products/p-{number}");
        server.ask("PUT", &path, &[("content-type", "image/png")], &noise(number))
    };
    let mut stored = 0;
    let refused = loop {
        let answer = put(stored);
        match answer.status {
            201 => stored += 1,
            _ => break answer,
        }
        assert!(stored < 100, "the limit was never met");
    };
    assert!(stored > 0);
    assert_eq!(refused.problem(), (507, "storage_full".to_owned()));
    // Nothing of the refused write is stored; everything before it is, and is found.
    assert_eq!(server.get(&format!("/v1/products/p-{stored}")).problem().0, 404);
    assert_eq!(server.get("/readyz").json()["pictures"], stored);
    for number in 0..stored {
        assert_eq!(server.get(&format!("/v1/products/p-{number}")).status, 200);
    }
    let found = server.post("/v1/search?k=100", "image/png", &noise(0)).json();
    assert_eq!(
        found["matches"].as_array().unwrap().len(),
        usize::try_from(stored).unwrap()
    );

    let id = server.id().to_string();
    let lifted = Command::new("prlimit")
        .args(["--fsize=unlimited", "--pid", &id])
        .status();
    assert!(lifted.unwrap().success());
    assert_eq!(put(stored).status, 201);
    assert_eq!(server.get("/readyz").json()["pictures"], stored + 1);
    assert_eq!(server.signal("-TERM").0, Some(0));
    let checked = run(&["check", "--data-dir", folder.path().to_str().unwrap()]);
    assert!(checked.status.success(), "{checked:?}");
}

fn put(server: &Server, id: &str, seed: u32) -> Answer {
    let path = format!("/v1/products/{id}");
    server.ask("PUT", &path, &[("content-type", "image/png")], &noise(seed))
}

fn delete(server: &Server, id: &str) -> u16 {
    server
        .ask("DELETE", &format!("/v1/products/{id}"), &[], b"")
        .status
}

/// Sends lines of an import and leaves it open; returns its id once they are stored: none is left to be refused on a disk that
/// is filled meanwhile.
fn begin_import(server: &Server) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    let head = "POST /v1/imports HTTP/1.1\r\nhost: test\r\ncontent-type: application/x-ndjson\r\n\
                transfer-encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let line = json!({"id": "cut-off", "image": STANDARD.encode(noise(1))}).to_string() + "\n";
    let lines = 4;
    for _ in 0..lines {
        write!(stream, "{:x}\r\n{line}\r\n", line.len()).unwrap();
    }
    let start = Instant::now();
    loop {
        let stats = server.get("/v1/stats").json();
        let import = &stats["imports"][0];
        if import["received"] == lines {
            return (stream, import["id"].as_str().unwrap().to_owned());
        }
        assert!(start.elapsed() < Duration::from_secs(30), "{stats}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn on_a_full_disk_a_server_starts_searches_and_deletes_and_what_is_deleted_makes_room() {
    let Some(disk) = Disk::new("24m") else { return };
    let server = disk.server();
    for number in 0..8 {
        assert_eq!(put(&server, &format!("p-{number}"), number).status, 201);
    }
    let (stream, import) = begin_import(&server);
    disk.fill();
    assert_eq!(put(&server, "too-many", 99).problem().0, 507);
    drop(server);
    drop(stream);
    disk.fill();

    // It starts, ends the import that was cut off, and answers.
    let server = disk.server();
    assert_eq!(
        server.get(&format!("/v1/imports/{import}")).json()["state"],
        "failed"
    );
    let found = |server: &Server, seed| {
        let answer = server.post("/v1/search?k=1", "image/png", &noise(seed));
        answer.json()["matches"][0]["product_id"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(found(&server, 3), "p-3");
    for number in 0..4 {
        disk.fill();
        assert_eq!(delete(&server, &format!("p-{number}")), 204, "p-{number}");
        assert_ne!(found(&server, number), format!("p-{number}"));
    }
    // What was deleted has room for others of its size, and no more. One write may have to find out that the disk is full.
    assert!(disk.outside("data/reserve").exists());
    let tried = put(&server, "new", 100).status;
    if tried == 507 {
        assert_eq!(put(&server, "new", 100).status, 201);
    } else {
        assert_eq!(tried, 201);
    }
    assert_eq!(found(&server, 100), "new");
    let mut more = 101;
    while put(&server, &format!("more-{more}"), more).status == 201 {
        more += 1;
        assert!(more < 120, "the limit was never met");
    }
    assert!(more > 101, "four were deleted and one stored");
    disk.fill();
    assert_eq!(delete(&server, "p-4"), 204, "there is still room to delete");
    disk.fill();
    let two = "/v1/products?filter=%7B%22$id%22:%7B%22in%22:%5B%22p-5%22,%22p-6%22%5D%7D%7D";
    assert_eq!(server.ask("DELETE", two, &[], b"").json()["deleted"], 2);

    // Once there is room, the reserve is made again and the database grows.
    std::fs::remove_file(disk.outside("filler")).unwrap();
    for number in 200..204 {
        assert_eq!(put(&server, &format!("p-{number}"), number).status, 201);
    }
    assert_eq!(server.signal("-TERM").0, Some(0));
    let checked = disk.check();
    assert!(checked.status.success(), "{checked:?}");
}

#[test]
fn without_a_reserve_a_server_starts_all_the_same_and_catches_up_when_there_is_room() {
    let Some(disk) = Disk::new("24m") else { return };
    let server = disk.server();
    assert_eq!(put(&server, "p-0", 0).status, 201);
    let (stream, import) = begin_import(&server);
    drop(server);
    drop(stream);
    // What an index that was being written leaves.
    let half = disk.outside("data/index.links.new");
    std::fs::write(&half, b"half").unwrap();
    std::fs::remove_file(disk.outside("data/reserve")).unwrap();
    disk.fill();

    let server = disk.server();
    assert!(!half.exists());
    assert_eq!(server.post("/v1/search?k=1", "image/png", &noise(0)).status, 200);
    disk.fill();
    assert_eq!(put(&server, "p-1", 1).problem().0, 507);
    std::fs::remove_file(disk.outside("filler")).unwrap();
    assert_eq!(put(&server, "p-1", 1).status, 201);
    let state = &server.get(&format!("/v1/imports/{import}")).json()["state"];
    assert_eq!(state, "failed");
}

#[test]
fn on_a_full_disk_products_are_removed_by_a_filter_and_as_missing() {
    let Some(disk) = Disk::new("24m") else { return };
    let server = disk.server();
    let import = |path: &str, lines: Vec<String>| {
        let answer = server.post(path, "application/x-ndjson", lines.join("\n").as_bytes());
        assert_eq!(answer.status, 202, "{answer:?}");
        format!("/v1/imports/{}?wait=60", answer.json()["id"].as_str().unwrap())
    };
    let lines = (0..900).map(|number| crate::imports::line(&format!("p-{number}"), number % 20));
    let first = import("/v1/imports", lines.collect());
    assert_eq!(server.get(&first).json()["stored"], 900);
    // Lines are received while there is room.
    let named = (0..300).map(|number| format!("{{\"id\": \"p-{number}\"}}"));
    let feed = import("/v1/imports?missing=delete", named.collect());
    disk.fill();
    let filter = "%7B%22n%22:%7B%22lt%22:10%7D%7D";
    let removed = server.ask("DELETE", &format!("/v1/products?filter={filter}"), &[], b"");
    assert_eq!(removed.status, 200, "{removed:?}");
    assert!(removed.json()["deleted"].as_u64().unwrap() >= 150, "{removed:?}");
    disk.empty();
    let report = server.get(&feed).json();
    assert_eq!(report["state"], "done", "{report}");
    assert_eq!(server.signal("-TERM").0, Some(0));
    assert!(disk.check().status.success());
}
