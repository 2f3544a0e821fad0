//! A bounded amount of something, in whatever unit: bytes that wait, nanoseconds of estimated work.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A budget; its clones spend from the same one.
#[derive(Debug, Clone, Default)]
pub struct Budget(Arc<AtomicU64>);

/// A part of a budget; dropping it returns it.
#[derive(Debug)]
pub struct Share {
    budget: Budget,
    amount: u64,
}

impl Budget {
    /// Spends `amount`, unless `limit` is spent already. The last share may exceed the limit, so that any one share fits an
    /// unspent budget.
    #[must_use]
    pub fn spend(&self, amount: u64, limit: u64) -> Option<Share> {
        let before = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, |now| {
            (now < limit).then(|| now.saturating_add(amount))
        });
        let before = before.ok()?;
        Some(Share {
            budget: self.clone(),
            amount: before.saturating_add(amount) - before,
        })
    }

    /// A share of nothing, to grow.
    #[must_use]
    pub fn share(&self) -> Share {
        Share {
            budget: self.clone(),
            amount: 0,
        }
    }

    /// The sum of all shares.
    #[must_use]
    pub fn spent(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

impl Share {
    /// How much it is.
    #[must_use]
    pub fn amount(&self) -> u64 {
        self.amount
    }

    /// Spends more under the same rule. False if the budget is spent; the share is then as before.
    #[must_use]
    pub fn grow(&mut self, amount: u64, limit: u64) -> bool {
        match self.budget.spend(amount, limit) {
            Some(mut more) => {
                self.amount = self.amount.saturating_add(std::mem::take(&mut more.amount));
                true
            }
            None => false,
        }
    }

    /// Takes a part of `amount` out, or all there is.
    #[must_use]
    pub fn split(&mut self, amount: u64) -> Self {
        let amount = amount.min(self.amount);
        self.amount -= amount;
        Self {
            budget: self.budget.clone(),
            amount,
        }
    }

    /// Returns so much of it, or all of it.
    pub fn shrink(&mut self, amount: u64) {
        drop(self.split(amount));
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.0.fetch_sub(self.amount, Ordering::AcqRel);
    }
}
