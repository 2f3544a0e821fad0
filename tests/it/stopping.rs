//! `time_steps: auto`: the rule, its bound, and that an answer is that of an ordinary run of the steps it names.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use engine::chip::cost::CostModel;
use engine::embedding::stopping::Rule;
use engine::emulator::Emulator;
use engine::model::Model;
use engine::network::TimeSteps;
use serde_json::{Value, json};

use crate::api::{catalogue, test_png};
use crate::server::{Server, run};
use crate::support::{dataset, pictures};

/// It needs 16 time steps and more, so that stopping early is possible.
const PAPER: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/models/paper-32-64-10.snn.safetensors"
);

fn paper() -> Emulator {
    let model = Model::read(&std::fs::read(PAPER).unwrap(), CostModel::Loihi1Paper).unwrap();
    Emulator::new(Arc::clone(&model.snn), &model.placement.tilings())
}

fn steps(steps: u32) -> TimeSteps {
    TimeSteps::new(steps).unwrap()
}

#[test]
fn a_run_is_the_beginning_of_every_longer_one() {
    let mut emulator = paper();
    for picture in pictures("t10k", 20) {
        let long = emulator.run(&picture, steps(Rule::LAST)).unwrap().clone();
        for after in [1, 5, Rule::FIRST, 13, 31] {
            let short = emulator.run(&picture, steps(after)).unwrap();
            for (short, long) in short.events.layers.iter().zip(&long.events.layers) {
                let spikes = &short.spikes_per_step;
                assert_eq!(spikes[..], long.spikes_per_step[..spikes.len()]);
                let operations = &short.operations_per_step_and_core;
                assert_eq!(
                    operations[..],
                    long.operations_per_step_and_core[..operations.len()]
                );
            }
        }
    }
}

#[test]
fn a_picture_stops_at_the_first_step_that_is_settled() {
    let mut emulator = paper();
    let snn = Arc::clone(emulator.snn());
    let rule = Rule::DEFAULT;
    let mut found = Vec::new();
    for picture in pictures("t10k", 100) {
        let stop = rule.settle(&mut emulator, &picture).unwrap();
        assert_eq!(rule.settle(&mut emulator, &picture).unwrap(), stop);
        for after in Rule::FIRST..=stop.get() {
            let settled = rule.settled(&snn, emulator.run(&picture, steps(after)).unwrap());
            assert!(settled == (after == stop.get()) || stop.get() == Rule::LAST);
        }
        found.push(stop.get());
    }
    assert!(found.iter().all(|stop| (Rule::FIRST..=Rule::LAST).contains(stop)));
    let mean = f64::from(found.iter().sum::<u32>()) / 100.0;
    assert!((14.0..18.0).contains(&mean), "{mean}");
    // Ten spikes per neuron are impossible by then: only the bound ends the run.
    let never = Rule::new(10.0).unwrap();
    let picture = &pictures("t10k", 1)[0];
    assert_eq!(never.settle(&mut emulator, picture).unwrap(), steps(Rule::LAST));
}

#[test]
fn a_higher_knob_never_stops_earlier() {
    let mut emulator = paper();
    for picture in pictures("t10k", 50) {
        let stops: Vec<u32> = [0.01, 0.04, 0.22, 0.5, 10.0]
            .map(|evidence| {
                let rule = Rule::new(evidence).unwrap();
                rule.settle(&mut emulator, &picture).unwrap().get()
            })
            .to_vec();
        assert!(stops.is_sorted(), "{stops:?}");
    }
}

#[test]
fn the_answer_is_that_of_the_steps_it_names() {
    let folder = catalogue(300, &["--model", PAPER]);
    let server = Server::start(folder.path(), &["--model", PAPER]).ready();
    let mut named = Vec::new();
    for (index, endpoint) in ["/v1/embeddings", "/v1/search"]
        .into_iter()
        .cycle()
        .enumerate()
        .take(12)
    {
        let png = test_png(index);
        let ask = |time_steps: &str| {
            let path = format!("{endpoint}?time_steps={time_steps}&trace=true");
            let mut answer = server.post(&path, "image/png", &png).json();
            answer.as_object_mut().unwrap().remove("timing").unwrap();
            answer
        };
        let settled = ask("auto");
        let time_steps = settled["time_steps"].as_u64().unwrap();
        assert_eq!(settled["emulation"]["time_steps"], time_steps);
        assert_eq!(ask(&time_steps.to_string()), settled);
        assert_eq!(ask("auto"), settled);
        assert_eq!(ask("auto:0.22"), settled);
        assert!(ask("auto:0.04")["time_steps"].as_u64().unwrap() <= time_steps);
        let body = json!({"image": STANDARD.encode(&png), "time_steps": "auto"}).to_string();
        let answer = server.post(endpoint, "application/json", body.as_bytes()).json();
        assert_eq!(answer["time_steps"], time_steps);
        named.push(time_steps);
    }
    named.dedup();
    assert!(named.len() > 3, "{named:?}");
    for word in ["automatic", "auto:", "auto:0", "auto:x", "AUTO"] {
        let answer = server.post(
            &format!("/v1/embeddings?time_steps={word}"),
            "image/png",
            &test_png(0),
        );
        let refusal = answer.json();
        assert_eq!(
            (answer.status, &refusal["errors"][0]["field"]),
            (400, &json!("time_steps"))
        );
        assert!(
            refusal["detail"].as_str().unwrap().contains("`auto`"),
            "{refusal}"
        );
    }
}

#[test]
fn the_commands_know_auto_where_no_catalogue_is_made() {
    let file = tempfile::Builder::new().suffix(".png").tempfile().unwrap();
    std::fs::write(file.path(), test_png(3)).unwrap();
    let path = file.path().to_str().unwrap();
    let embed = |time_steps: &str| -> Value {
        serde_json::from_slice(&run(&["embed", path, "--model", PAPER, "--time-steps", time_steps]).stdout)
            .unwrap()
    };
    let settled = embed("auto");
    assert_eq!(embed(&settled["time_steps"].to_string()), settled);

    let dataset = dataset();
    let dataset = dataset.to_str().unwrap();
    let output = run(&[
        "evaluate",
        "--dataset",
        dataset,
        "--model",
        PAPER,
        "--queries",
        "100",
        "--corpus",
        "500",
        "--time-steps",
        "16,auto,auto:0.04",
        "--format",
        "json",
    ]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let row = |row: usize, figure: &str| report["rows"][row][figure].clone();
    assert_eq!(row(0, "time_steps"), 16);
    assert_eq!(row(0, "mean_time_steps"), 16.0);
    assert_eq!(row(1, "time_steps"), "auto");
    assert_eq!(row(2, "time_steps"), "auto:0.04");
    let mean = |at: usize| row(at, "mean_time_steps").as_f64().unwrap();
    assert!(mean(2) < 10.0 && (14.0..18.0).contains(&mean(1)), "{report}");
    assert!(row(2, "energy_mj").as_f64() < row(1, "energy_mj").as_f64());

    // All embeddings of a catalogue are made with one number of time steps, which it stores.
    for arguments in [
        &["serve", "--time-steps", "auto"][..],
        &[
            "import",
            dataset,
            "--data-dir",
            "/no/such",
            "--time-steps",
            "auto",
        ],
        &["bench", path, "--time-steps", "auto"],
    ] {
        assert_eq!(run(arguments).status.code(), Some(2), "{arguments:?}");
    }
}
