mod metric;
mod photos;
mod tune;

use candle_core::{DType, Device, Tensor};

use super::batch::Data;
use super::learner::{Learner, Mode};
use super::noise::{Dropout, Noise, View, Views};
use super::*;
use crate::ann::Weights;
use engine::network::activation::Activation;
use engine::network::{Kind, Layer};
use engine::picture::{Recipe, Shape};

fn shape(channels: usize, height: usize, width: usize) -> Shape {
    Shape {
        channels,
        height,
        width,
    }
}

fn network(input: Shape, layers: &[(Kind, usize)]) -> Network {
    let mut connected: Vec<Layer> = Vec::new();
    for (index, &(kind, out)) in layers.iter().enumerate() {
        let source = connected.last().map_or(input, |layer| layer.output);
        connected.push(Layer::connect(&format!("layer{index}"), kind, source, out).unwrap());
    }
    Network {
        name: "test".to_owned(),
        input,
        recipe: Recipe::Plain,
        embedding_layer: connected.len() - 1,
        layers: connected,
        labels: None,
        default_probe: None,
        default_time_steps: None,
        activation: Activation::Relu,
        trained_with: None,
    }
}

/// Every kind of layer, a kernel, stride and padding that differ by axis, and more than one input channel.
fn varied() -> Network {
    let first = Kind::Conv2d {
        kernel: [3, 5],
        stride: [2, 1],
        padding: [1, 2],
    };
    let second = Kind::Conv2d {
        kernel: [2, 2],
        stride: [1, 1],
        padding: [0, 1],
    };
    let pool = Kind::AvgPool2d {
        kernel: [2, 3],
        stride: [2, 2],
    };
    network(
        shape(2, 9, 8),
        &[
            (first, 6),
            (pool, 0),
            (second, 5),
            (Kind::Dense, 7),
            (Kind::Dense, 3),
        ],
    )
}

/// Noise with one bright stripe, whose place is the label.
fn stripes(input: Shape, classes: u8, count: usize, seed: u64) -> (Vec<Picture>, Vec<u8>) {
    let mut random = Random::new(seed);
    let mut pictures = Vec::new();
    let mut labels = Vec::new();
    for index in 0..count {
        let label = (index % usize::from(classes)) as u8;
        let pixel = |position: usize| {
            let row = position / input.width % input.height;
            let bright = row * usize::from(classes) / input.height == usize::from(label);
            (random.unit() * 120.0) as u8 + if bright { 60 } else { 0 }
        };
        pictures.push(Picture::from_vec(input, (0..input.len()).map(pixel).collect()).unwrap());
        labels.push(label);
    }
    (pictures, labels)
}

fn known(labels: &[u8]) -> Vec<Option<u8>> {
    labels.iter().copied().map(Some).collect()
}

fn examples<'run>(pictures: &'run [Picture], labels: &'run [Option<u8>]) -> Examples<'run> {
    Examples {
        pictures,
        labels,
        groups: None,
        tutor: None,
        teacher: None,
    }
}

fn options() -> TrainOptions {
    TrainOptions {
        epochs: 2,
        seed: 5,
        batch: 40,
        learning_rate: 3e-3,
        dropout: 0.0,
        mirror: false,
        shift: 0,
        normalise: false,
        contrast: None,
        validation: 60,
        threads: 2,
        ..TrainOptions::default()
    }
}

fn run(network: &Network, options: &TrainOptions) -> (Ann, Report) {
    let (pictures, labels) = stripes(network.input, 3, 360, 11);
    train(network, &pictures, &labels, options, &mut |_| {}).unwrap()
}

/// The share of the pictures that [`run`] holds out whose class the network tells right.
fn validated(ann: &Ann) -> f64 {
    let (pictures, labels) = stripes(ann.network.input, 3, 360, 11);
    let right = |&(picture, &label): &(&Picture, &u8)| {
        let logits = ann.forward(picture).logits;
        logits.iter().all(|&logit| logit <= logits[usize::from(label)])
    };
    let hits = pictures.iter().zip(&labels).skip(300).filter(right).count();
    hits as f64 / 60.0
}

#[test]
fn training_lowers_the_loss_and_tells_the_classes_apart() {
    let options = TrainOptions {
        epochs: 8,
        learning_rate: 1e-2,
        ..options()
    };
    let (_, report) = run(&varied(), &options);
    let losses: Vec<f64> = report.epochs.iter().map(|epoch| epoch.loss).collect();
    assert!(losses[7] < 0.5 * losses[0], "{losses:?}");
    let kept = report.epochs[report.kept_epoch - 1].validation_accuracy.unwrap();
    assert!(kept > 0.9, "{report:?}");
    assert!(
        report
            .epochs
            .iter()
            .all(|epoch| epoch.validation_accuracy.unwrap() <= kept)
    );
    assert_eq!((report.training_pictures, report.validation_pictures), (300, 60));
}

