//! The chip: limits, placement and prices, and the fit to the paper's figures.

use engine::chip::cost::{CostModel, FITTED, Terms, paper};
use engine::chip::place::{PlaceError, Placement};
use engine::chip::report::{Emulation, Occupancy};
use engine::chip::width::widths;
use engine::chip::{COMPARTMENTS_PER_CORE, FAN_IN, INPUT_AXONS_PER_CORE, OUTPUT_AXONS_PER_CORE};
use engine::chip::{CORES_PER_CHIP, SYNAPSE_BITS_PER_CORE};
use engine::emulator::Emulator;
use engine::model::Model;
use engine::model::sample::membranes;
use engine::network::snn::{InitialMembrane, Parameters, Snn, Weights};
use engine::network::{Kind, Layer, TimeSteps, tensors};
use engine::picture::Shape;
use lab::ann::architecture;
use lab::fit::fit;
use lab::published::CHIP;
use serde_json::Value;

use crate::support::{golden, pictures};

/// A network of the given architecture whose weights use all 9 bits.
pub fn network(name: &str) -> Snn {
    let input = Shape {
        channels: 1,
        height: 28,
        width: 28,
    };
    let network = architecture::parse(name, input).unwrap();
    let mut drawn = 0usize;
    let mut weight = || {
        drawn += 1;
        i16::try_from((drawn * 7919) % 511).unwrap() - 255
    };
    let parameters = network
        .layers
        .iter()
        .map(|layer| {
            let weights = match layer.kind {
                Kind::Conv2d { kernel, .. } => {
                    let shape = (layer.output.channels, layer.input.channels, kernel[0], kernel[1]);
                    Weights::Conv2d(ndarray::Array4::from_shape_simple_fn(shape, &mut weight))
                }
                Kind::Dense => {
                    let shape = (layer.neurons(), layer.input.len());
                    Weights::Dense(ndarray::Array2::from_shape_simple_fn(shape, &mut weight))
                }
                Kind::AvgPool2d { .. } => Weights::AvgPool2d(255),
            };
            Parameters {
                weights,
                bias: None,
                threshold: 500,
                initial_membrane: InitialMembrane::Shared(0),
            }
        })
        .collect();
    Snn {
        network,
        input_threshold: 255,
        input_initial_membrane: 0,
        parameters,
    }
}

#[test]
fn eleven_of_the_paper_s_networks_fit_one_chip_and_the_twelfth_is_refused() {
    for name in [
        "4-8-10",
        "8-16-10",
        "16-32-10",
        "32-64-10",
        "4-8-16-10",
        "8-16-32-10",
        "16-32-64-10",
        "32-64-128-10",
        "4-8-16-32-10",
        "8-16-32-64-10",
        "16-32-64-128-10",
    ] {
        let snn = network(name);
        let placement = Placement::of(&snn).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(
            placement.cores() <= CORES_PER_CHIP,
            "{name}: {} cores",
            placement.cores()
        );
        let neurons: usize = snn.network.populations().map(|(_, neurons)| neurons).sum();
        assert_eq!(
            placement
                .cores
                .iter()
                .map(|core| core.compartments)
                .sum::<usize>(),
            2 * neurons
        );
        for core in &placement.cores {
            assert!(core.compartments <= COMPARTMENTS_PER_CORE, "{name}: {core:?}");
            assert!(core.synapse_bits <= SYNAPSE_BITS_PER_CORE, "{name}: {core:?}");
            assert!(core.input_axons <= INPUT_AXONS_PER_CORE, "{name}: {core:?}");
            assert!(core.output_axons <= OUTPUT_AXONS_PER_CORE, "{name}: {core:?}");
        }
    }
    let refusal = Placement::of(&network("32-64-128-256-10")).unwrap_err();
    assert_eq!(
        refusal,
        PlaceError::FanIn {
            layer: "dense1".to_owned(),
            fan_in: 6400
        }
    );
    assert!(refusal.to_string().contains(&FAN_IN.to_string()));
}

