//! `copy`: the target gives the same answers, an interrupted copy goes on, and nothing of anyone else's is overwritten.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rusqlite::types::Value as Cell;
use serde_json::{Value, json};

use crate::api::{catalogue, test_png};
use crate::crash::Dice;
use crate::server::{Server, run, spikelens};

/// Runs a copy to its end; gives its exit code and what it says.
fn copy(from: &Path, to: &Path) -> (Option<i32>, String) {
    let output = run(&[
        "copy",
        "--from",
        from.to_str().unwrap(),
        "--to",
        to.to_str().unwrap(),
    ]);
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    (output.status.code(), said)
}

fn copied(from: &Path, to: &Path, counts: &str) {
    let (code, said) = copy(from, to);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains(counts) && said.contains("all checksums are equal"),
        "{said}"
    );
}

fn refused(from: &Path, to: &Path, reason: &str) {
    let (code, said) = copy(from, to);
    assert!(code == Some(1) && said.contains(reason), "{said}");
}

fn database(data_dir: &Path) -> Connection {
    Connection::open(data_dir.join("catalogue.sqlite3")).unwrap()
}

/// All that a copy carries, row by row.
fn contents(data_dir: &Path) -> Vec<Vec<Cell>> {
    let connection = database(data_dir);
    let mut found = Vec::new();
    for sql in [
        "SELECT * FROM products ORDER BY seq",
        "SELECT * FROM pictures ORDER BY seq",
        "SELECT * FROM embeddings ORDER BY picture",
        "SELECT * FROM models ORDER BY id",
        "SELECT * FROM settings WHERE key NOT LIKE 'cop%' ORDER BY key",
        "SELECT * FROM sqlite_sequence WHERE name IN ('products', 'pictures') ORDER BY name",
    ] {
        let mut statement = connection.prepare(sql).unwrap();
        let columns = statement.column_count();
        let rows = statement.query_map([], |row| (0..columns).map(|column| row.get(column)).collect());
        found.extend(rows.unwrap().map(Result::unwrap));
    }
    found
}

fn put(server: &Server, id: &str, picture: usize) -> Value {
    let answer = server.ask(
        "PUT",
        &format!("/v1/products/{id}"),
        &[("content-type", "image/png")],
        &test_png(picture),
    );
    assert!([200, 201].contains(&answer.status), "{answer:?}");
    answer.json()
}

fn changed(server: &Server) {
    put(server, "two", 1);
    let more = server.post("/v1/products/two/pictures", "image/png", &test_png(2));
    assert_eq!(more.status, 201);
    for id in ["fashion-mnist-train-3", "fashion-mnist-train-7"] {
        let path = format!("/v1/products/{id}");
        assert_eq!(server.ask("DELETE", &path, &[], b"").status, 204);
    }
    put(server, "fashion-mnist-train-5", 3);
    let change = json!({"title": "new", "attributes": {"price": 4.50}}).to_string();
    let json = [("content-type", "application/merge-patch+json")];
    let path = "/v1/products/fashion-mnist-train-9";
    assert_eq!(server.ask("PATCH", path, &json, change.as_bytes()).status, 200);
    // The last number that was given is of a product that is gone.
    put(server, "gone", 4);
    assert_eq!(server.ask("DELETE", "/v1/products/gone", &[], b"").status, 204);
}

/// What a server answers about everything that it holds.
fn answers(server: &Server) -> Vec<Value> {
    let mut found = Vec::new();
    let mut after = String::new();
    loop {
        let page = server.get(&format!("/v1/products?limit=100{after}")).json();
        let next = page["next"].as_str().map(str::to_owned);
        found.push(page["products"].clone());
        let Some(next) = next else { break };
        after = format!("&after={next}");
    }
    for picture in 0..5 {
        let answer = server.post("/v1/search?k=20&exact=true", "image/png", &test_png(picture));
        found.push(answer.json()["matches"].clone());
    }
    found.push(server.get("/v1/products/two/similar?k=10&exact=true").json()["matches"].clone());
    let two = server.get("/v1/products/two").json();
    for picture in two["pictures"].as_array().unwrap() {
        let path = format!("/v1/products/two/pictures/{}", picture["id"].as_str().unwrap());
        let file = server.get(&path);
        assert_eq!(file.status, 200);
        found.push(json!([file.header("etag"), file.body]));
    }
    found
}

