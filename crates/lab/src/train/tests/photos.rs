//! The recipe for photos: views, averaged parameters, a teacher, and layers to start from.

use ndarray::Array2;

use super::*;
use crate::train::augment::Augmentation;
use crate::train::tune::Tuner;
use engine::network::TimeSteps;
use engine::network::activation::Clipped;
use engine::picture::stretch;

/// Two convolutions, a dense embedding of 7 neurons and 3 classes, for colour pictures of 8 x 8.
fn colour() -> Network {
    let kind = Kind::Conv2d {
        kernel: [3, 3],
        stride: [1, 1],
        padding: [1, 1],
    };
    let next = Kind::Conv2d {
        kernel: [3, 3],
        stride: [2, 2],
        padding: [1, 1],
    };
    let layers = [(kind, 6), (next, 8), (Kind::Dense, 7), (Kind::Dense, 3)];
    Network {
        embedding_layer: 2,
        activation: Activation::Clipped(Clipped::new(8, vec![2.0; 3])),
        ..network(shape(3, 8, 8), &layers)
    }
}

/// Larger than the network's input.
fn photos() -> (Vec<Picture>, Vec<Option<u8>>) {
    let (photos, labels) = stripes(shape(3, 12, 12), 3, 360, 11);
    (photos, known(&labels))
}

fn recipe() -> TrainOptions {
    TrainOptions {
        epochs: 12,
        batch: 32,
        learning_rate: 1e-2,
        dropout: 0.1,
        normalise: true,
        augmentation: Some(Augmentation {
            rotate: 5.0,
            crop: 0.9,
            ..Augmentation::default()
        }),
        adam_w: Some(AdamW {
            decay: 0.05,
            warm_up: 0.15,
            average: 0.9,
        }),
        contrast: Some(Contrast {
            weight: 0.5,
            temperature: 0.2,
        }),
        smoothing: 0.1,
        ..options()
    }
}

fn learn(examples: Examples<'_>, start: Option<&Ann>, options: &TrainOptions) -> (Ann, Report, Vec<String>) {
    train_examples(&colour(), examples, start, options, &mut |_| {}).unwrap()
}

#[test]
fn views_of_larger_pictures_teach_the_same_whatever_the_threads() {
    let (photos, labels) = photos();
    let found = learn(examples(&photos, &labels), None, &recipe());
    let (ann, report, taken) = &found;
    assert!(taken.is_empty());
    assert_eq!(report.kept_epoch, 12);
    let judged: Vec<bool> = report
        .epochs
        .iter()
        .map(|epoch| epoch.validation_accuracy.is_some())
        .collect();
    assert_eq!(
        judged,
        [[false; 9].as_slice(), &[true, false, true]].concat(),
        "every tenth epoch and the last"
    );
    let accuracy = report.epochs[11].validation_accuracy.unwrap();
    assert!(accuracy > 0.9, "{report:?}");
    let right = photos.iter().zip(&labels).skip(300).filter(|(photo, label)| {
        let class = ann.forward(&stretch(photo, 8, 8).unwrap()).class();
        Some(class) == label.map(usize::from)
    });
    let share = right.count() as f64 / 60.0;
    assert!((share - accuracy).abs() < 0.05, "{share} {accuracy}");
    let single = TrainOptions {
        threads: 1,
        ..recipe()
    };
    assert_eq!(found, learn(examples(&photos, &labels), None, &single));
}

