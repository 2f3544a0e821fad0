//! The time of a request: its start, its deadline, and how long its parts took.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::error::ServiceError;
use crate::admission::{CallerId, Stopped};

/// The clock of a request. It starts when the request's head has been read; reported times count from there.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    start: Instant,
    limit: Duration,
    caller: CallerId,
}

impl Clock {
    /// Starts the clock of a request with the time limit `limit`.
    #[must_use]
    pub fn start(limit: Duration) -> Self {
        Self {
            start: Instant::now(),
            limit,
            caller: CallerId::default(),
        }
    }

    /// The clock of a request whose caller is known.
    #[must_use]
    pub fn of(self, caller: CallerId) -> Self {
        Self { caller, ..self }
    }

    /// Whose request it is.
    #[must_use]
    pub fn caller(self) -> CallerId {
        self.caller
    }

    /// A clock that starts now, for the next piece of a stream.
    #[must_use]
    pub fn restarted(self) -> Self {
        Self::start(self.limit).of(self.caller)
    }

    /// When the time limit ends.
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
    /// The work's own; [`Stopped::Late`] at the deadline, when the work is dropped.
    pub async fn limit<T, E>(self, work: impl Future<Output = Result<T, E>>) -> Result<T, ServiceError>
    where
        ServiceError: From<E>,
    {
        match tokio::time::timeout_at(self.deadline().into(), work).await {
            Ok(result) => Ok(result?),
            Err(_) => Err(Stopped::Late.into()),
        }
    }

    /// The times of the request's parts, and its total so far.
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

/// The time that each part of a request took.
#[derive(Debug, Clone, Copy, Default)]
pub struct Spent {
    pub decoding: Duration,
    pub queue: Duration,
    pub emulation: Duration,
    pub search: Duration,
}

/// How long each part took on this host, in milliseconds. The total includes work that has no field of its own, such as
/// reading the body.
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
