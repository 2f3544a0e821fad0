//! `import` from a shop's own files: a directory of pictures, an NDJSON and a CSV manifest, with invalid entries in them.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::api::test_png;
use crate::server::{GRAY, Server, run};

/// The output of an import.
#[derive(Debug)]
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

fn import(source: &Path, data_dir: &Path, arguments: &[&str]) -> Said {
    let mut all = vec![
        "import",
        source.to_str().unwrap(),
        "--data-dir",
        data_dir.to_str().unwrap(),
    ];
    all.extend(GRAY);
    all.extend(arguments);
    let output = run(&all);
    Said {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A directory with the first few test pictures.
fn shop(count: usize) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("photos")).unwrap();
    for picture in 0..count {
        let path = folder.path().join(format!("photos/p-{picture}.png"));
        std::fs::write(path, test_png(picture)).unwrap();
    }
    folder
}

/// The product that is nearest to a test picture.
fn nearest(server: &Server, picture: usize) -> (String, f64) {
    let found = server
        .post("/v1/search?k=1", "image/png", &test_png(picture))
        .json();
    let found = &found["matches"][0];
    let id = found["product_id"].as_str().unwrap_or_default().to_owned();
    (id, found["score"].as_f64().unwrap_or_default())
}

fn has(said: &Said, parts: &[&str]) {
    for part in parts {
        assert!(said.err.contains(part), "{part:?} is not in {}", said.err);
    }
}

