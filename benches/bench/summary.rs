//! Statistics of times in milliseconds.

use serde::Serialize;

/// Sorted values.
#[derive(Debug, Clone)]
pub struct Sorted(Vec<f64>);

/// The shares at which the record keeps values.
const SHARES: [f64; 9] = [0.0, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0];

/// A distribution as the record keeps it: `[share, value]`.
#[derive(Debug, Clone, Serialize)]
pub struct Quantiles {
    pub samples: usize,
    pub at: Vec<[f64; 2]>,
}

impl Sorted {
    pub fn new(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        Self(values)
    }

    /// The value below which `share` of all values are; NaN if there are none.
    pub fn at(&self, share: f64) -> f64 {
        let Some(last) = self.0.len().checked_sub(1) else {
            return f64::NAN;
        };
        self.0[(last as f64 * share).round() as usize]
    }

    pub fn median(&self) -> f64 {
        self.at(0.5)
    }

    pub fn p99(&self) -> f64 {
        self.at(0.99)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn quantiles(&self) -> Quantiles {
        Quantiles {
            samples: self.len(),
            at: SHARES.map(|share| [share, self.at(share)]).to_vec(),
        }
    }
}

/// A ratio measured many times in one run: its median and the range of its middle 80 %.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Ratio {
    pub median: f64,
    pub p10: f64,
    pub p90: f64,
}

impl Ratio {
    /// Whether the run shows which of the two is faster.
    pub fn tells(self) -> bool {
        self.p10 > 1.0 || self.p90 < 1.0
    }

    /// Of pairs that were measured directly after each other.
    pub fn of(pairs: impl Iterator<Item = (f64, f64)>) -> Self {
        let sorted = Sorted::new(pairs.map(|(one, other)| one / other).collect());
        Self {
            median: sorted.median(),
            p10: sorted.at(0.1),
            p90: sorted.at(0.9),
        }
    }
}
