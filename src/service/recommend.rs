//! Recommendations: products that are similar to some products and unlike others, with optional variety.
//!
//! The query is computed from normalised vectors, so that every picture of a product and every product of a list has the
//! same weight: a product's vector is the normalised sum of its pictures' normalised embeddings, and a list's is the
//! normalised sum of its products' vectors. The query is the liked list's vector L, or 2 L - D if there is a disliked list's
//! vector D: L reflected away from D.

use engine::embedding::is_zero;

use super::error::ServiceError;
use super::search::Found;
use super::state::Service;
use super::times::{Clock, Spent};
use crate::catalogue::CatalogueError;
use crate::catalogue::search::{Match, Nearest, SearchOptions};
use crate::chips::Workload;

/// The products that a recommendation starts from.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Taste {
    /// Product ids, at least one.
    pub positive: Vec<String>,
    pub negative: Vec<String>,
    /// From 0, the nearest products, to 1, those among the candidates that differ most from one another.
    pub diversity: f64,
}

/// With diversity, `k` products are chosen from `CHOICE * k` candidates.
const CHOICE: usize = 5;

/// The largest magnitude in an integer query vector: with 15 bits a cosine is exact to about 1 in 10,000.
const LARGEST: f64 = 32_767.0;

impl Taste {
    /// The most products that one list may name.
    pub const MOST: usize = 100;
}

impl Service {
    /// The products most like the liked ones and unlike the disliked ones, without those given.
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
        let mut found = self
            .search_stored(ids, query, wide, diversity != 0.0, clock)
            .await?;
        found.matches = varied(found.matches, k, diversity);
        Ok(found)
    }

    /// The products most like a stored one, by its stored embeddings, without itself.
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
            // Pictures without an embedding (all zeros) are ignored if another picture has one.
            if embeddings.iter().any(|values| !is_zero(values)) {
                embeddings.retain(|values| !is_zero(values));
            }
            embeddings
        };
        self.search_stored(vec![id], query, options, false, clock).await
    }

    /// Searches with the vectors that `query` computes from the embeddings of the products `ids`, which are excluded from
    /// the matches. Uses the same queue as pictures, but runs none.
    async fn search_stored(
        &self,
        ids: Vec<String>,
        query: impl Fn(&[Vec<Vec<i32>>]) -> Vec<Vec<i32>>,
        options: SearchOptions,
        with_embeddings: bool,
        clock: Clock,
    ) -> Result<Found, ServiceError> {
        self.ready()?;
        // A stored product is searched for by each of its pictures, of which most have one.
        let looking_up = Workload {
            products: ids.len() as u64,
            ..Workload::default()
        };
        let searching = self.searching(&options, 1);
        let admission = self.admit(looking_up.and(searching), clock)?;
        let once = async || {
            let mut spent = Spent::default();
            let read = async |work| self.catalogue.embeddings_of(ids.clone(), work).await;
            let embeddings = self.read_admitted(&admission, looking_up, clock, read);
            let (origin, embeddings) = embeddings.await?;
            // Before the search: whoever adopts the next embeddings meanwhile did not make these.
            let maker = self.maker();
            if maker.origin != origin {
                return Err(CatalogueError::OtherOrigin.into());
            }
            let embeddings = query(&embeddings);
            let searching = self.searching(&options, embeddings.len());
            let search = Nearest {
                origin,
                embeddings,
                without: ids.clone(),
                options: options.clone(),
                with_embeddings,
            };
            let found = self.nearest(&admission, searching, search, clock, &mut spent);
            let matches = found.await?;
            Ok((matches, maker, spent))
        };
        let (matches, maker, spent) = match self.unless_adopted(once().await).await? {
            Some(found) => found,
            None => once().await?,
        };
        Ok(Found {
            matches,
            embedded: None,
            maker,
            times: clock.times(spent),
        })
    }
}

/// The query vector for liked and disliked products, each given as the embeddings of its pictures; all zeros if they cancel
/// out.
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

/// The sum of the normalised vectors; empty without vectors.
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

/// Maximal marginal relevance (Carbonell and Goldstein 1998): each choice has the best score less `diversity` times its
/// similarity to those chosen before it.
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
        // The first of equal candidates.
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

/// Cosine similarity of two embeddings of equal length; 0 if one is all zeros.
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
