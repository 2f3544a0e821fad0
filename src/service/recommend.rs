//! Recommendations: products that are similar to some examples and unlike others, with optional variety. An example is a
//! stored product, a picture or an embedding.
//!
//! The query is computed from normalised vectors, so that every picture of a product and every example of a list has the
//! same weight: a product's vector is the normalised sum of its pictures' normalised embeddings, and a list's is the
//! normalised sum of its examples' vectors. The query is the liked list's vector L, or 2 L - D if there is a disliked list's
//! vector D: L reflected away from D.

use std::sync::Arc;
use std::time::Duration;

use engine::embedding::is_zero;

use super::error::ServiceError;
use super::search::{Found, learn_run};
use super::state::Service;
use super::times::{Clock, Spent};
use crate::admission::Admission;
use crate::catalogue::search::{Match, Nearest, SearchOptions};
use crate::catalogue::{CatalogueError, Scope};
use crate::chips::{Embedder, Maker, RunChoice, RunOptions, Workload};

/// What products are to be like, or unlike.
#[derive(Debug, Clone, PartialEq)]
pub enum Example<B> {
    /// A stored product, by its id.
    Product(String),
    /// An image file, and how to run it.
    Picture(B, RunChoice),
    Embedding(Vec<i32>),
}

/// What a recommendation starts from.
#[derive(Debug, Clone, PartialEq)]
pub struct Taste<B> {
    /// At least one.
    pub positive: Vec<Example<B>>,
    pub negative: Vec<Example<B>>,
    /// From 0, the nearest products, to 1, those among the candidates that differ most from one another.
    pub diversity: f64,
}

/// The most examples of one list.
pub const MOST_EXAMPLES: usize = 100;

/// With diversity, `k` products are chosen from `CHOICE * k` candidates.
const CHOICE: usize = 5;

/// The largest magnitude in an integer query vector: with 15 bits a cosine is exact to about 1 in 10,000.
const LARGEST: f64 = 32_767.0;