#[test]
fn a_folder_of_pictures_becomes_products_by_their_names() {
    let shop = shop(4);
    let photos = shop.path().join("photos");
    let data = tempfile::tempdir().unwrap();
    std::fs::write(photos.join(".hidden.png"), test_png(0)).unwrap();
    std::fs::write(photos.join("notes.txt"), "x").unwrap();
    std::fs::create_dir(photos.join("more.png")).unwrap();
    let said = import(&photos, data.path(), &["--limit", "2"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(
        said.out
            .starts_with("2 stored, 0 joined, 0 merged, 0 deleted, 0 replaced, 0 skipped, 0 failed;"),
        "{said:?}"
    );
    assert!(
        said.out
            .contains("skipped 1 hidden files and 2 that are not pictures"),
        "{said:?}"
    );

    std::fs::write(photos.join("rubbish.JPG"), "no picture").unwrap();
    std::fs::write(photos.join("p-1.bmp"), "no picture").unwrap();
    std::os::unix::fs::symlink("/etc/hostname", photos.join("link.png")).unwrap();
    let said = import(&photos, data.path(), &["--resume"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(
        said.out
            .starts_with("2 stored, 0 joined, 0 merged, 0 deleted, 0 replaced, 2 skipped, 3 failed;"),
        "{said:?}"
    );
    has(
        &said,
        &[
            "rubbish.JPG, id \"rubbish\": image: ",
            "p-1.png, id \"p-1\": p-1.bmp has the same name without the extension",
            "link.png, id \"link\": image: link.png is a link that leads out of",
            "3 rows failed",
        ],
    );
    let server = Server::start(data.path(), &[]).ready();
    for picture in [0, 2, 3] {
        assert_eq!(nearest(&server, picture), (format!("p-{picture}"), 1.0));
    }
    assert_eq!(server.get("/v1/products/p-2").json()["title"], "p-2");
}

#[test]
fn an_ndjson_manifest_names_pictures_beside_it_or_holds_them() {
    let shop = shop(6);
    let data = tempfile::tempdir().unwrap();
    let base64 = STANDARD.encode(test_png(2));
    let lines = [
        json!({"id": "file", "title": "A file", "attributes": {"price": 40, "tags": ["new"]}, "image": "photos/p-0.png"}).to_string(),
        json!({"id": "several", "images": ["photos/p-1.png", base64]}).to_string(),
        String::new(),
        "nonsense".to_owned(),
        json!({"id": "url", "image": format!("data:image/png;base64,{}", STANDARD.encode(test_png(3)))}).to_string(),
        json!({"id": "out", "image": "../secret.png"}).to_string(),
        json!({"id": "absolute", "image": "/etc/hostname"}).to_string(),
        json!({"id": "gone", "image": "photos/none.png"}).to_string(),
        json!({"id": "both", "image": "photos/p-0.png", "images": ["photos/p-0.png"]}).to_string(),
        json!({"id": "many", "images": vec!["photos/p-0.png"; 17]}).to_string(),
        json!({"id": "nested", "attributes": {"x": {"y": 1}}, "image": "photos/p-0.png"}).to_string(),
        json!({"id": " blank", "image": "photos/p-0.png"}).to_string(),
        json!({"id": "last", "image": "photos/p-4.png", "prepare": "as_is"}).to_string(),
    ];
    let manifest = shop.path().join("products.ndjson");
    std::fs::write(&manifest, format!("\u{feff}{}", lines.join("\r\n"))).unwrap();
    let said = import(&manifest, data.path(), &[]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(
        said.out
            .starts_with("4 stored, 0 joined, 0 merged, 0 deleted, 0 replaced, 0 skipped, 8 failed;"),
        "{said:?}"
    );
    has(
        &said,
        &[
            "line 4: the line is not JSON",
            "line 6, id \"out\": image: \"../secret.png\" leads out of the manifest's directory",
            "line 7, id \"absolute\": image: \"/etc/hostname\" leads out of the manifest's directory",
            "line 8, id \"gone\": image: \"photos/none.png\" is not a file in the manifest's directory",
            "line 9, id \"both\": images: cannot be given together with image",
            "line 10, id \"many\": image: lists 17 pictures",
            "line 11, id \"nested\": attributes.x must be",
            "line 12, id \" blank\": id must have no control characters",
        ],
    );
    let server = Server::start(data.path(), &[]).ready();
    for (picture, id) in [
        (0, "file"),
        (1, "several"),
        (2, "several"),
        (3, "url"),
        (4, "last"),
    ] {
        assert_eq!(nearest(&server, picture), (id.to_owned(), 1.0));
    }
    let file = server.get("/v1/products/file").json();
    assert_eq!(
        (&file["title"], &file["attributes"]),
        (&json!("A file"), &json!({"price": 40, "tags": ["new"]}))
    );
    drop(server);

    // The same ids again: the products are replaced, except with `--resume`.
    let again = shop.path().join("again.jsonl");
    let line = json!({"id": "file", "title": "Another", "image": "photos/p-5.png"});
    std::fs::write(&again, format!("{line}\n")).unwrap();
    let title = || {
        let server = Server::start(data.path(), &[]).ready();
        server.get("/v1/products/file").json()["title"].clone()
    };
    let said = import(&again, data.path(), &["--resume"]);
    assert!(
        said.out
            .starts_with("0 stored, 0 joined, 0 merged, 0 deleted, 0 replaced, 1 skipped, 0 failed;"),
        "{said:?}"
    );
    assert_eq!(title(), "A file");
    let said = import(&again, data.path(), &[]);
    assert!(
        said.out
            .starts_with("0 stored, 0 joined, 0 merged, 0 deleted, 1 replaced, 0 skipped, 0 failed;"),
        "{said:?}"
    );
    assert_eq!(title(), "Another");
}

#[test]
fn a_csv_manifest_gives_attributes_in_columns() {
    let shop = shop(4);
    let data = tempfile::tempdir().unwrap();
    let base64 = STANDARD.encode(test_png(2));
    let manifest = shop.path().join("products.csv");
    let rows = format!(
        "\u{feff}title, id ,image,price,sold_out,ean,note\r\n\
         \"A \"\"shoe\"\", red\",shoe,photos/p-0.png,40.5,false,007,\"two\nlines\"\n\
         Bag,bag,photos/p-1.png,,true,,\n\
         \n\
         Coat,coat,{base64},7,x,18446744073709551616,\n\
         too,few\n\
         None,none,,1,true,,\n\
         Out,out,../x.png,1,true,,\n\
         ,untitled,photos/p-3.png,,,,\n"
    );
    let rows = [
        rows.as_bytes(),
        b"bad,\xff,photos/p-1.png,,,,\nopen,open,\"photos/p-1.png,,,,\n",
    ]
    .concat();
    std::fs::write(&manifest, rows).unwrap();
    let said = import(&manifest, data.path(), &[]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(
        said.out
            .starts_with("4 stored, 0 joined, 0 merged, 0 deleted, 0 replaced, 0 skipped, 5 failed;"),
        "{said:?}"
    );
    has(
        &said,
        &[
            "line 7: the row has 2 cells, but the first line names 7 columns",
            "line 8, id \"none\": image: is missing",
            "line 9, id \"out\": image: \"../x.png\" leads out",
            "line 11: the row is not UTF-8",
            "line 12: the row has 3 cells",
        ],
    );
    let server = Server::start(data.path(), &[]).ready();
    let product = |id: &str| server.get(&format!("/v1/products/{id}")).json();
    let attributes = |product: &Value| product["attributes"].clone();
    let shoe = product("shoe");
    assert_eq!(shoe["title"], "A \"shoe\", red");
    assert_eq!(
        attributes(&shoe),
        json!({"price": 40.5, "sold_out": false, "ean": "007", "note": "two\nlines"})
    );
    assert_eq!(attributes(&product("bag")), json!({"sold_out": true}));
    assert_eq!(
        attributes(&product("coat")),
        json!({"price": 7, "sold_out": "x", "ean": "18446744073709551616"})
    );
    assert_eq!(product("untitled")["title"], "");
    for (picture, id) in [(0, "shoe"), (1, "bag"), (2, "coat"), (3, "untitled")] {
        assert_eq!(nearest(&server, picture), (id.to_owned(), 1.0));
    }
}

#[test]
fn rows_of_variants_are_joined_and_what_is_lost_is_said() {
    let shop = shop(4);
    let data = tempfile::tempdir().unwrap();
    let table = shop.path().join("variants.csv");
    let rows = "sep=;\r\n\
        id;title;image;colour\r\n\
        tee;Tee;photos/p-0.png;Red\r\n\
        bag;Bag;photos/p-1.png;\r\n\
        tee;;photos/p-2.png;Blue\r\n";
    std::fs::write(&table, rows).unwrap();
    let said = import(&table, data.path(), &[]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(
        said.out
            .starts_with("2 stored, 1 joined, 0 merged, 0 deleted, 0 replaced, 0 skipped, 0 failed;"),
        "{said:?}"
    );
    has(
        &said,
        &["line 5, id \"tee\": colour: is \"Blue\" here and \"Red\" in line 3; both are kept, as a list"],
    );
    let server = Server::start(data.path(), &[]).ready();
    let tee = server.get("/v1/products/tee").json();
    assert_eq!(
        (&tee["title"], tee["pictures"].as_array().unwrap().len()),
        (&json!("Tee"), 2)
    );
    assert_eq!(tee["attributes"], json!({"colour": ["Red", "Blue"]}));
    for picture in [0, 2] {
        assert_eq!(nearest(&server, picture), ("tee".to_owned(), 1.0));
    }
    drop(server);

    // An export by Shopify, first without the pictures that it has addresses of.
    let export = shop.path().join("photos/export.csv");
    let rows = "Handle,Title,Vendor,Option1 Name,Option1 Value,Variant Price,Image Src\n\
        boot,Boot,Anker,Size,38,59.90,https://cdn.example/p-3.png?v=1\n\
        boot,,,,39,54.90,https://cdn.example/gone.png?v=1\n\
        cap,Cap,,Title,Default Title,15,https://cdn.example/gone.png\n";
    std::fs::write(&export, rows).unwrap();
    let said = import(&export, data.path(), &[]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(
        said.out
            .starts_with("1 stored, 1 joined, 0 merged, 0 deleted, 0 replaced, 0 skipped, 1 failed;"),
        "{said:?}"
    );
    assert!(
        said.out
            .contains("2 pictures were not fetched; `spikelens import "),
        "{said:?}"
    );
    has(
        &said,
        &[
            "line 3, id \"boot\": image: https://cdn.example/gone.png?v=1 is not fetched; there is no file gone.png",
            "line 4, id \"cap\": image: none of its pictures is fetched",
            "1 rows failed, 0 values or pictures were left out, 2 pictures were not fetched",
        ],
    );
    let listed = run(&["import", export.to_str().unwrap(), "--addresses"]);
    let expected =
        "https://cdn.example/p-3.png?v=1\nhttps://cdn.example/gone.png?v=1\nhttps://cdn.example/gone.png\n";
    assert_eq!(String::from_utf8(listed.stdout).unwrap(), expected);

    // With them: one product is complete, the other is new.
    std::fs::copy(
        shop.path().join("photos/p-1.png"),
        shop.path().join("photos/gone.png"),
    )
    .unwrap();
    let said = import(&export, data.path(), &[]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(
        said.out
            .starts_with("1 stored, 1 joined, 0 merged, 0 deleted, 1 replaced, 0 skipped, 0 failed;"),
        "{said:?}"
    );
    let server = Server::start(data.path(), &[]).ready();
    let boot = server.get("/v1/products/boot").json();
    assert_eq!(
        boot["attributes"],
        json!({"Vendor": "Anker", "Size": ["38", "39"], "Variant Price": 54.9})
    );
    assert_eq!(boot["pictures"].as_array().unwrap().len(), 2);
}

#[test]
fn an_invalid_source_is_refused_with_what_would_be_valid() {
    let place = tempfile::tempdir().unwrap();
    let data = place.path().join("data");
    let write = |name: &str, text: &str| {
        let path = place.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    for (source, reason) in [
        (
            write("a.xml", "<a/>"),
            "a manifest named *.ndjson or *.jsonl, or a table named *.csv or *.tsv",
        ),
        (place.path().join("none.csv"), "none.csv cannot be read"),
        (place.path().join("none"), "is not a valid source"),
        (
            write("a.csv", "id|title|image\n1|2|3\n"),
            "the first line must name the columns",
        ),
        (write("b.csv", "id,image,id\n"), "names the column \"id\" twice"),
        (write("c.csv", ""), "the first line must name the columns"),
        (place.path().to_owned(), "contains no pictures"),
    ] {
        let said = import(&source, &data, &[]);
        assert_eq!(said.code, Some(1), "{said:?}");
        has(&said, &[reason]);
        assert!(!data.exists(), "{source:?} is refused before a catalogue is made");
    }
    let utf16: Vec<u8> = "\u{feff}id,image\n1,2\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    for name in ["wide.csv", "wide.ndjson"] {
        let path = place.path().join(name);
        std::fs::write(&path, &utf16).unwrap();
        let said = import(&path, &data, &[]);
        assert_eq!(said.code, Some(1), "{said:?}");
        has(&said, &["cannot be read: the text is UTF-16; it must be UTF-8"]);
    }
    let said = import(&write("empty.ndjson", ""), &data, &[]);
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{said:?}");
}

#[test]
fn a_manifest_changes_and_deletes_products_in_its_order() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = folder.path().join("feed.ndjson");
    let put = |id: &str, picture| crate::imports::line(id, picture);
    let lines = [
        put("a", 0),
        json!({"id": "a", "title": "first", "attributes": {"n": null, "m": 1}}).to_string(),
        put("b", 1),
        json!({"id": "b", "delete": true}).to_string(),
        json!({"id": "nobody", "title": "N"}).to_string(),
        json!({"id": "nobody", "delete": true}).to_string(),
        put("c", 2),
        json!({"id": "a", "delete": true}).to_string(),
        put("a", 3),
        json!({"id": "c", "title": "changed", "attributes": {"n": null}}).to_string(),
    ];
    std::fs::write(&manifest, lines.join("\n")).unwrap();
    let data = folder.path().join("data");
    let made = run(&[
        "import",
        manifest.to_str().unwrap(),
        "--data-dir",
        data.to_str().unwrap(),
        "--model",
        "fashion-mnist",
    ]);
    let (said, errors) = (
        String::from_utf8(made.stdout).unwrap(),
        String::from_utf8(made.stderr).unwrap(),
    );
    assert!(
        said.starts_with("4 stored, 0 joined, 2 merged, 2 deleted, 0 replaced, 0 skipped, 1 failed;"),
        "{said}"
    );
    assert!(
        errors.contains("line 5, id \"nobody\": there is no product \"nobody\" to be changed"),
        "{errors}"
    );
    assert_eq!(made.status.code(), Some(1));
    let server = Server::start(&data, &[]).ready();
    let page = server.get("/v1/products").json();
    let products: Vec<(&str, &str, &Value)> = page["products"]
        .as_array()
        .unwrap()
        .iter()
        .map(|product| {
            let text = |name: &str| product[name].as_str().unwrap();
            (text("id"), text("title"), &product["attributes"])
        })
        .collect();
    assert_eq!(
        products,
        [("c", "changed", &json!({})), ("a", "picture 3", &json!({"n": 3}))]
    );
}
