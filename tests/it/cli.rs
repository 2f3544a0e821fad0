//! The commands as a user runs them: results on stdout, errors as one sentence on stderr, exit codes.

use std::net::TcpListener;
use std::process::Output;

use engine::network::tensors::read_snn;
use lab::ann::file::read_ann;
use safetensors::SafeTensors;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::api::catalogue;
use crate::server::{run, spikelens};
use crate::support::{dataset, golden, pictures};

fn failed(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stdout.is_empty());
    let said = String::from_utf8(output.stderr.clone()).unwrap();
    assert!(
        said.starts_with("spikelens: ") && said.lines().count() == 1,
        "{said}"
    );
    said
}

/// The first test pictures as a `.npy` file, written here by hand.
fn npy(count: usize) -> tempfile::NamedTempFile {
    let file = tempfile::Builder::new().suffix(".npy").tempfile().unwrap();
    let header = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': ({count}, 1, 28, 28), }}");
    let padded = format!("{header:<117}\n");
    let mut bytes = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
    bytes.extend(padded.bytes());
    for picture in pictures("t10k", count) {
        bytes.extend(picture.as_slice());
    }
    std::fs::write(file.path(), bytes).unwrap();
    file
}

#[test]
fn embed_gives_the_bundle_s_membranes() {
    let model = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/golden/paper-32-64-10/snn.safetensors"
    );
    let bytes = golden("expected.safetensors");
    let expected = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let expected = expected.tensor("membrane.t16").unwrap().data();
    let file = npy(20);
    let path = file.path().to_str().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("embeddings.npy");
    let arguments = [
        "embed",
        path,
        "--model",
        model,
        "--time-steps",
        "16",
        "--probe",
        "membrane",
    ];
    let output = run(&[
        &arguments[..],
        &["--format", "npy", "--out", out.to_str().unwrap()],
    ]
    .concat());
    assert!(output.status.success(), "{output:?}");
    let written = std::fs::read(&out).unwrap();
    assert_eq!(&written[written.len() - expected.len()..], expected);
    assert!(String::from_utf8_lossy(&written).contains("(20, 2304)"));

    let output = run(&arguments);
    let lines: Vec<Value> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 20);
    let values = lines[7]["embedding"].as_array().unwrap().iter();
    let bytes: Vec<u8> = values
        .flat_map(|value| i32::try_from(value.as_i64().unwrap()).unwrap().to_le_bytes())
        .collect();
    assert_eq!(bytes, expected[7 * 2304 * 4..8 * 2304 * 4]);
    for field in ["picture", "probe", "time_steps", "prediction", "emulation"] {
        assert!(!lines[0][field].is_null(), "{field}");
    }
}

#[test]
fn convert_repeats_the_paper_s_network() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("snn.safetensors");
    let ann = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/models/paper-32-64-10.ann.safetensors"
    );
    let dataset = dataset();
    let output = run(&[
        "convert",
        ann,
        "--calibration",
        dataset.to_str().unwrap(),
        "--out",
        out.to_str().unwrap(),
        "--default-probe",
        "spike_count",
        "--default-time-steps",
        "16",
    ]);
    assert!(output.status.success(), "{output:?}");
    let shipped = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/models/paper-32-64-10.snn.safetensors"
    );
    let shipped = read_snn(&std::fs::read(shipped).unwrap()).unwrap();
    let converted = read_snn(&std::fs::read(&out).unwrap()).unwrap();
    assert_eq!(converted, shipped);
}

