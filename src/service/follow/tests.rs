//! Two services over one catalogue stand for two servers over one database.

use std::path::Path;
use std::time::{Duration, Instant};

use engine::chip::cost::CostModel;
use engine::model::Model;
use engine::model::built_in::BuiltIn;
use engine::network::Probe;
use engine::picture::{DecodeLimits, Mode, Picture};
use ndarray::Array3;

use super::*;
use crate::catalogue::import::{ImportStep, Missing};
use crate::catalogue::manifest::ManifestProduct;
use crate::catalogue::search::SearchOptions;
use crate::catalogue::write::Write;
use crate::catalogue::{Attributes, Catalogue, Origin, ProductId, Room, Scope, Title};
use crate::chips::{Maker, RunChoice};
use crate::progress::Progress;
use crate::service::ingest::{Image, IngestOptions, Offered, ingest};
use crate::service::recommend::{Example, Taste};
use crate::service::writes::GivenProduct;
use crate::service::{Clock, Query, ServiceOptions, Wanted};

const PRODUCTS: usize = 40;

fn network() -> Arc<Model> {
    Arc::new(Model::read(BuiltIn::FashionMnist.file(), CostModel::Loihi1Paper).unwrap())
}

/// A gray picture of stripes, another one for each number.
fn png(number: usize) -> Vec<u8> {
    let pixel = |(_, y, x): (usize, usize, usize)| match (y * (1 + number % 5) + x * (1 + number / 5)) % 7 {
        0..3 => 255,
        _ => 20,
    };
    Picture::new(Array3::from_shape_fn((1, 28, 28), pixel))
        .unwrap()
        .to_png()
        .unwrap()
}

async fn catalogue(folder: &Path) -> Catalogue {
    let catalogue = Catalogue::open(folder, Room::ONE).unwrap();
    let maker = Maker::new(network(), None, None, None);
    let offered = (0..PRODUCTS).map(|number| {
        let product = ManifestProduct {
            id: ProductId::new(&format!("p{number}")).unwrap(),
            title: Title::default(),
            attributes: Attributes::default(),
            pictures: vec![Image::Bytes(png(number))],
            modes: vec![Mode::Auto],
        };
        Offered::product(number.to_string(), Ok(product))
    });
    let options = IngestOptions {
        resume: false,
        threads: 1,
        expected: PRODUCTS,
    };
    let progress = Progress::default();
    let ingested = ingest(&catalogue, &maker, offered, options, &progress, |_, _| {});
    assert_eq!(ingested.await.unwrap().stored, PRODUCTS);
    catalogue
}

/// A server over a shared catalogue, or over one that it takes for its own, started with `--probe` or without it.
async fn server_as(catalogue: &Catalogue, probe: Option<Probe>, shared: bool) -> Arc<Service> {
    let wanted = Wanted {
        model: network(),
        probe,
        time_steps: None,
        given: probe.is_some(),
        hold: false,
    };
    let options = ServiceOptions {
        chips: 1,
        waiting: Duration::from_secs(5),
        threads: 1,
        limits: DecodeLimits::default(),
    };
    let service = Service::open_as(catalogue.clone(), wanted, options, shared);
    service.await.unwrap()
}

async fn server(catalogue: &Catalogue, probe: Option<Probe>) -> Arc<Service> {
    server_as(catalogue, probe, true).await
}

