//! The time of a request: when it began, when it must end, and what it was spent on.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::error::ServiceError;

/// The clock of a request, started when its head has been read: every time that is reported is measured from there.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    start: Instant,
    limit: Duration,
}

impl Clock {
    /// Starts the clock of a request that may take `limit`.
    #[must_use]
    pub fn start(limit: Duration) -> Self {
        Self {
            start: Instant::now(),
            limit,
        }
    }

    /// A clock that starts now, for the next piece of a stream.
    #[must_use]
    pub fn restarted(self) -> Self {
        Self::start(self.limit)
    }

    /// When the answer is due.
    #[must_use]
    pub fn deadline(self) -> Instant {
        self.start + self.limit
    }

    /// The time since the request's head was read.
    #[must_use]
    pub fn elapsed(self) -> Duration {
        self.start.elapsed()
    }

    /// Waits for `work` until the deadline.
    ///
    /// # Errors
    /// Of the work; [`ServiceError::DeadlineExceeded`] at the deadline, when the work is dropped.
    pub async fn limit<T, E>(self, work: impl Future<Output = Result<T, E>>) -> Result<T, ServiceError>
    where
        ServiceError: From<E>,
    {
        match tokio::time::timeout_at(self.deadline().into(), work).await {
            Ok(result) => Ok(result?),
            Err(_) => Err(ServiceError::DeadlineExceeded),
        }
    }

    /// What the request's time was spent on, up to now.
    #[must_use]
    pub fn times(self, spent: Spent) -> Times {
        Times {
            decode_ms: milliseconds(spent.decoding),
            queue_ms: milliseconds(spent.queue),
            emulation_ms: milliseconds(spent.emulation),
            search_ms: milliseconds(spent.search),
            total_ms: milliseconds(self.start.elapsed()),
        }
    }
}

/// What the parts of a request took.
#[derive(Debug, Clone, Copy, Default)]
pub struct Spent {
    pub decoding: Duration,
    pub queue: Duration,
    pub emulation: Duration,
    pub search: Duration,
}

/// How long this host took, in order of flow; the total includes what has no part of its own, such as reading the body.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Times {
    pub decode_ms: f64,
    pub queue_ms: f64,
    pub emulation_ms: f64,
    pub search_ms: f64,
    pub total_ms: f64,
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