#[test]
fn evaluate_measures_both_networks() {
    let dataset = dataset();
    let output = run(&[
        "evaluate",
        "--dataset",
        dataset.to_str().unwrap(),
        "--queries",
        "200",
        "--corpus",
        "1000",
        "--time-steps",
        "4,16",
        "--format",
        "json",
    ]);
    assert!(output.status.success(), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let rows = report["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 3);
    let figure = |row: usize, name: &str| rows[row][name].as_f64().unwrap();
    assert!(figure(0, "classification") > 85.0);
    assert!(figure(0, "map") > 0.45 && figure(2, "map") > 0.4, "{report}");
    // Four steps are too few for spikes to reach the classifier.
    assert!(figure(1, "map") < figure(2, "map"));
    assert!(figure(1, "energy_mj") < figure(2, "energy_mj"));
}

#[test]
fn evaluate_asks_held_out_training_pictures_too() {
    let dataset = dataset();
    let evaluate = |queries: &str, corpus: &str| {
        run(&[
            "evaluate",
            "--dataset",
            dataset.to_str().unwrap(),
            "--queries-from",
            "validation",
            "--queries",
            queries,
            "--corpus",
            corpus,
            "--time-steps",
            "8",
            "--format",
            "json",
        ])
    };
    let output = evaluate("200", "1000");
    assert!(output.status.success(), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["queries_from"], "validation");
    assert!(
        report["rows"][0]["classification"].as_f64().unwrap() > 85.0,
        "{report}"
    );
    // A query must not find itself.
    assert!(failed(&evaluate("50000", "20000")).contains("overlap"));
}

#[cfg(not(feature = "train"))]
#[test]
fn a_build_without_training_says_how_to_get_it() {
    for command in [
        &["train", "--dataset", "x", "--out", "y"][..],
        &["tune", "snn.safetensors", "--dataset", "x", "--out", "y"],
        &["evaluate", "--paper", "--dataset", "x"],
    ] {
        assert!(failed(&run(command)).contains("cargo build --release --features train"));
    }
}

#[cfg(feature = "train")]
#[test]
fn the_paper_s_run_names_the_architectures_that_it_knows() {
    let arguments = [
        "evaluate",
        "--paper",
        "--dataset",
        "x",
        "--architectures",
        "32-64-10,1-2-10",
    ];
    let said = failed(&run(&arguments));
    assert!(
        said.contains("1-2-10 is not in Table 1, which has 4-8-10, 8-16-10"),
        "{said}"
    );
}

#[test]
fn search_from_the_shell_finds_its_like() {
    let folder = catalogue(500, &[]);
    let file = npy(1);
    let data_dir = folder.path().to_str().unwrap();
    let arguments = [
        "search",
        file.path().to_str().unwrap(),
        "--data-dir",
        data_dir,
        "--k",
        "3",
    ];
    let table = String::from_utf8(run(&arguments).stdout).unwrap();
    assert_eq!(table.matches("fashion-mnist-train-").count(), 3, "{table}");
    assert!(table.contains("Ankle boot"), "{table}");
    let output = run(&[&arguments[..], &["--format", "json"]].concat());
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["matches"].as_array().unwrap().len(), 3);
}

#[test]
fn an_import_goes_on_where_it_was_left() {
    let folder = catalogue(300, &[]);
    let dataset = dataset();
    let data_dir = folder.path().to_str().unwrap();
    let output = run(&[
        "import",
        dataset.to_str().unwrap(),
        "--data-dir",
        data_dir,
        "--limit",
        "500",
        "--resume",
    ]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        said.starts_with("200 stored, 0 joined, 0 merged, 0 deleted, 0 replaced, 300 skipped, 0 failed;"),
        "{said}"
    );
    let other = [
        "import",
        dataset.to_str().unwrap(),
        "--data-dir",
        data_dir,
        "--probe",
        "membrane",
    ];
    assert!(failed(&run(&other)).contains("were made by model"));
}

#[test]
fn bench_times_every_picture() {
    let file = npy(30);
    let path = file.path().to_str().unwrap();
    let arguments = ["bench", path, "--model", "fashion-mnist", "--time-steps", "4"];
    let text = String::from_utf8(run(&arguments).stdout).unwrap();
    assert!(
        text.contains("30 pictures, T = 4") && text.contains("p99"),
        "{text}"
    );
    let output = run(&[&arguments[..], &["--format", "jsonl"]].concat());
    let lines = String::from_utf8(output.stdout).unwrap();
    assert_eq!(lines.lines().count(), 30);
    for line in lines.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        assert!(line["ms"].as_f64().unwrap() > 0.0);
    }
}

