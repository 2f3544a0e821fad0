//! What the service holds, and how much of the exact answer its index finds right now.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::index::Index;
use super::live::Live;
use super::maker::Maker;
use super::{Service, ServiceError};

/// Answers that are compared.
const K: usize = 10;
/// Queries of the sample, evenly spread over the stored pictures.
const QUERIES: usize = 20;

/// The state of catalogue and index.
#[derive(Debug, Clone, Serialize)]
pub struct Stats {
    pub products: usize,
    pub pictures: usize,
    pub index: IndexStats,
    pub recall: Recall,
    /// What made the embeddings that these are of.
    #[serde(skip)]
    pub maker: Arc<Maker>,
}

/// The state of the index.
#[derive(Debug, Clone, Serialize)]
pub struct IndexStats {
    /// `graph`, or `exact` while there are few pictures.
    pub search: &'static str,
    /// Values of an embedding.
    pub dimensions: usize,
    /// Embeddings of removed pictures that wait for the index to be built anew.
    pub removed: usize,
    /// Embeddings that are compared one by one until they are linked into the graph.
    pub unlinked: usize,
}

/// Measured while one waits.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Recall {
    pub k: usize,
    /// Stored pictures that were searched for; 0 in an empty catalogue.
    pub queries: usize,
    /// The share of the exact search's answers that the index gives; null without queries.
    pub recall: Option<f64>,
}

/// A recall that was measured, of which embeddings and when.
#[derive(Debug, Clone)]
pub(super) struct KnownRecall {
    recall: Recall,
    maker: Arc<Maker>,
    at: Instant,
}

/// How long a recall is good enough for whoever only watches.
const WATCHED: Duration = Duration::from_secs(60);

impl Service {
    /// As [`Service::stats`], with a recall that is at most a minute old: cheap to ask for again and again.
    pub async fn sampled_stats(&self) -> Result<Stats, ServiceError> {
        let lately = || self.recall.lock().unwrap_or_else(PoisonError::into_inner);
        let known = lately().clone();
        if let Some(known) = known.filter(|known| known.at.elapsed() < WATCHED) {
            let stats = self.read(|live, _| Ok(counts(live))).await?;
            if Arc::ptr_eq(&stats.maker, &known.maker) {
                let recall = known.recall;
                return Ok(Stats { recall, ..stats });
            }
        }
        let stats = self.stats().await?;
        *lately() = Some(KnownRecall {
            recall: stats.recall,
            maker: Arc::clone(&stats.maker),
            at: Instant::now(),
        });
        Ok(stats)
    }

    /// Counts, and the recall on a sample.
    pub async fn stats(&self) -> Result<Stats, ServiceError> {
        self.read(|live, _| {
            let mut stats = counts(live);
            let rows: Vec<Vec<i32>> = {
                let index = live.index();
                let neighbours = &index.neighbours;
                let live_rows = (0..neighbours.rows()).filter(|row| neighbours.is_live(*row));
                let step = neighbours.live().div_ceil(QUERIES).max(1);
                let rows = live_rows.step_by(step);
                rows.map(|row| neighbours.vectors().row(row)).collect()
            };
            // One query at a time, so that no write waits for all of them.
            let hits = rows.iter().map(|row| hits(&live.index(), row)).sum::<f64>();
            if !rows.is_empty() {
                stats.recall.queries = rows.len();
                stats.recall.recall = Some(hits / rows.len() as f64);
            }
            Ok(stats)
        })
        .await
    }
}

fn counts(live: &Live) -> Stats {
    let index = live.index();
    let neighbours = &index.neighbours;
    Stats {
        products: index.products(),
        pictures: neighbours.live(),
        index: IndexStats {
            search: if neighbours.has_graph() { "graph" } else { "exact" },
            dimensions: neighbours.vectors().dimensions(),
            removed: neighbours.rows() - neighbours.live(),
            unlinked: neighbours.unlinked(),
        },
        recall: Recall {
            k: K,
            queries: 0,
            recall: None,
        },
        maker: Arc::clone(&live.maker),
    }
}

/// The share of the exact answer that is found; equally near ones may stand for one another.
fn hits(index: &Index, query: &[i32]) -> f64 {
    let exact = index.neighbours.nearest_exact(query, K);
    let Some(least) = exact.last() else { return 1.0 };
    let found = index.neighbours.nearest(query, K);
    let hits = found.iter().filter(|found| found.similarity >= least.similarity);
    hits.count() as f64 / exact.len() as f64
}