#[test]
fn a_copy_of_a_catalogue_that_is_served_is_brought_up_to_date_and_gives_the_same_answers() {
    let source = catalogue(400, &[]);
    let place = tempfile::tempdir().unwrap();
    let target = place.path().join("target");
    let server = Server::start(source.path(), &[]).ready();
    copied(
        source.path(),
        &target,
        "400 products, 400 pictures; 400 added, 0 replaced, 0 removed",
    );
    changed(&server);
    copied(
        source.path(),
        &target,
        "399 products, 400 pictures; 1 added, 2 replaced, 2 removed",
    );
    copied(
        source.path(),
        &target,
        "399 products, 400 pictures; 0 added, 0 replaced, 0 removed",
    );
    assert_eq!(server.signal("-TERM").0, Some(0));
    assert_eq!(contents(source.path()), contents(&target));
    let check = run(&["check", "--data-dir", target.to_str().unwrap()]);
    let said = String::from_utf8(check.stdout).unwrap();
    assert!(said.contains("400 embeddings recomputed and equal"), "{said}");

    let servers = [source.path(), &target].map(|data_dir| Server::start(data_dir, &[]).ready());
    let [of_source, of_target] = servers.each_ref().map(answers);
    assert_eq!(of_source, of_target);
    // Picture numbers go on behind the last that the source gave.
    let [one, other] = servers
        .each_ref()
        .map(|server| put(server, "next", 5)["pictures"][0]["id"].clone());
    assert!(one == other && one.is_string(), "{one} {other}");
    drop(servers);
    // Both have changed: another copy would overwrite what was written to the target.
    refused(
        source.path(),
        &target,
        "holds a catalogue that is not a copy, or was changed since",
    );
}

#[test]
fn a_copy_that_is_killed_goes_on_and_is_opened_by_nothing_until_it_is_finished() {
    let rounds = std::env::var("SPIKELENS_COPY_ROUNDS").map_or(12, |rounds| rounds.parse().unwrap());
    let source = catalogue(5000, &[]);
    let whole = contents(source.path());
    let place = tempfile::tempdir().unwrap();
    let start = Instant::now();
    copied(source.path(), &place.path().join("timed"), "5000 added");
    let longest = u64::try_from(start.elapsed().as_micros()).unwrap();
    let mut dice = Dice(0x5eed_c0b1);
    let mut halves = 0;
    for round in 0..rounds {
        let target = place.path().join(format!("round-{round}"));
        let (from, to) = (source.path().to_str().unwrap(), target.to_str().unwrap());
        let mut killed = spikelens(&["copy", "--from", from, "--to", to]);
        let mut killed = killed
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_micros(dice.below(longest)));
        killed.kill().unwrap();
        killed.wait().unwrap();
        let setting = |key: &str| -> bool {
            let sql = "SELECT EXISTS (SELECT 1 FROM settings WHERE key = ?1)";
            let found = database(&target).query_row(sql, [key], |row| row.get(0));
            found.unwrap_or(false)
        };
        if target.join("catalogue.sqlite3").exists() && setting("copy_unfinished") {
            halves += 1;
            let served = run(&["serve", "--listen", "127.0.0.1:0", "--data-dir", to]);
            let said = String::from_utf8(served.stderr).unwrap();
            assert!(
                said.contains("it is an unfinished copy of") && said.contains("`spikelens copy`"),
                "{said}"
            );
            let left: i64 = database(&target)
                .query_row("SELECT 5000 - count(*) FROM products", [], |row| row.get(0))
                .unwrap();
            copied(
                source.path(),
                &target,
                &format!("5000 pictures; {left} added, 0 replaced, 0 removed"),
            );
        } else {
            copied(source.path(), &target, "5000 products, 5000 pictures");
        }
        assert!(contents(&target) == whole, "round {round}");
        std::fs::remove_dir_all(&target).unwrap();
    }
    assert!(rounds < 12 || halves > 0, "no copy was killed in its middle");
}

