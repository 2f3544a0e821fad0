//! The paper's figures: Liu, Mahjoubfar, Prusinski and Stevens, Tables 1 to 5. This is the only copy; the fit, the
//! evaluation and the page use it.

use serde::Serialize;

/// A row of Table 1: accuracies in percent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Published {
    pub name: &'static str,
    pub train: f64,
    pub validation: f64,
    pub test: f64,
    /// `None` if the chip could not hold the network.
    pub snn_test: Option<f64>,
}

const fn line(name: &'static str, ann: [f64; 3], snn_test: Option<f64>) -> Published {
    let [train, validation, test] = ann;
    Published {
        name,
        train,
        validation,
        test,
        snn_test,
    }
}

/// The paper's best network, with which its search was measured.
pub const BEST: &str = "32-64-10";

pub const TABLE_1: [Published; 12] = [
    line("4-8-10", [85.03, 85.37, 83.96], Some(83.73)),
    line("8-16-10", [89.11, 88.43, 87.41], Some(86.98)),
    line("16-32-10", [89.41, 88.72, 87.85], Some(87.41)),
    line(BEST, [93.99, 90.68, 90.07], Some(90.01)),
    line("4-8-16-10", [87.47, 87.20, 86.16], Some(86.02)),
    line("8-16-32-10", [90.43, 89.03, 88.40], Some(76.54)),
    line("16-32-64-10", [90.36, 89.25, 87.91], Some(87.85)),
    line("32-64-128-10", [93.37, 90.08, 89.43], Some(88.18)),
    line("4-8-16-32-10", [89.14, 88.57, 87.87], Some(87.49)),
    line("8-16-32-64-10", [92.11, 90.20, 89.51], Some(84.19)),
    line("16-32-64-128-10", [94.27, 90.60, 89.76], Some(85.79)),
    line("32-64-128-256-10", [93.38, 90.78, 90.21], None),
];

/// A row of Tables 3, 4 and 5.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Board {
    pub network: &'static str,
    pub batch: u32,
    pub hardware: &'static str,
    pub latency_ms: f64,
    /// Static, dynamic, total, in watts.
    pub power_w: [f64; 3],
    pub energy_mj: f64,
}

const fn board(
    network: &'static str,
    batch: u32,
    hardware: &'static str,
    latency_ms: f64,
    power_w: [f64; 3],
    energy_mj: f64,
) -> Board {
    Board {
        network,
        batch,
        hardware,
        latency_ms,
        power_w,
        energy_mj,
    }
}

/// The chip's rows of Tables 3, 4 and 5: the best network, one picture at a time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Chip {
    /// Time steps a picture.
    pub time_steps: u32,
    /// Table 3.
    pub latency_ms: f64,
    /// Table 4.
    pub static_w: f64,
    pub dynamic_w: f64,
    pub total_w: f64,
    /// Table 5.
    pub energy_mj: f64,
}

impl Chip {
    const fn board(self, network: &'static str) -> Board {
        let power_w = [self.static_w, self.dynamic_w, self.total_w];
        board(network, 1, LOIHI, self.latency_ms, power_w, self.energy_mj)
    }
}

/// Rows "SNN (16)" and "SNN (128)".
pub const CHIP: [Chip; 2] = [
    Chip {
        time_steps: 16,
        latency_ms: 2.984,
        static_w: 0.946,
        dynamic_w: 0.044,
        total_w: 0.991,
        energy_mj: 2.996,
    },
    Chip {
        time_steps: 128,
        latency_ms: 11.976,
        static_w: 0.952,
        dynamic_w: 0.064,
        total_w: 1.016,
        energy_mj: 12.17,
    },
];

/// Table 2: classification, Top-1 and Top-3 in percent, and mAP; of the float network, then of the rows of [`CHIP`].
pub const TABLE_2: [[f64; 4]; 3] = [
    [90.07, 87.49, 94.55, 0.5212],
    [85.05, 85.55, 93.56, 0.4797],
    [90.01, 86.58, 93.93, 0.4919],
];

const XEON: &str = "Intel Xeon CPU (Gold 6148)";
const I7: &str = "Intel CPU (i7-8750H)";
const V100: &str = "Nvidia GPU (V100)";
const T4: &str = "Nvidia GPU (T4)";
const LOIHI: &str = "Loihi chip (neuromorphic cores)";

pub const TABLES_3_TO_5: [Board; 10] = [
    board("ANN", 1, XEON, 0.216, [196.0, 19.1, 215.1], 46.787),
    board("ANN", 262_144, XEON, 0.0073, [196.0, 44.189, 240.189], 1.753),
    board("ANN", 1, I7, 0.2634, [22.0, 1.805, 23.805], 9.522),
    board("ANN", 128, I7, 0.013, [22.0, 5.633, 27.633], 0.316),
    board("ANN", 1, V100, 1.296, [24.0, 16.441, 40.441], 52.399),
    board("ANN", 4096, V100, 0.0075, [24.0, 20.511, 44.511], 0.337),
    board("ANN", 1, T4, 1.204, [17.0, 14.049, 31.049], 37.399),
    board("ANN", 4096, T4, 0.010, [17.0, 18.228, 35.228], 0.366),
    CHIP[0].board("SNN (16)"),
    CHIP[1].board("SNN (128)"),
];