#[test]
fn inspect_tells_a_picture_alone_from_a_full_chip() {
    let paper = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/models/paper-32-64-10.snn.safetensors"
    );
    let output = run(&["inspect", paper, "--format", "json"]);
    let whole: Value = serde_json::from_slice(&output.stdout).unwrap();
    let chip = &whole["chip"];
    let figure = |path: &str| chip.pointer(path).and_then(Value::as_f64).unwrap();
    let replicas = figure("/replicas");
    assert!(replicas > 1.0 && figure("/occupancy/replicas") == replicas);
    let close = |found: f64, expected: f64| assert!((found / expected - 1.0).abs() < 1e-9, "{chip}");
    close(
        figure("/occupancy/pictures_per_second"),
        replicas * figure("/picture/pictures_per_second"),
    );
    close(
        figure("/occupancy/energy_mj_per_picture/static") * replicas,
        figure("/picture/energy_mj/static"),
    );
    close(
        figure("/occupancy/energy_mj_per_picture/dynamic"),
        figure("/picture/energy_mj/dynamic"),
    );
    assert!(chip["several_chips"].is_null());
    let layers = whole["widths"]["layers"].as_array().unwrap();
    let names: Vec<&str> = layers
        .iter()
        .map(|layer| layer["layer"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["input", "conv1", "conv2", "dense1"]);
    for layer in layers {
        assert!(
            layer["reached"]["low"].as_i64() >= layer["bound"]["low"].as_i64(),
            "{layer}"
        );
        assert!(
            layer["reached"]["high"].as_i64() <= layer["bound"]["high"].as_i64(),
            "{layer}"
        );
    }
    let text = String::from_utf8(run(&["inspect", paper]).stdout).unwrap();
    for part in [
        "alone on the chip",
        "full chip: each of",
        "reached by samples",
        "conv2",
    ] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn inspect_validates_without_a_model() {
    let output = run(&["inspect", "--validate", "--format", "json"]);
    let whole: Value = serde_json::from_slice(&output.stdout).unwrap();
    let cases: Vec<&str> = whole["cases"]
        .as_array()
        .unwrap()
        .iter()
        .map(|case| case["case"].as_str().unwrap())
        .collect();
    assert_eq!(cases, ["A", "B", "C", "F", "J"]);
    let rows = whole["rows"].as_array().unwrap();
    let cores = rows
        .iter()
        .find(|row| row["case"] == "B" && row["quantity"] == "cores")
        .unwrap();
    assert_eq!(
        cores["modelled"][0]["value"],
        serde_json::json!({"low": 157.0, "high": 157.0})
    );
    assert_eq!(cores["modelled"][0]["error_percent"]["high"], 0.0);
    assert!(failed(&run(&["inspect", "--validate", "--format", "svg"])).contains("text or JSON"));
    assert_eq!(
        run(&["inspect", "snn.safetensors", "--validate"]).status.code(),
        Some(2)
    );
}

#[test]
fn what_is_missing_or_damaged_is_named() {
    assert!(failed(&run(&["inspect", "/no/such/model"])).contains("/no/such/model cannot be read"));
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    std::fs::write(path, &golden("snn.safetensors")[..5000]).unwrap();
    let said = failed(&run(&["inspect", path]));
    assert!(
        said.contains("is refused") && said.contains("truncated"),
        "{said}"
    );
    std::fs::write(path, b"a text, not a picture").unwrap();
    assert!(failed(&run(&["embed", path])).contains(path));
    assert!(failed(&run(&["evaluate", "--dataset", "/no/such/folder"])).contains("make dataset"));
    assert!(failed(&run(&["search", path, "--data-dir", "/no/such/folder"])).contains("spikelens import"));
    assert!(failed(&run(&["import", "/etc", "--data-dir", path])).contains("contains no pictures"));
}

#[test]
fn wrong_usage_leaves_with_2() {
    for arguments in [
        &["embed"][..],
        &["embed", "x.png", "--time-steps", "0"],
        &["embed", "x.png", "--time-steps", "abc"],
        &["embed", "x.png", "--probe", "voltage"],
        &["serve", "--colour", "red"],
        &["fly"],
    ] {
        assert_eq!(run(arguments).status.code(), Some(2), "{arguments:?}");
    }
    let output = spikelens(&["embed", "x.png"])
        .env("SPIKELENS_TIME_STEPS", "2000")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("from 1 to 1024")
    );
}

#[test]
fn a_server_that_cannot_start_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().to_str().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = run(&[
        "serve",
        "--data-dir",
        data_dir,
        "--listen",
        &address,
        "--log-level",
        "error",
    ]);
    assert!(failed(&output).contains(&format!("cannot listen on {address}")));
    let output = run(&[
        "serve",
        "--data-dir",
        data_dir,
        "--listen",
        "0.0.0.0:0",
        "--log-level",
        "error",
    ]);
    assert!(failed(&output).contains("--no-auth"));
}

/// Tuning records the converted network that it started from, which must be that of the shipped float network.
#[test]
fn the_shipped_network_was_tuned_from_the_shipped_float_network() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("converted.safetensors");
    let models = concat!(env!("CARGO_MANIFEST_DIR"), "/models/fashion-mnist");
    let dataset = dataset();
    let output = run(&[
        "convert",
        &format!("{models}.ann.safetensors"),
        "--calibration",
        dataset.to_str().unwrap(),
        "--out",
        out.to_str().unwrap(),
        "--bias-bits",
        "13",
        "--input-initial-membrane",
        "190",
        "--default-probe",
        "spike_count",
        "--default-time-steps",
        "8",
    ]);
    assert!(output.status.success(), "{output:?}");
    let digest = Sha256::digest(std::fs::read(&out).unwrap());
    let id: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let shipped = std::fs::read(format!("{models}.snn.safetensors")).unwrap();
    let (_, metadata) = SafeTensors::read_metadata(&shipped).unwrap();
    let conversion = &metadata.metadata().as_ref().unwrap()["conversion"];
    let conversion: Value = serde_json::from_str(conversion).unwrap();
    assert_eq!(conversion["snn"], id);
}

#[test]
fn the_shipped_files_name_what_they_are() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/models/fashion-mnist");
    let ann = read_ann(&std::fs::read(format!("{folder}.ann.safetensors")).unwrap()).unwrap();
    let snn = read_snn(&std::fs::read(format!("{folder}.snn.safetensors")).unwrap()).unwrap();
    assert_eq!(ann.network.layers, snn.network.layers);
    assert_eq!(snn.network.label(9), "Ankle boot");
    assert!(snn.network.trained_with.is_some());
}