#[test]
fn a_seed_decides_every_parameter_whatever_the_threads() {
    let options = TrainOptions {
        dropout: 0.3,
        ..options()
    };
    let network = varied();
    let (first, report) = run(&network, &options);
    assert_eq!((first.clone(), report.clone()), run(&network, &options));
    assert_eq!(
        (first.clone(), report),
        run(
            &network,
            &TrainOptions {
                threads: 1,
                ..options.clone()
            }
        )
    );
    assert_ne!(first, run(&network, &TrainOptions { seed: 6, ..options }).0);
}

#[test]
fn the_layers_compute_what_the_forward_pass_of_ann_computes() {
    let network = varied();
    let (pictures, labels) = stripes(network.input, 3, 50, 12);
    let layers = Layers::new(&network);
    let labels = known(&labels);
    let data = Data::new(&layers, &network, examples(&pictures, &labels), &options());
    let mut random = Random::new(3);
    let mut values = layers.first_parameters(&mut random);
    // Every second tensor is a bias, all of which start at zero.
    for bias in values.iter_mut().skip(1).step_by(2).flatten() {
        *bias = random.unit() - 0.5;
    }
    let parameters = layers.constants(&values).unwrap();
    let chosen: Vec<usize> = (0..pictures.len()).collect();
    let logits = layers
        .forward(&parameters, data.source(&chosen, None).unwrap(), Mode::Settled)
        .unwrap()
        .logits;
    let ann = Ann {
        parameters: layers.parameters_of(&values),
        network,
    };
    assert!(matches!(ann.parameters[1].weights, Weights::AvgPool2d));
    for (picture, logits) in pictures.iter().zip(logits.to_vec2::<f32>().unwrap()) {
        for (expected, found) in ann.forward(picture).logits.iter().zip(logits) {
            assert!((expected - found).abs() < 1e-4, "{expected} {found}");
        }
    }
}

#[test]
fn the_returned_network_classifies_as_the_report_says() {
    let network = varied();
    let options = TrainOptions {
        epochs: 4,
        learning_rate: 1e-2,
        ..options()
    };
    let (ann, report) = run(&network, &options);
    let share = validated(&ann);
    let kept = report.epochs[report.kept_epoch - 1].validation_accuracy.unwrap();
    assert!((share - kept).abs() < 1e-9, "{share} {report:?}");
}

#[test]
fn gradients_agree_with_differences_of_the_loss() {
    let network = varied();
    let (pictures, labels) = stripes(network.input, 3, 12, 13);
    let layers = Layers::new(&network);
    let labels = known(&labels);
    let data = Data::new(&layers, &network, examples(&pictures, &labels), &options());
    let mut random = Random::new(4);
    let values = layers.first_parameters(&mut random);
    let chosen: Vec<usize> = (0..pictures.len()).collect();
    let at = |values: &[Vec<f32>]| {
        let variables = layers.variables(values).unwrap();
        data.batch_gradients(&variables, &chosen, |_| Noise::default())
            .unwrap()
    };
    let (_, gradients) = at(&values);
    for (tensor, gradients) in gradients.iter().enumerate() {
        for _ in 0..8 {
            let index = (random.unit() * gradients.len() as f32) as usize;
            let loss = |offset: f32| {
                let mut moved = values.clone();
                moved[tensor][index] += offset;
                at(&moved).0.loss / 12.0
            };
            let difference = (loss(2e-3) - loss(-2e-3)) / 4e-3;
            assert_gradient(
                gradients[index],
                difference,
                &format!("tensor {tensor} [{index}]"),
            );
        }
    }
}

/// Checks a gradient against a difference of the loss.
fn assert_gradient(gradient: f32, difference: f64, what: &str) {
    let gradient = f64::from(gradient);
    // A difference may step over the corner of a ReLU, hence the generous absolute part.
    let allowed = 2e-3 + 0.02 * gradient.abs();
    assert!(
        (difference - gradient).abs() < allowed,
        "{what}: {difference} {gradient}"
    );
}

