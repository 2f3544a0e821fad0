//! Estimates of how long work takes on this host, learned from finished work. The queue is bounded by time and not by the
//! number of requests: a photo of 10 MB or a run of 1,024 time steps takes far longer than one of 30 kB and 16.

use std::time::Duration;

use engine::embedding::stopping::Length;
use parking_lot::Mutex;

use super::options::RunOptions;

/// The work of one request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Workload {
    /// The size of its image file.
    pub bytes: usize,
    pub time_steps: u32,
    pub searches: bool,
}

/// Time steps that this host emulates for a run with `auto`, which runs a picture several times (the mean over test
/// pictures, `docs/early-stopping.md`).
const AUTO_STEPS: u32 = 80;

impl Workload {
    /// A search by a known embedding.
    pub const SEARCH: Self = Self {
        bytes: 0,
        time_steps: 0,
        searches: true,
    };

    /// Running an image file.
    #[must_use]
    pub fn of_picture(bytes: &[u8], options: RunOptions) -> Self {
        Self {
            bytes: bytes.len(),
            time_steps: match options.time_steps {
                Length::Fixed(time_steps) => time_steps.get(),
                Length::Auto(_) => AUTO_STEPS,
            },
            searches: false,
        }
    }
}

/// The time that work took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TimeTaken {
    pub decoding: Duration,
    pub emulation: Duration,
    pub search: Duration,
}

/// Seconds per byte, per time step and per search.
#[derive(Debug)]
pub struct Rates(Mutex<[f64; 3]>);

impl Default for Rates {
    /// Guesses for a slow host, until work has been measured.
    fn default() -> Self {
        Self(Mutex::new([100e-9, 50e-6, 5e-3]))
    }
}

impl Rates {
    /// The weight of a new measurement in the moving average.
    const WEIGHT: f64 = 1.0 / 16.0;

    /// The estimated time for `work`.
    #[must_use]
    pub fn estimate(&self, work: Workload) -> Duration {
        let rates = *self.0.lock();
        let seconds: f64 = amounts(work)
            .iter()
            .zip(rates)
            .map(|(amount, rate)| amount * rate)
            .sum();
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
    }

    /// Learns from finished work.
    pub fn learn(&self, work: Workload, took: TimeTaken) {
        let mut rates = self.0.lock();
        let times = [took.decoding, took.emulation, took.search];
        for ((rate, amount), time) in rates.iter_mut().zip(amounts(work)).zip(times) {
            if amount > 0.0 {
                *rate += (time.as_secs_f64() / amount - *rate) * Self::WEIGHT;
            }
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn amounts(work: Workload) -> [f64; 3] {
    [
        work.bytes as f64,
        f64::from(work.time_steps),
        f64::from(u8::from(work.searches)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn estimates_follow_what_was_measured() {
        let rates = Rates::default();
        let work = Workload {
            bytes: 1_000,
            time_steps: 16,
            searches: true,
        };
        let took = TimeTaken {
            decoding: Duration::from_micros(100),
            emulation: Duration::from_micros(160),
            search: Duration::from_micros(1_000),
        };
        for _ in 0..200 {
            rates.learn(work, took);
        }
        let close = |work: Workload, microseconds: f64| {
            let estimate = rates.estimate(work).as_secs_f64() * 1e6;
            assert!(
                (estimate / microseconds - 1.0).abs() < 0.01,
                "{work:?}: {estimate} us"
            );
        };
        close(work, 1_260.0);
        close(
            Workload {
                time_steps: 128,
                ..work
            },
            2_380.0,
        );
        close(
            Workload {
                searches: false,
                ..work
            },
            260.0,
        );
        close(
            Workload {
                bytes: 100_000,
                ..work
            },
            11_160.0,
        );
        // A workload without a picture does not change the rates of pictures.
        rates.learn(
            Workload {
                searches: true,
                ..Workload::default()
            },
            took,
        );
        close(work, 1_260.0);
    }
}