#[test]
fn layers_to_start_from_compute_what_they_computed() {
    let (photos, labels) = photos();
    let options = TrainOptions {
        epochs: 4,
        ..recipe()
    };
    let (start, ..) = learn(examples(&photos, &labels), None, &options);
    let layers = Layers::new(&colour()).normalised(true);
    let data = Data::new(&layers, &colour(), examples(&photos, &labels), &options);
    let mut first = layers.first_parameters(&mut Random::new(9));
    let sample = data.sample(300).unwrap();
    let taken = layers.start_from(&start, &mut first, sample).unwrap();
    assert_eq!(taken, ["layer0", "layer1", "layer2", "layer3"]);
    let chosen: Vec<usize> = (0..300).collect();
    let folded = data.settled(&first, &chosen).unwrap();
    let ann = Ann {
        network: layers.network_of(&folded),
        parameters: layers.parameters_of(&folded),
    };
    assert_eq!(ann.network.activation, start.network.activation);
    let mut equal = 0;
    for photo in &photos[..300] {
        let photo = stretch(photo, 8, 8).unwrap();
        let (a, b) = (ann.forward(&photo).embedding, start.forward(&photo).embedding);
        equal += a.iter().zip(&b).filter(|(a, b)| (*a - *b).abs() < 1e-4).count();
    }
    // What lies just at a step of the quantisation may fall to either side of it.
    assert!(equal > 300 * 7 * 99 / 100, "{equal}");
}

#[test]
fn layers_of_another_shape_are_not_taken() {
    let (photos, labels) = photos();
    let kinds: Vec<(Kind, usize)> = colour().layers.iter().map(|layer| (layer.kind, 0)).collect();
    let layers = [
        (kinds[0].0, 6),
        (kinds[1].0, 8),
        (Kind::Dense, 7),
        (Kind::Dense, 5),
    ];
    let other = Network {
        embedding_layer: 2,
        activation: colour().activation,
        ..network(shape(3, 8, 8), &layers)
    };
    let options = TrainOptions {
        epochs: 1,
        ..recipe()
    };
    let (start, ..) =
        train_examples(&other, examples(&photos, &labels), None, &options, &mut |_| {}).unwrap();
    let (.., taken) = learn(examples(&photos, &labels), Some(&start), &options);
    assert_eq!(taken, ["layer0", "layer1", "layer2"]);
    let (.., taken) = learn(
        examples(&photos, &labels),
        Some(&run(&varied(), &super::options()).0),
        &options,
    );
    // Seven inputs and three classes are all that the two have in common.
    assert_eq!(taken, ["layer3"]);
}

/// One direction for each class, and a long mean.
fn taught(labels: &[Option<u8>]) -> Array2<f32> {
    Array2::from_shape_fn((labels.len(), 4), |(row, column)| {
        let own = labels[row].map(usize::from) == Some(column);
        10.0 + if own { 1.0 } else { 0.0 }
    })
}

#[test]
fn a_teacher_alone_brings_pictures_of_a_kind_together() {
    let (photos, labels) = photos();
    let teacher = Teacher::new(taught(&labels).view(), 360).unwrap();
    let unknown = vec![None; 360];
    let examples = Examples {
        teacher: Some(&teacher),
        ..examples(&photos, &unknown)
    };
    let options = TrainOptions {
        relation: Some(Relation {
            weight: 1.0,
            temperature: 0.1,
        }),
        ..recipe()
    };
    let (ann, report, _) = learn(examples, None, &options);
    assert!(
        report
            .epochs
            .iter()
            .all(|epoch| epoch.validation_accuracy.is_none())
    );
    let right = right_first(&ann, &photos[300..], &labels[300..]);
    assert!(right > 50, "{right} of 60");
}

/// The number of pictures of which the nearest other one has the same label.
fn right_first(ann: &Ann, photos: &[Picture], labels: &[Option<u8>]) -> usize {
    let embeddings: Vec<_> = photos
        .iter()
        .map(|photo| ann.forward(&stretch(photo, 8, 8).unwrap()).embedding)
        .collect();
    let count = photos.len();
    let cosine = |a: usize, b: usize| {
        let (a, b) = (&embeddings[a], &embeddings[b]);
        a.dot(b) / (a.dot(a) * b.dot(b)).sqrt().max(1e-9)
    };
    let right = (0..count).filter(|&query| {
        let others = (0..count).filter(|&other| other != query);
        let nearest = others
            .max_by(|&a, &b| cosine(query, a).total_cmp(&cosine(query, b)))
            .unwrap();
        labels[nearest] == labels[query]
    });
    right.count()
}

