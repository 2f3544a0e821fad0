//! The contract of a catalogue's store: these tests run on every store.

use std::path::PathBuf;
use std::sync::Arc;

use engine::network::{Probe, TimeSteps};
use engine::picture::Mode;
use serde_json::{Map, Value, json};
use spikelens::admission::Work;
use spikelens::catalogue::filter::Filter;
use spikelens::catalogue::import::{ImportState, ImportStep, Missing};
use spikelens::catalogue::search::{Match, Nearest, SearchOptions};
use spikelens::catalogue::write::Write;
use spikelens::catalogue::{
    AttributeChanges, Attributes, Background, Catalogue, CatalogueError, Cursor, NewPicture, NewProduct,
    Origin, ProductId, Room, Scope, StoreAddress, StoreOptions, Title,
};
use spikelens::progress::Progress;

use crate::support::postgres;

const MODEL: &[u8] = b"a model's file";
const DIMENSIONS: usize = 3;

/// Runs a test on every store, each of its own.
pub fn over_every_store<F: Future<Output = ()>>(test: impl Fn(Store) -> F) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    eprintln!("store: SQLite");
    runtime.block_on(test(Store::Sqlite(folder.path().to_owned())));
    let database = postgres::database();
    eprintln!("store: PostgreSQL");
    runtime.block_on(test(Store::Postgres(database.url())));
}

#[derive(Debug, Clone)]
pub enum Store {
    Sqlite(PathBuf),
    Postgres(String),
}

impl Store {
    pub async fn open(&self) -> Catalogue {
        match self {
            Self::Sqlite(folder) => Catalogue::open(folder, Room::ONE).unwrap(),
            Self::Postgres(url) => {
                let address = StoreAddress::parse(url).unwrap();
                Catalogue::connect(&address, StoreOptions::ONE).await.unwrap()
            }
        }
    }

    /// Opens and loads a catalogue whose embeddings are of [`origin`].
    pub async fn loaded(&self) -> Catalogue {
        let catalogue = self.open().await;
        if catalogue.origin().await.unwrap().is_none() {
            catalogue.set_origin(origin(), MODEL.to_vec()).await.unwrap();
        }
        let origin = catalogue.origin().await.unwrap().unwrap();
        catalogue
            .load(origin, DIMENSIONS, 1, Arc::default())
            .await
            .unwrap();
        catalogue
    }
}

pub fn origin() -> Origin {
    Origin {
        model_id: "model".to_owned(),
        probe: Probe::SpikeCount,
        time_steps: TimeSteps::DEFAULT,
    }
}

fn other_origin() -> Origin {
    Origin {
        probe: Probe::Membrane,
        ..origin()
    }
}

