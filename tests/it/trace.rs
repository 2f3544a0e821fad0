//! `trace`: spikes by step and counts by core, for all three ways to send a picture.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use engine::picture::{DecodeLimits, decode};
use serde_json::{Value, json};

use crate::api::{catalogue, test_png};
use crate::server::{GRAY, Server, run};
use crate::support::shipped;

fn sum<'a>(rows: impl IntoIterator<Item = &'a Value>, figure: &str) -> u64 {
    let figures = rows.into_iter().map(|row| row[figure].as_u64().unwrap());
    figures.sum()
}

/// The counts of the trace must add up to those of the emulation.
fn check(answer: &Value) {
    let (trace, emulation) = (&answer["trace"], &answer["emulation"]);
    let layers = trace["layers"].as_array().unwrap();
    let expected = emulation["layers"].as_array().unwrap();
    let cores = trace["cores"].as_array().unwrap();
    assert_eq!(layers.len(), expected.len());
    assert_eq!(layers[0]["name"], "input");
    for (layer, expected) in layers.iter().zip(expected) {
        assert_eq!(layer["name"], expected["name"]);
        let steps = layer["spikes_per_step"].as_array().unwrap();
        assert_eq!(Some(steps.len() as u64), emulation["time_steps"].as_u64());
        let spikes: u64 = steps.iter().map(|spikes| spikes.as_u64().unwrap()).sum();
        assert_eq!(expected["spikes"], spikes);
        let own: Vec<&Value> = cores
            .iter()
            .filter(|core| core["layer"] == layer["name"])
            .collect();
        assert_eq!(expected["cores"], own.len());
        for figure in ["spikes", "synaptic_operations"] {
            assert_eq!(expected[figure], sum(own.iter().copied(), figure), "{figure}");
        }
    }
    assert!(sum(cores, "spikes") > 0);
    assert_eq!(
        emulation["synaptic_operations"],
        sum(cores, "synaptic_operations")
    );
}

#[test]
fn a_trace_adds_up_and_is_the_same_in_all_three_ways() {
    let folder = catalogue(50, &[]);
    let server = Server::start(folder.path(), &[]).ready();
    let png = test_png(2);
    let cores = server.get("/v1/chip").json();
    for endpoint in ["/v1/embeddings", "/v1/search"] {
        let plain = server.post(endpoint, "image/png", &png).json();
        assert!(plain.get("trace").is_none());
        let refused = server.post(&format!("{endpoint}?trace=perhaps"), "image/png", &png);
        assert_eq!(refused.json()["errors"][0]["field"], "trace");
        let raw = server
            .post(&format!("{endpoint}?trace=true&time_steps=9"), "image/png", &png)
            .json();
        check(&raw);
        for (core, placed) in raw["trace"]["cores"]
            .as_array()
            .unwrap()
            .iter()
            .zip(cores["cores"].as_array().unwrap())
        {
            for field in ["chip", "core", "layer"] {
                assert_eq!(core[field], placed[field]);
            }
        }
        let mut form = Vec::new();
        for (name, value) in [("trace", "true"), ("time_steps", "9")] {
            form.extend(
                format!("--X\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n").bytes(),
            );
        }
        form.extend(b"--X\r\ncontent-disposition: form-data; name=\"image\"; filename=\"a.png\"\r\n\r\n");
        form.extend(&png);
        form.extend(b"\r\n--X--\r\n");
        let form = server.post(endpoint, "multipart/form-data; boundary=X", &form);
        let body = json!({"image": STANDARD.encode(&png), "trace": true, "time_steps": 9}).to_string();
        let json = server.post(endpoint, "application/json", body.as_bytes());
        for other in [form.json(), json.json()] {
            for field in ["trace", "emulation"] {
                assert_eq!(other[field], raw[field]);
            }
        }
        let url = raw["trace"]["prepared"].as_str().unwrap();
        let prepared = url.strip_prefix("data:image/png;base64,").unwrap();
        let prepared = decode(&STANDARD.decode(prepared).unwrap(), &DecodeLimits::default()).unwrap();
        assert_eq!((prepared.width(), prepared.height()), (28, 28));
    }
    let body =
        json!({"embedding": vec![1; shipped().network.embedding_dimensions()], "trace": true}).to_string();
    let refused = server.post("/v1/search", "application/json", body.as_bytes());
    assert_eq!(refused.json()["errors"][0]["field"], "embedding");
}

#[test]
fn embed_tells_a_trace_where_it_is_asked_for() {
    let file = tempfile::Builder::new().suffix(".png").tempfile().unwrap();
    std::fs::write(file.path(), test_png(4)).unwrap();
    let path = file.path().to_str().unwrap();
    let line = |arguments: &[&str]| -> Value {
        serde_json::from_slice(&run(&[&["embed", path], &GRAY[..], arguments].concat()).stdout).unwrap()
    };
    let traced = line(&["--trace"]);
    check(&traced);
    let plain = line(&[]);
    assert!(plain.get("trace").is_none());
    assert_eq!(plain["emulation"], traced["emulation"]);
    let refused = run(&["embed", path, "--trace", "--format", "npy"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--format jsonl"));
}
