//! The metric recipe: clipped activations, the contrastive term, mirrored pictures.

use super::*;
use engine::network::activation::Clipped;

/// A convolution, a dense embedding of 7 neurons and 3 classes, all clipped to 4 levels below 2.
fn metric() -> Network {
    let kind = Kind::Conv2d {
        kernel: [3, 3],
        stride: [2, 2],
        padding: [0, 0],
    };
    let network = network(shape(1, 9, 8), &[(kind, 6), (Kind::Dense, 7), (Kind::Dense, 3)]);
    Network {
        embedding_layer: 1,
        activation: Activation::Clipped(Clipped::new(4, vec![2.0, 2.0])),
        ..network
    }
}

#[test]
fn a_metric_network_computes_what_the_forward_pass_of_ann_computes() {
    let network = metric();
    let (pictures, labels) = stripes(network.input, 3, 50, 12);
    let layers = Layers::new(&network);
    let labels = known(&labels);
    let data = Data::new(&layers, &network, examples(&pictures, &labels), &options());
    let values = layers.first_parameters(&mut Random::new(3));
    let parameters = layers.constants(&values).unwrap();
    let chosen: Vec<usize> = (0..pictures.len()).collect();
    let passed = layers
        .forward(&parameters, data.source(&chosen, None).unwrap(), Mode::Settled)
        .unwrap();
    let ann = Ann {
        parameters: layers.parameters_of(&values),
        network,
    };
    let mut equal = 0;
    for (picture, found) in pictures.iter().zip(passed.embeddings.to_vec2::<f32>().unwrap()) {
        let expected = ann.forward(picture).embedding;
        assert!(expected.iter().all(|value| (value * 2.0).fract() == 0.0));
        equal += expected.iter().zip(&found).filter(|(a, b)| a == b).count();
    }
    // A sum that lies just at a step may fall to either side of it, by the order in which it was added up.
    assert!(equal >= 50 * 7 - 3, "{equal}");
}

#[test]
fn a_metric_network_learns_the_same_whatever_the_threads() {
    let options = TrainOptions {
        epochs: 8,
        learning_rate: 1e-2,
        mirror: true,
        contrast: Some(Contrast {
            weight: 0.5,
            temperature: 0.1,
        }),
        ..options()
    };
    let (first, report) = run(&metric(), &options);
    let kept = report.epochs[report.kept_epoch - 1].validation_accuracy.unwrap();
    assert!(kept > 0.9, "{report:?}");
    assert_ne!(first.network.activation, metric().activation);
    assert_eq!(
        (first, report),
        run(
            &metric(),
            &TrainOptions {
                threads: 1,
                ..options
            }
        )
    );
}

#[test]
fn a_batch_in_parts_pulls_as_if_it_were_one() {
    let network = varied();
    let (pictures, labels) = stripes(network.input, 3, 80, 13);
    let layers = Layers::new(&network);
    let term = Contrast {
        weight: 0.7,
        temperature: 0.2,
    };
    let labels = known(&labels);
    let data = Data::new(
        &layers,
        &network,
        examples(&pictures, &labels),
        &TrainOptions {
            contrast: Some(term),
            ..options()
        },
    );
    let values = layers.first_parameters(&mut Random::new(4));
    let chosen: Vec<usize> = (0..pictures.len()).collect();
    let at = |values: &[Vec<f32>]| {
        let variables = layers.variables(values).unwrap();
        data.batch_gradients(&variables, &chosen, |_| Noise::default())
            .unwrap()
    };
    let (_, gradients) = at(&values);
    // The weights of the first dense layer, which is the embedding's source.
    for index in [3, 40, 101] {
        let loss = |offset: f32| {
            let mut moved = values.clone();
            moved[4][index] += offset;
            at(&moved).0.loss / 80.0
        };
        let difference = (loss(1e-2) - loss(-1e-2)) / 2e-2;
        assert_gradient(gradients[4][index], difference, &index.to_string());
    }
}

#[test]
fn a_view_is_mirrored_and_moved() {
    let picture = Picture::from_vec(shape(2, 1, 3), vec![1, 2, 3, 4, 5, 6]).unwrap();
    let laid_out = |mirrored, moved| {
        let mut source = Vec::new();
        layers::extend_source(&mut source, &picture, View { mirrored, moved }, |pixel| pixel);
        source
    };
    assert_eq!(laid_out(false, [0, 0]), [1, 4, 2, 5, 3, 6]);
    assert_eq!(laid_out(true, [0, 0]), [3, 6, 2, 5, 1, 4]);
    assert_eq!(laid_out(false, [0, 1]), [0, 0, 1, 4, 2, 5]);
    assert_eq!(laid_out(true, [0, -2]), [1, 4, 0, 0, 0, 0]);
    assert_eq!(laid_out(false, [-1, 0]), [0; 6]);
}

#[test]
fn views_are_moved_evenly_and_as_far_as_asked() {
    let mut views = Views {
        mirror: true,
        shift: 1,
        random: Random::new(8),
    };
    let mut counts = std::collections::BTreeMap::new();
    for _ in 0..9_000 {
        *counts.entry(views.draw().moved).or_insert(0) += 1;
    }
    let places: Vec<[isize; 2]> = counts.keys().copied().collect();
    assert_eq!(places.first(), Some(&[-1, -1]));
    assert_eq!((places.last(), places.len()), (Some(&[1, 1]), 9));
    assert!(
        counts.values().all(|count| (850..1150).contains(count)),
        "{counts:?}"
    );
}

#[test]
fn a_settled_network_computes_what_normalisation_computed() {
    let network = metric();
    let (pictures, labels) = stripes(network.input, 3, 32, 12);
    let layers = Layers::new(&network).normalised(true);
    let labels = known(&labels);
    let data = Data::new(&layers, &network, examples(&pictures, &labels), &options());
    let mut random = Random::new(3);
    let mut values = layers.first_parameters(&mut random);
    for value in values.iter_mut().flatten() {
        *value += 0.2 * random.unit();
    }
    let chosen: Vec<usize> = (0..pictures.len()).collect();
    let passed = |values: &[Vec<f32>], mode| {
        let parameters = layers.constants(values).unwrap();
        let source = data.source(&chosen, None).unwrap();
        layers.forward(&parameters, source, mode).unwrap()
    };
    let learning = passed(&values, Mode::Learning(None));
    let settled = data.settled(&values, &chosen).unwrap();
    assert_ne!(settled, values);
    let settled = passed(&settled, Mode::Settled);
    let rows = |tensor: &Tensor| tensor.to_vec2::<f32>().unwrap().concat();
    let (expected, found) = (rows(&learning.embeddings), rows(&settled.embeddings));
    // What lies just at a step of the quantisation may fall to either side of it.
    let equal = expected
        .iter()
        .zip(&found)
        .filter(|(a, b)| (*a - *b).abs() < 1e-4);
    let equal = equal.count();
    assert!(equal >= 32 * 7 - 4, "{equal}");
    assert!(expected.iter().any(|&value| value > 0.0));
}

#[test]
fn a_normalised_network_learns_and_is_an_ordinary_one_in_the_end() {
    let options = TrainOptions {
        epochs: 8,
        learning_rate: 1e-2,
        normalise: true,
        shift: 1,
        ..options()
    };
    let (ann, report) = run(&metric(), &options);
    let kept = report.epochs[report.kept_epoch - 1].validation_accuracy.unwrap();
    assert!(kept > 0.9, "{report:?}");
    let share = validated(&ann);
    assert!((share - kept).abs() < 0.05, "{share} {report:?}");
}
