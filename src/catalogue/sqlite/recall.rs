//! How much of the exact answer the index finds right now.

use engine::neighbours::Neighbours;
use parking_lot::RwLock;

use super::index::Index;
use crate::admission::Work;
use crate::catalogue::error::CatalogueError;
use crate::catalogue::search::Recall;

/// Answers that are compared.
const K: usize = 10;

/// Measures the recall on a sample of the stored embeddings.
pub fn recall(index: &RwLock<Index>, work: &Work) -> Result<Recall, CatalogueError> {
    let queries: Vec<Vec<i32>> = {
        let index = index.read();
        let neighbours = &index.neighbours;
        let live_rows = (0..neighbours.rows()).filter(|row| neighbours.is_live(*row));
        let step = neighbours.live().div_ceil(Recall::QUERIES).max(1);
        let rows = live_rows.step_by(step);
        rows.map(|row| neighbours.vectors().row(row)).collect()
    };
    // One query at a time, so that no write waits for all of them.
    let mut found = 0.0;
    for query in &queries {
        work.check()?;
        found += share_found(&index.read().neighbours, query);
    }
    Ok(Recall {
        k: K,
        queries: queries.len(),
        recall: (!queries.is_empty()).then(|| found / queries.len() as f64),
    })
}

/// The share of the exact answer that is found; neighbours of equal similarity may replace one another.
fn share_found(neighbours: &Neighbours, query: &[i32]) -> f64 {
    let exact = neighbours.nearest_exact(query, K);
    let Some(least) = exact.last() else { return 1.0 };
    let found = neighbours.nearest(query, K);
    let hits = found.iter().filter(|found| found.similarity >= least.similarity);
    hits.count() as f64 / exact.len() as f64
}
