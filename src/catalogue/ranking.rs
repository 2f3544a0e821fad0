//! The one ranking of a query, of which every page is a part, and how it is grouped and boosted.
//!
//! A large catalogue is not searched to the same depth for ten products as for a thousand, and a deeper search may find a
//! near product that the other one missed. So a ranking is made in steps of fixed depth, each of which adds behind the last
//! what it found that was not there yet: whatever page is asked for, each product has one place. It ends at
//! [`SearchOptions::HORIZON`].

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::filter::Number;
use super::product::PictureKey;
use super::search::{Boost, BoostBy, SearchOptions};

/// How many products each step finds. The first is enough for most pages.
const STEPS: [usize; 3] = [24, 100, SearchOptions::HORIZON];
/// With a filter, where a deeper search costs more, ten products are a step of their own.
const FILTERED_STEPS: [usize; 4] = [10, 24, 100, SearchOptions::HORIZON];

/// A product that was found, with the picture of it that is nearest.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// Its number in the store.
    pub product: i64,
    pub picture: PictureKey,
    pub score: f64,
    /// That picture's embedding, where it was asked for; else empty.
    pub embedding: Vec<i32>,
}

/// What grouping and boosting need to know of a product.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Facts {
    /// The value by which it is grouped; null where it has none.
    pub group: Value,
    /// For each boost the number of its attribute, or whether it passes; `None` where it has no such number.
    pub boosts: Vec<Option<f64>>,
}

/// A candidate's place in an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Placed {
    /// Its place in the ranking.
    pub place: usize,
    /// Its score with what boosts add, where there are any.
    pub rank_score: Option<f64>,
    pub group: Option<Value>,
}

/// The ranking as far as it was made.
#[derive(Debug)]
pub struct Ranking {
    ranked: Vec<Candidate>,
    products: HashSet<i64>,
    /// The depths that are left.
    steps: Vec<usize>,
}

impl Ranking {
    /// Nothing yet.
    pub fn new(options: &SearchOptions) -> Self {
        let needed = options.reach();
        let steps = if needed == SearchOptions::HORIZON {
            vec![needed]
        } else if options.exact {
            // What is found exactly is the same to any depth.
            match options.group {
                Some(_) => vec![needed, SearchOptions::HORIZON],
                None => vec![needed],
            }
        } else if options.filter.is_some() {
            FILTERED_STEPS.to_vec()
        } else {
            STEPS.to_vec()
        };
        Self {
            ranked: Vec::new(),
            products: HashSet::new(),
            steps,
        }
    }

    /// How many products must be found to make it longer; none where it has ended.
    pub fn next(&self) -> Option<usize> {
        self.steps.first().copied()
    }

    /// Takes what was found for [`Ranking::next`]: that many products, or all there are, each once, best first.
    pub fn extend(&mut self, found: Vec<Candidate>) {
        let step = self.steps.remove(0);
        if found.len() < step {
            self.steps.clear();
        }
        for candidate in found {
            if self.ranked.len() == step {
                break;
            }
            if self.products.insert(candidate.product) {
                self.ranked.push(candidate);
            }
        }
    }

    /// The candidates so far.
    pub fn ranked(&self) -> &[Candidate] {
        &self.ranked
    }
}

impl SearchOptions {
    /// How many products must be ranked at least.
    pub fn reach(&self) -> usize {
        let whole = !self.boosts.is_empty() || self.group.as_ref().is_some_and(|group| group.size > 1);
        match whole {
            true => Self::HORIZON,
            false => (self.offset + self.k).min(Self::HORIZON),
        }
    }

    /// Whether a page depends on attributes of the candidates.
    pub fn wants_facts(&self) -> bool {
        self.group.is_some() || !self.boosts.is_empty()
    }
}