#[test]
fn pictures_of_a_product_come_together_without_labels_and_without_a_teacher() {
    let (photos, labels) = photos();
    let unknown = vec![None; 360];
    let options = TrainOptions { views: 2, ..recipe() };
    // As many products as kinds: the strongest case of products with several pictures.
    let groups: Vec<u32> = labels.iter().flatten().map(|&label| u32::from(label)).collect();
    let by_product = Examples {
        groups: Some(&groups),
        ..examples(&photos, &unknown)
    };
    let (ann, ..) = learn(by_product, None, &options);
    let right = right_first(&ann, &photos[300..], &labels[300..]);
    assert!(right > 50, "{right} of 60");
}

#[test]
fn two_views_of_a_picture_are_alike_and_one_view_alone_has_no_loss() {
    let network = colour();
    let (photos, labels) = photos();
    let layers = Layers::new(&network);
    let values = layers.first_parameters(&mut Random::new(4));
    let loss = |views, labels: &[Option<u8>], batch: &[usize]| {
        let options = TrainOptions {
            views,
            smoothing: 0.0,
            ..recipe()
        };
        let data = Data::new(&layers, &network, examples(&photos, labels), &options);
        let variables = layers.variables(&values).unwrap();
        let outcome = data.batch_gradients(&variables, batch, |_| Noise::default());
        outcome.unwrap().0.loss
    };
    let unknown = vec![None; 360];
    assert_eq!(loss(1, &unknown, &[0, 0, 1, 1]), 0.0);
    let twice = loss(2, &unknown, &[0, 0, 1, 1]);
    assert!(twice > 0.0);
    // A label tells more than the picture's number: pictures 0 and 1 are of different kinds, 0 and 3 of one.
    assert!((loss(2, &unknown, &[0, 0, 3, 3]) - loss(2, &labels, &[0, 0, 3, 3])).abs() > 1e-3);
}

#[test]
fn pictures_without_a_label_teach_the_classifier_nothing() {
    let network = colour();
    let (photos, labels) = photos();
    let options = TrainOptions {
        contrast: None,
        dropout: 0.0,
        ..recipe()
    };
    let layers = Layers::new(&network);
    let values = layers.first_parameters(&mut Random::new(4));
    let gradients = |labels: &[Option<u8>], chosen: &[usize]| {
        let data = Data::new(&layers, &network, examples(&photos, labels), &options);
        let variables = layers.variables(&values).unwrap();
        data.batch_gradients(&variables, chosen, |_| Noise::default())
            .unwrap()
    };
    let partly: Vec<Option<u8>> = labels
        .iter()
        .enumerate()
        .map(|(index, label)| label.filter(|_| index < 10))
        .collect();
    let (all, of_all) = gradients(&partly, &(0..20).collect::<Vec<_>>());
    let (half, of_half) = gradients(&partly, &(0..10).collect::<Vec<_>>());
    assert_eq!((all.labelled, half.labelled), (10, 10));
    assert!((all.loss - half.loss).abs() < 1e-3);
    for (all, half) in of_all.iter().flatten().zip(of_half.iter().flatten()) {
        assert!((2.0 * all - half).abs() < 1e-3, "{all} {half}");
    }
}

#[test]
fn a_smoothed_label_costs_its_share_of_every_class() {
    let network = colour();
    let (photos, labels) = photos();
    let layers = Layers::new(&network);
    let values = layers.first_parameters(&mut Random::new(4));
    let loss = |smoothing, labels: &[Option<u8>]| {
        let options = TrainOptions {
            contrast: None,
            smoothing,
            ..recipe()
        };
        let data = Data::new(&layers, &network, examples(&photos, labels), &options);
        let variables = layers.variables(&values).unwrap();
        let outcome = data.batch_gradients(&variables, &[0, 1, 2, 3], |_| Noise::default());
        outcome.unwrap().0.loss
    };
    let of_class = |class| loss(0.0, &vec![Some(class); 360]);
    let mean = (of_class(0) + of_class(1) + of_class(2)) / 3.0;
    let expected = 0.7 * loss(0.0, &labels) + 0.3 * mean;
    let found = loss(0.3, &labels);
    assert!((expected - found).abs() < 1e-4, "{expected} {found}");
}