#[test]
fn what_cannot_be_copied_or_copied_into_is_refused() {
    let source = catalogue(20, &[]);
    let place = tempfile::tempdir().unwrap();
    let fresh = |name: &str| place.path().join(name);
    refused(source.path(), source.path(), "copy into another place");
    refused(&fresh("nowhere"), &fresh("target"), "contains no catalogue");
    // A catalogue of somebody's own, and a copy of another one.
    let own = catalogue(5, &[]);
    refused(source.path(), own.path(), "holds a catalogue that is not a copy");
    copied(source.path(), &fresh("target"), "20 added");
    let of_source = format!(
        "is a copy of {}",
        std::fs::canonicalize(source.path()).unwrap().display()
    );
    refused(own.path(), &fresh("target"), &of_source);
    // A copy that something was imported into.
    let manifest = place.path().join("products.ndjson");
    std::fs::write(place.path().join("one.png"), test_png(0)).unwrap();
    std::fs::write(&manifest, "{\"id\": \"one\", \"image\": \"one.png\"}\n").unwrap();
    let target = fresh("target");
    let import = run(&[
        "import",
        manifest.to_str().unwrap(),
        "--data-dir",
        target.to_str().unwrap(),
    ]);
    assert!(import.status.success(), "{import:?}");
    refused(source.path(), &target, "or was changed since");
    // Lines that are not products yet.
    let source_database = database(source.path());
    let open = "INSERT INTO imports (id, state, received) VALUES ('waits', 'running', 3)";
    source_database.execute(open, []).unwrap();
    refused(
        source.path(),
        &fresh("waits"),
        "1 imports of the source are not done",
    );
    source_database
        .execute("UPDATE imports SET state = 'done'", [])
        .unwrap();
    copied(source.path(), &fresh("waits"), "20 added");
    // A picture that is not what was written is not copied, and the copy is not finished.
    let damage = "UPDATE pictures SET bytes = x'00' WHERE seq = 8";
    source_database.execute(damage, []).unwrap();
    refused(
        source.path(),
        &fresh("damaged"),
        "picture number 8 of product \"fashion-mnist-train-7\"",
    );
    let served = run(&[
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--data-dir",
        fresh("damaged").to_str().unwrap(),
    ]);
    let said = String::from_utf8(served.stderr).unwrap();
    assert!(said.contains("it is an unfinished copy of"), "{said}");
    let empty = Server::start(&fresh("empty"), &[]).ready();
    copied(
        &fresh("empty"),
        &fresh("of-empty"),
        "0 products, 0 pictures; 0 added",
    );
    drop(empty);
}

#[test]
fn a_copy_of_a_source_with_another_network_is_made_anew() {
    let source = catalogue(50, &[]);
    let place = tempfile::tempdir().unwrap();
    let target = place.path().join("target");
    copied(source.path(), &target, "50 added");
    drop(
        Server::start(
            source.path(),
            &["--model", "fashion-mnist", "--probe", "membrane"],
        )
        .settled(),
    );
    copied(
        source.path(),
        &target,
        "50 products, 50 pictures; 50 added, 0 replaced, 0 removed",
    );
    assert_eq!(contents(source.path()), contents(&target));
    let server = Server::start(&target, &[]).ready();
    assert_eq!(server.get("/v1/stats").json()["probe"], "membrane");
}