async fn loaded(catalogue: &Catalogue, probe: Option<Probe>) -> Arc<Service> {
    let service = server(catalogue, probe).await;
    service.load().await.unwrap();
    service
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !holds().await {
        assert!(start.elapsed() < Duration::from_secs(60), "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn clock() -> Clock {
    Clock::start(Duration::from_secs(30))
}

fn by(probe: Probe) -> Origin {
    (*Maker::new(network(), None, Some(probe), None).origin).clone()
}

async fn begin(catalogue: &Catalogue, probe: Probe) {
    let begun = catalogue.begin_reembedding(by(probe), network().file.clone(), false);
    begun.await.unwrap();
}

fn next_of(service: &Service) -> Option<Origin> {
    service.reembedding().map(|next| (*next.maker.origin).clone())
}

/// Adopts embeddings by the probe `membrane` by the hands of another server; the one given is not woken.
async fn adopt_elsewhere(catalogue: &Catalogue) {
    let other = loaded(catalogue, Some(Probe::Membrane)).await;
    let adopted = async || catalogue.origin().await.unwrap() == Some(by(Probe::Membrane));
    until("the other server never adopted its embeddings", adopted).await;
    other.drain();
}

/// A loaded server that does not look by itself what others have done, unless the catalogue is `shared`.
async fn unaware(catalogue: &Catalogue, shared: bool) -> Arc<Service> {
    let service = server_as(catalogue, None, shared).await;
    service.load().await.unwrap();
    assert_eq!(*service.maker().origin, by(Probe::SpikeCount));
    service
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_server_adopted_answers_the_next_request_of_each_kind() {
    let picture = |number| Query::Picture(png(number), RunChoice::default());
    let membrane = by(Probe::Membrane);
    for request in 0..5 {
        let folder = tempfile::tempdir().unwrap();
        let catalogue = catalogue(folder.path()).await;
        let service = unaware(&catalogue, false).await;
        adopt_elsewhere(&catalogue).await;
        assert_eq!(*service.maker().origin, by(Probe::SpikeCount));
        let options = SearchOptions {
            k: 3,
            ..SearchOptions::default()
        };
        match request {
            0 => {
                let found = service
                    .search(picture(7), options, &Scope::ALL, clock())
                    .await
                    .unwrap();
                assert_eq!(found.matches[0].product.id, "p7");
                assert_eq!(*found.maker.origin, membrane);
            }
            1 => {
                let found = service
                    .similar("p7".to_owned(), options, &Scope::ALL, clock())
                    .await
                    .unwrap();
                assert_eq!((found.matches.len(), &*found.maker.origin), (3, &membrane));
            }
            2 => {
                let taste = Taste {
                    positive: vec![
                        Example::<Vec<u8>>::Product("p1".to_owned()),
                        Example::Product("p2".to_owned()),
                    ],
                    negative: Vec::new(),
                    diversity: 0.0,
                };
                let found = service
                    .recommend(taste, options, &Scope::ALL, clock())
                    .await
                    .unwrap();
                assert_eq!((found.matches.len(), &*found.maker.origin), (3, &membrane));
            }
            3 => {
                let given = GivenProduct {
                    id: "new".to_owned(),
                    title: Title::default(),
                    attributes: Attributes::default(),
                    picture: png(3),
                    mode: Mode::Auto,
                };
                assert!(service.put(given, false, &Scope::ALL, clock()).await.unwrap().1);
            }
            _ => {
                let picture = service.add_picture("p1".to_owned(), png(9), Mode::Auto, &Scope::ALL, clock());
                assert_eq!(picture.await.unwrap().width, 28);
            }
        }
        assert_eq!(*service.maker().origin, membrane);
        service.drain();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_that_another_server_received_are_embedded_by_what_was_adopted_without_a_wake_up() {
    let image = {
        use base64::Engine;
        base64::engine::general_purpose::STANDARD.encode(png(8))
    };
    let line = format!("{{\"id\": \"imported\", \"image\": \"{image}\"}}");
    for shared in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let catalogue = catalogue(folder.path()).await;
        let service = unaware(&catalogue, shared).await;
        adopt_elsewhere(&catalogue).await;
        for step in [
            ImportStep::Begun {
                missing: Missing::Keep,
                scope: Scope::ALL,
            },
            ImportStep::Received(vec![(1, line.clone().into_bytes())]),
            ImportStep::Whole,
        ] {
            let id = "import".to_owned();
            catalogue.write(Write::Import { id, step }).await.unwrap();
        }
        if !shared {
            service.wake_importer();
        }
        let stored = async || {
            let import = service.import("import".to_owned(), &Scope::ALL, clock()).await;
            import.unwrap().import.counts.stored == 1
        };
        until("nobody worked on the import", stored).await;
        assert_eq!(*service.maker().origin, by(Probe::Membrane));
        service.drain();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_re_embedding_that_another_server_began_is_finished_by_whoever_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let catalogue = catalogue(folder.path()).await;
    let service = loaded(&catalogue, None).await;
    // That server has died since.
    begin(&catalogue, Probe::Membrane).await;
    let answers = async || *service.maker().origin == by(Probe::Membrane);
    until("it never joined", answers).await;
    assert_eq!(catalogue.origin().await.unwrap(), Some(by(Probe::Membrane)));
    until("it never ended", async || service.reembedding().is_none()).await;
    service.drain();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_takes_part_in_what_is_begun_and_leaves_what_is_dropped_or_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let catalogue = catalogue(folder.path()).await;
    // It is not loaded: nothing works on what is joined.
    let service = server(&catalogue, None).await;
    let makers = &service.makers;
    assert!(makers.join().await.unwrap().is_none());
    begin(&catalogue, Probe::Membrane).await;
    let first = makers.join().await.unwrap().unwrap();
    assert_eq!(next_of(&service), Some(by(Probe::Membrane)));
    assert!(makers.join().await.unwrap().is_none() && !first.is_left(), "once");
    // Another one takes its place.
    begin(&catalogue, Probe::Integrated).await;
    let second = makers.join().await.unwrap().unwrap();
    assert!(first.is_left() && !second.is_left());
    assert_eq!(next_of(&service), Some(by(Probe::Integrated)));
    catalogue.cancel_reembedding().await.unwrap();
    assert!(makers.join().await.unwrap().is_none());
    assert!(second.is_left() && next_of(&service).is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_starts_joins_what_is_begun_unless_it_was_asked_for_something_else() {
    let folder = tempfile::tempdir().unwrap();
    let catalogue = catalogue(folder.path()).await;
    begin(&catalogue, Probe::Membrane).await;
    for (probe, next, begun) in [
        (None, Probe::Membrane, true),
        (Some(Probe::Membrane), Probe::Membrane, true),
        (Some(Probe::SpikeCount), Probe::Membrane, true),
        (Some(Probe::Integrated), Probe::Integrated, false),
    ] {
        let service = server(&catalogue, probe).await;
        assert_eq!(*service.maker().origin, by(Probe::SpikeCount), "{probe:?}");
        let reembedding = service.reembedding().unwrap();
        assert_eq!(*reembedding.maker.origin, by(next), "{probe:?}");
        assert_eq!(reembedding.has_begun(), begun, "{probe:?}");
    }
    catalogue.cancel_reembedding().await.unwrap();
    assert_eq!(next_of(&*server(&catalogue, None).await), None);
    // A server that nobody asked for another network keeps what it finds.
    let wanted = server(&catalogue, Some(Probe::Integrated)).await;
    assert_eq!(next_of(&wanted), Some(by(Probe::Integrated)));
}
