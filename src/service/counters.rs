//! Counts of the work of a server's emulated chips since it started.

use std::sync::atomic::{AtomicU64, Ordering};

use engine::chip::report::Emulation;

/// Sums over all pictures that were run for requests and imports.
#[derive(Debug, Default)]
pub struct Counters {
    pictures: AtomicU64,
    spikes: AtomicU64,
    synaptic_operations: AtomicU64,
    /// Whole nanojoules, because a large sum of floats would lose the energy of single pictures.
    energy_nj: AtomicU64,
}

/// The sums at one moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Counted {
    pub pictures: u64,
    pub spikes: u64,
    pub synaptic_operations: u64,
    /// Modelled, in joules.
    pub energy_j: f64,
}

impl Counters {
    /// Adds one picture.
    pub fn add(&self, emulation: &Emulation) {
        self.pictures.fetch_add(1, Ordering::Relaxed);
        self.spikes.fetch_add(emulation.spikes, Ordering::Relaxed);
        self.synaptic_operations
            .fetch_add(emulation.synaptic_operations, Ordering::Relaxed);
        // A modelled energy is finite and not negative; a picture's is far below the largest number of nanojoules.
        let nanojoules = (emulation.energy_mj.total * 1e6).round() as u64;
        self.energy_nj.fetch_add(nanojoules, Ordering::Relaxed);
    }

    /// The sums so far.
    #[must_use]
    pub fn now(&self) -> Counted {
        Counted {
            pictures: self.pictures.load(Ordering::Relaxed),
            spikes: self.spikes.load(Ordering::Relaxed),
            synaptic_operations: self.synaptic_operations.load(Ordering::Relaxed),
            energy_j: self.energy_nj.load(Ordering::Relaxed) as f64 * 1e-9,
        }
    }
}