#[test]
fn what_the_chip_cannot_represent_is_refused_by_layer_figure_and_limit() {
    let refusal = |change: &dyn Fn(&mut Snn)| {
        let mut snn = network("4-8-10");
        change(&mut snn);
        Placement::of(&snn).unwrap_err().to_string()
    };
    for (said, parts) in [
        (
            refusal(&|snn| snn.parameters[1].threshold = 131_072),
            ["layer conv2", "131072", "131071"],
        ),
        (
            refusal(&|snn| snn.input_threshold = 1 << 20),
            ["layer input", "1048576", "131071"],
        ),
        (
            refusal(&|snn| snn.parameters[0].bias = Some(vec![0, 0, -4097, 0])),
            ["layer conv1", "-4097", "4095"],
        ),
        (
            refusal(&|snn| snn.parameters[0].bias = Some(vec![0, 0, 0, 8192])),
            ["layer conv1", "8192", "8190"],
        ),
        (
            refusal(&|snn| snn.parameters[2].initial_membrane = InitialMembrane::Shared(-131_072)),
            ["layer dense1", "-131072", "131071"],
        ),
        (
            refusal(&|snn| {
                snn.parameters[0].weights = Weights::Conv2d(ndarray::Array4::from_elem((4, 1, 3, 3), 256))
            }),
            ["layer conv1", "256", "255"],
        ),
    ] {
        for part in parts {
            assert!(said.contains(part), "{said}");
        }
    }
    let mut snn = network("4-8-10");
    snn.parameters[0].bias = Some(vec![4095, -4096, 8190, 0]);
    snn.parameters[1].threshold = 131_071;
    assert!(Placement::of(&snn).is_ok());
}

/// A network of dense layers with these numbers of neurons after `inputs` pixels; all weights are 1.
fn dense(inputs: usize, neurons: &[usize]) -> Snn {
    let mut snn = network("4-10");
    let mut source = Shape {
        channels: 1,
        height: 1,
        width: inputs,
    };
    snn.network.input = source;
    snn.network.layers.clear();
    snn.parameters.clear();
    for (number, &neurons) in (1..).zip(neurons) {
        let layer = Layer::connect(&format!("dense{number}"), Kind::Dense, source, neurons).unwrap();
        snn.parameters.push(Parameters {
            weights: Weights::Dense(ndarray::Array2::ones((neurons, source.len()))),
            bias: None,
            threshold: 500,
            initial_membrane: InitialMembrane::Shared(0),
        });
        source = layer.output;
        snn.network.layers.push(layer);
    }
    snn
}

#[test]
fn a_layer_that_no_cut_fits_is_refused_by_resource_figure_and_limit() {
    let refusal = Placement::of(&dense(FAN_IN, &[4, 10])).unwrap_err();
    assert_eq!(
        refusal,
        PlaceError::Core {
            layer: "dense1".to_owned(),
            // Every source has an axon, and each neuron one of its own for the soft reset.
            resource: "input axons",
            figure: FAN_IN + 1,
            limit: INPUT_AXONS_PER_CORE,
        }
    );
    // 4,097 cores receive the spikes of the one neuron before them.
    let wide = (OUTPUT_AXONS_PER_CORE + 1) * COMPARTMENTS_PER_CORE / 2;
    let refusal = Placement::of(&dense(1, &[1, wide])).unwrap_err().to_string();
    for part in ["layer dense1", "output axons", "4098", "4096", "however"] {
        assert!(refusal.contains(part), "{refusal}");
    }
}

