//! Fits the constants of `loihi1-paper` that are not published to the paper's measurements.
//!
//! In: the paper's Tables 3 and 4, and the mean terms of the same network over 1,000 test pictures at the same two
//! numbers of time steps. Out: two lines through two points each. `spikelens inspect --fit` computes the means and
//! prints the fit.

use crate::published::{CHIP, Chip};
use engine::chip::cost::{Fitted, Terms};

/// Fits the constants; `means[i]` belongs to `CHIP[i]`.
#[must_use]
pub fn fit(means: &[Terms; 2]) -> Fitted {
    let [short, long] = CHIP;
    let steps = f64::from(long.time_steps - short.time_steps);
    // latency = L0 + T x t_sync + busiest, at two T.
    let rest_ms = |measured: &Chip, means: &Terms| measured.latency_ms - means.busiest_ns * 1e-6;
    let (short_ms, long_ms) = (rest_ms(&short, &means[0]), rest_ms(&long, &means[1]));
    let step_ms = (long_ms - short_ms) / steps;
    // dynamic energy = E0 + g x operations, at two T; W x ms = mJ.
    let dynamic_mj = |measured: &Chip| measured.dynamic_w * measured.latency_ms;
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
