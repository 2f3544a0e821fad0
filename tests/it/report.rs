//! `evaluate --report` and several models: the content of the page, compared with the output.

use std::path::Path;

use image::{Rgb, RgbImage, imageops};
use serde_json::Value;

use crate::drawing::fault;
use crate::server::run;
use crate::support::dataset;

const PAPER: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/models/paper-32-64-10.snn.safetensors"
);
const GOLDEN: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/golden/paper-32-64-10/snn.safetensors"
);

fn evaluate(options: &[&str]) -> String {
    let dataset = dataset();
    let protocol = ["--queries", "20", "--corpus", "100", "--time-steps", "8,auto"];
    let output = run(&[
        &["evaluate", "--dataset", dataset.to_str().unwrap()],
        &protocol[..],
        options,
    ]
    .concat());
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn read(folder: &Path, name: &str) -> String {
    std::fs::read_to_string(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn a_report_holds_what_is_printed_and_draws_it() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("new").join("report");
    let printed = evaluate(&["--format", "csv", "--report", folder.to_str().unwrap()]);
    assert_eq!(read(&folder, "evaluation.csv"), printed);
    let json: Value = serde_json::from_str(&read(&folder, "evaluation.json")).unwrap();
    assert_eq!(json["rows"].as_array().unwrap().len(), 3);
    let command = json["command"].as_str().unwrap();
    assert!(
        command.contains("--time-steps 8,auto --queries 20 --corpus 100"),
        "{command}"
    );
    let page = read(&folder, "README.md");
    for part in [
        command,
        "\n| ANN | ",
        "\n| SNN (8) spike_count | ",
        "\n| paper: SNN (128) membrane | 90.01 | 86.58 | 93.93 | 0.4919 |",
        "](map-energy.svg)",
        "](classification-energy.svg)",
    ] {
        assert!(page.contains(part), "{part} is not in\n{page}");
    }
    for figure in ["map-energy", "classification-energy"] {
        let svg = read(&folder, &format!("{figure}.svg"));
        assert_eq!(fault(&svg), None);
        for name in [
            "fashion-mnist, spike count</text>",
            "auto</text>",
            "float network</text>",
        ] {
            assert!(svg.contains(name), "{figure}: no {name}");
        }
        let png = folder.join(format!("{figure}.png"));
        assert_eq!(png.exists(), cfg!(feature = "train"), "{}", png.display());
    }
}

#[test]
fn several_models_have_rows_and_curves_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let models = format!("{PAPER},{GOLDEN}");
    let printed = evaluate(&[
        "--model",
        &models,
        "--probe",
        "spike_count",
        "--format",
        "json",
        "--report",
        folder.to_str().unwrap(),
    ]);
    let json: Value = serde_json::from_str(&printed).unwrap();
    let labels = ["paper-32-64-10", "snn"];
    let named: Vec<&str> = json["models"]
        .as_array()
        .unwrap()
        .iter()
        .map(|model| model["label"].as_str().unwrap())
        .collect();
    assert_eq!(named, labels);
    // Without --ann it is not known which float network belongs to which model.
    let rows = json["rows"].as_array().unwrap();
    let of: Vec<&str> = rows.iter().map(|row| row["model"].as_str().unwrap()).collect();
    assert_eq!(of, [labels[0], labels[0], labels[1], labels[1]]);
    let svg = read(folder, "map-energy.svg");
    for name in labels {
        assert!(svg.contains(&format!(">{name}, spike count</text>")), "{name}");
    }
    let csv = read(folder, "evaluation.csv");
    assert!(csv.lines().next().unwrap().ends_with(",model"), "{csv}");
    assert!(csv.lines().nth(4).unwrap().ends_with(",snn"), "{csv}");
}

#[test]
fn models_of_equal_file_names_are_told_apart_by_their_paths() {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("snn.safetensors");
    std::fs::copy(GOLDEN, &copy).unwrap();
    let copy = copy.to_str().unwrap();
    let text = evaluate(&["--model", &format!("{GOLDEN},{copy}")]);
    assert!(text.contains(&format!("\n{copy}: SNN (8) membrane")), "{text}");
}

#[test]
fn a_data_set_of_photos_is_judged_by_class_and_its_matches_are_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let set = folder.path().join("set");
    // Wide things and tall things on white.
    for (class, width, height) in [("wide & flat", 60, 12), ("tall", 12, 60)] {
        for (split, count) in [("train", 3), ("test", 2)] {
            let class = set.join(split).join(class);
            std::fs::create_dir_all(&class).unwrap();
            for number in 0..count {
                let mut photo = RgbImage::from_pixel(80, 80, Rgb([255; 3]));
                let thing = RgbImage::from_pixel(width, height, Rgb([30 * number, 60, 90]));
                imageops::overlay(&mut photo, &thing, 8, 8 + i64::from(number));
                photo.save(class.join(format!("{number}.png"))).unwrap();
            }
        }
    }
    std::fs::write(set.join("test/tall/broken.png"), "not a picture").unwrap();
    let report = folder.path().join("report");
    let output = run(&[
        "evaluate",
        "--dataset",
        set.to_str().unwrap(),
        "--model",
        "fashion-mnist",
        "--time-steps",
        "8",
        "--format",
        "json",
        "--report",
        report.to_str().unwrap(),
    ]);
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("test/tall/broken.png: the 13 bytes begin like no known picture"),
        "{said}"
    );
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&json["queries"], &json["corpus"]), (&4.into(), &6.into()));
    assert_eq!(json["left_out"]["unreadable"], 1);
    let row = &json["rows"][1];
    assert_eq!(
        (&row["classification"], &row["top_1"]),
        (&Value::Null, &100.0.into())
    );
    let expected = serde_json::json!({"class": "wide & flat", "queries": 2, "corpus": 3, "top_1": 100.0});
    assert_eq!(row["by_class"][1], expected);
    let page = read(&report, "README.md");
    for part in [
        "# Evaluation on set\n",
        "](matches.svg)",
        "\n| tall | 2 | 3 | 100.00 |\n",
    ] {
        assert!(page.contains(part), "{part} is not in\n{page}");
    }
    assert!(!page.contains("classification-energy"), "{page}");
    let svg = read(&report, "matches.svg");
    assert_eq!(fault(&svg), None);
    // Four queries, each with the whole corpus.
    assert_eq!(svg.matches("<image ").count(), 4 * 7);
    assert!(svg.contains(">wide &amp; flat</text>"));
}