#[test]
fn a_full_chip_shares_static_energy_and_nothing_else() {
    let snn = std::sync::Arc::new(tensors::read_snn(&golden("snn.safetensors")).unwrap());
    let placement = Placement::of(&snn).unwrap();
    let mut emulator = Emulator::new(std::sync::Arc::clone(&snn), &placement.tilings());
    let outcome = emulator.run(&pictures("t10k", 1)[0], TimeSteps::DEFAULT).unwrap();
    let terms = Terms::of(&outcome.events, &placement);
    let alone = CostModel::Loihi1Paper.price_terms(&terms, placement.cores());
    let full = Occupancy::of(&terms, &placement, CostModel::Loihi1Paper);
    assert_eq!(full.replicas, placement.replicas());
    assert_eq!(full.energy_mj_per_picture.dynamic, alone.dynamic_mj);
    assert_eq!(
        full.energy_mj_per_picture.standing,
        alone.static_mj / full.replicas as f64
    );
    assert_eq!(
        full.pictures_per_second,
        full.replicas as f64 * 1e3 / alone.latency_ms
    );
    // Published constants alone: the barrier waits for every copy, and each picture takes a little longer.
    let [alone, full] = [1, placement.replicas()].map(|copies| {
        let cores = placement.cores() * copies;
        CostModel::Loihi1Cores.price_terms(&terms, cores).latency_ms
    });
    assert!(alone < full && full < 1.1 * alone, "{alone} and {full}");
}

#[test]
fn several_chips_have_a_band_that_one_chip_has_not() {
    let terms = Terms {
        time_steps: 16.0,
        busiest_ns: 16.0 * 9000.0,
        ..Terms::default()
    };
    for model in CostModel::ALL {
        assert_eq!(model.price_on_several_chips(&terms, CORES_PER_CHIP), None);
        let alone = model.price_terms(&terms, CORES_PER_CHIP + 1);
        let [low, high] = model.price_on_several_chips(&terms, CORES_PER_CHIP + 1).unwrap();
        assert!(alone.latency_ms < low.latency_ms && low.latency_ms < high.latency_ms);
        assert!(low.static_mj < high.static_mj);
        assert_eq!(
            (low.dynamic_mj, high.dynamic_mj),
            (alone.dynamic_mj, alone.dynamic_mj)
        );
        assert!((high.latency_ms - low.latency_ms - 16.0 * (0.850 - 0.137)).abs() < 1e-9);
    }
    // A network that is slower by itself than any that was measured stays so.
    let slow = Terms {
        busiest_ns: 16.0 * 1e6,
        ..terms
    };
    let alone = CostModel::Loihi1Cores.price_terms(&slow, 200);
    assert_eq!(
        CostModel::Loihi1Cores.price_on_several_chips(&slow, 200),
        Some([alone, alone])
    );
}

#[test]
fn no_run_leaves_the_bound_that_its_weights_prove() {
    let bytes = golden("snn.safetensors");
    let model = Model::read(&bytes, CostModel::Loihi1Paper).unwrap();
    let widths = widths(&model.snn, model.snn.network.time_steps());
    let reached = membranes(&model.snn, &model.placement, &|| ()).unwrap();
    assert!(reached.every_step);
    assert_eq!(widths.len(), reached.layers.len());
    for (widths, reached) in widths.iter().zip(&reached.layers) {
        assert!(
            widths.bound.low <= reached.low && reached.high <= widths.bound.high,
            "{widths:?} and {reached:?}"
        );
        // Thresholds were reached: the membrane is examined before the threshold is subtracted.
        assert!(
            reached.high >= i64::from(widths.threshold),
            "{widths:?} and {reached:?}"
        );
    }
}

#[test]
fn where_compartments_alone_bind_a_layer_takes_what_intel_s_compiler_took() {
    // ceil(2n / 1024) cores for each layer of n neurons, the rule behind case B's 157 cores.
    let snn = tensors::read_snn(&golden("snn.safetensors")).unwrap();
    let placement = Placement::of(&snn).unwrap();
    for (layer, (_, neurons)) in placement.layers.iter().zip(snn.network.populations()) {
        assert_eq!(layer.tiling.cores(), (2 * neurons).div_ceil(1024));
    }
    assert_eq!(
        (placement.cores(), placement.chips(), placement.replicas()),
        (19, 1, 6)
    );
}

