//! Networks by name, and which one a catalogue takes and keeps.

use std::path::Path;
use std::process::Output;

use engine::model::built_in::BuiltIn;
use serde_json::Value;

use crate::api::{catalogue, test_png};
use crate::drawing::fault;
use crate::server::{Server, run, spikelens};
use crate::support::dataset;

/// A network that is not built in.
const FOREIGN: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/golden/paper-32-64-10/snn.safetensors"
);

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn inspected(output: &Output) -> Value {
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A directory with a few pictures.
fn shop() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for picture in 0..3 {
        std::fs::write(folder.path().join(format!("p-{picture}.png")), test_png(picture)).unwrap();
    }
    folder
}

fn import(source: &Path, data_dir: &Path, arguments: &[&str]) -> Output {
    let (source, data_dir) = (source.to_str().unwrap(), data_dir.to_str().unwrap());
    let output = run(&[&["import", source, "--data-dir", data_dir], arguments].concat());
    assert!(output.status.success(), "{output:?}");
    output
}

/// Starts a server with these arguments and nothing else.
fn serve(data_dir: &Path, arguments: &[&str]) -> Server {
    Server::start_by(spikelens(&[]), data_dir, arguments).ready()
}

/// The id of the network that a server uses; nothing is being re-embedded.
fn used(server: &Server) -> String {
    let ready = server.get("/readyz").json();
    assert!(ready["reembedding"].is_null(), "{ready}");
    server.get("/v1/model").json()["id"].as_str().unwrap().to_owned()
}