#[test]
fn a_tutor_teaches_the_classes_of_pictures_without_labels() {
    let (photos, labels) = photos();
    let (ann, ..) = learn(examples(&photos, &labels), None, &recipe());
    let tutor = Tutor::new(&ann).unwrap();
    let mut unknown = labels.clone();
    unknown[..300].fill(None);
    let options = TrainOptions {
        distillation: Some(Distillation {
            weight: 1.0,
            temperature: 2.0,
        }),
        ..recipe()
    };
    let taught = Examples {
        tutor: Some(&tutor),
        ..examples(&photos, &unknown)
    };
    let (_, report, _) = learn(taught, None, &options);
    let found = report.epochs.last().unwrap().validation_accuracy.unwrap();
    assert!(found > 0.8, "{found}");
}

#[test]
fn what_cannot_be_learned_from_is_refused() {
    let (photos, labels) = photos();
    let refusal = |examples: Examples<'_>| {
        train_examples(&colour(), examples, None, &recipe(), &mut |_| {})
            .unwrap_err()
            .to_string()
    };
    let unknown = vec![None; 360];
    assert_eq!(
        refusal(examples(&photos, &unknown)),
        "no picture has a label, there is no teacher, and each picture has one view: there is nothing to learn from"
    );
    let teacher = Teacher::new(taught(&labels[..300]).view(), 300).unwrap();
    assert_eq!(
        refusal(Examples {
            teacher: Some(&teacher),
            ..examples(&photos, &labels)
        }),
        "the teacher has 300 embeddings for 360 training pictures; each picture needs one"
    );
    assert_eq!(
        refusal(Examples {
            groups: Some(&[1, 2]),
            ..examples(&photos, &labels)
        }),
        "there are 360 pictures and 2 groups; each picture needs one group"
    );
    let small = network(shape(3, 4, 4), &[(Kind::Dense, 5), (Kind::Dense, 2)]);
    let small = Layers::new(&small);
    let tutor = Ann {
        network: small.network.clone(),
        parameters: small.parameters_of(&small.first_parameters(&mut Random::new(1))),
    };
    assert_eq!(
        refusal(Examples {
            tutor: Some(&Tutor::new(&tutor).unwrap()),
            ..examples(&photos, &labels)
        }),
        "the tutor takes [3, 4, 4] and tells 2 classes apart, the network [3, 8, 8] and 3"
    );
    let (gray, labels) = stripes(shape(1, 12, 12), 3, 360, 11);
    assert_eq!(
        refusal(examples(&gray, &known(&labels))),
        "picture 0 is [1, 12, 12], the network takes [3, 8, 8]"
    );
}

#[test]
fn a_spiking_network_is_tuned_on_views() {
    let (photos, labels) = photos();
    let (ann, ..) = learn(examples(&photos, &labels), None, &recipe());
    let prepared: Vec<Picture> = photos.iter().map(|photo| stretch(photo, 8, 8).unwrap()).collect();
    let options = crate::convert::ConvertOptions::default();
    let snn = crate::convert::convert(&ann, &prepared, &options, 1, &|_| {}).unwrap();
    let tuning = TuneOptions {
        time_steps: TimeSteps::new(10).unwrap(),
        thrift: 0.0,
        training: TrainOptions {
            epochs: 3,
            learning_rate: 2e-3,
            dropout: 0.0,
            normalise: false,
            augmentation: Some(Augmentation::mild()),
            adam_w: Some(AdamW {
                decay: 0.0,
                warm_up: 0.05,
                average: 0.0,
            }),
            ..recipe()
        },
    };
    let examples = examples(&photos, &labels);
    let (tuned, report) = tune_examples(&snn, examples, &tuning, &mut |_| {}).unwrap();
    assert_ne!(tuned, snn);
    let before = {
        let tuner = Tuner::new(&snn, tuning.time_steps);
        let data = Data::new(&tuner, &snn.network, examples, &tuning.training);
        let chosen: Vec<usize> = (300..360).collect();
        data.accuracy(&tuner.first_parameters(), &chosen)
            .unwrap()
            .unwrap()
    };
    let after = report.epochs[2].validation_accuracy.unwrap();
    assert!(after >= before && after > 0.8, "{before} {after}");
}