#[test]
fn the_fit_repeats_and_gives_the_paper_s_tables_back() {
    let snn = std::sync::Arc::new(tensors::read_snn(&golden("snn.safetensors")).unwrap());
    let placement = Placement::of(&snn).unwrap();
    let pictures = pictures("t10k", 1000);
    let means = std::thread::scope(|scope| {
        CHIP.map(|measured| {
            let (snn, placement, pictures) = (&snn, &placement, &pictures);
            scope.spawn(move || {
                let time_steps = TimeSteps::new(measured.time_steps).unwrap();
                let mut emulator = Emulator::new(std::sync::Arc::clone(snn), &placement.tilings());
                let terms: Vec<Terms> = pictures
                    .iter()
                    .map(|picture| Terms::of(&emulator.run(picture, time_steps).unwrap().events, placement))
                    .collect();
                Terms::mean(&terms)
            })
        })
        .map(|thread| thread.join().unwrap())
    });
    let fitted = fit(&means);
    let close = |found: f64, expected: f64, share: f64, what: &str| {
        assert!(
            (found / expected - 1.0).abs() <= share,
            "{what}: {found} for {expected}"
        );
    };
    for (found, kept, what) in [
        (fitted.latency_ms, FITTED.latency_ms, "latency_ms"),
        (fitted.step_ns, FITTED.step_ns, "step_ns"),
        (fitted.energy_mj, FITTED.energy_mj, "energy_mj"),
        (fitted.gain, FITTED.gain, "gain"),
        (fitted.static_w, FITTED.static_w, "static_w"),
    ] {
        assert!(found > 0.0, "{what} is {found}");
        close(found, kept, 1e-9, what);
    }
    for (measured, terms) in CHIP.iter().zip(&means) {
        let cost = paper(terms, &FITTED);
        close(cost.latency_ms, measured.latency_ms, 0.01, "Table 3");
        close(
            cost.static_mj / cost.latency_ms,
            measured.static_w,
            0.01,
            "Table 4, static",
        );
        close(
            cost.dynamic_mj / cost.latency_ms,
            measured.dynamic_w,
            0.01,
            "Table 4, dynamic",
        );
        close(
            cost.total_mj() / cost.latency_ms,
            measured.total_w,
            0.01,
            "Table 4, total",
        );
        close(cost.total_mj(), measured.energy_mj, 0.015, "Table 5");
    }
    let kept = std::fs::read(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/golden/loihi1-paper-fit.json"
    ))
    .unwrap();
    let kept: Value = serde_json::from_slice(&kept).unwrap();
    close(
        means[1].busiest_ns,
        kept["means"][1]["busiest_ns"].as_f64().unwrap(),
        1e-9,
        "kept inputs",
    );
    close(
        fitted.gain,
        kept["fitted"]["gain"].as_f64().unwrap(),
        1e-9,
        "kept result",
    );
}

#[test]
fn two_pictures_cost_differently_and_the_parts_make_the_total() {
    let snn = std::sync::Arc::new(tensors::read_snn(&golden("snn.safetensors")).unwrap());
    let placement = Placement::of(&snn).unwrap();
    let mut emulator = Emulator::new(std::sync::Arc::clone(&snn), &placement.tilings());
    for model in CostModel::ALL {
        let found: Vec<Emulation> = pictures("t10k", 2)
            .iter()
            .map(|picture| {
                let outcome = emulator.run(picture, TimeSteps::DEFAULT).unwrap();
                Emulation::of(&snn.network, &outcome.events, &placement, model)
            })
            .collect();
        assert_ne!(found[0].energy_mj.dynamic, found[1].energy_mj.dynamic);
        assert_ne!(found[0].latency_ms, found[1].latency_ms);
        for emulation in &found {
            let energy = emulation.energy_mj;
            assert_eq!(energy.standing + energy.dynamic, energy.total);
            let cores: usize = emulation.layers.iter().map(|layer| layer.cores).sum();
            assert_eq!(cores, emulation.cores);
        }
        for constant in model.constants() {
            assert!(
                constant.value > 0.0 && !constant.source.is_empty(),
                "{constant:?}"
            );
        }
    }
}
