//! The event-driven emulator equals the reference on random networks, pictures and numbers of time steps.

use std::sync::Arc;

use engine::chip::tiling::Tiling;
use engine::emulator::kernel::Kernel;
use engine::emulator::{Emulator, EmulatorError, reference};
use engine::network::activation::Activation;
use engine::network::snn::{InitialMembrane, Parameters, Snn, Weights};
use engine::network::{Kind, Layer, Network, TimeSteps};
use engine::picture::{Picture, Shape, prepare::Recipe};
use ndarray::{Array2, Array3, Array4};
use proptest::prelude::*;

/// Numbers drawn in order from one seed: small networks need many parameters, and shrinking the seed is enough.
struct Draw(u64);

impl Draw {
    /// SplitMix64 (Steele et al. 2014): any seed gives a good sequence.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn within(&mut self, low: i64, high: i64) -> i64 {
        let span = u64::try_from(high - low + 1).unwrap();
        low + i64::try_from(self.next() % span).unwrap()
    }

    fn size(&mut self, low: usize, high: usize) -> usize {
        let within = self.within(i64::try_from(low).unwrap(), i64::try_from(high).unwrap());
        usize::try_from(within).unwrap()
    }

    fn weight(&mut self, extreme: bool) -> i16 {
        let weight = if extreme {
            255 * self.within(-1, 1)
        } else {
            self.within(-255, 255)
        };
        i16::try_from(weight).unwrap()
    }

    fn int(&mut self, low: i64, high: i64) -> i32 {
        i32::try_from(self.within(low, high)).unwrap()
    }
}

/// A random network of up to four layers: every kind, strides, paddings, with and without biases and initial membranes.
fn random_network(draw: &mut Draw) -> Snn {
    let extreme = draw.within(0, 4) == 0;
    let input = Shape {
        channels: draw.size(1, 3),
        height: draw.size(1, 9),
        width: draw.size(1, 9),
    };
    let mut layers: Vec<Layer> = Vec::new();
    let mut parameters = Vec::new();
    let count = draw.size(1, 4);
    for index in 0..count {
        let source = layers.last().map_or(input, |layer: &Layer| layer.output);
        let name = format!("layer{index}");
        // Channel counts around the width of a vector lane.
        let out_channels = [1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 63, 65, 130][draw.size(0, 13)];
        let kernel = [draw.size(1, 4), draw.size(1, 4)];
        let stride = [draw.size(1, 4), draw.size(1, 4)];
        let kind = match draw.within(0, 3) {
            0 => Kind::Dense,
            1 => Kind::AvgPool2d { kernel, stride },
            _ => Kind::Conv2d {
                kernel,
                stride,
                padding: [draw.size(0, 3), draw.size(0, 3)],
            },
        };
        let Ok(layer) = Layer::connect(&name, kind, source, out_channels) else {
            continue;
        };
        let weights = match kind {
            Kind::Dense => Weights::Dense(Array2::from_shape_simple_fn((out_channels, source.len()), || {
                draw.weight(extreme)
            })),
            Kind::AvgPool2d { .. } => Weights::AvgPool2d(draw.weight(extreme)),
            Kind::Conv2d { .. } => Weights::Conv2d(Array4::from_shape_simple_fn(
                (out_channels, source.channels, kernel[0], kernel[1]),
                || draw.weight(extreme),
            )),
        };
        let bias = (draw.within(0, 2) > 0)
            .then(|| (0..layer.output.channels).map(|_| draw.int(-300, 300)).collect());
        let threshold = draw.int(1, 1500);
        let initial_membrane = match draw.within(0, 2) {
            0 => InitialMembrane::Shared(0),
            1 => InitialMembrane::Shared(draw.int(-2000, 2000)),
            _ => InitialMembrane::PerNeuron((0..layer.neurons()).map(|_| draw.int(-2000, 2000)).collect()),
        };
        layers.push(layer);
        parameters.push(Parameters {
            weights,
            bias,
            threshold,
            initial_membrane,
        });
    }
    if layers.is_empty() {
        return random_network(draw);
    }
    let embedding_layer = draw.size(0, layers.len() - 1);
    Snn {
        network: Network {
            name: "random".to_owned(),
            input,
            recipe: Recipe::Plain,
            layers,
            embedding_layer,
            labels: None,
            default_probe: None,
            default_time_steps: None,
            activation: Activation::Relu,
            trained_with: None,
        },
        input_threshold: draw.int(1, 400),
        input_initial_membrane: draw.int(-300, 300),
        parameters,
    }
}

