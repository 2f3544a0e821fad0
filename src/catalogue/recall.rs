//! How the recall of an index is measured, whatever store it is in.
//!
//! Half of the queries are stored embeddings, the others are like those of new pictures: what was searched for lately, and
//! points between two stored neighbours.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;

use super::origin::Origin;
use super::search::Recall;

/// Answers that are compared.
pub const K: usize = 10;
/// Queries of each kind.
pub const OF_EACH: usize = 150;
/// Pauses for each part of work.
pub const PAUSES: u32 = 9;
/// How far apart the two neighbours are, between which a query lies.
pub const APART: usize = 5;

/// What was searched for lately.
#[derive(Debug, Default)]
pub struct Asked(Mutex<VecDeque<Vec<i32>>>);

impl Asked {
    /// Remembers what a search was for.
    pub fn ask(&self, embedding: &[i32]) {
        let mut asked = self.0.lock();
        if asked.len() >= OF_EACH / 2 {
            asked.pop_front();
        }
        asked.push_back(embedding.to_vec());
    }

    /// Those with so many values.
    pub fn of_width(&self, dimensions: usize) -> Vec<Vec<i32>> {
        let asked = self.0.lock();
        let of_width = asked.iter().filter(|embedding| embedding.len() == dimensions);
        of_width.cloned().collect()
    }
}

/// The last measurement, and what searches were for.
#[derive(Debug, Default)]
pub struct Recalls {
    known: Mutex<Option<(Arc<Origin>, Recall)>>,
    pub asked: Asked,
}

impl Recalls {
    /// The last measurement of an index of this origin; one of no queries before the first.
    pub fn known(&self, origin: &Arc<Origin>) -> Recall {
        let known = self.known.lock();
        let known = known.as_ref().filter(|(of, _)| of == origin);
        known.map_or(Recall::NONE, |(_, recall)| *recall)
    }

    /// Keeps a measurement.
    pub fn measured(&self, origin: &Arc<Origin>, recall: Recall) {
        *self.known.lock() = Some((Arc::clone(origin), recall));
    }
}

/// The mean share, and how far off it may be.
pub fn recall_of(shares: &[f64]) -> Recall {
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

/// The point between two embeddings.
pub fn between(one: &[i32], other: &[i32]) -> Vec<i32> {
    let sum = one.iter().zip(other).map(|(a, b)| a.saturating_add(*b));
    // Half of the sum, rounded up, so that no value of the two is lost.
    sum.map(|sum| sum.div_euclid(2) + sum.rem_euclid(2)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_measured_comes_with_how_far_off_it_may_be() {
        assert_eq!(recall_of(&[]), Recall::NONE);
        let all = recall_of(&[1.0; 200]);
        assert_eq!((all.recall, all.margin), (Some(1.0), Some(0.005)));
        let mut shares = vec![1.0; 90];
        shares.extend([0.5; 10]);
        let some = recall_of(&shares);
        assert_eq!((some.queries, some.recall), (100, Some(0.95)));
        // A standard deviation of 0.15, in 100 queries.
        assert!((some.margin.unwrap() - 1.96 * 0.01508).abs() < 1e-4);
    }
}
