//! The graph against the exact search over the same embeddings: one thread on one CPU, alternating on slices of
//! queries, and the recall of the graph.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;
use engine::chip::cost::CostModel;
use engine::model::Model;
use engine::model::built_in::BuiltIn;
use engine::neighbours::Neighbour;
use engine::neighbours::quality::recall;
use engine::picture::{DecodeLimits, Picture};
use serde::Serialize;
use spikelens::chips::{Embedder, RunOptions};

use crate::indexing::Opened;
use crate::machine::on_one_cpu;
use crate::summary::{Quantiles, Ratio, Sorted};

/// Matches of each query: the interface's default.
const K: usize = 10;
/// Queries per turn of each kind of search.
const SLICE: usize = 20;

#[derive(Debug, Serialize)]
pub struct Search {
    pub cpu: usize,
    pub embeddings: usize,
    pub dimensions: usize,
    pub queries: usize,
    pub k: usize,
    pub graph: Kind,
    pub exact: Kind,
    pub exact_to_graph: Ratio,
    /// Recall of the graph: over all queries, and of the worst 1 %.
    pub recall: f64,
    pub recall_p1: f64,
}

#[derive(Debug, Serialize)]
pub struct Kind {
    pub median_ms: f64,
    pub p99_ms: f64,
    pub quantiles_ms: Quantiles,
}

impl Kind {
    fn of(times: Vec<f64>) -> Self {
        let times = Sorted::new(times);
        Self {
            median_ms: times.median(),
            p99_ms: times.p99(),
            quantiles_ms: times.quantiles(),
        }
    }
}

pub fn measure(data: &Path, pictures: &[Picture]) -> Result<Search> {
    let model = Arc::new(Model::read(BuiltIn::FashionMnist.file(), CostModel::Loihi1Paper)?);
    let opened = Opened::load(data, &model)?;
    let options = RunOptions::of(&model);
    let mut embedder = Embedder::new(Arc::clone(&model), DecodeLimits::default());
    let queries = pictures
        .iter()
        .map(|picture| Ok(embedder.embed_picture(picture, options)?.embedding.values))
        .collect::<Result<Vec<Vec<i32>>>>()?;
    let (mut graph, mut exact, mut ratios, mut recalls) = (vec![], vec![], vec![], vec![]);
    let (embeddings, cpu) = on_one_cpu(|| {
        opened.neighbours(|neighbours| {
            for (turn, slice) in queries.chunks(SLICE).enumerate() {
                let by_graph = || timed(slice, |query| neighbours.nearest(query, K));
                let by_exact = || timed(slice, |query| neighbours.nearest_exact(query, K));
                let ((graph_times, found), (exact_times, right)) = if turn % 2 == 0 {
                    (by_graph(), by_exact())
                } else {
                    let exact = by_exact();
                    (by_graph(), exact)
                };
                ratios.push((
                    Sorted::new(exact_times.clone()).median(),
                    Sorted::new(graph_times.clone()).median(),
                ));
                recalls.extend(
                    right
                        .iter()
                        .zip(&found)
                        .map(|(right, found)| recall(right, found)),
                );
                graph.extend(graph_times);
                exact.extend(exact_times);
            }
            Ok(neighbours.live())
        })
    })?;
    let mean = recalls.iter().sum::<f64>() / recalls.len() as f64;
    Ok(Search {
        cpu,
        embeddings,
        dimensions: model.snn.network.embedding_dimensions(),
        queries: queries.len(),
        k: K,
        graph: Kind::of(graph),
        exact: Kind::of(exact),
        exact_to_graph: Ratio::of(ratios.into_iter()),
        recall: mean,
        recall_p1: Sorted::new(recalls).at(0.01),
    })
}

/// Milliseconds of each query, and the rows found.
fn timed(queries: &[Vec<i32>], search: impl Fn(&[i32]) -> Vec<Neighbour>) -> (Vec<f64>, Vec<Vec<usize>>) {
    let answers = queries.iter().map(|query| {
        let start = Instant::now();
        let found = search(query);
        let time = start.elapsed().as_secs_f64() * 1e3;
        (time, found.iter().map(|neighbour| neighbour.index).collect())
    });
    answers.unzip()
}
