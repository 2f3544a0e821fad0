//! How a network's embeddings find held-out products.

use anyhow::Result;
use indicatif::ProgressBar;

use super::verdict::{By, Judgement, Score};
use crate::evaluate::runs::run;
use crate::files;
use engine::model::Model;
use engine::neighbours::exact::Vectors;
use engine::neighbours::quality::judge;
use engine::network::{Probe, TimeSteps};
use engine::parallel::in_parallel;
use engine::picture::Picture;

/// Pictures run at a time, which bounds the memory for what is not kept.
const BATCH: usize = 512;
/// Queries compared with the corpus at a time.
const BLOCK: usize = 64;
/// No cosine: ranks the query's own picture last.
const ITSELF: f64 = -2.0;

/// The embeddings of pictures, and their modelled cost.
#[derive(Debug, Default)]
pub struct Embedded {
    pub values: Vec<Vec<i32>>,
    /// Means over the pictures.
    pub energy_mj: f64,
    pub latency_ms: f64,
}

/// Runs pictures on emulated chips.
///
/// # Errors
/// If a picture cannot be run.
pub fn embed(
    model: &Model,
    pictures: &[Picture],
    time_steps: TimeSteps,
    probe: Probe,
    bar: &ProgressBar,
) -> Result<Embedded> {
    let mut found = Embedded::default();
    for batch in pictures.chunks(BATCH) {
        for seen in run(model, batch, time_steps.into(), &[probe], bar)? {
            found.energy_mj += seen.emulation.energy_mj.total / pictures.len() as f64;
            found.latency_ms += seen.emulation.latency_ms / pictures.len() as f64;
            found.values.extend(seen.embeddings);
        }
    }
    Ok(found)
}

/// What is known of the pictures: those of the products that were learned from come first.
#[derive(Debug)]
pub struct Known {
    /// The product of each picture.
    pub products: Vec<usize>,
    /// The class of each picture.
    pub classes: Vec<Option<u8>>,
    /// The number of pictures that were learned from.
    pub learned: usize,
    /// For each held-out picture, the teacher's nearest among those that were learned from.
    pub nearest: Vec<Vec<usize>>,
}

impl Known {
    /// Judges both networks, `[in use, new]`, by the embeddings of all pictures; none without a query.
    #[must_use]
    pub fn judge(&self, by: By, networks: [&[Vec<i32>]; 2]) -> Option<Judgement> {
        let all = 0..self.products.len();
        let held_out = self.learned..self.products.len();
        let (queries, corpus): (Vec<usize>, Vec<usize>) = match by {
            By::Label => {
                let corpus: Vec<usize> = (0..self.learned)
                    .filter(|&one| self.classes[one].is_some())
                    .collect();
                let there = |class: Option<u8>| {
                    class.is_some() && corpus.iter().any(|&one| self.classes[one] == class)
                };
                let queries = held_out.filter(|&query| there(self.classes[query])).collect();
                (queries, corpus)
            }
            By::Product => {
                let several = |query: &usize| {
                    let product = self.products[*query];
                    self.products.iter().filter(|other| **other == product).count() > 1
                };
                (held_out.filter(several).collect(), all.collect())
            }
            By::Teacher => (held_out.collect(), (0..self.learned).collect()),
        };
        let right = |query: usize, one: usize| match by {
            By::Label => self.classes[one] == self.classes[query],
            By::Product => one != query && self.products[one] == self.products[query],
            By::Teacher => self.nearest[query - self.learned].contains(&one),
        };
        let found = networks.map(|values| scores(values, &queries, &corpus, right));
        // A product's score is the mean over its pictures, which follow each other.
        let mut products: Vec<(usize, usize, [Score; 2])> = Vec::new();
        for (place, &query) in queries.iter().enumerate() {
            let product = self.products[query];
            if products.last().is_none_or(|(last, ..)| *last != product) {
                products.push((product, 0, [Score::default(); 2]));
            }
            if let Some((_, count, sums)) = products.last_mut() {
                *count += 1;
                for (sum, found) in sums.iter_mut().zip(&found) {
                    sum.top_1 += found[place].top_1;
                    sum.top_3 += found[place].top_3;
                    sum.precision += found[place].precision;
                }
            }
        }
        let means: Vec<[Score; 2]> = products
            .into_iter()
            .map(|(_, count, sums)| {
                let count = count as f64;
                sums.map(|sum| Score {
                    top_1: sum.top_1 / count,
                    top_3: sum.top_3 / count,
                    precision: sum.precision / count,
                })
            })
            .collect();
        let searched = corpus.len() - usize::from(by == By::Product).min(corpus.len());
        (!means.is_empty()).then(|| Judgement::of(by, &means, queries.len(), searched))
    }
}

