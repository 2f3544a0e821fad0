//! Nobody is lost in the index: every product is found by its own picture, whatever placeholders hide among the pictures,
//! after restarts, deletes and inserts.

use std::sync::Arc;
use std::time::Instant;

use engine::picture::Mode;
use serde_json::{Map, json};
use spikelens::admission::Work;
use spikelens::catalogue::filter::Filter;
use spikelens::catalogue::search::{Match, Nearest, SearchOptions};
use spikelens::catalogue::sqlite::Sqlite;
use spikelens::catalogue::write::Write;
use spikelens::catalogue::{Attributes, NewPicture, NewProduct, ProductId, Room, Title};

use crate::catalogue::origin;

const DIMENSIONS: usize = 32;

/// Where a shop's placeholders stand in stored order.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Place {
    First,
    Last,
    Mixed,
}

/// Numbers of a linear congruential generator (Knuth, MMIX).
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    /// Spike counts around one of 150 centres.
    fn embedding(&mut self) -> Vec<i32> {
        let mut centre = Self(self.below(150).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut value = |_| i32::try_from(centre.below(12) + self.below(9)).unwrap();
        (0..DIMENSIONS).map(&mut value).collect()
    }

    /// Another one near it.
    fn near(&mut self, embedding: &[i32]) -> Vec<i32> {
        let values = embedding.iter();
        let moved = values.map(|value| value + i32::try_from(self.below(3)).unwrap());
        moved.collect()
    }
}

fn product(id: String, embedding: Vec<i32>) -> NewProduct {
    let mut attributes = Map::new();
    let last = id.chars().last().map(String::from);
    attributes.insert("last".to_owned(), json!(last));
    NewProduct {
        title: Title::new(id.clone()).unwrap(),
        id: ProductId::new(&id).unwrap(),
        attributes: Attributes::new(attributes).unwrap(),
        pictures: vec![NewPicture {
            content_type: "image/png".to_owned(),
            width: 1,
            height: 1,
            bytes: vec![1],
            prepare: Mode::Auto,
            embedding,
            origin: Arc::new(origin()),
        }],
    }
}

fn placeholder() -> Vec<i32> {
    vec![7; DIMENSIONS]
}

async fn open(folder: &std::path::Path) -> Sqlite {
    let catalogue = Sqlite::open(folder, Room::ONE).unwrap();
    if catalogue.origin().await.unwrap().is_none() {
        catalogue
            .set_origin(origin(), b"a model's file".to_vec())
            .await
            .unwrap();
    }
    catalogue
}

async fn load(catalogue: &Sqlite) {
    catalogue
        .load(origin(), DIMENSIONS, 2, Arc::default())
        .await
        .unwrap();
}

fn nearest(catalogue: &Sqlite, embedding: &[i32], options: SearchOptions) -> Vec<Match> {
    let search = Nearest {
        origin: catalogue.current_origin().unwrap(),
        embeddings: vec![embedding.to_vec()],
        without: Vec::new(),
        options,
        with_embeddings: true,
    };
    catalogue.nearest_here(&search, &Work::OWN).unwrap().matches
}

fn ids(found: &[Match]) -> Vec<&str> {
    found.iter().map(|found| found.product.id.as_str()).collect()
}

fn best(k: usize) -> SearchOptions {
    SearchOptions {
        k,
        ..SearchOptions::default()
    }
}

/// Every product is first for its own picture, ties aside; and the recall of queries like it.
fn look(catalogue: &Sqlite, stored: &[Vec<i32>], draw: &mut Draw) {
    for embedding in stored {
        let found = nearest(catalogue, embedding, best(1));
        assert!(found[0].score > 1.0 - 1e-12, "{embedding:?}: {}", found[0].score);
    }
    let (mut hits, mut wanted) = (0, 0);
    for embedding in stored.iter().step_by(stored.len() / 300) {
        let query = draw.near(embedding);
        let exact = SearchOptions {
            exact: true,
            ..best(10)
        };
        let exact = nearest(catalogue, &query, exact);
        let least = exact.last().unwrap().score;
        let found = nearest(catalogue, &query, best(10));
        hits += found.iter().filter(|found| found.score >= least - 1e-12).count();
        wanted += exact.len();
    }
    assert!(hits * 100 >= wanted * 99, "{hits} of {wanted}");
}