fn map(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

fn picture(embedding: [i32; DIMENSIONS], origin: Origin) -> NewPicture {
    NewPicture {
        content_type: "image/png".to_owned(),
        width: 2,
        height: 3,
        bytes: embedding
            .iter()
            .map(|value| u8::try_from(*value).unwrap())
            .collect(),
        prepare: Mode::Auto,
        embedding: embedding.to_vec(),
        origin: Arc::new(origin),
    }
}

pub fn put(id: &str, attributes: Value, embedding: [i32; DIMENSIONS]) -> Write {
    Write::Put {
        product: NewProduct {
            id: ProductId::new(id).unwrap(),
            title: Title::new(format!("product {id}")).unwrap(),
            attributes: Attributes::new(map(attributes)).unwrap(),
            pictures: vec![picture(embedding, origin())],
        },
        only_new: false,
    }
}

async fn nearest(catalogue: &Catalogue, embedding: [i32; DIMENSIONS], options: SearchOptions) -> Vec<Match> {
    let search = Nearest {
        origin: catalogue.current_origin().unwrap(),
        embeddings: vec![embedding.to_vec()],
        without: Vec::new(),
        options,
        with_embeddings: true,
    };
    catalogue.nearest(search, Work::OWN).await.unwrap().matches
}

fn ids(matches: &[Match]) -> Vec<&str> {
    matches.iter().map(|found| found.product.id.as_str()).collect()
}

fn filter(value: Value) -> SearchOptions {
    SearchOptions {
        filter: Some(Filter::from_json(&value).unwrap()),
        ..SearchOptions::default()
    }
}

#[test]
fn what_was_written_is_found_read_and_found_again_after_a_restart() {
    over_every_store(async |store| {
        let catalogue = store.loaded().await;
        let written = catalogue
            .write(put("a", json!({"price": 3}), [9, 1, 0]))
            .await
            .unwrap();
        assert!(written.created && written.product.unwrap().title.as_str() == "product a");
        catalogue
            .write(put("b", json!({"price": 5}), [1, 9, 0]))
            .await
            .unwrap();
        catalogue.write(put("c", json!({}), [0, 1, 9])).await.unwrap();
        let replaced = catalogue
            .write(put("a", json!({"price": 4}), [8, 2, 0]))
            .await
            .unwrap();
        assert!(!replaced.created);
        let found = nearest(&catalogue, [8, 2, 0], SearchOptions::default()).await;
        assert_eq!(ids(&found), ["a", "b", "c"]);
        assert!((found[0].score - 1.0).abs() < 1e-12 && found[0].embedding == [8, 2, 0]);
        let cheap = nearest(&catalogue, [8, 2, 0], filter(json!({"price": {"gt": 4}}))).await;
        assert_eq!(ids(&cheap), ["b"]);
        let close = SearchOptions {
            min_score: Some(0.5),
            ..SearchOptions::default()
        };
        assert_eq!(ids(&nearest(&catalogue, [8, 2, 0], close).await), ["a"]);
        catalogue.close().await;

        let catalogue = store.loaded().await;
        let again = nearest(&catalogue, [8, 2, 0], SearchOptions::default()).await;
        assert_eq!(again, found);
        let file = catalogue
            .picture("a".to_owned(), found[0].picture_id.clone(), Work::OWN)
            .await
            .unwrap();
        assert_eq!(
            (file.content_type.as_str(), file.first.as_slice()),
            ("image/png", &[8, 2, 0][..])
        );
        let embeddings = catalogue
            .embeddings_of(
                Arc::new(origin()),
                vec!["c".to_owned(), "a".to_owned()],
                Work::OWN,
            )
            .await
            .unwrap();
        assert_eq!(embeddings, [[vec![0, 1, 9]], [vec![8, 2, 0]]]);
        catalogue.close().await;
    });
}

#[test]
fn writes_change_what_they_say_and_are_refused_by_rule() {
    over_every_store(async |store| {
        let catalogue = store.loaded().await;
        catalogue
            .write(put("a", json!({"x": 1, "y": "two"}), [9, 1, 0]))
            .await
            .unwrap();
        let merge = Write::Merge {
            id: "a".to_owned(),
            title: None,
            attributes: AttributeChanges::new(map(json!({"x": null, "z": ["u"]}))).unwrap(),
        };
        let merged = catalogue.write(merge).await.unwrap().product.unwrap();
        assert_eq!(json!(merged.attributes), json!({"y": "two", "z": ["u"]}));
        let view = Write::AddPicture {
            id: "a".to_owned(),
            picture: picture([0, 9, 1], origin()),
        };
        let viewed = catalogue.write(view).await.unwrap().product.unwrap();
        assert_eq!(viewed.pictures.len(), 2);
        let found = nearest(&catalogue, [0, 9, 1], SearchOptions::default()).await;
        assert_eq!(ids(&found), ["a"], "a product is found once, by its best picture");
        assert_eq!(found[0].picture_id, viewed.pictures[1].id);
        let remove = |picture: &str| Write::DeletePicture {
            id: "a".to_owned(),
            picture: picture.to_owned(),
        };
        catalogue.write(remove(&viewed.pictures[1].id)).await.unwrap();
        let last = catalogue.write(remove(&viewed.pictures[0].id)).await;
        assert!(
            matches!(last, Err(CatalogueError::LastPicture { .. })),
            "{last:?}"
        );
        let only_new = match put("a", json!({}), [1, 1, 1]) {
            Write::Put { product, .. } => Write::Put {
                product,
                only_new: true,
            },
            _ => unreachable!("a put"),
        };
        let exists = catalogue.write(only_new).await;
        assert!(matches!(exists, Err(CatalogueError::Exists { .. })), "{exists:?}");
        catalogue
            .write(Write::Delete { id: "a".to_owned() })
            .await
            .unwrap();
        let gone = catalogue.write(Write::Delete { id: "a".to_owned() }).await;
        assert!(matches!(gone, Err(CatalogueError::NoProduct { .. })), "{gone:?}");
        assert!(
            nearest(&catalogue, [9, 1, 0], SearchOptions::default())
                .await
                .is_empty()
        );
        assert!(catalogue.product("a".to_owned(), Work::OWN).await.is_err());
        catalogue.close().await;
        let late = catalogue.write(put("b", json!({}), [1, 1, 1])).await;
        assert!(matches!(late, Err(CatalogueError::Closed)), "{late:?}");
    });
}

#[test]
fn embeddings_of_another_origin_or_width_are_refused() {
    over_every_store(async |store| {
        let catalogue = store.loaded().await;
        catalogue.write(put("a", json!({}), [9, 1, 0])).await.unwrap();
        let late = Write::AddPicture {
            id: "a".to_owned(),
            picture: picture([1, 2, 3], other_origin()),
        };
        let late = catalogue.write(late).await;
        assert!(matches!(late, Err(CatalogueError::OtherOrigin)), "{late:?}");
        let search = |origin: Origin, embedding: Vec<i32>| Nearest {
            origin: Arc::new(origin),
            embeddings: vec![embedding],
            without: Vec::new(),
            options: SearchOptions::default(),
            with_embeddings: false,
        };
        let other = catalogue
            .nearest(search(other_origin(), vec![1, 2, 3]), Work::OWN)
            .await;
        assert!(matches!(other, Err(CatalogueError::OtherOrigin)), "{other:?}");
        let narrow = catalogue.nearest(search(origin(), vec![1, 2]), Work::OWN).await;
        assert!(
            matches!(narrow, Err(CatalogueError::Dimensions { given: 2, wanted: 3 })),
            "{narrow:?}"
        );
        let empty = catalogue
            .nearest(search(origin(), vec![0, 0, 0]), Work::OWN)
            .await;
        assert!(matches!(empty, Err(CatalogueError::EmptyEmbedding)), "{empty:?}");
        let without = Nearest {
            without: vec!["a".to_owned(), "unknown".to_owned()],
            ..search(origin(), vec![9, 1, 0])
        };
        assert!(
            catalogue
                .nearest(without, Work::OWN)
                .await
                .unwrap()
                .matches
                .is_empty()
        );
        catalogue.close().await;
    });
}

#[test]
fn pages_hold_every_product_that_passes_once_and_end() {
    over_every_store(async |store| {
        let catalogue = store.loaded().await;
        let writes = (0..25).map(|n| put(&n.to_string(), json!({"odd": n % 2 == 1}), [n + 1, 1, 0]));
        let answers = catalogue.write_many(writes.collect()).await.unwrap();
        assert!(answers.iter().all(Result::is_ok));
        for (wanted, expected) in [(None, 25), (Some(json!({"odd": true})), 12)] {
            let filter = wanted.map(|wanted| Filter::from_json(&wanted).unwrap());
            let (mut seen, mut after) = (Vec::new(), None);
            loop {
                let page = catalogue.page(after, 5, filter.clone(), Work::OWN).await.unwrap();
                assert!(page.products.len() <= 5);
                seen.extend(page.products.into_iter().map(|product| product.id));
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            let mut distinct = seen.clone();
            distinct.sort();
            distinct.dedup();
            assert_eq!((seen.len(), distinct.len()), (expected, expected));
        }
        let nonsense = spikelens::catalogue::Cursor(vec![1, 2, 3]);
        let refused = catalogue.page(Some(nonsense), 5, None, Work::OWN).await;
        assert!(matches!(refused, Err(CatalogueError::Invalid { field, .. }) if field == "after"));
        catalogue.close().await;
    });
}

/// Attributes and filters that stores are compared by.
fn filtered() -> (Vec<Value>, Vec<Value>) {
    let numbers = || {
        let near = [1_i128 << 53, 1 << 63, -(1 << 63), 1 << 64];
        let near = near.into_iter().flat_map(|near| [near - 1, near, near + 1]);
        let near: Vec<i128> = near.collect();
        let whole = near.clone().into_iter().filter_map(|number| {
            let signed = i64::try_from(number).ok().map(Value::from);
            signed.or_else(|| u64::try_from(number).ok().map(Value::from))
        });
        let floats = near.into_iter().map(|number| Value::from(number as f64));
        let others = [
            0.1,
            0.30000000000000004,
            0.3,
            1e300,
            -1e300,
            5e-324,
            -0.0,
            20.0,
            20.5,
        ];
        let mut numbers: Vec<Value> = whole.chain(floats).chain(others.map(Value::from)).collect();
        numbers.extend([json!(0), json!(20), json!("20"), json!(true)]);
        numbers
    };
    let mut attributes: Vec<Value> = numbers().iter().map(|number| json!({"n": number})).collect();
    attributes.extend([
        json!({}),
        json!({"kind": "shoe", "n": 3, "sizes": ["40", "41"], "$any": 7}),
        json!({"kind": "bag", "sizes": [], "$$x": "y"}),
        json!({"kind": "bag\u{0}", "sizes": ["\u{1}"]}),
    ]);
    let mut filters: Vec<Value> = Vec::new();
    for number in numbers() {
        filters.extend([
            json!({"n": number}),
            json!({"n": {"in": [number, 3]}}),
            json!({"n": {"not": number}}),
        ]);
        if !number.is_boolean() {
            filters.extend(["gt", "gte", "lt", "lte"].map(|operator| json!({"n": {operator: number}})));
        }
    }
    filters.extend([
        json!({}),
        json!({"$any": []}),
        json!({"$any": [{}]}),
        json!({"$any": [{"kind": "shoe"}, {"n": {"lt": 0}}, {"sizes": "\u{1}"}]}),
        json!({"n": {"exists": true}, "$any": [{"kind": "shoe", "$any": [{"sizes": "42"}, {"sizes": "41"}]}, {"n": 20}]}),
        json!({"$id": "3"}),
        json!({"$id": "none"}),
        json!({"$id": {"in": ["7", "nul\u{0}", "2", "none", "11"]}}),
        json!({"$id": {"in": []}}),
        json!({"$id": {"not": "3"}, "n": {"gt": 0}}),
        json!({"$id": {"not": {"in": ["1", "2", "3", "4"]}}}),
        json!({"$any": [{"$id": {"in": ["1", "2"]}}, {"$id": {"not": {"in": ["1", "5"]}}, "n": {"gt": 0}}]}),
        json!({"$$any": 7}),
        json!({"$$$x": {"exists": true}}),
        json!({"kind": "bag\u{0}"}),
    ]);
    (attributes, filters)
}

#[test]
fn every_store_passes_the_products_for_which_a_filter_holds() {
    over_every_store(async |store| {
        let (attributes, filters) = filtered();
        let catalogue = store.loaded().await;
        let writes = attributes.iter().enumerate();
        let writes =
            writes.map(|(n, given)| put(&n.to_string(), given.clone(), [1, i32::try_from(n).unwrap(), 5]));
        for answer in catalogue.write_many(writes.collect()).await.unwrap() {
            answer.unwrap();
        }
        for wanted in filters {
            let filter = Filter::from_json(&wanted).unwrap();
            let products = attributes
                .iter()
                .enumerate()
                .map(|(n, given)| (n.to_string(), given));
            let holds = products.filter(|(id, given)| filter.holds(id, given.as_object().unwrap()));
            let expected: Vec<String> = holds.map(|(id, _)| id).collect();
            let page = catalogue
                .page(None, 100, Some(filter.clone()), Work::OWN)
                .await
                .unwrap();
            let listed: Vec<String> = page.products.into_iter().map(|product| product.id).collect();
            assert_eq!(listed, expected, "{wanted}");
            let options = SearchOptions {
                k: 100,
                filter: Some(filter),
                ..SearchOptions::default()
            };
            let found = nearest(&catalogue, [1, 1, 1], options).await;
            let mut found: Vec<usize> = ids(&found).iter().map(|id| id.parse().unwrap()).collect();
            found.sort_unstable();
            let found: Vec<String> = found.into_iter().map(|id| id.to_string()).collect();
            assert_eq!(found, expected, "{wanted}");
        }
        catalogue.close().await;
    });
}

#[test]
fn an_import_s_lines_wait_until_each_is_settled_through_a_restart() {
    over_every_store(async |store| {
        let catalogue = store.loaded().await;
        let step = |step: ImportStep| Write::Import {
            id: "import".to_owned(),
            step,
        };
        catalogue
            .write(step(ImportStep::Begun {
                missing: Missing::Keep,
                scope: Scope::ALL,
            }))
            .await
            .unwrap();
        let lines = (1..=3).map(|line| (line, format!("line {line}").into_bytes()));
        catalogue
            .write(step(ImportStep::Received(lines.collect())))
            .await
            .unwrap();
        assert!(
            catalogue.claim(10, 1000).await.unwrap().is_none(),
            "it is not whole yet"
        );
        catalogue.write(step(ImportStep::Whole)).await.unwrap();
        let lease = catalogue.claim(2, 1000).await.unwrap().unwrap();
        assert_eq!(lease.lines, [(1, b"line 1".to_vec()), (2, b"line 2".to_vec())]);
        let Write::Put { product, .. } = put("a", json!({}), [9, 1, 0]) else {
            unreachable!("a put")
        };
        let settle = vec![
            step(ImportStep::Stored {
                line: 1,
                product: product.clone(),
            }),
            step(ImportStep::Stored { line: 1, product }),
            step(ImportStep::Refused {
                line: 2,
                product: None,
                detail: "no".to_owned(),
            }),
        ];
        let answers = catalogue.write_many(settle).await.unwrap();
        assert!(answers.iter().all(Result::is_ok));
        catalogue.close().await;

        let catalogue = store.loaded().await;
        let lease = catalogue.claim(2, 1000).await.unwrap().unwrap();
        assert_eq!(lease.lines, [(3, b"line 3".to_vec())]);
        let import = catalogue.import("import".to_owned(), Work::OWN).await.unwrap();
        assert_eq!(
            (import.counts.received, import.counts.stored, import.counts.failed),
            (3, 1, 1),
            "no line counts twice"
        );
        assert_eq!(
            (import.errors[0].line, import.errors[0].detail.as_str()),
            (2, "no")
        );
        let refuse = step(ImportStep::Refused {
            line: 3,
            product: None,
            detail: "no".to_owned(),
        });
        catalogue.write(refuse).await.unwrap();
        assert!(catalogue.claim(2, 1000).await.unwrap().unwrap().lines.is_empty());
        catalogue.write(step(ImportStep::Done)).await.unwrap();
        assert_eq!(
            catalogue
                .import("import".to_owned(), Work::OWN)
                .await
                .unwrap()
                .state,
            ImportState::Done
        );
        assert!(catalogue.open_imports(10, Work::OWN).await.unwrap().is_empty());
        assert!(catalogue.import("another".to_owned(), Work::OWN).await.is_err());
        catalogue.close().await;
    });
}

#[test]
fn next_embeddings_gather_through_a_restart_and_are_adopted_at_one_moment() {
    over_every_store(async |store| {
        let catalogue = store.loaded().await;
        for (id, embedding) in [("a", [9, 1, 0]), ("b", [1, 9, 0]), ("c", [0, 1, 9])] {
            catalogue.write(put(id, json!({}), embedding)).await.unwrap();
        }
        catalogue
            .begin_reembedding(other_origin(), MODEL.to_vec(), false)
            .await
            .unwrap();
        let first = catalogue
            .without_embedding(&other_origin(), 1, usize::MAX)
            .await
            .unwrap();
        assert_eq!(first.len(), 1);
        catalogue
            .add_embeddings(&other_origin(), vec![(first[0].key, vec![1, 0, 0])])
            .await
            .unwrap();
        catalogue.close().await;

        let catalogue = store.loaded().await;
        catalogue
            .begin_reembedding(other_origin(), MODEL.to_vec(), false)
            .await
            .unwrap();
        assert_eq!(catalogue.reembedded().await.unwrap(), (1, 3));
        let rest = catalogue
            .without_embedding(&other_origin(), 10, usize::MAX)
            .await
            .unwrap();
        assert_eq!(
            rest.iter()
                .map(|picture| picture.product.as_str())
                .collect::<Vec<_>>(),
            ["b", "c"]
        );
        catalogue
            .add_embeddings(&other_origin(), vec![(rest[0].key, vec![0, 1, 0])])
            .await
            .unwrap();
        assert_eq!(
            ids(&nearest(&catalogue, [9, 1, 0], SearchOptions::default()).await),
            ["a", "b", "c"]
        );
        // The last picture is embedded at the moment of adoption.
        let background = Background {
            progress: Arc::new(Progress::default()),
            give_way: Arc::new(|_| {}),
        };
        let embed_last = || Box::new(|_: &_| vec![0, 0, 1]);
        // Whoever works for another origin does nothing to these.
        let made = vec![(rest[1].key, vec![9, 9, 9])];
        let others = [
            catalogue
                .without_embedding(&origin(), 10, usize::MAX)
                .await
                .map(|_| ()),
            catalogue.add_embeddings(&origin(), made).await,
            catalogue
                .adopt(&origin(), DIMENSIONS, embed_last(), background.clone())
                .await
                .map(|_| ()),
        ];
        for refused in others {
            assert!(matches!(refused, Err(CatalogueError::OtherOrigin)), "{refused:?}");
        }
        let other = other_origin();
        let adopted = catalogue.adopt(&other, DIMENSIONS, embed_last(), background);
        assert!(adopted.await.unwrap());
        assert_eq!(*catalogue.current_origin().unwrap(), other_origin());
        assert_eq!(catalogue.origin().await.unwrap(), Some(other_origin()));
        let found = nearest(&catalogue, [0, 0, 1], SearchOptions::default()).await;
        assert_eq!(
            (ids(&found)[0], found[0].embedding.as_slice()),
            ("c", &[0, 0, 1][..])
        );
        let late = catalogue.write(put("d", json!({}), [1, 1, 1])).await;
        assert!(matches!(late, Err(CatalogueError::OtherOrigin)), "{late:?}");
        catalogue.close().await;
    });
}

#[test]
fn the_graph_finds_what_the_exact_search_finds() {
    over_every_store(async |store| {
        let catalogue = store.loaded().await;
        // Enough pictures for a graph, no two of them in the same direction.
        let writes = (0..2500).map(|n| {
            put(
                &n.to_string(),
                json!({"group": n % 50}),
                [1 + n % 50, 1 + n / 50, 25],
            )
        });
        for answer in catalogue.write_many(writes.collect()).await.unwrap() {
            answer.unwrap();
        }
        catalogue.close().await;
        let catalogue = store.loaded().await;
        let (mut found, mut wanted) = (0, 0);
        for query in [[3, 40, 25], [25, 25, 25], [49, 2, 25], [10, 10, 25]] {
            for options in [
                SearchOptions::default(),
                filter(json!({"group": {"in": [1, 2, 3, 4]}})),
                filter(json!({"$id": {"in": (100..200).map(|id| id.to_string()).collect::<Vec<_>>()}})),
                filter(
                    json!({"$any": [{"group": 7}, {"$id": {"not": {"in": ["5", "6"]}}, "group": {"lt": 30}}]}),
                ),
            ] {
                let exact = SearchOptions {
                    exact: true,
                    ..options.clone()
                };
                let exact = nearest(&catalogue, query, exact).await;
                let approximate = nearest(&catalogue, query, options).await;
                assert_eq!((exact.len(), approximate.len()), (10, 10));
                let least = exact.last().unwrap().score;
                wanted += exact.len();
                found += approximate
                    .iter()
                    .filter(|found| found.score >= least - 1e-12)
                    .count();
            }
        }
        assert!(found * 100 >= wanted * 95, "{found} of {wanted}");
        let stats = catalogue.stats(Work::OWN).await.unwrap();
        assert_eq!((stats.products, stats.pictures), (2500, 2500));
        catalogue.close().await;
    });
}

fn import_step(import: &str, step: ImportStep) -> Write {
    let id = import.to_owned();
    Write::Import { id, step }
}

fn stored(line: u64, write: Write, by: Origin) -> ImportStep {
    let Write::Put { mut product, .. } = write else {
        unreachable!("a put")
    };
    for picture in &mut product.pictures {
        picture.origin = Arc::new(by.clone());
    }
    ImportStep::Stored { line, product }
}

fn deleted(line: u64, id: &str) -> ImportStep {
    let id = id.to_owned();
    ImportStep::Deleted { line, id }
}

fn merged(line: u64, id: &str) -> ImportStep {
    ImportStep::Merged {
        line,
        id: id.to_owned(),
        title: Some(Title::new("merged").unwrap()),
        attributes: AttributeChanges::default(),
    }
}

/// Begins an import and sends so many lines.
async fn send(catalogue: &Catalogue, import: &str, missing: Missing, lines: u64) {
    let lines = (1..=lines).map(|line| (line, b"{}".to_vec())).collect();
    for step in [
        ImportStep::Begun {
            missing,
            scope: Scope::ALL,
        },
        ImportStep::Received(lines),
        ImportStep::Whole,
    ] {
        catalogue.write(import_step(import, step)).await.unwrap();
    }
}

async fn stored_ids(catalogue: &Catalogue) -> Vec<String> {
    let page = catalogue.page(None, 100, None, Work::OWN).await.unwrap();
    page.products.into_iter().map(|product| product.id).collect()
}

#[test]
fn lines_wait_behind_one_that_is_to_be_embedded_again() {
    over_every_store(async |store| {
        let catalogue = store.loaded().await;
        send(&catalogue, "import", Missing::Keep, 3).await;
        let lines = |by: Origin| {
            let put = put("a", json!({}), [1, 2, 0]);
            let steps = [stored(1, put, by), deleted(2, "a"), merged(3, "a")];
            steps.map(|step| import_step("import", step)).to_vec()
        };
        let answers = catalogue.write_many(lines(other_origin())).await.unwrap();
        assert!(matches!(answers[0], Err(CatalogueError::OtherOrigin)));
        let import = async || catalogue.import("import".to_owned(), Work::OWN).await.unwrap();
        assert_eq!(
            (import().await.counts.settled, import().await.counts.waiting()),
            (0, 3)
        );
        assert_eq!(catalogue.claim(9, 1000).await.unwrap().unwrap().lines.len(), 3);
        let answers = catalogue.write_many(lines(origin())).await.unwrap();
        assert!(answers.iter().all(Result::is_ok));
        let counts = import().await.counts;
        assert_eq!(
            (counts.stored, counts.deleted, counts.merged, counts.failed),
            (1, 1, 0, 1)
        );
        assert_eq!(stored_ids(&catalogue).await, Vec::<String>::new());
        catalogue.close().await;
    });
}

#[test]
fn a_product_is_removed_only_if_it_passes_when_its_turn_comes() {
    over_every_store(async |store| {
        let catalogue = store.loaded().await;
        for (id, kind) in [("a", "x"), ("b", "x"), ("c", "x"), ("d", "y")] {
            let write = put(id, json!({"kind": kind}), [1, 2, 3]);
            catalogue.write(write).await.unwrap();
        }
        let filter = Arc::new(Filter::from_json(&json!({"kind": "x"})).unwrap());
        let passing = async |after, most| {
            let passing = catalogue.passing(after, Arc::clone(&filter), most, Work::OWN);
            passing.await.unwrap()
        };
        let first = passing(None, 2).await;
        assert_eq!(first.products.count(), 2);
        let rest = passing(first.next, 2).await;
        assert_eq!((rest.products.count(), rest.next), (1, None));
        let found = passing(None, 10).await.products;
        let changes = AttributeChanges::new(map(json!({"kind": "y"}))).unwrap();
        let merge = Write::Merge {
            id: "b".to_owned(),
            title: None,
            attributes: changes,
        };
        catalogue.write(merge).await.unwrap();
        catalogue
            .write(Write::Delete { id: "c".to_owned() })
            .await
            .unwrap();
        catalogue
            .write(put("c", json!({"kind": "x"}), [1, 2, 3]))
            .await
            .unwrap();
        let write = Write::DeletePassing {
            products: found,
            filter: Arc::clone(&filter),
        };
        let written = catalogue.write(write).await.unwrap();
        assert_eq!(written.removed.products, 1);
        assert_eq!(stored_ids(&catalogue).await, ["b", "d", "c"]);
        let found = nearest(&catalogue, [1, 2, 3], SearchOptions::default()).await;
        assert_eq!(found.len(), 3);
        catalogue.close().await;
    });
}

#[test]
fn what_an_import_did_not_name_is_removed_once_its_lines_are_done_and_by_its_server_alone() {
    over_every_store(async |store| {
        let catalogue = store.loaded().await;
        for id in ["a", "b", "c", "d", "e"] {
            catalogue.write(put(id, json!({}), [1, 2, 3])).await.unwrap();
        }
        let remove = |after: Option<Cursor>| {
            let most = 1;
            import_step("feed", ImportStep::RemoveMissing { after, most })
        };
        let removed = async |catalogue: &Catalogue, after| {
            let written = catalogue.write(remove(after)).await.unwrap();
            (written.removed.products, written.removed.next)
        };
        // Its lines come before the feed's, though they are done after it began.
        send(&catalogue, "earlier", Missing::Keep, 1).await;
        send(&catalogue, "feed", Missing::Delete, 2).await;
        assert_eq!(catalogue.claim(9, 1000).await.unwrap().unwrap().import, "earlier");
        let line = stored(1, put("of the earlier", json!({}), [1, 2, 3]), origin());
        catalogue.write(import_step("earlier", line)).await.unwrap();
        catalogue
            .write(import_step("earlier", ImportStep::Done))
            .await
            .unwrap();
        // Others write while the feed waits, and an import that comes later.
        catalogue.write(put("d", json!({}), [3, 2, 1])).await.unwrap();
        catalogue.write(put("new", json!({}), [3, 2, 1])).await.unwrap();
        send(&catalogue, "later", Missing::Keep, 1).await;
        assert_eq!(removed(&catalogue, None).await, (0, None), "lines wait");
        let lease = catalogue.claim(9, 1000).await.unwrap().unwrap();
        assert_eq!((lease.import.as_str(), lease.missing), ("feed", Missing::Delete));
        for step in [merged(1, "a"), deleted(2, "b")] {
            catalogue.write(import_step("feed", step)).await.unwrap();
        }
        if let Store::Postgres(_) = &store {
            let other = store.loaded().await;
            assert_eq!(
                removed(&other, None).await,
                (0, None),
                "another server holds the import"
            );
            other.write(import_step("feed", ImportStep::Done)).await.unwrap();
            other.close().await;
        }
        let (mut count, mut after) = removed(&catalogue, None).await;
        while let Some(next) = after {
            let (more, next) = removed(&catalogue, Some(next)).await;
            (count, after) = (count + more, next);
        }
        assert_eq!(count, 3);
        assert_eq!(stored_ids(&catalogue).await, ["a", "d", "new"]);
        let import = async || catalogue.import("feed".to_owned(), Work::OWN).await.unwrap();
        assert_eq!(
            (import().await.state, import().await.counts.deleted),
            (ImportState::Running, 4)
        );
        catalogue
            .write(import_step("feed", ImportStep::Done))
            .await
            .unwrap();
        assert_eq!(import().await.state, ImportState::Done);
        // What it named is forgotten: it must remove nothing more.
        assert_eq!(removed(&catalogue, None).await, (0, None));
        assert_eq!(stored_ids(&catalogue).await.len(), 3);
        catalogue.close().await;
    });
}
