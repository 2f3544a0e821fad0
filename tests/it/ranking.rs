//! Pages, groups, boosts and counts of searches: the same on every store, and as a plain computation has them.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use spikelens::admission::Work;
use spikelens::catalogue::counts::ValueCount;
use spikelens::catalogue::filter::Filter;
use spikelens::catalogue::search::{Boost, BoostBy, Grouping, Match, Nearby, Nearest, SearchOptions};
use spikelens::catalogue::write::Write;
use spikelens::catalogue::{AttributeChanges, Catalogue, Title};

use crate::catalogue::{over_every_store, put};

/// So many products that an index is walked.
const PRODUCTS: u32 = 2600;
const QUERY: [i32; 3] = [120, 130, 140];

/// The embedding of a product: all different, but for a placeholder's.
fn embedding(product: u32) -> [i32; 3] {
    if product.is_multiple_of(40) {
        return [121, 131, 140];
    }
    let mut state = u64::from(product) + 1;
    let mut value = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as i32 % 255 + 1
    };
    [value(), value(), value()]
}

fn attributes(product: u32) -> Value {
    let category = ["shirt", "shoe", "bag"][product as usize % 3];
    let mut attributes = json!({
        "family": format!("family {}", product / 4),
        "category": category,
        "price": f64::from(product % 50) / 2.0,
        "stock": 1_u64 << (product % 64),
        "tags": [format!("tag {}", product % 7), "all", "all"],
        "sale": product.is_multiple_of(10),
    });
    if product.is_multiple_of(5) {
        attributes.as_object_mut().unwrap().remove("family");
    }
    attributes
}

fn cosine(a: [i32; 3], b: [i32; 3]) -> f64 {
    let product = |a: [i32; 3], b: [i32; 3]| f64::from(a[0] * b[0] + a[1] * b[1] + a[2] * b[2]);
    product(a, b) / (product(a, a) * product(b, b)).sqrt()
}

async fn filled(catalogue: &Catalogue) {
    let write = |product: u32| put(&product.to_string(), attributes(product), embedding(product));
    let writes: Vec<Write> = (0..PRODUCTS).map(write).collect();
    for answer in catalogue.write_many(writes).await.unwrap() {
        answer.unwrap();
    }
}

async fn search(catalogue: &Catalogue, options: &SearchOptions) -> Nearby {
    let search = Nearest {
        origin: catalogue.current_origin().unwrap(),
        embeddings: vec![QUERY.to_vec()],
        without: Vec::new(),
        options: options.clone(),
        with_embeddings: false,
    };
    catalogue.nearest(search, Work::OWN).await.unwrap()
}

fn number(found: &Match) -> u32 {
    found.product.id.parse().unwrap()
}

fn numbers(found: &Nearby) -> Vec<u32> {
    found.matches.iter().map(number).collect()
}

/// All products in the order of their scores, equals as they were stored.
fn ranked(passes: impl Fn(u32) -> bool) -> Vec<u32> {
    let mut ranked: Vec<u32> = (0..PRODUCTS).filter(|product| passes(*product)).collect();
    let score = |product: u32| cosine(embedding(product), QUERY);
    ranked.sort_by(|a, b| score(*b).total_cmp(&score(*a)));
    ranked
}

fn filter(value: Value) -> Filter {
    Filter::from_json(&value).unwrap()
}