/// The score of each query.
fn scores(
    values: &[Vec<i32>],
    queries: &[usize],
    corpus: &[usize],
    right: impl Fn(usize, usize) -> bool + Sync,
) -> Vec<Score> {
    let Some(first) = values.first() else {
        return Vec::new();
    };
    let mut vectors = Vectors::new(first.len());
    for &one in corpus {
        vectors.push(&values[one]);
    }
    let blocks: Vec<&[usize]> = queries.chunks(BLOCK).collect();
    let found = in_parallel(
        files::threads(),
        blocks.len(),
        || (),
        |(), block| {
            let block = blocks[block];
            let asked: Vec<&[i32]> = block.iter().map(|&query| values[query].as_slice()).collect();
            let mut cosines = vectors.cosines_of_each(&asked);
            let rows = cosines.outer_iter_mut().zip(block);
            let score = rows.map(|(mut row, &query)| {
                if let Ok(own) = corpus.binary_search(&query) {
                    row[own] = ITSELF;
                }
                let row = row.as_slice().expect("a row of a fresh matrix is whole");
                let ranking = judge(row, |place| right(query, corpus[place]));
                Score {
                    top_1: f64::from(u8::from(ranking.top_1)),
                    top_3: f64::from(u8::from(ranking.top_3)),
                    precision: ranking.average_precision,
                }
            });
            score.collect::<Vec<_>>()
        },
    );
    found.concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Learned: products 0 and 1 (one picture each) and 2 (two); held out: 3 (two pictures) and 4 (one).
    fn known() -> Known {
        Known {
            products: vec![0, 1, 2, 2, 3, 3, 4],
            classes: vec![Some(0), Some(1), None, None, Some(0), Some(0), Some(1)],
            learned: 4,
            nearest: vec![vec![0], vec![2], vec![3]],
        }
    }

    /// In use: all pictures look alike. New: pictures 4 and 5 are like 0, 6 is like 1.
    fn embeddings() -> [Vec<Vec<i32>>; 2] {
        let new = [
            [9, 0, 0],
            [0, 9, 0],
            [0, 0, 9],
            [0, 1, 9],
            [9, 1, 0],
            [9, 2, 0],
            [1, 9, 0],
        ];
        [vec![vec![1, 1, 1]; 7], new.map(|values| values.to_vec()).to_vec()]
    }

    fn judged(by: By) -> Judgement {
        let [in_use, new] = embeddings();
        known().judge(by, [&in_use, &new]).unwrap()
    }

    #[test]
    fn by_label_among_labelled_pictures_that_were_learned_from() {
        let judgement = judged(By::Label);
        assert_eq!(
            (judgement.products, judgement.queries, judgement.corpus),
            (2, 3, 2)
        );
        assert_eq!(judgement.top_1.new, 1.0);
        // Equals rank in corpus order, so class 0 is first for every query.
        assert_eq!(judgement.top_1.in_use, 0.5);
        assert_eq!(judgement.map.in_use, 0.75);
    }

    #[test]
    fn by_product_among_all_other_pictures() {
        let judgement = judged(By::Product);
        assert_eq!(
            (judgement.products, judgement.queries, judgement.corpus),
            (1, 2, 6)
        );
        assert_eq!(judgement.top_1.new, 1.0);
        assert_eq!((judgement.top_1.in_use, judgement.top_3.in_use), (0.0, 0.0));
    }

    #[test]
    fn by_the_teacher_among_pictures_that_were_learned_from() {
        let judgement = judged(By::Teacher);
        assert_eq!(
            (judgement.products, judgement.queries, judgement.corpus),
            (2, 3, 4)
        );
        // Of product 3's two pictures, one finds the teacher's nearest first.
        assert_eq!(judgement.top_1.new, 0.25);
    }

    #[test]
    fn without_a_query_there_is_no_judgement() {
        let mut known = known();
        known.classes = vec![None; 7];
        let [in_use, new] = embeddings();
        assert_eq!(known.judge(By::Label, [&in_use, &new]), None);
    }
}
