//! Estimates of how long work takes on this host, learned from finished work. The queue is bounded by time and not by the
//! number of requests: a photo of 10 MB, a run of 1,024 time steps or a filter over all products takes far longer than a
//! plain search.

use std::time::Duration;

use engine::embedding::stopping::Length;
use engine::picture::{DecodeLimits, check};
use parking_lot::Mutex;

use super::error::ChipError;
use super::options::RunOptions;

/// The work of one request, in amounts that time follows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Workload {
    /// Pixels of its picture, as its header says, and bytes of its file.
    pub decoded: u64,
    pub time_steps: u64,
    /// Walks through the graph.
    pub searches: u64,
    /// Rows that are compared, and products that are filtered, one by one.
    pub scanned: u64,
    /// Products that are read from the store.
    pub products: u64,
}

/// Time steps that this host emulates for a run with `auto`, which runs a picture several times (the mean over test
/// pictures, `docs/early-stopping.md`).
const AUTO_STEPS: u64 = 80;

impl Workload {
    /// Looking something up.
    pub const LOOK_UP: Self = Self {
        decoded: 0,
        time_steps: 0,
        searches: 0,
        scanned: 0,
        products: 1,
    };

    /// Running an image file.
    ///
    /// # Errors
    /// Refuses a file by its header, before anything waits for it.
    pub fn of_picture(bytes: &[u8], options: RunOptions, limits: &DecodeLimits) -> Result<Self, ChipError> {
        let pixels = check(bytes, limits)?.pixels();
        Ok(Self {
            decoded: pixels.saturating_add(bytes.len() as u64),
            time_steps: match options.time_steps {
                Length::Fixed(time_steps) => time_steps.get().into(),
                Length::Auto(_) => AUTO_STEPS,
            },
            ..Self::default()
        })
    }

    /// Both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let [decoded, time_steps, searches, scanned, products] = {
            let (one, other) = (self.amounts(), other.amounts());
            std::array::from_fn(|kind| one[kind].saturating_add(other[kind]))
        };
        Self {
            decoded,
            time_steps,
            searches,
            scanned,
            products,
        }
    }

    fn amounts(self) -> [u64; 5] {
        [
            self.decoded,
            self.time_steps,
            self.searches,
            self.scanned,
            self.products,
        ]
    }
}

/// Seconds for one of each kind of work.
#[derive(Debug)]
pub struct Rates(Mutex<[f64; 5]>);

impl Default for Rates {
    /// Guesses for a slow host, until work has been measured.
    fn default() -> Self {
        Self(Mutex::new([20e-9, 50e-6, 1e-3, 50e-9, 100e-6]))
    }
}

impl Rates {
    /// The weight of a new measurement.
    const WEIGHT: f64 = 1.0 / 16.0;
    /// A measurement counts as at most so many times the estimate, and at least one part in so many of it: one piece of
    /// work that takes far longer says little about the next.
    const SURPRISE: f64 = 4.0;

    /// The estimated time for `work`.
    #[must_use]
    pub fn estimate(&self, work: Workload) -> Duration {
        let seconds: f64 = self.times(work).iter().sum();
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
    }

    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    fn times(&self, work: Workload) -> [f64; 5] {
        let rates = *self.0.lock();
        let amounts = work.amounts();
        std::array::from_fn(|kind| amounts[kind] as f64 * rates[kind])
    }

    /// Learns from finished work: its kinds share the surprise by their parts of the estimate.
    pub fn learn(&self, work: Workload, took: Duration) {
        let times = self.times(work);
        let estimate: f64 = times.iter().sum();
        if estimate <= 0.0 {
            return;
        }
        let surprise = (took.as_secs_f64() / estimate).clamp(1.0 / Self::SURPRISE, Self::SURPRISE);
        let mut rates = self.0.lock();
        for (rate, time) in rates.iter_mut().zip(times) {
            *rate *= surprise.powf(Self::WEIGHT * time / estimate);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn microseconds(time: f64) -> Duration {
        Duration::from_secs_f64(time * 1e-6)
    }

    #[test]
    fn estimates_follow_what_was_measured() {
        let rates = Rates::default();
        let picture = Workload {
            decoded: 1_000,
            ..Workload::default()
        };
        let run = Workload {
            time_steps: 16,
            ..Workload::default()
        };
        let search = Workload {
            searches: 1,
            products: 10,
            ..Workload::default()
        };
        for _ in 0..500 {
            rates.learn(picture, microseconds(100.0));
            rates.learn(run, microseconds(160.0));
            rates.learn(search, microseconds(300.0));
            rates.learn(Workload::LOOK_UP, microseconds(20.0));
        }
        let close = |work: Workload, microseconds: f64| {
            let estimate = rates.estimate(work).as_secs_f64() * 1e6;
            assert!(
                (estimate / microseconds - 1.0).abs() < 0.02,
                "{work:?}: {estimate} us"
            );
        };
        close(picture.and(run).and(search), 560.0);
        close(
            Workload {
                products: 100,
                ..search
            },
            2_100.0,
        );
        close(
            Workload {
                time_steps: 1024,
                ..run
            },
            10_240.0,
        );
        close(
            Workload {
                decoded: 100_000,
                ..picture
            },
            10_000.0,
        );
    }

    #[test]
    fn one_outlier_teaches_little_and_many_teach() {
        let rates = Rates::default();
        let run = Workload {
            time_steps: 16,
            ..Workload::default()
        };
        let before = rates.estimate(run);
        rates.learn(run, before * 100_000);
        assert!(rates.estimate(run) < before * 11 / 10);
        (0..200).for_each(|_| rates.learn(run, before * 100));
        assert!(rates.estimate(run) > before * 99);
    }
}
