//! Tuning: forward it must be the chip's own arithmetic, backward a gradient that helps.

use super::*;
use crate::ann::drive;
use crate::train::tune::Tuner;
use engine::network::TimeSteps;
use engine::network::snn::{self, InitialMembrane, Snn};

/// `varied`, its embedding before the classifier, with random integers.
fn spiking(seed: u64) -> Snn {
    let network = Network {
        embedding_layer: 3,
        ..varied()
    };
    let mut random = Random::new(seed);
    let mut integer = |bound: f32| ((2.0 * random.unit() - 1.0) * bound).round() as i32;
    let thresholds = [300, 200, 150, 250, 400];
    let mut parameters = Vec::new();
    for (layer, threshold) in network.layers.iter().zip(thresholds) {
        let mut weight = || integer(if layer.input.len() > 100 { 90.0 } else { 160.0 }) as i16;
        let (out, channels) = (layer.output.channels, layer.input.channels);
        let weights = match layer.kind {
            Kind::Conv2d { kernel: [y, x], .. } => snn::Weights::Conv2d(
                ndarray::Array4::from_shape_simple_fn((out, channels, y, x), weight),
            ),
            Kind::AvgPool2d { .. } => snn::Weights::AvgPool2d(weight().abs() + 20),
            Kind::Dense => snn::Weights::Dense(ndarray::Array2::from_shape_simple_fn(
                (out, layer.input.len()),
                weight,
            )),
        };
        let bias = match layer.kind {
            Kind::AvgPool2d { .. } => None,
            _ => Some((0..out).map(|_| integer(20.0)).collect()),
        };
        let plane = layer.output.height * layer.output.width;
        let starts: Vec<i32> = (0..out).map(|_| integer(150.0)).collect();
        parameters.push(snn::Parameters {
            weights,
            bias,
            threshold,
            initial_membrane: InitialMembrane::PerNeuron(
                starts
                    .iter()
                    .flat_map(|&start| std::iter::repeat_n(start, plane))
                    .collect(),
            ),
        });
    }
    Snn {
        network,
        input_threshold: 255,
        input_initial_membrane: 127,
        parameters,
    }
}

/// The law, one neuron after the other: the embedding layer's spike counts and what the classifier integrated.
fn run(snn: &Snn, picture: &Picture, time_steps: u32) -> (Vec<f32>, Vec<f32>) {
    let step = |membranes: &mut [f32], drive: &[f32], threshold: i32| -> Vec<f32> {
        let threshold = threshold as f32;
        let fire = |(membrane, drive): (&mut f32, &f32)| {
            *membrane += drive;
            if *membrane >= threshold {
                *membrane -= threshold;
                1.0
            } else {
                0.0
            }
        };
        membranes.iter_mut().zip(drive).map(fire).collect()
    };
    let float: Vec<_> = snn
        .layers()
        .map(|(layer, p)| crate::train::tune::float(layer, p))
        .collect();
    let pixels: Vec<f32> = picture.as_slice().iter().map(|&pixel| f32::from(pixel)).collect();
    let mut input = vec![snn.input_initial_membrane as f32; pixels.len()];
    let mut membranes: Vec<Vec<f32>> = snn
        .layers()
        .map(|(layer, p)| {
            (0..layer.neurons())
                .map(|n| p.initial_membrane.of(n) as f32)
                .collect()
        })
        .collect();
    let mut fired: Vec<Vec<f32>> = snn
        .layers()
        .map(|(layer, _)| vec![0.0; layer.input.len()])
        .collect();
    let mut counts = vec![0.0; snn.network.embedding_dimensions()];
    let mut integrated = vec![0.0; snn.network.classes()];
    for _ in 0..time_steps {
        let before = fired.clone();
        fired[0] = step(&mut input, &pixels, snn.input_threshold);
        for (index, (layer, parameters)) in snn.layers().enumerate() {
            let source = ndarray::ArrayView1::from(&before[index]);
            let (weights, bias) = (&float[index].weights, float[index].bias.as_ref());
            let mut driven = drive(layer, weights, bias, source).to_vec();
            if let snn::Weights::AvgPool2d(weight) = parameters.weights {
                let gain = f32::from(weight) * layer.fan_in() as f32;
                driven
                    .iter_mut()
                    .for_each(|value| *value = (*value * gain).round());
            }
            let spikes = step(&mut membranes[index], &driven, parameters.threshold);
            if index == snn.network.embedding_layer {
                counts
                    .iter_mut()
                    .zip(&spikes)
                    .for_each(|(count, spike)| *count += spike);
            }
            match fired.get_mut(index + 1) {
                Some(next) => *next = spikes,
                None => integrated
                    .iter_mut()
                    .zip(&driven)
                    .for_each(|(sum, value)| *sum += value),
            }
        }
    }
    (counts, integrated)
}

