//! The reference bundle, made by an independent program: the emulators must match it bit for bit, the conversion
//! within what float rounding allows.

use std::sync::Arc;

use engine::chip::events::Events;
use engine::chip::place::Placement;
use engine::embedding::{Embedding, Prediction};
use engine::emulator::{Emulator, reference};
use engine::network::{Probe, TimeSteps, snn::Weights, tensors};
use lab::convert::{ConvertOptions, convert};
use safetensors::SafeTensors;
use serde_json::Value;

use crate::support::{golden, pictures};

fn integers(file: &SafeTensors<'_>, name: &str) -> Vec<i32> {
    let data = file.tensor(name).unwrap().data();
    data.chunks_exact(4)
        .map(|bytes| i32::from_le_bytes(bytes.try_into().unwrap()))
        .collect()
}

fn floats(file: &SafeTensors<'_>, name: &str) -> Vec<f32> {
    let data = file.tensor(name).unwrap().data();
    data.chunks_exact(4)
        .map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap()))
        .collect()
}

fn signed(counts: &[u32]) -> Vec<i32> {
    counts
        .iter()
        .map(|&count| i32::try_from(count).unwrap())
        .collect()
}

#[test]
fn both_emulators_match_the_bundle_bit_for_bit() {
    let snn = Arc::new(tensors::read_snn(&golden("snn.safetensors")).unwrap());
    let bytes = golden("expected.safetensors");
    let expected = SafeTensors::deserialize(&bytes).unwrap();
    let counts: Value = serde_json::from_slice(&golden("expected.json")).unwrap();
    let tilings = Placement::of(&snn).unwrap().tilings();
    let mut emulator = Emulator::new(Arc::clone(&snn), &tilings);
    let pictures = pictures("t10k", 20);
    let runs = counts["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 3);
    for run in runs {
        let steps = u32::try_from(run["time_steps"].as_u64().unwrap()).unwrap();
        let time_steps = TimeSteps::new(steps).unwrap();
        let rows = |name: &str, width: usize| {
            let all = integers(&expected, &format!("{name}.t{steps}"));
            assert_eq!(all.len(), 20 * width);
            all.chunks_exact(width).map(<[i32]>::to_vec).collect::<Vec<_>>()
        };
        let membranes = rows("membrane", 2304);
        let spike_counts = rows("spike_count", 2304);
        let output_membranes = rows("output_membrane", 10);
        let output_spike_counts = rows("output_spike_count", 10);
        for (index, picture) in pictures.iter().enumerate() {
            let at = format!("picture {index}, T = {steps}");
            let outcome = emulator.run(picture, time_steps).unwrap().clone();
            assert_eq!(outcome.embedding_layer.membranes, membranes[index], "{at}");
            let counted = signed(&outcome.embedding_layer.spike_counts);
            assert_eq!(counted, spike_counts[index], "{at}");
            assert_eq!(outcome.output_layer.membranes, output_membranes[index], "{at}");
            let counted = signed(&outcome.output_layer.spike_counts);
            assert_eq!(counted, output_spike_counts[index], "{at}");
            let spikes = &run["spikes_per_layer"][index];
            for (layer, name) in ["input", "conv1", "conv2", "dense1"].iter().enumerate() {
                let counted = outcome.events.layers[layer].spikes();
                assert_eq!(Some(counted), spikes[name].as_u64(), "{at}, {name}");
            }
            let (states, events) = reference::run(&snn, &tilings, picture, time_steps).unwrap();
            assert_eq!(states[2], outcome.embedding_layer, "{at}");
            assert_eq!(states[3], outcome.output_layer, "{at}");
            assert_eq!(events, outcome.events, "{at}");
            integrated_is_all_input(&snn, &outcome, &states, &events, time_steps);
        }
    }
}

/// The bundle does not contain the third probe; its definition is checked with the values that it does contain.
fn integrated_is_all_input(
    snn: &engine::network::snn::Snn,
    outcome: &engine::emulator::Outcome,
    states: &[engine::emulator::LayerState],
    events: &Events,
    time_steps: TimeSteps,
) {
    let threshold = snn.parameters[1].threshold;
    let embedding = Embedding::read(snn, outcome, Probe::Integrated, time_steps).unwrap();
    for (neuron, &value) in embedding.values.iter().enumerate() {
        let count = i32::try_from(states[2].spike_counts[neuron]).unwrap();
        assert_eq!(value, states[2].membranes[neuron] + threshold * count);
    }
    assert_eq!(events.time_steps(), u64::from(time_steps.get()));
    assert_eq!(events.neuron_updates(), 8506 * events.time_steps());
    let prediction = Prediction::read(snn, outcome);
    assert_eq!(
        prediction.scores.iter().max(),
        Some(&prediction.scores[prediction.class])
    );
}

#[test]
fn the_float_network_matches_the_bundle() {
    let ann = lab::ann::file::read_ann(&golden("ann.safetensors")).unwrap();
    let bytes = golden("expected.safetensors");
    let expected = SafeTensors::deserialize(&bytes).unwrap();
    let embeddings = floats(&expected, "ann_embedding");
    let logits = floats(&expected, "ann_logits");
    for (index, picture) in pictures("t10k", 20).iter().enumerate() {
        let found = ann.forward(picture);
        for (found, expected) in found
            .embedding
            .iter()
            .zip(&embeddings[index * 2304..])
            .chain(found.logits.iter().zip(&logits[index * 10..]))
        {
            assert!((found - expected).abs() < 1e-3, "{found} {expected}");
        }
    }
}

#[test]
fn algorithm_1_gives_the_bundle_s_spiking_network() {
    let ann = lab::ann::file::read_ann(&golden("ann.safetensors")).unwrap();
    let expected = tensors::read_snn(&golden("snn.safetensors")).unwrap();
    let calibration = pictures("train", 2000);
    let options = ConvertOptions::default();
    let converted = convert(&ann, &calibration, &options, 2, &|_| {}).unwrap();
    assert_eq!(converted.input_threshold, expected.input_threshold);
    for ((layer, found), (_, expected)) in converted.layers().zip(expected.layers()) {
        let name = &layer.name;
        let off = f64::from(found.threshold) / f64::from(expected.threshold) - 1.0;
        assert!(
            off.abs() <= 0.005,
            "{name}: {} {}",
            found.threshold,
            expected.threshold
        );
        let pairs: Vec<(i32, i32)> = match (&found.weights, &expected.weights) {
            (Weights::Conv2d(found), Weights::Conv2d(expected)) => {
                assert_eq!(found.dim(), expected.dim());
                let pairs = found.iter().zip(expected);
                pairs.map(|(&f, &e)| (i32::from(f), i32::from(e))).collect()
            }
            (Weights::Dense(found), Weights::Dense(expected)) => {
                assert_eq!(found.dim(), expected.dim());
                let pairs = found.iter().zip(expected);
                pairs.map(|(&f, &e)| (i32::from(f), i32::from(e))).collect()
            }
            _ => panic!("{name}: kinds differ"),
        };
        let bias = found.bias.iter().flatten().zip(expected.bias.iter().flatten());
        let different = pairs.iter().filter(|(found, expected)| found != expected).count();
        println!(
            "{name}: threshold {} for {}, {different} of {} weights differ",
            found.threshold,
            expected.threshold,
            pairs.len()
        );
        for (found, expected) in pairs.into_iter().chain(bias.map(|(&f, &e)| (f, e))) {
            assert!((found - expected).abs() <= 1, "{name}: {found} for {expected}");
        }
    }
}