/// The page of a ranking, and what may stand in for products of it that are gone; `None` while the ranking is too short for
/// it. `facts` has those of each candidate, `None` where it is gone; it is not read where no group and no boost is asked for.
pub fn page(ranking: &Ranking, facts: &[Option<Facts>], options: &SearchOptions) -> Option<Vec<Placed>> {
    let whole = ranking.next().is_none();
    if !options.wants_facts() {
        let enough = ranking.ranked.len() >= options.offset + options.k;
        let place = |place| Placed {
            place,
            rank_score: None,
            group: None,
        };
        return (whole || enough).then(|| (options.offset..ranking.ranked.len()).map(place).collect());
    }
    let mut order = boosted(ranking, facts, options);
    let Some(group) = &options.group else {
        order.drain(..options.offset.min(order.len()));
        return Some(order);
    };
    let mut groups: Vec<Vec<Placed>> = Vec::new();
    let mut places = HashMap::new();
    for placed in order {
        let value = placed.group.as_ref().filter(|value| !value.is_null());
        // Products without the attribute stand alone.
        let place = match value {
            Some(value) => *places.entry(canonical(value)).or_insert(groups.len()),
            None => groups.len(),
        };
        match groups.get_mut(place) {
            Some(group_of) if group_of.len() < group.size => group_of.push(placed),
            Some(_) => {}
            None => groups.push(vec![placed]),
        }
    }
    let enough = groups.len() >= options.offset + options.k;
    let page = groups.into_iter().skip(options.offset).take(options.k);
    (whole || enough).then(|| page.flatten().collect())
}

/// The candidates in the order of their scores with boosts, equals as ranked.
fn boosted(ranking: &Ranking, facts: &[Option<Facts>], options: &SearchOptions) -> Vec<Placed> {
    let there = || {
        let each = ranking.ranked.iter().zip(facts).enumerate();
        each.filter_map(|(place, (candidate, facts))| Some((place, candidate, facts.as_ref()?)))
    };
    let scales: Vec<(f64, f64)> = (0..options.boosts.len())
        .map(|boost| {
            if matches!(options.boosts[boost].by, BoostBy::Filter(_)) {
                return (0.0, 1.0);
            }
            let numbers = there().filter_map(|(_, _, facts)| facts.boosts.get(boost).copied().flatten());
            let bounds = |(least, most): (f64, f64), number: f64| (least.min(number), most.max(number));
            numbers.fold((f64::INFINITY, f64::NEG_INFINITY), bounds)
        })
        .collect();
    let added = |facts: &Facts| -> f64 {
        let each = options.boosts.iter().zip(&scales).zip(&facts.boosts);
        each.map(|((Boost { weight, .. }, (least, most)), number)| match number {
            Some(number) if most > least => weight * scaled(*number, *least, *most),
            _ => 0.0,
        })
        .sum()
    };
    let placed = |(place, candidate, facts): (usize, &Candidate, &Facts)| Placed {
        place,
        rank_score: (!options.boosts.is_empty()).then(|| candidate.score + added(facts)),
        group: options.group.is_some().then(|| facts.group.clone()),
    };
    let mut order: Vec<Placed> = there().map(placed).collect();
    let best_first = |a: &Placed, b: &Placed| match (a.rank_score, b.rank_score) {
        (Some(a), Some(b)) => b.total_cmp(&a),
        _ => Ordering::Equal,
    };
    order.sort_by(best_first);
    order
}

/// Where a number stands between two others: 0 to 1. Halved first, so that no difference is infinite.
fn scaled(number: f64, least: f64, most: f64) -> f64 {
    (number / 2.0 - least / 2.0) / (most / 2.0 - least / 2.0)
}

