//! The progress of long work, for `/readyz` and progress bars.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use parking_lot::Mutex;
use serde::Serialize;

/// What is being done before the service is ready, or before new embeddings are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    Opening,
    Embedding,
    Reading,
    Indexing,
    /// New embeddings are complete and wait to be taken over.
    Held,
    /// Of a command alone, as the next ones.
    Copying,
    Comparing,
    Searching,
}

impl Stage {
    /// The stage in a few words.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            Self::Opening => "opening the catalogue",
            Self::Embedding => "embedding pictures",
            Self::Reading => "reading embeddings",
            Self::Indexing => "building the index",
            Self::Held => "waiting to be taken over",
            Self::Copying => "copying products",
            Self::Comparing => "comparing checksums",
            Self::Searching => "comparing pictures",
        }
    }
}

/// A stage, how many of its pieces are done, and how many there are.
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
    /// The pieces that were done when the stage began.
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
    /// Begins a stage of `total` pieces.
    pub fn enter(&self, stage: Stage, total: usize) {
        self.resume(stage, 0, total);
    }

    /// Begins a stage in which `done` pieces are done already.
    pub fn resume(&self, stage: Stage, done: usize, total: usize) {
        let mut began = self.began.lock();
        self.done.store(done, Ordering::Relaxed);
        self.total.store(total, Ordering::Relaxed);
        *began = Began {
            stage,
            at: Instant::now(),
            with: done,
        };
    }

    /// Counts finished pieces.
    pub fn advance(&self, count: usize) {
        self.done.fetch_add(count, Ordering::Relaxed);
    }

    /// Changes the number of pieces of the stage.
    pub fn expect(&self, total: usize) {
        self.total.store(total, Ordering::Relaxed);
    }

    /// The stage, its finished pieces, and all of its pieces.
    pub fn now(&self) -> (Stage, usize, usize) {
        let stage = self.began.lock().stage;
        let total = self.total.load(Ordering::Relaxed);
        // Products may be removed while their pictures are counted.
        (stage, self.done.load(Ordering::Relaxed).min(total), total)
    }

    /// Seconds for the rest of the stage at the pace so far; `None` before the first piece is done.
    pub fn seconds_left(&self) -> Option<f64> {
        let began = *self.began.lock();
        let done = self.done.load(Ordering::Relaxed);
        let left = self.total.load(Ordering::Relaxed).saturating_sub(done);
        let paced = done.checked_sub(began.with).filter(|paced| *paced > 0)?;
        Some(began.at.elapsed().as_secs_f64() / paced as f64 * left as f64)
    }
}
