//! How much may wait: a sum that shares are taken of and given back to, of whatever unit.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What is taken now, shared by all who take.
#[derive(Debug, Clone, Default)]
pub struct Room(Arc<AtomicU64>);

/// A part of it, given back when it is dropped.
#[derive(Debug)]
pub struct Share {
    room: Room,
    amount: u64,
}

impl Room {
    /// Takes a share, unless `most` is taken already: the last one may go beyond it, so that one alone always fits.
    pub fn take(&self, amount: u64, most: u64) -> Option<Share> {
        let before = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, |now| {
            (now < most).then(|| now.saturating_add(amount))
        });
        let before = before.ok()?;
        Some(Share {
            room: self.clone(),
            amount: before.saturating_add(amount) - before,
        })
    }

    /// The sum of the shares.
    pub fn taken(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

impl Share {
    /// Takes more, under the same rule; false, and nothing taken, where there is no room.
    pub fn grow(&mut self, amount: u64, most: u64) -> bool {
        match self.room.take(amount, most) {
            Some(mut more) => {
                self.amount = self.amount.saturating_add(std::mem::take(&mut more.amount));
                true
            }
            None => false,
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.room.0.fetch_sub(self.amount, Ordering::AcqRel);
    }
}