/// A random tiling of every layer, the input layer first: counts must be right for any tiling.
fn random_tilings(draw: &mut Draw, snn: &Snn) -> Vec<Tiling> {
    let shapes =
        std::iter::once(snn.network.input).chain(snn.network.layers.iter().map(|layer| layer.output));
    shapes
        .map(|shape| {
            let positions = shape.height * shape.width;
            Tiling::new(
                shape,
                draw.size(1, positions.min(7)),
                draw.size(1, shape.channels.min(5)),
            )
        })
        .collect()
}

/// An emulator for each kernel of this machine, and the tilings that the reference needs too.
struct All {
    emulators: Vec<Emulator>,
    tilings: Vec<Tiling>,
}

impl All {
    fn new(draw: &mut Draw, snn: Snn) -> Self {
        let tilings = random_tilings(draw, &snn);
        let snn = Arc::new(snn);
        let emulators = Kernel::available()
            .into_iter()
            .map(|kernel| Emulator::with_kernel(Arc::clone(&snn), &tilings, kernel))
            .collect();
        Self { emulators, tilings }
    }

    fn snn(&self) -> &Arc<Snn> {
        self.emulators[0].snn()
    }
}

fn random_picture(draw: &mut Draw, shape: Shape) -> Picture {
    let dense = draw.within(0, 2);
    Picture::new(Array3::from_shape_simple_fn(
        (shape.channels, shape.height, shape.width),
        || {
            let drawn = draw.within(0, 255);
            let pixel = match dense {
                0 => drawn,
                1 => drawn * (drawn % 2),
                _ => 255 * (drawn % 2),
            };
            u8::try_from(pixel).unwrap()
        },
    ))
    .unwrap()
}

fn compare(all: &mut All, picture: &Picture, time_steps: TimeSteps) {
    let All { emulators, tilings } = all;
    let snn = Arc::clone(emulators[0].snn());
    let expected = reference::run(&snn, tilings, picture, time_steps);
    for emulator in emulators {
        let found = emulator.run(picture, time_steps).cloned();
        match (&expected, found) {
            (Ok((states, events)), Ok(outcome)) => {
                assert_eq!(&outcome.events, events);
                assert_eq!(outcome.embedding_layer, states[snn.network.embedding_layer + 1]);
                assert_eq!(Some(&outcome.output_layer), states.last());
                for (index, state) in states.iter().enumerate() {
                    assert_eq!(&emulator.state(index), state, "layer {index}");
                }
            }
            // The layers run in another order, so another layer's overflow may be found first; both must report one.
            (Err(EmulatorError::MembraneOverflow { .. }), Err(EmulatorError::MembraneOverflow { .. })) => {}
            (expected, found) => panic!("{expected:?} and {found:?}"),
        }
    }
}

