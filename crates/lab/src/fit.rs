//! The constants of `loihi1-paper` that no source publishes: they follow from the paper's measurements.
//!
//! In: the paper's Tables 3 and 4, and what the published prices make of the same network, the mean of 1,000 test
//! pictures, at the same two numbers of time steps. Out: two lines through two points each. `spikelens inspect --fit`
//! makes the means and prints both; a test repeats it.

use serde::Serialize;

use engine::chip::cost::{Fitted, Terms};

/// One row of the paper's Tables 3 and 4: its chip, its best network, one picture at a time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Measured {
    pub time_steps: u32,
    pub latency_ms: f64,
    pub static_w: f64,
    pub dynamic_w: f64,
    pub total_w: f64,
    /// Table 5, which the fit does not use.
    pub energy_mj: f64,
}

/// Liu et al., Tables 3, 4 and 5, rows "SNN (16)" and "SNN (128)".
pub const MEASURED: [Measured; 2] = [
    Measured {
        time_steps: 16,
        latency_ms: 2.984,
        static_w: 0.946,
        dynamic_w: 0.044,
        total_w: 0.991,
        energy_mj: 2.996,
    },
    Measured {
        time_steps: 128,
        latency_ms: 11.976,
        static_w: 0.952,
        dynamic_w: 0.064,
        total_w: 1.016,
        energy_mj: 12.17,
    },
];

/// Draws the lines; `means` belong to [`MEASURED`], row by row.
pub fn fit(means: &[Terms; 2]) -> Fitted {
    let [short, long] = MEASURED;
    let steps = f64::from(long.time_steps - short.time_steps);
    // latency = L0 + T x t_sync + busiest, at two T.
    let rest_ms = |measured: &Measured, means: &Terms| measured.latency_ms - means.busiest_ns * 1e-6;
    let (short_ms, long_ms) = (rest_ms(&short, &means[0]), rest_ms(&long, &means[1]));
    let step_ms = (long_ms - short_ms) / steps;
    // dynamic energy = E0 + g x operations, at two T; W x ms = mJ.
    let dynamic_mj = |measured: &Measured| measured.dynamic_w * measured.latency_ms;
    let operations_mj = [means[0].operations_pj() * 1e-9, means[1].operations_pj() * 1e-9];
    let gain = (dynamic_mj(&long) - dynamic_mj(&short)) / (operations_mj[1] - operations_mj[0]);
    Fitted {
        latency_ms: short_ms - f64::from(short.time_steps) * step_ms,
        step_ns: step_ms * 1e6,
        energy_mj: dynamic_mj(&short) - gain * operations_mj[0],
        gain,
        static_w: (short.static_w + long.static_w) / 2.0,
    }
}
