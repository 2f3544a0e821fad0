//! What work costs on this host, learned from the work done: the queue is bounded in time, not in requests, and a
//! photo of ten megabytes or a run of 1,024 time steps is not one of 30 kilobytes and 16.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::embed::RunOptions;
use engine::embedding::stopping::Length;

/// What one request asks of a worker.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Work {
    /// Of an image file.
    pub bytes: usize,
    pub time_steps: u32,
    pub searches: bool,
}

/// Time steps that this host emulates for a picture that stops by itself: it looks ahead and runs anew (the mean over
/// test pictures, `docs/early-stopping.md`).
const AUTO_STEPS: u32 = 80;

impl Work {
    /// An image file to run.
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

/// What it took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Took {
    pub decoding: Duration,
    pub emulation: Duration,
    pub search: Duration,
}

/// Seconds for a byte, a time step and a search.
#[derive(Debug)]
pub struct Rates(Mutex<[f64; 3]>);

impl Default for Rates {
    /// Guesses for a slow host, until something was measured.
    fn default() -> Self {
        Self(Mutex::new([100e-9, 50e-6, 5e-3]))
    }
}

impl Rates {
    /// How much a measurement counts against all before it.
    const WEIGHT: f64 = 1.0 / 16.0;

    /// What the work will probably take.
    pub fn estimate(&self, work: Work) -> Duration {
        let rates = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let seconds: f64 = amounts(work)
            .iter()
            .zip(rates)
            .map(|(amount, rate)| amount * rate)
            .sum();
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
    }

    /// Learns from work that was done.
    pub fn learn(&self, work: Work, took: Took) {
        let mut rates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let times = [took.decoding, took.emulation, took.search];
        for ((rate, amount), time) in rates.iter_mut().zip(amounts(work)).zip(times) {
            if amount > 0.0 {
                *rate += (time.as_secs_f64() / amount - *rate) * Self::WEIGHT;
            }
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn amounts(work: Work) -> [f64; 3] {
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
        let work = Work {
            bytes: 1_000,
            time_steps: 16,
            searches: true,
        };
        let took = Took {
            decoding: Duration::from_micros(100),
            emulation: Duration::from_micros(160),
            search: Duration::from_micros(1_000),
        };
        for _ in 0..200 {
            rates.learn(work, took);
        }
        let close = |work: Work, microseconds: f64| {
            let estimate = rates.estimate(work).as_secs_f64() * 1e6;
            assert!(
                (estimate / microseconds - 1.0).abs() < 0.01,
                "{work:?}: {estimate} us"
            );
        };
        close(work, 1_260.0);
        close(
            Work {
                time_steps: 128,
                ..work
            },
            2_380.0,
        );
        close(
            Work {
                searches: false,
                ..work
            },
            260.0,
        );
        close(
            Work {
                bytes: 100_000,
                ..work
            },
            11_160.0,
        );
        // Work without a picture says nothing of pictures.
        rates.learn(
            Work {
                searches: true,
                ..Work::default()
            },
            took,
        );
        close(work, 1_260.0);
    }
}
