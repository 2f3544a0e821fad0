//! Published measurements of networks on Loihi, with which the cost models are compared.
//!
//! Data only; `validation` has the modelled figures. The fit uses none of these.

/// Sources.
const NXTF_MNIST: &str =
    "Intel, NxTF notebook a_image_classification_mnist (github.com/intel-nrc-ecosystem/models)";
const NXTF_CIFAR: &str =
    "Intel, NxTF notebook b_image_classification_cifar (github.com/intel-nrc-ecosystem/models)";
const NXTF_PAPER: &str = "NxTF paper, arXiv 2101.04261, as quoted in 7abushahla/NeuromorphicSurvey";
const QUARTZ: &str = "Quartz, mnist-EDP-plot notebook: NxSDK energy probes; network: CNN/mnist_model.py \
                      (github.com/biphasic/Quartz-on-Loihi)";
const FRADY: &str = "Frady et al. 2020, NICE, as quoted in dyigitpolat/mimarsinan";

/// One layer: its number of neurons and the number of inputs of each (0 for an input layer).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    pub neurons: usize,
    pub fan_in: usize,
}

const fn size(neurons: usize, fan_in: usize) -> Size {
    Size { neurons, fan_in }
}

/// What is known about the spikes of one image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Spikes {
    /// Not published.
    Unknown,
    /// One spike per neuron.
    OncePerNeuron,
    /// This many spikes, each to every neuron; lower and upper bound.
    ToAll([f64; 2]),
}

/// The measured quantity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantity {
    Cores,
    Chips,
    /// Time of a step, without the overhead per image.
    SpikingStepUs,
    /// Total time of an image divided by its steps.
    StepUs,
    ImageMs,
    /// Static and dynamic energy of an image.
    EnergyMj,
    DynamicMj,
    DynamicMw,
}

impl Quantity {
    /// Its name and unit.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cores => "cores",
            Self::Chips => "chips",
            Self::SpikingStepUs => "spiking time per step, us",
            Self::StepUs => "time per step, us",
            Self::ImageMs => "time per image, ms",
            Self::EnergyMj => "energy per image, mJ",
            Self::DynamicMj => "dynamic energy per image, mJ",
            Self::DynamicMw => "dynamic power of the cores, mW",
        }
    }
}

/// One measurement.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measurement {
    pub quantity: Quantity,
    pub value: f64,
}

const fn measured(quantity: Quantity, value: f64) -> Measurement {
    Measurement { quantity, value }
}

/// The same network at one number of time steps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Run {
    pub time_steps: u32,
    pub measured: &'static [Measurement],
}

/// One network on the chip.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Case {
    pub key: &'static str,
    pub network: &'static str,
    pub source: &'static str,
    /// The input layer first.
    pub layers: &'static [Size],
    /// Compartments per neuron, lower and upper bound: 1 for a reset to zero, 2 for a soft reset.
    pub compartments: [usize; 2],
    /// Cores in use, if published; otherwise computed by `validation`.
    pub cores: Option<usize>,
    pub spikes: Spikes,
    pub runs: &'static [Run],
    /// Remarks needed to judge the comparison.
    pub note: &'static str,
}

/// 28 x 28 -> conv 5 x 5/2, 16 -> conv 3 x 3, 32 -> conv 3 x 3/2, 64 -> conv 4 x 4, 10.
const NXTF_MNIST_LAYERS: [Size; 5] = [
    size(784, 0),
    size(2304, 25),
    size(3200, 144),
    size(1024, 288),
    size(10, 1024),
];

/// The model summary that the notebook prints: 32 x 32 x 3, then depthwise and pointwise convolutions in turn.
pub const PSEUDO_MOBILE_NET: [Size; 14] = [
    size(3072, 0),
    size(8192, 27),
    size(8192, 9),
    size(16384, 32),
    size(4096, 9),
    size(8192, 64),
    size(8192, 9),
    size(8192, 128),
    size(2048, 9),
    size(4096, 128),
    size(4096, 9),
    size(4096, 256),
    size(1024, 4),
    size(10, 1024),
];