impl Service {
    /// The products most like the liked examples and unlike the disliked ones, without those given.
    ///
    /// # Errors
    /// If a product does not exist, a picture cannot be run, the directions cancel out, or the catalogue is not ready.
    pub async fn recommend<B: AsRef<[u8]> + Clone + Send + 'static>(
        &self,
        taste: Taste<B>,
        options: SearchOptions,
        scope: &Scope,
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
        let examples = [taste.positive, taste.negative].concat();
        let query = |embeddings: &[Vec<Vec<i32>>]| {
            let (positive, negative) = embeddings.split_at(liked);
            vec![direction(positive, negative)]
        };
        let mut found = self
            .search_by(examples, query, wide, diversity != 0.0, scope, clock)
            .await?;
        if diversity != 0.0 {
            found.matches = varied(found.matches, k, diversity);
        }
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
        scope: &Scope,
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
        let example = Example::<Vec<u8>>::Product(id);
        self.search_by(vec![example], query, options, false, scope, clock)
            .await
    }

    /// Searches with the vectors that `query` computes from the embeddings of each example; products among them are excluded
    /// from the matches. Uses the same queue as a search, and runs the pictures on one chip.
    async fn search_by<B: AsRef<[u8]> + Clone + Send + 'static>(
        &self,
        examples: Vec<Example<B>>,
        query: impl Fn(&[Vec<Vec<i32>>]) -> Vec<Vec<i32>>,
        options: SearchOptions,
        with_embeddings: bool,
        scope: &Scope,
        clock: Clock,
    ) -> Result<Found, ServiceError> {
        self.ready()?;
        let options = options.within(scope)?;
        let ids: Vec<String> = examples.iter().filter_map(Example::id).collect();
        if !scope.is_all() {
            for id in &ids {
                self.product(id.clone(), scope, clock).await?;
            }
        }
        // A stored product is searched for by each of its pictures, of which most have one.
        let looking_up = Workload {
            products: ids.len() as u64,
            ..Workload::default()
        };
        let running = self.runs(&*self.maker_for(&options)?, &examples)?;
        let running = running.iter().map(|run| run.workload);
        let running = running.fold(Workload::default(), Workload::and);
        let searching = self.searching(&options, 1);
        let admission = self.admit(running.and(looking_up).and(searching), clock)?;
        let once = async || {
            // Before the search: whoever adopts the next embeddings meanwhile did not make these.
            let maker = self.maker_for(&options)?;
            let (sent, mut spent) = self.run_each(&admission, &maker, &examples).await?;
            let mut stored = Vec::new();
            if !ids.is_empty() {
                let origin = Arc::clone(&maker.origin);
                let read = async |work| self.catalogue.embeddings_of(origin, ids.clone(), work).await;
                stored = self.read_admitted(&admission, looking_up, clock, read).await?;
            }
            let (mut sent, mut stored) = (sent.into_iter(), stored.into_iter());
            let embeddings = examples.iter().map(|example| match example {
                Example::Product(_) => stored.next().unwrap_or_default(),
                Example::Picture(..) => sent.next().into_iter().collect(),
                Example::Embedding(values) => vec![values.clone()],
            });
            let embeddings: Vec<Vec<Vec<i32>>> = embeddings.collect();
            for (example, embeddings) in examples.iter().zip(&embeddings) {
                check(example, embeddings, maker.dimensions())?;
            }
            let embeddings = query(&embeddings);
            let one = match embeddings.as_slice() {
                [one] => Some(one.clone()),
                _ => None,
            };
            let searching = self.searching(&options, embeddings.len());
            let search = Nearest {
                origin: Arc::clone(&maker.origin),
                embeddings,
                without: ids.clone(),
                options: options.clone(),
                with_embeddings,
            };
            let found = self.nearest(&admission, searching, search, clock, &mut spent);
            Ok((found.await?, one, maker, spent))
        };
        let (nearby, query, maker, spent) = match self.unless_adopted(once().await).await? {
            Some(found) => found,
            None => once().await?,
        };
        Ok(Found {
            matches: nearby.matches,
            counts: nearby.counts,
            query,
            embedded: None,
            maker,
            times: clock.times(spent),
        })
    }

    /// The runs of the pictures among some examples.
    fn runs<B: AsRef<[u8]> + Clone>(
        &self,
        maker: &Maker,
        examples: &[Example<B>],
    ) -> Result<Vec<Run<B>>, ServiceError> {
        let pictures = examples.iter().filter_map(|example| match example {
            Example::Picture(file, choice) => Some((file, choice)),
            Example::Product(_) | Example::Embedding(_) => None,
        });
        let run = |(file, choice): (&B, &RunChoice)| {
            let options = choice.or(maker.options());
            let workload = Workload::of_picture(file.as_ref(), options, &self.options.limits)?;
            Ok(Run {
                file: file.clone(),
                options,
                workload,
            })
        };
        pictures.map(run).collect()
    }

    /// Runs the pictures among some examples, one after another; returns their embeddings and the time it took.
    async fn run_each<B: AsRef<[u8]> + Clone + Send + 'static>(
        &self,
        admission: &Admission,
        maker: &Maker,
        examples: &[Example<B>],
    ) -> Result<(Vec<Vec<i32>>, Spent), ServiceError> {
        let runs = self.runs(maker, examples)?;
        if runs.is_empty() {
            return Ok((Vec::new(), Spent::default()));
        }
        let (rates, counters) = (Arc::clone(&self.rates), Arc::clone(&self.counters));
        let (model, work) = (Arc::clone(&maker.model), admission.work());
        let job = move |embedder: &mut Embedder, queue: Duration| {
            embedder.use_model(&model);
            let mut spent = Spent {
                queue,
                ..Spent::default()
            };
            let mut embeddings = Vec::with_capacity(runs.len());
            for run in runs {
                let embedded = embedder.embed(run.file.as_ref(), run.options, &work)?;
                counters.add(&embedded.emulation);
                learn_run(&rates, run.workload, &embedded);
                spent.decoding += embedded.decode_time;
                spent.emulation += embedded.emulation_time;
                embeddings.push(embedded.embedding.values);
            }
            Ok((embeddings, spent))
        };
        Ok(self.pool.run(admission, job).await?)
    }
}

/// A picture, and how it is run.
struct Run<B> {
    file: B,
    options: RunOptions,
    workload: Workload,
}

impl<B> Example<B> {
    fn id(&self) -> Option<String> {
        match self {
            Self::Product(id) => Some(id.clone()),
            Self::Picture(..) | Self::Embedding(_) => None,
        }
    }
}

/// Refuses what a search refuses: an embedding that was sent, or made of a picture that was, with no direction or another
/// number of values.
fn check<B>(example: &Example<B>, embeddings: &[Vec<i32>], wanted: usize) -> Result<(), CatalogueError> {
    if matches!(example, Example::Product(_)) {
        return Ok(());
    }
    for embedding in embeddings {
        if embedding.len() != wanted {
            let given = embedding.len();
            return Err(CatalogueError::Dimensions { given, wanted });
        }
        if is_zero(embedding) {
            return Err(CatalogueError::EmptyEmbedding);
        }
    }
    Ok(())
}

/// The query vector for liked and disliked examples, each given as the embeddings of its pictures; all zeros if they cancel
/// out.
fn direction(liked: &[Vec<Vec<i32>>], disliked: &[Vec<Vec<i32>>]) -> Vec<i32> {
    // One embedding alone is searched for as it is.
    if let ([liked], []) = (liked, disliked)
        && let [embedding] = &liked[..]
    {
        return embedding.clone();
    }
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
    let mut chosen = Vec::with_capacity(k);
    // The similarity of each candidate to the most similar of the chosen ones.
    let mut alike = vec![-1.0f64; found.len()];
    while chosen.len() < k && !found.is_empty() {
        let worth = |place: usize| {
            let unlike = if chosen.is_empty() { 0.0 } else { alike[place] };
            let score = found[place].rank_score.unwrap_or(found[place].score);
            (1.0 - diversity) * score - diversity * unlike
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