#[test]
fn this_machine_s_own_kernels_are_tested() {
    assert_eq!(Kernel::available()[0], Kernel::Portable);
    #[cfg(target_arch = "x86_64")]
    assert!(
        Kernel::available().iter().any(|kernel| kernel.name() == "avx2"),
        "the checks need a machine with AVX2"
    );
    #[cfg(target_arch = "aarch64")]
    assert!(
        Kernel::available().iter().any(|kernel| kernel.name() == "neon"),
        "the checks need a machine with NEON"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn event_driven_equals_reference(seed in any::<u64>(), steps in 1u32..=200) {
        let mut draw = Draw(seed);
        let snn = random_network(&mut draw);
        let mut all = All::new(&mut draw, snn);
        let shape = all.snn().network.input;
        let first = random_picture(&mut draw, shape);
        let second = random_picture(&mut draw, shape);
        compare(&mut all, &first, TimeSteps::new(steps).unwrap());
        // A second picture on the same emulator: no state of the first one may remain.
        compare(&mut all, &second, TimeSteps::new(1 + steps / 2).unwrap());
    }

    #[test]
    fn an_overflow_is_an_error_in_both(seed in any::<u64>(), steps in 1u32..=200, sign in prop::bool::ANY) {
        let mut draw = Draw(seed);
        let mut snn = random_network(&mut draw);
        let index = draw.size(0, snn.parameters.len() - 1);
        let far = i32::MAX - draw.int(0, 20_000);
        snn.parameters[index].initial_membrane = InitialMembrane::Shared(if sign { far } else { -far });
        let mut all = All::new(&mut draw, snn);
        let picture = random_picture(&mut draw, all.snn().network.input);
        compare(&mut all, &picture, TimeSteps::new(steps).unwrap());
    }
}

#[test]
fn a_bias_that_leaves_32_bits_is_named_by_layer_neuron_and_step() {
    let mut draw = Draw(1);
    let input = Shape {
        channels: 1,
        height: 1,
        width: 1,
    };
    let layer = Layer::connect("dense", Kind::Dense, input, 1).unwrap();
    let mut snn = random_network(&mut draw);
    snn.network.input = input;
    snn.network.layers = vec![layer];
    snn.network.embedding_layer = 0;
    snn.parameters = vec![Parameters {
        weights: Weights::Dense(Array2::zeros((1, 1))),
        bias: Some(vec![i32::MIN / 2]),
        threshold: 1,
        initial_membrane: InitialMembrane::Shared(0),
    }];
    let mut all = All::new(&mut draw, snn);
    let picture = random_picture(&mut draw, input);
    let refusal = all.emulators[0]
        .run(&picture, TimeSteps::new(3).unwrap())
        .unwrap_err();
    let expected = EmulatorError::MembraneOverflow {
        layer: "dense".to_owned(),
        neuron: 0,
        step: 3,
        membrane: -3_221_225_472,
    };
    assert_eq!(refusal, expected);
    let snn = Arc::clone(all.snn());
    let refusal = reference::run(&snn, &all.tilings, &picture, TimeSteps::new(3).unwrap()).unwrap_err();
    assert_eq!(refusal, expected);
}

/// After the first run with a number of time steps, a run must not allocate.
#[test]
fn a_warm_emulator_allocates_nothing() {
    let bytes = std::fs::read("models/fashion-mnist.snn.safetensors").unwrap();
    let snn = Arc::new(engine::network::tensors::read_snn(&bytes).unwrap());
    let tilings = engine::chip::place::Placement::of(&snn).unwrap().tilings();
    let shape = snn.network.input;
    let mut draw = Draw(7);
    let [first, second] = [0, 1].map(|_| random_picture(&mut draw, shape));
    for kernel in Kernel::available() {
        let mut emulator = Emulator::with_kernel(Arc::clone(&snn), &tilings, kernel);
        for steps in [16, 128] {
            let steps = TimeSteps::new(steps).unwrap();
            let cold = allocation_counter::measure(|| assert!(emulator.run(&first, steps).is_ok()));
            let warm = allocation_counter::measure(|| assert!(emulator.run(&second, steps).is_ok()));
            assert!(cold.count_total > 0, "the counter counts");
            assert_eq!(warm.count_total, 0, "{kernel:?}, T = {steps}");
        }
    }
}

#[test]
fn a_membrane_beyond_the_chip_s_23_bits_is_counted() {
    let mut draw = Draw(1);
    let input = Shape {
        channels: 1,
        height: 1,
        width: 1,
    };
    let mut snn = random_network(&mut draw);
    snn.network.input = input;
    snn.network.layers = vec![Layer::connect("dense", Kind::Dense, input, 1).unwrap()];
    snn.network.embedding_layer = 0;
    snn.input_threshold = 255;
    snn.input_initial_membrane = 0;
    snn.parameters = vec![Parameters {
        weights: Weights::Dense(Array2::from_elem((1, 1), -255)),
        bias: None,
        threshold: 1,
        initial_membrane: InitialMembrane::Shared(0),
    }];
    let mut all = All::new(&mut draw, snn);
    let white = Picture::new(Array3::from_elem((1, 1, 1), 255)).unwrap();
    compare(&mut all, &white, TimeSteps::new(1024).unwrap());
    let outcome = all.emulators[0]
        .run(&white, TimeSteps::new(1024).unwrap())
        .unwrap();
    // -255 arrives in each step from the second on: below -131,071 after 515 arrivals, in step 516.
    assert_eq!(outcome.events.saturated_updates(), 1024 - 515);
    let outcome = all.emulators[0]
        .run(&white, TimeSteps::new(515).unwrap())
        .unwrap();
    assert_eq!(outcome.events.saturated_updates(), 0);
}