#[test]
fn forward_is_the_chip_s_arithmetic_spike_for_spike() {
    for (seed, time_steps) in [(1, 6), (2, 8), (3, 13)] {
        let snn = spiking(seed);
        let (pictures, labels) = stripes(snn.network.input, 3, 20, seed);
        let tuner = Tuner::new(&snn, TimeSteps::new(time_steps).unwrap());
        let labels = known(&labels);
        let data = Data::new(&tuner, &snn.network, examples(&pictures, &labels), &options());
        let values = tuner.first_parameters();
        assert_eq!(tuner.snn_of(&values), snn);
        let parameters = tuner.constants(&values).unwrap();
        let chosen: Vec<usize> = (0..pictures.len()).collect();
        let passed = tuner
            .forward(&parameters, data.source(&chosen, None).unwrap(), Mode::Settled)
            .unwrap();
        let embeddings = passed.embeddings.to_vec2::<f32>().unwrap();
        let logits = passed.logits.to_vec2::<f32>().unwrap();
        assert!(embeddings.concat().iter().any(|&count| count > 0.0), "all silent");
        for ((picture, found), logits) in pictures.iter().zip(embeddings).zip(logits) {
            let (counts, integrated) = run(&snn, picture, time_steps);
            assert_eq!(found, counts);
            let scale = 400.0 * time_steps as f32 / 16.0;
            for (logit, integrated) in logits.iter().zip(integrated) {
                assert!((logit * scale - integrated).abs() < 0.1, "{logit} {integrated}");
            }
        }
    }
}

#[test]
fn tuning_helps_a_random_network_the_same_whatever_the_threads() {
    let snn = spiking(1);
    let (pictures, labels) = stripes(snn.network.input, 3, 360, 11);
    let options = TuneOptions {
        time_steps: TimeSteps::new(8).unwrap(),
        thrift: 0.0,
        training: TrainOptions {
            epochs: 8,
            learning_rate: 1e-2,
            mirror: true,
            contrast: Some(Contrast {
                weight: 0.5,
                temperature: 0.1,
            }),
            ..options()
        },
    };
    let (tuned, report) = tune(&snn, &pictures, &labels, &options, &mut |_| {}).unwrap();
    let kept = report.epochs[report.kept_epoch - 1].validation_accuracy.unwrap();
    assert!(kept > 0.8, "{report:?}");
    let right = |&(picture, &label): &(&Picture, &u8)| {
        let integrated = run(&tuned, picture, 8).1;
        integrated
            .iter()
            .all(|&value| value <= integrated[usize::from(label)])
    };
    let hits = pictures.iter().zip(&labels).skip(300).filter(right).count();
    assert!((hits as f64 / 60.0 - kept).abs() < 0.02, "{hits} {report:?}");
    let mut alone = options.clone();
    alone.training.threads = 1;
    let again = tune(&snn, &pictures, &labels, &alone, &mut |_| {}).unwrap();
    assert_eq!((tuned, report), again);
}

#[test]
fn what_cannot_be_tuned_is_refused() {
    let snn = spiking(1);
    let (pictures, labels) = stripes(snn.network.input, 3, 100, 11);
    let refusal = |snn: &Snn, time_steps, dropout| {
        let options = TuneOptions {
            time_steps: TimeSteps::new(time_steps).unwrap(),
            thrift: 0.0,
            training: TrainOptions { dropout, ..options() },
        };
        tune(snn, &pictures, &labels, &options, &mut |_| {})
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        refusal(&snn, 5, 0.0),
        "time_steps is 5; it must be more than the number of layers, or no input reaches the classifier"
    );
    assert_eq!(refusal(&snn, 8, 0.5), "dropout is 0.5; it must be 0 while tuning");
    let mut late = snn.clone();
    late.network.embedding_layer = 4;
    assert!(refusal(&late, 8, 0.0).starts_with("embedding_layer is the classifier"));
}

#[test]
fn thrift_saves_synaptic_operations() {
    let snn = spiking(1);
    let (pictures, labels) = stripes(snn.network.input, 3, 360, 11);
    let operations = |thrift| {
        let options = TuneOptions {
            time_steps: TimeSteps::new(8).unwrap(),
            thrift,
            training: TrainOptions {
                epochs: 4,
                learning_rate: 1e-2,
                ..options()
            },
        };
        let (tuned, _) = tune(&snn, &pictures, &labels, &options, &mut |_| {}).unwrap();
        let tuner = Tuner::new(&tuned, options.time_steps);
        let parameters = tuner.constants(&tuner.first_parameters()).unwrap();
        let views: Vec<(&Picture, View)> = pictures.iter().map(|p| (p, Default::default())).collect();
        let source = tuner.source(&views).unwrap();
        let passed = tuner.forward(&parameters, source, Mode::Settled).unwrap();
        passed.operations.unwrap().to_scalar::<f32>().unwrap()
    };
    let (free, thrifty) = (operations(0.0), operations(200.0));
    assert!(thrifty < 0.9 * free && thrifty > 0.0, "{free} {thrifty}");
}
