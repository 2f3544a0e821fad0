//! How much of the exact answer the index finds, measured in the background.
//!
//! Half of the queries are stored embeddings, the others are like those of new pictures: what was searched for lately, and
//! points between two stored neighbours. A thread measures after the index was loaded and again when it has changed, pausing
//! nine times as long as it works; it holds the index only while it searches along the links.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use parking_lot::RwLock;

use super::index::{Index, Version};
use super::writer::{Loaded, SharedIndex};
use crate::catalogue::origin::Origin;
use crate::catalogue::recall::{APART, K, OF_EACH, PAUSES, Recalls, between, recall_of};
use crate::catalogue::search::Recall;

/// How often the thread looks whether the index has changed.
const LOOK: Duration = Duration::from_millis(200);
/// The least time between two measurements of an index that has changed.
const AGAIN: Duration = Duration::from_secs(30);

/// Starts measuring; it ends when what is returned is dropped.
///
/// # Errors
/// If the system starts no thread.
pub fn start(recalls: Arc<Recalls>, loaded: SharedIndex) -> std::io::Result<SyncSender<()>> {
    let (end, ended) = sync_channel(0);
    std::thread::Builder::new()
        .name("recall".to_owned())
        .spawn(move || Measuring(recalls).run(&loaded, &Pause(ended)))?;
    Ok(end)
}

struct Measuring(Arc<Recalls>);

impl Measuring {
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
            self.0.measured(&origin, recall);
            measured = Some((origin, version, Instant::now()));
        }
    }

    /// `None` if it is to end.
    fn measure(&self, index: &RwLock<Index>, pause: &Pause) -> Option<Recall> {
        let stored = stored(&index.read());
        let dimensions = index.read().neighbours.vectors().dimensions();
        let asked = self.0.asked.of_width(dimensions);
        let between = stored.len().saturating_sub(asked.len());
        let mut shares = Vec::with_capacity(2 * stored.len());
        for query in stored.iter().chain(&asked) {
            shares.push(share_found(index, query, pause)?);
        }
        for stored in stored.iter().take(between) {
            let query = between_neighbours(&index.read(), stored);
            shares.push(share_found(index, &query, pause)?);
        }
        Some(recall_of(&shares))
    }
}

/// A pause that may be the end.
struct Pause(Receiver<()>);

impl Pause {
    fn goes_on(&self, time: Duration) -> bool {
        self.0.recv_timeout(time) == Err(RecvTimeoutError::Timeout)
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
    between(stored, &other)
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
