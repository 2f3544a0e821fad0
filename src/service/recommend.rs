//! More like these and less like those: products found by other products, with as much variety as is asked for.
//!
//! Every picture counts in its product, every product in its list, by direction alone: a product's embedding is the sum
//! of its pictures' embeddings at length one, brought to length one, and so is a list's. What is searched for is the
//! direction of the liked ones; with disliked ones twice that less theirs, as if reflected away from them.

use std::sync::Arc;
use std::time::Instant;

use super::index::Index;
use super::live::Live;
use super::search::{Match, SearchOptions, search};
use super::{Service, ServiceError, Times};
use crate::catalogue::store::Reader;
use crate::catalogue::{CatalogueError, ProductKey};

/// What a recommendation starts from.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Taste {
    /// Product ids, at least one.
    pub positive: Vec<String>,
    pub negative: Vec<String>,
    /// 0: the nearest; 1: as different from one another as the nearest few allow.
    pub diversity: f64,
}

/// With diversity, the products are chosen from so many times as many.
const CHOICE: usize = 5;

/// The largest magnitude in a direction of whole numbers: 15 bits keep a cosine to about 1 in 10,000.
const LARGEST: f64 = 32_767.0;

impl Taste {
    /// The most products that one list may name.
    pub const MOST: usize = 100;
}

impl Service {
    /// The products nearest to what is liked and away from what is not; those given are left out.
    pub async fn recommend(
        &self,
        live: &Arc<Live>,
        taste: Taste,
        options: SearchOptions,
        deadline: Instant,
    ) -> Result<(Vec<Match>, Times), ServiceError> {
        let recommend = move |live: &Live, reader: &Reader| {
            let key = |id: &String| {
                let known = reader.key(id)?;
                known.ok_or_else(|| CatalogueError::NoProduct { id: id.clone() })
            };
            let keys = |ids: &[String]| ids.iter().map(key).collect::<Result<Vec<_>, _>>();
            let (positive, negative) = (keys(&taste.positive)?, keys(&taste.negative)?);
            let index = live.index();
            let wanted = direction(&index, &positive, &negative);
            let without = [positive, negative].concat();
            let choice = match taste.diversity {
                0.0 => 1,
                _ => CHOICE,
            };
            let wide = SearchOptions {
                k: options.k * choice,
                ..options.clone()
            };
            let found = search(&index, reader, &[wanted], &without, &wide)?;
            Ok(varied(&index, found, options.k, taste.diversity))
        };
        self.search_stored(live, deadline, recommend).await
    }
}

/// Towards the liked products, away from the disliked ones; zeros where they cancel out.
fn direction(index: &Index, positive: &[ProductKey], negative: &[ProductKey]) -> Vec<i32> {
    let list = |products: &[ProductKey]| {
        let products = products.iter().map(|product| {
            let pictures = index.embeddings_of(*product).into_iter();
            sum(pictures.map(|values| values.into_iter().map(f64::from).collect()))
        });
        unit(sum(products))
    };
    let (liked, disliked) = (list(positive), list(negative));
    let wanted: Vec<f64> = if disliked.is_empty() {
        liked
    } else {
        let both = liked.iter().zip(&disliked);
        both.map(|(liked, disliked)| 2.0 * liked - disliked).collect()
    };
    let largest = wanted
        .iter()
        .fold(0.0f64, |largest, value| largest.max(value.abs()));
    let scale = if largest == 0.0 { 0.0 } else { LARGEST / largest };
    // At most `LARGEST` in magnitude by the choice of the scale.
    let whole = wanted.iter().map(|value| (value * scale).round() as i32);
    whole.collect()
}

/// The sum of vectors at length one; nothing for none.
fn sum(vectors: impl Iterator<Item = Vec<f64>>) -> Vec<f64> {
    vectors.map(unit).fold(Vec::new(), |mut sum, vector| {
        sum.resize(vector.len(), 0.0);
        for (sum, value) in sum.iter_mut().zip(vector) {
            *sum += value;
        }
        sum
    })
}

fn unit(mut vector: Vec<f64>) -> Vec<f64> {
    let length = vector.iter().map(|value| value * value).sum::<f64>().sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|value| *value /= length);
    }
    vector
}

/// Maximal marginal relevance (Carbonell and Goldstein 1998): each choice is near what is wanted and, as much as
/// diversity weighs, unlike those chosen before it.
fn varied(index: &Index, mut found: Vec<Match>, k: usize, diversity: f64) -> Vec<Match> {
    if diversity == 0.0 {
        found.truncate(k);
        return found;
    }
    let vectors = index.neighbours.vectors();
    let mut chosen = Vec::with_capacity(k);
    // How like the most alike of the chosen ones each candidate is.
    let mut alike = vec![-1.0f64; found.len()];
    while chosen.len() < k && !found.is_empty() {
        let worth = |place: usize| {
            let unlike = if chosen.is_empty() { 0.0 } else { alike[place] };
            (1.0 - diversity) * found[place].score - diversity * unlike
        };
        // The first of equals.
        let best = (0..found.len())
            .rev()
            .max_by(|a, b| worth(*a).total_cmp(&worth(*b)));
        let Some(best) = best else { break };
        let next = found.remove(best);
        alike.remove(best);
        let query = vectors.query(&vectors.row(next.row));
        for (alike, candidate) in alike.iter_mut().zip(&found) {
            *alike = alike.max(vectors.cosine(&query, candidate.row));
        }
        chosen.push(next);
    }
    chosen
}