#[test]
fn a_built_in_network_is_asked_for_by_name_and_a_file_by_its_path() {
    for network in BuiltIn::ALL {
        let found = inspected(&run(&["inspect", network.name(), "--format", "json"]));
        assert_eq!(found["model"]["id"], network.id(), "{network}");
        let drawn = run(&["inspect", network.name(), "--format", "svg"]);
        assert_eq!(fault(&text(&drawn.stdout)), None, "{network}");
    }
    // A name means the built-in network also beside a file of that name.
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(FOREIGN, folder.path().join("clothing")).unwrap();
    std::fs::copy(FOREIGN, folder.path().join("mine")).unwrap();
    let here = |asked: &str| {
        let mut command = spikelens(&["inspect", asked, "--format", "json"]);
        inspected(&command.current_dir(folder.path()).output().unwrap())["model"]["id"].clone()
    };
    assert_eq!(here("clothing"), BuiltIn::Clothing.id());
    let foreign = here("mine");
    assert_eq!(here("./clothing"), foreign);
    assert!(BuiltIn::ALL.iter().all(|network| foreign != network.id()));

    let picture = folder.path().join("p.png");
    std::fs::write(&picture, test_png(0)).unwrap();
    let picture = picture.to_str().unwrap();
    let embedded = run(&["embed", picture, "--model", "paper-32-64-10"]);
    let embedded: Value = serde_json::from_slice(&embedded.stdout).unwrap();
    assert_eq!(embedded["embedding"].as_array().unwrap().len(), 2304);
    let data_dir = folder.path().to_str().unwrap();
    let dataset = dataset();
    let evaluate = ["evaluate", "--dataset", dataset.to_str().unwrap()];
    for arguments in [
        &["inspect", "shoes"][..],
        &["embed", picture, "--model", "shoes"],
        &["bench", picture, "--model", "shoes"],
        &[&evaluate[..], &["--model", "shoes"]].concat(),
        &[&evaluate[..], &["--ann", "shoes"]].concat(),
        &["serve", "--data-dir", data_dir, "--model", "shoes"],
        &["import", data_dir, "--data-dir", data_dir, "--model", "shoes"],
    ] {
        let refused = run(arguments);
        assert_eq!(refused.status.code(), Some(1), "{arguments:?}");
        let said = text(&refused.stderr);
        let expected = "\"shoes\" is neither a file nor the name of a built-in network: photos, clothing, fashion-mnist, \
                        paper-32-64-10";
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
}

#[test]
fn evaluate_measures_the_float_network_beside_a_built_in_one() {
    let dataset = dataset();
    let rows = |arguments: &[&str]| {
        let all = [
            "evaluate",
            "--dataset",
            dataset.to_str().unwrap(),
            "--format",
            "json",
        ];
        let few = ["--queries", "20", "--corpus", "100", "--time-steps", "4"];
        let output = run(&[&all[..], &few, arguments].concat());
        let report = inspected(&output);
        let rows = report["rows"].as_array().unwrap().iter();
        rows.map(|row| row["time_steps"].is_null()).collect::<Vec<_>>()
    };
    assert_eq!(rows(&["--model", "paper-32-64-10"]), [true, false]);
    assert_eq!(rows(&["--model", "paper-32-64-10,fashion-mnist"]), [false, false]);
    assert_eq!(rows(&["--model", FOREIGN]), [false]);
    assert_eq!(
        rows(&["--model", FOREIGN, "--ann", "paper-32-64-10"]),
        [true, false]
    );
}

#[test]
fn a_new_catalogue_takes_the_network_for_photos_and_fashion_mnist_its_own() {
    let shop = shop();
    let data = tempfile::tempdir().unwrap();
    let said = text(&import(shop.path(), data.path(), &[]).stderr);
    assert!(
        said.contains("built-in network photos; `spikelens adapt --data-dir "),
        "{said}"
    );
    assert_eq!(used(&serve(data.path(), &[])), BuiltIn::Photos.id());

    // One that was only served has the network for photos, until it is filled with Fashion-MNIST.
    let empty = tempfile::tempdir().unwrap();
    assert_eq!(used(&serve(empty.path(), &[])), BuiltIn::Photos.id());
    let said = text(&import(&dataset(), empty.path(), &["--limit", "20"]).stderr);
    assert!(!said.contains("adapt"), "{said}");
    assert_eq!(used(&serve(empty.path(), &[])), BuiltIn::FashionMnist.id());
    // What comes later is embedded by the same network.
    import(shop.path(), empty.path(), &[]);
    assert_eq!(used(&serve(empty.path(), &[])), BuiltIn::FashionMnist.id());
}

#[test]
fn only_an_explicit_model_changes_the_network_of_a_catalogue() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("mine.safetensors");
    std::fs::copy(FOREIGN, &file).unwrap();
    let folder = catalogue(40, &["--model", file.to_str().unwrap()]);
    let foreign = used(&serve(folder.path(), &[]));
    assert!(BuiltIn::ALL.iter().all(|network| foreign != network.id()));
    // The catalogue has the file's bytes, whatever becomes of the file.
    std::fs::remove_file(&file).unwrap();
    assert_eq!(used(&serve(folder.path(), &[])), foreign);
    import(shop().path(), folder.path(), &[]);
    assert_eq!(used(&serve(folder.path(), &[])), foreign);

    // As a catalogue of an older version may be, or one whose network was built into another version.
    let database = rusqlite::Connection::open(folder.path().join("catalogue.sqlite3")).unwrap();
    assert_eq!(database.execute("DELETE FROM models", []).unwrap(), 1);
    drop(database);
    let data_dir = folder.path().to_str().unwrap();
    for command in [
        &["serve", "--data-dir", data_dir, "--listen", "127.0.0.1:0"][..],
        &["import", shop().path().to_str().unwrap(), "--data-dir", data_dir],
    ] {
        let refused = run(command);
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
        let said = text(&refused.stderr);
        assert!(said.contains(&foreign) && said.contains("--model FILE"), "{said}");
    }
    assert_eq!(used(&serve(folder.path(), &["--model", FOREIGN])), foreign);
    assert_eq!(
        used(&serve(folder.path(), &[])),
        foreign,
        "it has the bytes again"
    );

    let server = Server::start_by(spikelens(&[]), folder.path(), &["--model", "fashion-mnist"]).settled();
    assert_eq!(used(&server), BuiltIn::FashionMnist.id());
    drop(server);
    assert_eq!(used(&serve(folder.path(), &[])), BuiltIn::FashionMnist.id());
}