/// Fills a catalogue, then looks, restarts, looks, deletes and inserts `changes` products, and looks again.
fn nobody_is_lost(products: usize, placeholders: usize, place: Place, changes: usize) {
    eprintln!("{products} products, {placeholders} placeholders, {place:?}");
    let folder = tempfile::tempdir().unwrap();
    let mut draw = Draw(1);
    let mut stored: Vec<Vec<i32>> = (0..products).map(|_| draw.embedding()).collect();
    let mut all: Vec<NewProduct> = stored
        .iter()
        .enumerate()
        .map(|(number, embedding)| product(format!("p-{number}"), embedding.clone()))
        .collect();
    let hidden = |number: usize| product(format!("none-{number}"), placeholder());
    match place {
        Place::First => {
            let placeholders = (0..placeholders).map(hidden);
            all = placeholders.chain(all).collect();
        }
        Place::Last => all.extend((0..placeholders).map(hidden)),
        Place::Mixed => {
            for number in 0..placeholders {
                let at = usize::try_from(draw.below(all.len() as u64)).unwrap();
                all.push(hidden(number));
                let last = all.len() - 1;
                all.swap(at, last);
            }
        }
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let catalogue = open(folder.path()).await;
        catalogue.store_all(all).await.unwrap();
        load(&catalogue).await;
        look(&catalogue, &stored, &mut draw);
        catalogue.close().await;

        let catalogue = open(folder.path()).await;
        load(&catalogue).await;
        look(&catalogue, &stored, &mut draw);
        if placeholders > 0 {
            // A group is listed in stored order, through filters too.
            let found = nearest(&catalogue, &placeholder(), best(20));
            assert!(found.iter().all(|found| found.score == 1.0), "{found:?}");
            let more = nearest(&catalogue, &placeholder(), best(40));
            assert_eq!(ids(&found), ids(&more)[..20]);
            if place == Place::First {
                assert!(
                    ids(&found)
                        .into_iter()
                        .eq((0..20).map(|number| format!("none-{number}")))
                );
            }
            let filter = Filter::from_json(&json!({"last": "7"})).unwrap();
            let options = SearchOptions {
                filter: Some(filter),
                ..best(20)
            };
            let start = Instant::now();
            let found = nearest(&catalogue, &placeholder(), options);
            eprintln!(
                "  a filtered search of {placeholders} equal pictures: {:?}",
                start.elapsed()
            );
            assert!(found.len() == 20 && found.iter().all(|found| found.product.id.as_str().ends_with('7')));
        }
        for first in (0..changes).step_by(500) {
            let mut writes = Vec::new();
            for number in first..changes.min(first + 500) {
                let at = number * products / changes;
                writes.push(Write::Delete {
                    id: format!("p-{at}"),
                });
                stored[at] = draw.embedding();
                writes.push(Write::Put {
                    product: product(format!("new-{at}"), stored[at].clone()),
                    only_new: false,
                });
            }
            for written in catalogue.write_many(writes).await.unwrap() {
                written.unwrap();
            }
        }
        look(&catalogue, &stored, &mut draw);
        catalogue.close().await;
        let catalogue = open(folder.path()).await;
        load(&catalogue).await;
        look(&catalogue, &stored, &mut draw);
        catalogue.close().await;
    });
}

#[test]
fn nobody_is_lost_among_placeholders_stored_first() {
    nobody_is_lost(3000, 12_000, Place::First, 1000);
}

#[test]
fn nobody_is_lost_among_placeholders_mixed_in() {
    nobody_is_lost(6000, 300, Place::Mixed, 2000);
}

/// All that is promised: `cargo test --release --test it index:: -- --ignored --nocapture --test-threads 1`.
#[test]
#[ignore = "nine minutes"]
fn nobody_is_lost_among_any_placeholders() {
    for (products, changes) in [(6000, 2000), (60_000, 20_000)] {
        nobody_is_lost(products, 0, Place::First, changes);
        for placeholders in [300, 1000, 12_000] {
            for place in [Place::First, Place::Last, Place::Mixed] {
                nobody_is_lost(products, placeholders, place, changes);
            }
        }
    }
}
