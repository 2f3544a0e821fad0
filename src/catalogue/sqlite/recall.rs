//! How much of the exact answer the index finds, measured in the background.
//!
//! Half of the queries are stored embeddings, the others are like those of new pictures: what was searched for lately, and
//! points between two stored neighbours. A thread measures after the index was loaded and again when it has changed, pausing
//! nine times as long as it works; it holds the index only while it searches along the links.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};

use super::index::{Index, Version};
use super::writer::{Loaded, SharedIndex};
use crate::catalogue::origin::Origin;
use crate::catalogue::search::Recall;

/// Answers that are compared.
const K: usize = 10;
/// Queries of each kind.
const OF_EACH: usize = 150;
/// How often the thread looks whether the index has changed.
const LOOK: Duration = Duration::from_millis(200);
/// The least time between two measurements of an index that has changed.
const AGAIN: Duration = Duration::from_secs(30);
/// Pauses for each part of work.
const PAUSES: u32 = 9;
/// How far apart the two neighbours are, between which a query lies.
const APART: usize = 5;

/// The last measurement, and what searches were for.
#[derive(Debug, Default)]
pub struct Recalls {
    known: Mutex<Option<(Arc<Origin>, Recall)>>,
    asked: Mutex<VecDeque<Vec<i32>>>,
}

impl Recalls {
    /// Remembers what a search was for.
    pub fn ask(&self, embedding: &[i32]) {
        let mut asked = self.asked.lock();
        if asked.len() >= OF_EACH / 2 {
            asked.pop_front();
        }
        asked.push_back(embedding.to_vec());
    }

    /// The last measurement of an index of this origin; one of no queries before the first.
    pub fn known(&self, origin: &Arc<Origin>) -> Recall {
        let known = self.known.lock();
        let known = known.as_ref().filter(|(of, _)| of == origin);
        known.map_or(Recall::NONE, |(_, recall)| *recall)
    }

    /// Starts measuring; it ends when what is returned is dropped.
    ///
    /// # Errors
    /// If the system starts no thread.
    pub fn start(self: &Arc<Self>, loaded: SharedIndex) -> std::io::Result<SyncSender<()>> {
        let (end, ended) = sync_channel(0);
        let recalls = Arc::clone(self);
        std::thread::Builder::new()
            .name("recall".to_owned())
            .spawn(move || recalls.run(&loaded, &Pause(ended)))?;
        Ok(end)
    }

    fn run(&self, loaded: &SharedIndex, pause: &Pause) {
        let mut measured: Option<(Arc<Origin>, Version, Instant)> = None;
        while pause.goes_on(LOOK) {
            let Some(Loaded { origin, index, .. }) = loaded.read().clone() else {
                continue;
            };
            let version = index.read().version();
            if let Some((of, before, at)) = &measured
                && *of == origin
                && (*before == version || at.elapsed() < AGAIN)
            {
                continue;
            }
            let Some(recall) = self.measure(&index, pause) else {
                return;
            };
            *self.known.lock() = Some((Arc::clone(&origin), recall));
            measured = Some((origin, version, Instant::now()));
        }
    }

    /// `None` if it is to end.
    fn measure(&self, index: &RwLock<Index>, pause: &Pause) -> Option<Recall> {
        let stored = stored(&index.read());
        let mut asked: Vec<Vec<i32>> = self.asked.lock().iter().cloned().collect();
        let dimensions = index.read().neighbours.vectors().dimensions();
        asked.retain(|embedding| embedding.len() == dimensions);
        let between = stored.len().saturating_sub(asked.len());
        let mut shares = Vec::with_capacity(2 * stored.len());
        for query in stored.iter().chain(&asked) {
            shares.push(share_found(index, query, pause)?);
        }
        for stored in stored.iter().take(between) {
            let query = between_neighbours(&index.read(), stored);
            shares.push(share_found(index, &query, pause)?);
        }
        Some(recall(&shares))
    }
}

/// A pause that may be the end.
struct Pause(Receiver<()>);

impl Pause {
    fn goes_on(&self, time: Duration) -> bool {
        self.0.recv_timeout(time) == Err(RecvTimeoutError::Timeout)
    }
}

/// The mean share, and how far off it may be.
fn recall(shares: &[f64]) -> Recall {
    if shares.is_empty() {
        return Recall::NONE;
    }
    let count = shares.len() as f64;
    let mean = shares.iter().sum::<f64>() / count;
    let variance = shares.iter().map(|share| (share - mean).powi(2)).sum::<f64>() / (count - 1.0).max(1.0);
    Recall {
        k: K,
        queries: shares.len(),
        recall: Some(mean),
        // 1.96 standard errors hold 95 % of a normal distribution; the next query might find nothing.
        margin: Some((1.96 * (variance / count).sqrt()).max(1.0 / count)),
    }
}

/// Some stored embeddings, evenly spread over the rows.
fn stored(index: &Index) -> Vec<Vec<i32>> {
    let neighbours = &index.neighbours;
    let rows = neighbours.rows();
    let wanted = OF_EACH.min(neighbours.live());
    let spread = (0..wanted).filter_map(|number| {
        let first = number * rows / wanted;
        (first..rows).find(|row| neighbours.is_live(*row))
    });
    spread.map(|row| neighbours.vectors().row(row)).collect()
}

/// A point between a stored embedding and one of its neighbours.
fn between_neighbours(index: &Index, stored: &[i32]) -> Vec<i32> {
    let near = index.neighbours.nearest(stored, APART);
    let other = near.last().map(|near| index.neighbours.vectors().row(near.index));
    let other = other.unwrap_or_else(|| stored.to_vec());
    let sum = stored.iter().zip(&other).map(|(a, b)| a.saturating_add(*b));
    // Half of the sum, rounded up, so that no value of the two is lost.
    sum.map(|sum| sum.div_euclid(2) + sum.rem_euclid(2)).collect()
}

/// The share of the exact answer that is found; neighbours of equal similarity may replace one another. `None` if it is to
/// end.
fn share_found(index: &RwLock<Index>, query: &[i32], pause: &Pause) -> Option<f64> {
    let begun = Instant::now();
    let (found, stored) = {
        let index = index.read();
        (index.neighbours.nearest(query, K), index.neighbours.stored())
    };
    let exact = stored.nearest(query, K);
    let share = exact.last().map_or(1.0, |least| {
        let hits = found.iter().filter(|found| found.similarity >= least.similarity);
        hits.count() as f64 / exact.len() as f64
    });
    pause.goes_on(begun.elapsed() * PAUSES).then_some(share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_measured_comes_with_how_far_off_it_may_be() {
        assert_eq!(recall(&[]), Recall::NONE);
        let all = recall(&[1.0; 200]);
        assert_eq!((all.recall, all.margin), (Some(1.0), Some(0.005)));
        let mut shares = vec![1.0; 90];
        shares.extend([0.5; 10]);
        let some = recall(&shares);
        assert_eq!((some.queries, some.recall), (100, Some(0.95)));
        // A standard deviation of 0.15, in 100 queries.
        assert!((some.margin.unwrap() - 1.96 * 0.01508).abs() < 1e-4);
    }
}
