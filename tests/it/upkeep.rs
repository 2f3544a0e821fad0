//! `check`, `backup` and `serve --restore`, as an operator uses them.

use std::path::Path;
use std::process::Output;

use serde_json::json;

use crate::api::{catalogue, test_png};
use crate::server::{Server, run, spikelens};

fn check(data_dir: &Path) -> (Option<i32>, String) {
    let output: Output = run(&["check", "--data-dir", data_dir.to_str().unwrap()]);
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

/// Turns one bit of a file.
fn flip(path: &Path, place: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[place] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn a_flipped_bit_in_index_or_database_is_found_and_named() {
    let folder = catalogue(2100, &[]);
    let index = folder.path().join("index.links");
    // The first start builds the index; a clean shutdown leaves the database in one file.
    assert_eq!(
        Server::start(folder.path(), &[]).ready().signal("-TERM").0,
        Some(0)
    );
    let (code, said) = check(folder.path());
    assert_eq!(code, Some(0), "{said}");
    for part in [
        "2100 products",
        "2100 embeddings",
        "2100 entries of the stored index",
        "2100 embeddings recomputed and equal",
    ] {
        assert!(said.contains(part), "{said}");
    }
    let place = std::fs::metadata(&index).unwrap().len() / 2;
    flip(&index, usize::try_from(place).unwrap());
    let (code, said) = check(folder.path());
    assert!(
        code == Some(1) && said.contains("index.links is not what was written"),
        "{said}"
    );

    // In the middle of a stored picture.
    let database = folder.path().join("catalogue.sqlite3");
    let bytes = std::fs::read(&database).unwrap();
    let picture = bytes.windows(4).rposition(|four| four == b"IDAT").unwrap();
    flip(&database, picture + 40);
    let (code, said) = check(folder.path());
    assert!(
        code == Some(1) && said.contains("of product \"fashion-mnist-train-"),
        "{said}"
    );
    let nothing = run(&["check", "--data-dir", "/nowhere"]);
    assert_eq!(nothing.status.code(), Some(1));
}

#[test]
fn a_backup_is_taken_while_the_server_writes_and_a_new_one_starts_from_it() {
    let folder = catalogue(60, &[]);
    let server = Server::start(folder.path(), &[]).ready();
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("shop.backup");
    let arguments = [
        "backup",
        "--data-dir",
        folder.path().to_str().unwrap(),
        "--out",
        file.to_str().unwrap(),
    ];
    let png = ("content-type", "image/png");
    assert_eq!(
        server
            .ask("PUT", "/v1/products/before", &[png], &test_png(0))
            .status,
        201
    );
    let backup = std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..20 {
                let path = format!("/v1/products/while-{number}");
                assert_eq!(server.ask("PUT", &path, &[png], &test_png(1)).status, 201);
            }
        });
        spikelens(&arguments).output().unwrap()
    });
    assert!(backup.status.success(), "{backup:?}");
    let after = server
        .ask("PUT", "/v1/products/after", &[png], &test_png(2))
        .json();
    let (code, said) = check(folder.path());
    assert_eq!(code, Some(0), "beside a running server: {said}");
    assert_eq!(run(&arguments).status.code(), Some(1), "no file is overwritten");

    let fresh = place.path().join("fresh");
    let restore = ["--restore", file.to_str().unwrap()];
    let restored = Server::start(&fresh, &restore).ready();
    assert_eq!(restored.get("/v1/products/before").status, 200);
    assert_eq!(restored.get("/v1/products/after").status, 404);
    let found = restored.post("/v1/search?k=1", "image/png", &test_png(0)).json();
    assert_eq!(found["matches"][0]["product_id"], json!("before"));
    // A picture id that the first server assigned after the backup is not assigned again.
    let other = restored
        .ask("PUT", "/v1/products/after", &[png], &test_png(3))
        .json();
    assert_ne!(other["pictures"][0]["id"], after["pictures"][0]["id"]);
    drop(restored);
    assert_eq!(check(&fresh).0, Some(0));
    // A file that is not a backup leaves nothing behind.
    let empty = place.path().join("empty");
    for nonsense in [b"".as_slice(), b"nonsense, and more of it than a header has"] {
        std::fs::write(&file, nonsense).unwrap();
        let mut refused = vec![
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--data-dir",
            empty.to_str().unwrap(),
        ];
        refused.extend(restore);
        assert_eq!(run(&refused).status.code(), Some(1));
        assert!(!empty.join("catalogue.sqlite3").exists());
    }
    let mut again = vec![
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--data-dir",
        fresh.to_str().unwrap(),
    ];
    again.extend(restore);
    let again = run(&again);
    assert_eq!(again.status.code(), Some(1));
    assert!(
        String::from_utf8(again.stderr)
            .unwrap()
            .contains("already contains a catalogue")
    );
}
