//! Where long work stands: read by `/readyz` and by progress bars.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use serde::Serialize;

/// What the service is busy with before it is ready, or before other embeddings answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    Opening,
    Embedding,
    Reading,
    Indexing,
}

impl Stage {
    /// A few words for people.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Opening => "opening the catalogue",
            Self::Embedding => "embedding pictures",
            Self::Reading => "reading embeddings",
            Self::Indexing => "building the index",
        }
    }
}

/// The stage, what is done of it, and of how much.
#[derive(Debug)]
pub struct Progress {
    began: Mutex<Began>,
    done: AtomicUsize,
    total: AtomicUsize,
}

#[derive(Debug, Clone, Copy)]
struct Began {
    stage: Stage,
    at: Instant,
    /// What was done already.
    with: usize,
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            began: Mutex::new(Began {
                stage: Stage::Opening,
                at: Instant::now(),
                with: 0,
            }),
            done: AtomicUsize::new(0),
            total: AtomicUsize::new(0),
        }
    }
}

impl Progress {
    pub(super) fn enter(&self, stage: Stage, total: usize) {
        self.go_on(stage, 0, total);
    }

    /// Enters a stage of which some is done already.
    pub(super) fn go_on(&self, stage: Stage, done: usize, total: usize) {
        let mut began = self.began.lock().unwrap_or_else(PoisonError::into_inner);
        self.done.store(done, Ordering::Relaxed);
        self.total.store(total, Ordering::Relaxed);
        *began = Began {
            stage,
            at: Instant::now(),
            with: done,
        };
    }

    pub(super) fn advance(&self, count: usize) {
        self.done.fetch_add(count, Ordering::Relaxed);
    }

    /// Says anew of how much the stage is.
    pub(super) fn expect(&self, total: usize) {
        self.total.store(total, Ordering::Relaxed);
    }

    /// The stage, what is done of it, and of how much.
    pub fn now(&self) -> (Stage, usize, usize) {
        let stage = self.began.lock().unwrap_or_else(PoisonError::into_inner).stage;
        let total = self.total.load(Ordering::Relaxed);
        // Products may go while their pictures are counted.
        (stage, self.done.load(Ordering::Relaxed).min(total), total)
    }

    /// What the rest of the stage will take by the pace so far; none before there is one.
    pub fn seconds_left(&self) -> Option<f64> {
        let began = *self.began.lock().unwrap_or_else(PoisonError::into_inner);
        let done = self.done.load(Ordering::Relaxed);
        let left = self.total.load(Ordering::Relaxed).saturating_sub(done);
        let paced = done.checked_sub(began.with).filter(|paced| *paced > 0)?;
        Some(began.at.elapsed().as_secs_f64() / paced as f64 * left as f64)
    }
}
