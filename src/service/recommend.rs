//! Recommendations: products that are similar to some products and unlike others, with optional variety.
//!
//! Every picture counts in its product, every product in its list, by direction alone: a product's embedding is the sum
//! of its pictures' embeddings at length one, brought to length one, and so is a list's. What is searched for is the
//! direction of the liked ones; with disliked ones twice that less theirs, as if reflected away from them.

use engine::embedding::is_zero;

use super::error::ServiceError;
use super::search::Found;
use super::state::Service;
use super::times::{Clock, Spent};
use crate::catalogue::CatalogueError;
use crate::catalogue::search::{Match, Nearest, SearchOptions};
use crate::chips::Work;

/// The products that a recommendation starts from.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Taste {
    /// Product ids, at least one.
    pub positive: Vec<String>,
    pub negative: Vec<String>,
    /// 0: the nearest; 1: as different from one another as the nearest candidates allow.
    pub diversity: f64,
}

/// With diversity, `k` products are chosen from `CHOICE * k` candidates.
const CHOICE: usize = 5;

/// The largest magnitude in a direction of whole numbers: 15 bits keep a cosine to about 1 in 10,000.
const LARGEST: f64 = 32_767.0;

impl Taste {
    /// The most products that one list may name.
    pub const MOST: usize = 100;
}

impl Service {
    /// The products nearest to what is liked and away from what is not; those given are left out.
    ///
    /// # Errors
    /// If a product does not exist, the directions cancel out, or the catalogue is not ready.
    pub async fn recommend(
        &self,
        taste: Taste,
        options: SearchOptions,
        clock: Clock,
    ) -> Result<Found, ServiceError> {
        let (k, diversity) = (options.k, taste.diversity);
        let choice = match diversity {
            0.0 => 1,
            _ => CHOICE,
        };
        let wide = SearchOptions {
            k: k * choice,
            ..options
        };
        let liked = taste.positive.len();
        let ids = [taste.positive, taste.negative].concat();
        let query = |embeddings: &[Vec<Vec<i32>>]| {
            let (positive, negative) = embeddings.split_at(liked);
            vec![direction(positive, negative)]
        };
        let mut found = self.search_stored(ids, query, wide, clock).await?;
        found.matches = varied(found.matches, k, diversity);
        Ok(found)
    }

    /// The products that look like a stored one, itself left out; its own embeddings are searched for.
    ///
    /// # Errors
    /// If it does not exist, it has no embedding, or the catalogue is not ready.
    pub async fn similar(
        &self,
        id: String,
        options: SearchOptions,
        clock: Clock,
    ) -> Result<Found, ServiceError> {
        let query = |embeddings: &[Vec<Vec<i32>>]| {
            let mut embeddings = embeddings.concat();
            // A view without an embedding does not keep the others from being searched for.
            if embeddings.iter().any(|values| !is_zero(values)) {
                embeddings.retain(|values| !is_zero(values));
            }
            embeddings
        };
        self.search_stored(vec![id], query, options, clock).await
    }

    /// Searches by what `query` makes of the embeddings of the products `ids`, which are left out; in the same queue as
    /// pictures, without running one.
    async fn search_stored(
        &self,
        ids: Vec<String>,
        query: impl Fn(&[Vec<Vec<i32>>]) -> Vec<Vec<i32>>,
        options: SearchOptions,
        clock: Clock,
    ) -> Result<Found, ServiceError> {
        self.ready()?;
        let _admission = self.pool.admit(self.rates.estimate(Work::SEARCH))?;
        let once = async || {
            let mut spent = Spent::default();
            let embeddings = self.catalogue.embeddings_of(ids.clone());
            let (origin, embeddings) = clock.limit(embeddings).await?;
            let search = Nearest {
                origin,
                embeddings: query(&embeddings),
                without: ids.clone(),
                options: options.clone(),
                with_embeddings: true,
            };
            let matches = self.nearest(search, clock, &mut spent).await?;
            Ok((matches, spent))
        };
        let (matches, spent) = match once().await {
            // The next embeddings were adopted in between, which happens once in the life of a server.
            Err(ServiceError::Catalogue(CatalogueError::OtherOrigin)) => once().await?,
            found => found?,
        };
        Ok(Found {
            matches,
            embedded: None,
            maker: self.maker(),
            times: clock.times(spent),
        })
    }
}

/// Towards the liked products, away from the disliked ones; zeros where they cancel out. A product is the embeddings of its
/// pictures.
fn direction(liked: &[Vec<Vec<i32>>], disliked: &[Vec<Vec<i32>>]) -> Vec<i32> {
    let list = |products: &[Vec<Vec<i32>>]| {
        let products = products.iter().map(|pictures| {
            let pictures = pictures.iter();
            sum(pictures.map(|values| values.iter().copied().map(f64::from).collect()))
        });
        unit(sum(products))
    };
    let (liked, disliked) = (list(liked), list(disliked));
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

/// The sum of vectors that are scaled to length one; empty without vectors.
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
fn varied(mut found: Vec<Match>, k: usize, diversity: f64) -> Vec<Match> {
    if diversity == 0.0 {
        found.truncate(k);
        return found;
    }
    let mut chosen = Vec::with_capacity(k);
    // The similarity of each candidate to the most similar of the chosen ones.
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
        for (alike, candidate) in alike.iter_mut().zip(&found) {
            *alike = alike.max(cosine(&next.embedding, &candidate.embedding));
        }
        chosen.push(next);
    }
    chosen
}

/// Cosine similarity of two embeddings of one width; 0 where one is all zeros.
fn cosine(a: &[i32], b: &[i32]) -> f64 {
    let product = |a: &[i32], b: &[i32]| -> f64 {
        let products = a.iter().zip(b);
        products.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    let lengths = (product(a, a) * product(b, b)).sqrt();
    if lengths == 0.0 {
        0.0
    } else {
        product(a, b) / lengths
    }
}