#[test]
fn dropout_silences_its_share_and_keeps_the_mean() {
    let network = network(shape(1, 40, 50), &[(Kind::Dense, 1)]);
    let layers = Layers::new(&network);
    let parameters = [
        Tensor::ones((2_000, 1), DType::F32, &Device::Cpu).unwrap(),
        Tensor::zeros(1, DType::F32, &Device::Cpu).unwrap(),
    ];
    let source = Tensor::ones((1, 2_000), DType::F32, &Device::Cpu).unwrap();
    let dropout = Dropout {
        rate: 0.25,
        random: Random::new(1),
    };
    let sum: f32 = layers
        .forward(&parameters, source, Mode::Learning(Some(dropout)))
        .unwrap()
        .logits
        .to_vec2::<f32>()
        .unwrap()[0][0];
    assert!((sum - 2_000.0).abs() < 100.0 && sum != 2_000.0, "{sum}");
}

#[test]
fn progress_counts_batches_and_ends_each_epoch_with_its_validation() {
    let network = network(shape(1, 6, 6), &[(Kind::Dense, 3)]);
    let (pictures, labels) = stripes(network.input, 3, 100, 11);
    let options = TrainOptions {
        validation: 10,
        ..options()
    };
    let mut reports = Vec::new();
    train(&network, &pictures, &labels, &options, &mut |progress| {
        reports.push(progress)
    })
    .unwrap();
    let seen: Vec<_> = reports
        .iter()
        .map(|p| (p.epoch, p.batch, p.validation_accuracy.is_some()))
        .collect();
    let epoch = |number| {
        [
            (number, 1, false),
            (number, 2, false),
            (number, 3, false),
            (number, 3, true),
        ]
    };
    assert_eq!(seen, [epoch(1), epoch(2)].concat());
}

#[test]
fn without_validation_the_last_epoch_is_kept() {
    let network = network(shape(1, 6, 6), &[(Kind::Dense, 3)]);
    let (_, report) = run(
        &network,
        &TrainOptions {
            validation: 0,
            epochs: 3,
            ..options()
        },
    );
    assert_eq!(report.kept_epoch, 3);
    assert_eq!(report.epochs[0].validation_accuracy, None);
}

#[test]
fn what_does_not_fit_is_refused_by_its_figures() {
    let network = network(shape(1, 6, 6), &[(Kind::Dense, 3)]);
    let (pictures, labels) = stripes(network.input, 3, 100, 11);
    let refusal = |pictures: &[Picture], labels: &[u8], options: TrainOptions| {
        train(&network, pictures, labels, &options, &mut |_| {})
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        refusal(&pictures, &labels[1..], options()),
        "there are 100 pictures and 99 labels; each picture needs one label"
    );
    assert_eq!(
        refusal(
            &pictures,
            &labels,
            TrainOptions {
                validation: 100,
                ..options()
            }
        ),
        "100 of 100 pictures are held out for validation; at least one must be left to train on"
    );
    assert_eq!(
        refusal(&pictures, &[&labels[..99], &[3]].concat(), options()),
        "picture 99 is labelled 3; the network's last layer has the classes 0 to 2"
    );
    let odd = Picture::from_vec(shape(1, 6, 5), vec![0; 30]).unwrap();
    assert_eq!(
        refusal(&[&pictures[..99], &[odd]].concat(), &labels, options()),
        "picture 99 is [1, 6, 5], the network takes [1, 6, 6]"
    );
    for (options, message) in [
        (
            TrainOptions {
                epochs: 0,
                ..options()
            },
            "epochs is 0; it must be at least 1",
        ),
        (
            TrainOptions {
                batch: 0,
                ..options()
            },
            "batch is 0; it must be at least 1",
        ),
        (
            TrainOptions {
                threads: 0,
                ..options()
            },
            "threads is 0; it must be at least 1",
        ),
        (
            TrainOptions {
                learning_rate: f32::NAN,
                ..options()
            },
            "learning_rate is NaN; it must be above 0",
        ),
        (
            TrainOptions {
                dropout: 1.0,
                ..options()
            },
            "dropout is 1; it must be at least 0 and below 1",
        ),
    ] {
        assert_eq!(refusal(&pictures, &labels, options), message);
    }
}

#[test]
fn a_learning_rate_that_explodes_is_reported() {
    let network = varied();
    let (pictures, labels) = stripes(network.input, 3, 100, 11);
    let options = TrainOptions {
        learning_rate: 1e30,
        validation: 0,
        ..options()
    };
    let refusal = train(&network, &pictures, &labels, &options, &mut |_| {}).unwrap_err();
    assert!(
        matches!(refusal, TrainError::Diverged { epoch: 1, batch: 2 }),
        "{refusal}"
    );
}