/// One text for all ways to write a value.
fn canonical(value: &Value) -> String {
    match value {
        Value::Number(number) => Number::of(number).to_json().to_string(),
        value => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::filter::Filter;
    use crate::catalogue::search::Grouping;
    use proptest::prelude::*;
    use serde_json::json;

    fn found(products: impl IntoIterator<Item = i64>) -> Vec<Candidate> {
        let candidate = |product: i64| Candidate {
            product,
            picture: PictureKey(product),
            score: 1.0 - product as f64 / 10_000.0,
            embedding: Vec::new(),
        };
        products.into_iter().map(candidate).collect()
    }

    /// The ranking of a catalogue of `count` products as far as `ends` wants it; shallow searches miss some products.
    fn ranking(
        options: &SearchOptions,
        count: i64,
        missed: &HashSet<i64>,
        ends: impl Fn(&Ranking) -> bool,
    ) -> Ranking {
        let mut ranking = Ranking::new(options);
        while !ends(&ranking) {
            let step = ranking.next().unwrap();
            let near = (0..count).filter(|product| step == 1000 || !missed.contains(product));
            ranking.extend(found(near.take(step)));
        }
        ranking
    }

    fn family(product: i64) -> i64 {
        product / 3
    }

    fn facts(ranking: &Ranking) -> Vec<Option<Facts>> {
        let families = ranking.ranked().iter().map(|candidate| family(candidate.product));
        let facts = families.map(|family| Facts {
            group: family.into(),
            boosts: Vec::new(),
        });
        facts.map(Some).collect()
    }

    proptest! {
        #[test]
        fn pages_of_any_size_neither_overlap_nor_leave_anything_out(
            count in 0..1500_i64,
            sizes in prop::collection::vec(1..100_usize, 1..60),
            missed in prop::collection::hash_set(0..200_i64, 0..20),
            filtered in any::<bool>(),
            grouped in any::<bool>(),
        ) {
            let first = SearchOptions {
                filter: filtered.then(|| Filter::from_json(&json!({})).unwrap()),
                group: grouped.then(|| Grouping { attribute: "family".to_owned(), size: 1 }),
                ..SearchOptions::default()
            };
            let mut all = Vec::new();
            let mut offset = 0;
            for k in sizes {
                if offset + k > SearchOptions::HORIZON {
                    break;
                }
                let options = SearchOptions { k, offset, ..first.clone() };
                let enough = |ranking: &Ranking| page(ranking, &facts(ranking), &options).is_some();
                let ranking = ranking(&options, count, &missed, enough);
                let page = page(&ranking, &facts(&ranking), &options).unwrap().into_iter().take(k);
                all.extend(page.map(|placed| ranking.ranked()[placed.place].product));
                offset += k;
            }
            let whole = ranking(&first, count, &missed, |ranking| ranking.next().is_none());
            let mut families = HashSet::new();
            let products = whole.ranked().iter().map(|candidate| candidate.product);
            let expected: Vec<i64> = products
                .filter(|product| !grouped || families.insert(family(*product)))
                .take(offset)
                .collect();
            prop_assert_eq!(all, expected);
        }
    }

    #[test]
    fn a_group_has_its_best_products_and_those_without_a_value_stand_alone() {
        let options = SearchOptions {
            k: 3,
            group: Some(Grouping {
                attribute: "family".to_owned(),
                size: 2,
            }),
            ..SearchOptions::default()
        };
        let mut ranking = Ranking::new(&options);
        assert_eq!(
            ranking.next(),
            Some(1000),
            "a group is filled from the whole horizon"
        );
        ranking.extend(found(0..8));
        let groups = [
            json!("a"),
            json!(3),
            json!("a"),
            json!("a"),
            Value::Null,
            json!(3.0),
            Value::Null,
            json!("b"),
        ];
        let facts: Vec<_> = groups
            .iter()
            .map(|group| {
                Some(Facts {
                    group: group.clone(),
                    boosts: Vec::new(),
                })
            })
            .collect();
        let places = |options: &SearchOptions| -> Vec<usize> {
            let page = page(&ranking, &facts, options).unwrap();
            page.into_iter().map(|placed| placed.place).collect()
        };
        assert_eq!(places(&options), [0, 2, 1, 5, 4]);
        let behind = SearchOptions { offset: 3, ..options };
        assert_eq!(places(&behind), [6, 7]);
    }

    #[test]
    fn boosts_are_scaled_over_the_candidates_and_add_to_the_score() {
        let boost = |by, weight| Boost { by, weight };
        let sale = Filter::from_json(&json!({"sale": true})).unwrap();
        let options = SearchOptions {
            boosts: vec![
                boost(BoostBy::Attribute("margin".to_owned()), 0.5),
                boost(BoostBy::Filter(sale), -0.25),
            ],
            ..SearchOptions::default()
        };
        let mut ranking = Ranking::new(&options);
        ranking.extend(found([0, 1, 2, 3]));
        let facts = [
            [Some(10.0), Some(0.0)],
            [None, Some(0.0)],
            [Some(30.0), Some(1.0)],
            [Some(20.0), Some(0.0)],
        ];
        let facts: Vec<_> = facts
            .map(|boosts| {
                Some(Facts {
                    group: Value::Null,
                    boosts: boosts.to_vec(),
                })
            })
            .to_vec();
        let page = page(&ranking, &facts, &options).unwrap();
        let scores = page
            .iter()
            .map(|placed| (placed.place, placed.rank_score.unwrap()));
        let score = |place: usize| ranking.ranked()[place].score;
        let expected = [
            (2, score(2) + 0.5 - 0.25),
            (3, score(3) + 0.25),
            (0, score(0)),
            (1, score(1)),
        ];
        assert_eq!(scores.collect::<Vec<_>>(), expected);
        assert_eq!(scaled(f64::MAX, f64::MIN, f64::MAX), 1.0);
    }
}