#[test]
fn pages_are_parts_of_one_ranking_and_counts_are_of_all_that_passes() {
    over_every_store(async |store| {
        let catalogue = store.loaded().await;
        filled(&catalogue).await;

        // Every page, of several sizes.
        for (wanted, passes) in [
            (None, (|_| true) as fn(u32) -> bool),
            (Some(json!({"category": "bag"})), |product| product % 3 == 2),
        ] {
            let filter = wanted.map(filter);
            let mut paged = Vec::new();
            let mut sizes = [10, 25, 100, 65, 100].into_iter().cycle();
            while paged.len() < SearchOptions::HORIZON - 100 {
                let options = SearchOptions {
                    offset: paged.len(),
                    k: sizes.next().unwrap(),
                    filter: filter.clone(),
                    ..SearchOptions::default()
                };
                let page = numbers(&search(&catalogue, &options).await);
                if page.is_empty() {
                    break;
                }
                paged.extend(page);
            }
            let exact = ranked(passes);
            let expected = &exact[..paged.len()];
            let mut sorted = paged.clone();
            sorted.sort_unstable();
            sorted.dedup();
            assert_eq!(sorted.len(), paged.len(), "no product twice");
            let missed = expected.iter().filter(|product| !paged.contains(product)).count();
            assert!(missed * 100 <= paged.len(), "{missed} of {} missed", paged.len());
            let of_exact = SearchOptions {
                offset: 40,
                k: 30,
                exact: true,
                filter,
                ..SearchOptions::default()
            };
            assert_eq!(numbers(&search(&catalogue, &of_exact).await), exact[40..70]);
        }

        // Counts, before and after every kind of change.
        let counting = |filter: Option<Filter>| SearchOptions {
            filter,
            facets: Some(
                ["category", "sale", "stock", "tags", "price", "none"]
                    .map(str::to_owned)
                    .to_vec(),
            ),
            ..SearchOptions::default()
        };
        let mut products: BTreeMap<u32, Value> = (0..PRODUCTS)
            .map(|product| (product, attributes(product)))
            .collect();
        let cheap = || filter(json!({"price": {"lt": 5}}));
        let is_cheap = |attributes: &Value| attributes["price"].as_f64().is_some_and(|price| price < 5.0);
        for change in 0..5 {
            match change {
                0 => {}
                1 => drop(
                    catalogue
                        .write(put("12", json!({"category": 7, "price": 1}), [1, 2, 3]))
                        .await
                        .unwrap(),
                ),
                2 => drop(
                    catalogue
                        .write(Write::Delete { id: "40".to_owned() })
                        .await
                        .unwrap(),
                ),
                3 => drop(
                    catalogue
                        .write(put("new", json!({"tags": ["all"]}), [1, 2, 4]))
                        .await
                        .unwrap(),
                ),
                _ => {
                    let changes = json!({"sale": null, "price": 3.0}).as_object().unwrap().clone();
                    let write = Write::Merge {
                        id: "13".to_owned(),
                        title: None::<Title>,
                        attributes: AttributeChanges::new(changes).unwrap(),
                    };
                    drop(catalogue.write(write).await.unwrap());
                }
            }
            match change {
                1 => drop(products.insert(12, json!({"category": 7, "price": 1}))),
                2 => drop(products.remove(&40)),
                3 => drop(products.insert(PRODUCTS, json!({"tags": ["all"]}))),
                4 => {
                    let patched = products.get_mut(&13).unwrap().as_object_mut().unwrap();
                    patched.remove("sale");
                    patched.insert("price".to_owned(), json!(3));
                }
                _ => {}
            }
            for cheap in [None, Some(cheap())] {
                let passing = products
                    .values()
                    .filter(|given| cheap.is_none() || is_cheap(given));
                let passing: Vec<&Value> = passing.collect();
                // Twice: the second time what was kept is right, too.
                for _ in 0..2 {
                    let counts = search(&catalogue, &counting(cheap.clone())).await.counts.unwrap();
                    assert_eq!(counts.total, passing.len() as u64);
                    let names: Vec<&str> = counts.facets.iter().map(|(name, _)| name.as_str()).collect();
                    assert_eq!(names, ["category", "sale", "stock", "tags", "price", "none"]);
                    for (name, values) in &counts.facets {
                        let expected = counted(&passing, name);
                        let found: Vec<(String, u64)> = values
                            .iter()
                            .map(|ValueCount { value, count }| (value.to_string(), *count))
                            .collect();
                        let mut sorted = found.clone();
                        sorted.sort();
                        assert_eq!(sorted, expected, "{name}");
                        assert!(values.is_sorted_by(|a, b| a.count >= b.count));
                    }
                }
            }
        }
        // A value's count is what a filter by it finds.
        let counts = search(&catalogue, &counting(None)).await.counts.unwrap();
        for (name, values) in &counts.facets {
            for ValueCount { value, count } in values.iter().step_by(9) {
                let options = counting(Some(filter(json!({name: value}))));
                assert_eq!(search(&catalogue, &options).await.counts.unwrap().total, *count);
            }
        }
        catalogue.close().await;
    });
}