/// 28 x 28 -> conv 5 x 5, 6 -> pool 2 -> conv 5 x 5, 12 -> pool 2 -> conv 4 x 4, 120 -> dense 10.
const QUARTZ_LAYERS: [Size; 7] = [
    size(784, 0),
    size(3456, 25),
    size(864, 4),
    size(768, 150),
    size(192, 4),
    size(120, 192),
    size(10, 120),
];

/// One run of case F: the values of the power probe, and the energy, power times time.
macro_rules! quartz {
    ($time_steps:literal, $step_us:literal, $dynamic_mw:literal) => {
        Run {
            time_steps: $time_steps,
            measured: &[
                measured(Quantity::StepUs, $step_us),
                measured(Quantity::DynamicMw, $dynamic_mw),
                measured(
                    Quantity::DynamicMj,
                    $step_us * $time_steps as f64 * $dynamic_mw * 1e-6,
                ),
            ],
        }
    };
}

/// Every case that is compared.
pub const CASES: [Case; 5] = [
    Case {
        key: "A",
        network: "MNIST, 4 convolutions, reset to zero",
        source: NXTF_MNIST,
        layers: &NXTF_MNIST_LAYERS,
        compartments: [1, 1],
        cores: None,
        spikes: Spikes::Unknown,
        runs: &[Run {
            time_steps: 512,
            measured: &[
                measured(Quantity::SpikingStepUs, 57.4),
                // 29.4 ms of spiking and 1.8 ms of management.
                measured(Quantity::ImageMs, 31.2),
            ],
        }],
        note: "the board, one chip in use; the notebook does not print its cores",
    },
    Case {
        key: "B",
        network: "CIFAR-10, pseudo-MobileNet, soft reset",
        source: NXTF_CIFAR,
        layers: &PSEUDO_MOBILE_NET,
        compartments: [2, 2],
        cores: None,
        spikes: Spikes::Unknown,
        runs: &[Run {
            time_steps: 512,
            measured: &[
                measured(Quantity::Cores, 157.0),
                measured(Quantity::Chips, 2.0),
                measured(Quantity::StepUs, 137.0),
                measured(Quantity::ImageMs, 70.3),
            ],
        }],
        note: "two chips: the models know nothing of traffic between chips, and their time is a lower bound",
    },
    Case {
        key: "C",
        network: "MNIST, converted by NxTF, about 100 steps",
        source: NXTF_PAPER,
        layers: &NXTF_MNIST_LAYERS,
        compartments: [1, 2],
        cores: None,
        spikes: Spikes::Unknown,
        runs: &[Run {
            time_steps: 100,
            measured: &[
                measured(Quantity::Cores, 14.0),
                measured(Quantity::ImageMs, 6.65),
                measured(Quantity::EnergyMj, 0.66),
            ],
        }],
        note: "network and kind of reset are uncertain: case A's layers, with either reset, stand in; \
               the energy was measured without most of the board's static power",
    },
    Case {
        key: "F",
        network: "MNIST, Quartz, one spike per neuron",
        source: QUARTZ,
        layers: &QUARTZ_LAYERS,
        compartments: [1, 2],
        cores: Some(11),
        spikes: Spikes::OncePerNeuron,
        runs: &[
            quartz!(51, 96.0, 6.9),
            quartz!(91, 53.9, 9.3),
            quartz!(171, 28.8, 17.4),
            quartz!(331, 17.4, 24.1),
            quartz!(651, 13.3, 33.5),
        ],
        note: "another system that keeps its steps short; its neurons take one or more compartments, at most what \
               11 cores hold; energy is power times time; loihi1-paper prices a whole board, the probe the cores alone",
    },
    Case {
        key: "J",
        network: "nearest neighbour search, 76,800 neurons, 32 chips",
        source: FRADY,
        layers: &[size(76_800, 0)],
        compartments: [1, 1],
        cores: Some(32 * engine::chip::CORES_PER_CHIP),
        spikes: Spikes::ToAll([667.0, 750.0]),
        runs: &[Run {
            time_steps: 60,
            measured: &[measured(Quantity::DynamicMj, 1.33)],
        }],
        note: "the cores alone; priced as updates of active neurons (81 pJ), of which most here are inactive (52 pJ: \
               1.45 to 1.60 mJ); loihi1-paper prices the paper's whole board",
    },
];
