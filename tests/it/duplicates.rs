//! `duplicates`, as a shop uses it.

use std::path::Path;

use serde_json::{Value, json};

use crate::api::{catalogue, test_png};
use crate::server::{Server, on_postgresql, run};

fn duplicates(folder: &Path, arguments: &[&str]) -> String {
    let place = ["duplicates", "--data-dir", folder.to_str().unwrap()];
    let output = run(&[&place, arguments].concat());
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn report(folder: &Path, arguments: &[&str]) -> Value {
    let said = duplicates(folder, &[&["--format", "json"], arguments].concat());
    serde_json::from_str(&said).unwrap()
}

/// The products of each group.
fn products(groups: &Value) -> Vec<Vec<&str>> {
    let groups = groups.as_array().unwrap().iter();
    groups
        .map(|group| {
            let pictures = group["pictures"].as_array().unwrap().iter();
            pictures
                .map(|picture| picture["product_id"].as_str().unwrap())
                .collect()
        })
        .collect()
}

/// A PNG of the same pixels in another file: with a text behind its header.
fn in_another_file(png: &[u8], text: &str) -> Vec<u8> {
    let mut chunk = b"tEXt".to_vec();
    chunk.extend(b"Comment\0");
    chunk.extend(text.as_bytes());
    let mut checksum = flate2::Crc::new();
    checksum.update(&chunk);
    let length = u32::try_from(chunk.len() - 4).unwrap();
    let header = 8 + 4 + 4 + 13 + 4;
    let mut file = png[..header].to_vec();
    file.extend(length.to_be_bytes());
    file.extend(chunk);
    file.extend(checksum.sum().to_be_bytes());
    file.extend(&png[header..]);
    file
}

#[test]
fn equal_files_and_files_that_look_alike_are_reported_while_a_server_runs() {
    let folder = catalogue(60, &[]);
    let server = Server::start(folder.path(), &[]).ready();
    let png = ("content-type", "image/png");
    let put = |path: &str, file: &[u8]| {
        let answer = server.ask("PUT", path, &[png], file);
        assert_eq!(answer.status, 201, "{answer:?}");
    };
    assert_eq!(report(folder.path(), &[])["equal"], json!([]));

    // A placeholder that 30 products have, a picture that one product has twice, one in two files.
    let (placeholder, twice, alike) = (test_png(0), test_png(1), test_png(2));
    for number in 0..30 {
        put(
            &format!("/v1/products/placeholder-{number}?title=Soon"),
            &placeholder,
        );
    }
    put("/v1/products/twice", &twice);
    let added = server.ask("POST", "/v1/products/twice/pictures", &[png], &twice);
    assert_eq!(added.status, 201);
    put("/v1/products/one?title=Boot", &alike);
    put(
        "/v1/products/copy?title=A%20boot",
        &in_another_file(&alike, "again"),
    );
    let more = in_another_file(&alike, "a view");
    let view = server.ask("POST", "/v1/products/one/pictures", &[png], &more);
    assert_eq!(view.status, 201);
    put("/v1/products/other?title=Boots", &more);

    let found = report(folder.path(), &[]);
    assert_eq!(
        (&found["products"], &found["pictures"], &found["min_score"]),
        (&json!(94), &json!(96), &json!(0.999))
    );
    let equal = products(&found["equal"]);
    assert_eq!(equal.len(), 3);
    assert_eq!((equal[0].len(), equal[0][0]), (30, "placeholder-0"));
    let mut two = [&equal[1][..], &equal[2][..]];
    two.sort();
    assert_eq!(two, [&["one", "other"][..], &["twice", "twice"]]);
    assert_eq!(found["equal"][0]["pictures"][29]["title"], "Soon");
    let boot = &found["alike"][0]["pictures"];
    assert_eq!(products(&found["alike"]), [["one", "copy", "one"]]);
    let scores: Vec<_> = [0, 1, 2]
        .map(|at| (&boot[at]["score"], &boot[at]["copies"]))
        .into();
    assert_eq!(
        scores,
        [
            (&json!(1.0), &json!(1)),
            (&json!(1.0), &json!(1)),
            (&json!(1.0), &json!(2))
        ]
    );
    let id = boot[1]["picture_id"].as_str().unwrap();
    let stored = server.get(&format!("/v1/products/copy/pictures/{id}"));
    assert_eq!(stored.body, in_another_file(&alike, "again"));

    let table = duplicates(folder.path(), &[]);
    for line in [
        "the same file, 30 pictures:",
        "and 10 more (--format json has all)",
        "almost the same, 3 files:",
        "94 products, 96 pictures; groups of the same file: 3; groups almost the same, 0.999 or more: 1",
    ] {
        assert!(table.contains(line), "{table}");
    }
    assert_eq!(table.matches("placeholder-").count(), 20, "{table}");
    // Less alike, larger groups.
    let groups = report(folder.path(), &["--min-score", "0.9"]);
    assert!(products(&groups["alike"])[0].len() > 3, "{groups}");
    // A report changes nothing.
    assert_eq!(server.get("/v1/stats").json()["products"], 94);
}

#[test]
fn duplicates_of_nothing_are_refused_or_none() {
    let folder = tempfile::tempdir().unwrap();
    if !on_postgresql() {
        let refused = run(&["duplicates", "--data-dir", folder.path().to_str().unwrap()]);
        let said = String::from_utf8(refused.stderr).unwrap();
        assert!(said.contains("contains no catalogue"), "{said}");
    }
    drop(Server::start(folder.path(), &[]).ready());
    let empty = report(folder.path(), &[]);
    assert_eq!((&empty["equal"], &empty["alike"]), (&json!([]), &json!([])));
    for score in ["0.4", "1.1", "NaN", "high"] {
        let place = folder.path().to_str().unwrap();
        let refused = run(&["duplicates", "--data-dir", place, "--min-score", score]);
        assert_eq!(refused.status.code(), Some(2));
        let said = String::from_utf8(refused.stderr).unwrap();
        assert!(said.contains("must be a number from 0.5 to 1"), "{said}");
    }
}
