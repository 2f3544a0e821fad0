//! From a tiny catalogue to a network, with training that takes seconds.

use std::path::Path;

use clap::Parser;
use serde_json::{Value, json};

use super::Adapt;
use crate::cli::import::Import;
use engine::model::Model;
use engine::picture::{Picture, Shape};

#[derive(Debug, Parser)]
struct Adapts {
    #[command(flatten)]
    adapt: Adapt,
}

#[derive(Debug, Parser)]
struct Imports {
    #[command(flatten)]
    import: Import,
}

const KINDS: [&str; 3] = ["red", "green", "blue"];

/// A picture of a product: its colour is that of its kind, its stripes are its own.
fn picture(kind: usize, product: usize, view: usize) -> Vec<u8> {
    let shape = Shape {
        channels: 3,
        height: 24,
        width: 24,
    };
    let place = |index: usize| (index / (24 * 24), index / 24 % 24, index % 24);
    let pixel = |index: usize| {
        let (channel, row, column) = place(index);
        let colour = if channel == kind { 200 } else { 40 };
        let stripe = (column + view + row * (product % 5)) / (2 + product % 4) % 2;
        u8::try_from(colour + 30 * stripe).unwrap()
    };
    let pixels = (0..shape.len()).map(pixel).collect();
    Picture::from_vec(shape, pixels).unwrap().to_png().unwrap()
}

/// A catalogue of 90 products of three kinds, each with so many pictures.
fn catalogue(folder: &Path, views: usize) -> String {
    let mut lines = String::new();
    for product in 0..90 {
        let kind = product % 3;
        let images: Vec<String> = (0..views)
            .map(|view| {
                let name = format!("{product}-{view}.png");
                std::fs::write(folder.join(&name), picture(kind, product / 3, view)).unwrap();
                name
            })
            .collect();
        let attributes = json!({"kind": KINDS[kind], "name": format!("product {product}")});
        lines +=
            &json!({"id": format!("p{product}"), "attributes": attributes, "images": images}).to_string();
        lines.push('\n');
    }
    let manifest = folder.join("products.ndjson");
    std::fs::write(&manifest, lines).unwrap();
    let data = folder.join("data").display().to_string();
    let manifest = manifest.display().to_string();
    let import = Imports::parse_from(["import", &manifest, "--data-dir", &data]);
    import.import.run().unwrap();
    data
}

fn adapt(data: &str, out: &Path, more: &[&str]) -> Result<(), String> {
    let out = out.display().to_string();
    let tiny = [
        "adapt",
        "--data-dir",
        data,
        "--out",
        &out,
        "--side",
        "16",
        "--architecture",
        "8k3s2p1-16",
    ];
    let adapt = Adapts::parse_from(tiny.iter().chain(more)).adapt;
    adapt.run().map_err(|error| format!("{error:#}"))
}

#[test]
fn a_catalogue_s_own_network_is_written_if_it_is_better() {
    let folder = tempfile::tempdir().unwrap();
    let data = catalogue(folder.path(), 1);
    let out = folder.path().join("snn.safetensors");
    // The network in use sees no colours.
    adapt(&data, &out, &["--label", "kind"]).unwrap();
    let model = Model::read(
        &std::fs::read(&out).unwrap(),
        engine::chip::cost::CostModel::Loihi1Paper,
    )
    .unwrap();
    let network = &model.snn.network;
    assert_eq!(network.labels.as_deref().unwrap(), ["blue", "green", "red"]);
    let made = network.trained_with.as_deref().unwrap();
    assert!(made.contains("the new network is better: mAP by label"), "{made}");
    assert!(
        made.contains("70 products of a catalogue, 20 others held out"),
        "{made}"
    );

    // What says nothing, and what is no label, is refused before anything is learned.
    let other = folder.path().join("other.safetensors");
    let refusal = adapt(&data, &other, &[]).unwrap_err();
    assert!(
        refusal.contains("name an attribute with --label (kind)"),
        "{refusal}"
    );
    let refusal = adapt(&data, &other, &["--label", "name"]).unwrap_err();
    assert!(
        refusal.contains("has 90 values in 90 of 90 products, and 0 of them in two products"),
        "{refusal}"
    );
    // A millisecond is over before anything is measured, on any machine.
    let refusal = adapt(&data, &other, &["--label", "kind", "--minutes", "0.00001"]).unwrap_err();
    assert!(refusal.contains("is too little for 70 pictures"), "{refusal}");
    assert!(!other.exists());
}

#[test]
fn products_with_several_pictures_need_no_label_and_a_teacher_s_rows_are_those_of_the_pictures() {
    let folder = tempfile::tempdir().unwrap();
    let data = catalogue(folder.path(), 2);
    let out = folder.path().join("snn.safetensors");
    // Whatever the verdict on so little is, both networks were compared on held-out products.
    adapt(&data, &out, &["--force"]).unwrap();
    let model = Model::read(
        &std::fs::read(&out).unwrap(),
        engine::chip::cost::CostModel::Loihi1Paper,
    )
    .unwrap();
    let made = model.snn.network.trained_with.as_deref().unwrap();
    assert!(made.contains("by product is"), "{made}");

    let pictures = folder.path().join("pictures");
    let list = pictures.display().to_string();
    let write = || {
        Adapts::parse_from([
            "adapt",
            "--data-dir",
            &data,
            "--pictures",
            &list,
            "--label",
            "kind",
        ])
        .adapt
        .run()
    };
    write().unwrap();
    let manifest = std::fs::read_to_string(pictures.join("pictures.csv")).unwrap();
    let lines: Vec<&str> = manifest.lines().collect();
    assert_eq!(lines.len(), 181);
    assert_eq!(
        lines[..3],
        [
            "image,id,label,group,split",
            "000000.png,0,red,p0,train",
            "000001.png,1,red,p0,train"
        ]
    );
    assert_eq!(
        std::fs::read(pictures.join("000001.png")).unwrap(),
        picture(0, 0, 1)
    );
    assert!(
        write()
            .unwrap_err()
            .to_string()
            .ends_with("already exists; --pictures names a new directory")
    );

    // A row too few, and a value that is no number.
    let teacher = folder.path().join("teacher.npy");
    for (rows, value, wanted) in [
        (179, 1.0, "has 179 embeddings for 180"),
        (180, f32::NAN, "of picture 0 has a value"),
    ] {
        std::fs::write(&teacher, npy(rows, value)).unwrap();
        let refusal = adapt(&data, &out, &["--teacher", teacher.to_str().unwrap()]).unwrap_err();
        assert!(refusal.contains(wanted), "{refusal}");
    }
}

/// A `.npy` file of rows of two values, the first of which is given.
fn npy(rows: usize, first: f32) -> Vec<u8> {
    let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, 2), }}");
    let mut bytes = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
    bytes.extend(format!("{header:<117}\n").bytes());
    for row in 0..2 * rows {
        let value = if row == 0 { first } else { 0.5 };
        bytes.extend(value.to_le_bytes());
    }
    bytes
}

#[test]
fn labels_are_text_and_the_first_element_of_a_list() {
    let label = |value: Value| super::label::label(&value);
    assert_eq!(label(json!("Shoe")).as_deref(), Some("Shoe"));
    assert_eq!(label(json!(["a", "b"])).as_deref(), Some("a"));
    assert_eq!(label(json!(7)).as_deref(), Some("7"));
    assert_eq!(
        (label(json!("")), label(json!([])), label(json!(null))),
        (None, None, None)
    );
}