/// How many of some products have each value of an attribute, in the order of values.
fn counted(products: &[&Value], name: &str) -> Vec<(String, u64)> {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for product in products {
        let values = match &product[name] {
            Value::Null => Vec::new(),
            Value::Array(values) => values.clone(),
            value => vec![value.clone()],
        };
        let whole = |value: &Value| match value.as_f64() {
            Some(number) if number.fract() == 0.0 && value.is_f64() => format!("{number}"),
            _ => value.to_string(),
        };
        let mut values: Vec<String> = values.iter().map(whole).collect();
        values.sort();
        values.dedup();
        for value in values {
            *counts.entry(value).or_default() += 1;
        }
    }
    counts.into_iter().collect()
}

#[test]
fn groups_and_boosts_are_of_the_thousand_nearest() {
    over_every_store(async |store| {
        let catalogue = store.loaded().await;
        filled(&catalogue).await;
        let nearest = &ranked(|_| true)[..SearchOptions::HORIZON];
        let family = |product: u32| attributes(product)["family"].clone();
        for size in [1, 3] {
            let mut groups: Vec<(Value, Vec<u32>)> = Vec::new();
            for product in nearest {
                let family = family(*product);
                match groups
                    .iter_mut()
                    .find(|(group, _)| !group.is_null() && *group == family)
                {
                    Some((_, products)) if products.len() < size => products.push(*product),
                    Some(_) => {}
                    None => groups.push((family, vec![*product])),
                }
            }
            let mut paged = Vec::new();
            for offset in [0, 7, 107] {
                let options = SearchOptions {
                    k: if offset == 7 { 100 } else { 7 },
                    offset,
                    group: Some(Grouping {
                        attribute: "family".to_owned(),
                        size,
                    }),
                    exact: true,
                    ..SearchOptions::default()
                };
                paged.extend(search(&catalogue, &options).await.matches);
                if offset == 0 {
                    // The index finds the same, if not all.
                    let walked = SearchOptions {
                        exact: false,
                        ..options
                    };
                    let walked = search(&catalogue, &walked).await;
                    let same = paged
                        .iter()
                        .filter(|found| walked.matches.contains(found))
                        .count();
                    assert!(same * 10 >= paged.len() * 8, "{same} of {}", paged.len());
                }
            }
            let paged: Vec<(Value, u32)> = paged
                .iter()
                .map(|found| (found.group.clone().unwrap(), number(found)))
                .collect();
            let groups = groups.into_iter().take(114);
            let expected = groups
                .flat_map(|(group, products)| products.into_iter().map(move |one| (group.clone(), one)));
            assert_eq!(paged, expected.collect::<Vec<_>>());
        }

        let options = SearchOptions {
            k: 20,
            offset: 10,
            exact: true,
            boosts: vec![
                Boost {
                    by: BoostBy::Attribute("price".to_owned()),
                    weight: 0.5,
                },
                Boost {
                    by: BoostBy::Filter(filter(json!({"sale": true}))),
                    weight: -0.25,
                },
            ],
            ..SearchOptions::default()
        };
        let rank_score = |product: u32| {
            let price = f64::from(product % 50) / 2.0 / 24.5;
            let sale = if product.is_multiple_of(10) { 1.0 } else { 0.0 };
            cosine(embedding(product), QUERY) + 0.5 * price - 0.25 * sale
        };
        let mut expected = nearest.to_vec();
        expected.sort_by(|a, b| rank_score(*b).total_cmp(&rank_score(*a)));
        let found = search(&catalogue, &options).await;
        for (found, expected) in found.matches.iter().zip(&expected[10..30]) {
            let (score, wanted) = (found.rank_score.unwrap(), rank_score(*expected));
            assert!((score - wanted).abs() < 1e-9, "{score} instead of {wanted}");
            assert!((score - rank_score(number(found))).abs() < 1e-9);
        }
        assert_eq!(found.matches.len(), 20);
        catalogue.close().await;
    });
}
