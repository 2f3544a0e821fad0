//! A large catalogue of distorted training pictures: memory and disk space per product, start time, and speed and
//! recall of searches. Only run on request.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use engine::chip::cost::CostModel;
use engine::embedding::is_zero;
use engine::model::Model;
use engine::model::built_in::BuiltIn;
use engine::neighbours::Neighbour;
use engine::neighbours::quality::recall;
use engine::picture::{DecodeLimits, Mode, Picture};
use ndarray::Array3;
use serde::Serialize;
use serde_json::json;
use spikelens::catalogue::sqlite::Sqlite;
use spikelens::catalogue::{Attributes, NewPicture, NewProduct, Origin, ProductId, Room, Title};
use spikelens::chips::{Embedder, Maker, RunOptions};
use tokio::runtime::Runtime;

use crate::http::{Memory, Server, searches};
use crate::indexing::{Opened, size};
use crate::load::{Load, closed};
use crate::machine::cpus;
use crate::summary::{Quantiles, Sorted};

const K: usize = 10;
/// Queries whose recall is measured: each is compared with every product.
const QUERIES: usize = 300;
/// Products of one commit.
const BATCH: usize = 20_000;

#[derive(Debug, Serialize)]
pub struct Large {
    pub products: usize,
    pub cpus: usize,
    /// Distorting, encoding, emulating, committing; `None` if the products of an earlier run are used.
    pub made_s: Option<f64>,
    /// From starting the process to the first answer, without a stored graph.
    pub graph_s: f64,
    /// Of what the index is made, in bytes a product.
    pub parts: Vec<(String, f64)>,
    /// Loading the stored graph.
    pub reopen_s: f64,
    pub disk_mib: f64,
    /// From starting the process to the first answer, with the stored graph.
    pub start_s: f64,
    pub memory: Vec<Memory>,
    pub search_median_ms: f64,
    pub search_p99_ms: f64,
    pub search_quantiles_ms: Quantiles,
    pub recall: f64,
    pub loads: Vec<Load>,
}

/// Recreates `data` with `products` products out of `training`, unless it holds them already.
pub fn measure(
    data: &Path,
    training: &[Picture],
    test: &[Picture],
    products: usize,
    time: Duration,
) -> Result<Large> {
    let cpus = cpus()?;
    let model = Arc::new(Model::read(BuiltIn::FashionMnist.file(), CostModel::Loihi1Paper)?);
    let made_s = if holds(data, &model, products)? {
        None
    } else {
        if data.exists() {
            std::fs::remove_dir_all(data).with_context(|| format!("{} cannot be removed", data.display()))?;
        }
        let start = Instant::now();
        make(data, &model, training, products, cpus)?;
        Some(start.elapsed().as_secs_f64())
    };

    eprintln!("  the graph");
    let start = Instant::now();
    for entry in std::fs::read_dir(data)? {
        let file = entry?;
        if file.file_name().to_string_lossy().starts_with("index") {
            std::fs::remove_file(file.path())?;
        }
    }
    let mut server = Server::start(data)?;
    server.wait_until_ready()?;
    let graph_s = start.elapsed().as_secs_f64();
    let mut memory = vec![server.memory("ready, the graph built")?];
    drop(server);
    let start = Instant::now();
    let opened = Opened::load(data, &model)?;
    let reopen_s = start.elapsed().as_secs_f64();
    ensure!(opened.kept()?, "the graph that was built was not stored");
    let parts = opened.catalogue.index_memory().into_iter();
    let parts = parts.map(|(part, bytes)| (part.to_owned(), bytes as f64 / products as f64));
    let parts = parts.collect();
    eprintln!("  searching");
    let mut embedder = Embedder::new(Arc::clone(&model), DecodeLimits::default());
    let queries = test
        .iter()
        .map(|picture| {
            Ok(embedder
                .embed_picture(picture, RunOptions::of(&model))?
                .embedding
                .values)
        })
        .collect::<Result<Vec<Vec<i32>>>>()?;
    let rows = |found: Vec<Neighbour>| -> Vec<usize> { found.into_iter().map(|one| one.index).collect() };
    let mut times = Vec::new();
    let mut found = Vec::new();
    for query in &queries {
        let start = Instant::now();
        found.push(opened.neighbours(|neighbours| rows(neighbours.nearest(query, K))));
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    let sample = queries.iter().zip(&found).take(QUERIES);
    let recalls: Vec<f64> = sample
        .map(|(query, found)| {
            recall(
                &opened.neighbours(|neighbours| rows(neighbours.nearest_exact(query, K))),
                found,
            )
        })
        .collect();
    let times = Sorted::new(times);
    opened.close();

    eprintln!("  the server");
    let start = Instant::now();
    let mut server = Server::start(data)?;
    server.wait_until_ready()?;
    let start_s = start.elapsed().as_secs_f64();
    memory.push(server.memory("ready, with the stored graph")?);
    let (requests, _) = searches(test)?;
    let loads = [1, 2 * cpus]
        .into_iter()
        .map(|clients| {
            let rounds = [closed(server.address(), &requests, clients, 3 * time)?];
            Ok(Load::of(clients, &rounds))
        })
        .collect::<Result<Vec<_>>>()?;
    memory.push(server.memory("after the loads")?);
    Ok(Large {
        products,
        cpus,
        made_s,
        graph_s,
        parts,
        reopen_s,
        disk_mib: size(data)? as f64 / f64::from(1 << 20),
        start_s,
        memory,
        search_median_ms: times.median(),
        search_p99_ms: times.p99(),
        search_quantiles_ms: times.quantiles(),
        recall: recalls.iter().sum::<f64>() / recalls.len() as f64,
        loads,
    })
}

/// Whether an earlier run made these products with this model.
pub fn holds(data: &Path, model: &Arc<Model>, products: usize) -> Result<bool> {
    if !Sqlite::exists(data) {
        return Ok(false);
    }
    let catalogue = Sqlite::open(data, Room::ONE)?;
    let origin = Maker::new(Arc::clone(model), None, None, None).origin;
    Runtime::new()?.block_on(async {
        let found = (catalogue.origin().await?, catalogue.count().await?);
        catalogue.close().await;
        Ok(found == (Some((*origin).clone()), products))
    })
}

fn make(
    data: &Path,
    model: &Arc<Model>,
    training: &[Picture],
    products: usize,
    threads: usize,
) -> Result<()> {
    let runtime = Runtime::new()?;
    let catalogue = Sqlite::open(data, Room::ONE)?;
    let origin = Maker::new(Arc::clone(model), None, None, None).origin;
    runtime.block_on(catalogue.set_origin((*origin).clone(), model.file.clone()))?;
    let numbers: Vec<usize> = (0..products).collect();
    let mut ids = HashSet::new();
    for batch in numbers.chunks(BATCH) {
        eprintln!("  {} of {products} products", batch[0]);
        let parts = batch.chunks(batch.len().div_ceil(threads));
        let made: Vec<NewProduct> = std::thread::scope(|scope| {
            let origin = &origin;
            let parts: Vec<_> = parts
                .map(|part| {
                    scope.spawn(move || -> Result<Vec<NewProduct>> {
                        let mut embedder = Embedder::new(Arc::clone(model), DecodeLimits::default());
                        let made = part
                            .iter()
                            .map(|&number| product(&mut embedder, model, origin, training, number));
                        made.filter_map(Result::transpose).collect()
                    })
                })
                .collect();
            parts
                .into_iter()
                .map(|part| {
                    part.join()
                        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
                })
                .collect::<Result<Vec<_>>>()
                .map(|parts| parts.into_iter().flatten().collect())
        })?;
        ids.extend(made.iter().map(|product| product.id.clone()));
        runtime.block_on(catalogue.store_all(made))?;
    }
    runtime.block_on(catalogue.close());
    anyhow::ensure!(
        ids.len() == products,
        "{} of {products} pictures have an embedding",
        ids.len()
    );
    Ok(())
}

/// `None` if the distorted picture is empty.
fn product(
    embedder: &mut Embedder,
    model: &Arc<Model>,
    origin: &Arc<Origin>,
    training: &[Picture],
    number: usize,
) -> Result<Option<NewProduct>> {
    let picture = distorted(&training[number % training.len()], number);
    let values = embedder
        .embed_picture(&picture, RunOptions::of(model))?
        .embedding
        .values;
    if is_zero(&values) {
        return Ok(None);
    }
    let attributes = json!({"shade": number % 8, "source": number % training.len()});
    Ok(Some(NewProduct {
        id: ProductId::new(&format!("distorted-{number}"))?,
        title: Title::new(format!("Distorted {number}"))?,
        attributes: Attributes::new(attributes.as_object().context("an object")?.clone())?,
        pictures: vec![NewPicture {
            content_type: "image/png".to_owned(),
            width: 28,
            height: 28,
            bytes: picture.to_png()?,
            prepare: Mode::default(),
            embedding: values,
            origin: Arc::clone(origin),
        }],
    }))
}

/// Moved by up to two pixels, made darker or lighter by up to a fifth, with noise of up to ten levels, every other one
/// mirrored; equal numbers give equal pictures.
fn distorted(picture: &Picture, number: usize) -> Picture {
    let mut state = (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    // Knuth's MMIX generator; its upper bits.
    let mut draw = |below: i64| -> i64 {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        i64::try_from(state >> 33).unwrap_or_default() % below
    };
    let (down, right, gain, mirrored) = (draw(5) - 2, draw(5) - 2, 80 + draw(41), draw(2) == 1);
    let pixels = picture.pixels();
    let (_, height, width) = pixels.dim();
    let whole = |at: usize| i64::try_from(at).unwrap_or_default();
    let moved = Array3::from_shape_fn(pixels.dim(), |(channel, y, x)| {
        let x = if mirrored { width - 1 - x } else { x };
        let (from_y, from_x) = (whole(y) - down, whole(x) - right);
        let inside = (0..whole(height)).contains(&from_y) && (0..whole(width)).contains(&from_x);
        let value = match (usize::try_from(from_y), usize::try_from(from_x)) {
            (Ok(from_y), Ok(from_x)) if inside => i64::from(pixels[[channel, from_y, from_x]]),
            _ => 0,
        };
        let noise = if value > 0 { draw(21) - 10 } else { 0 };
        u8::try_from((value * gain / 100 + noise).clamp(0, 255)).unwrap_or_default()
    });
    Picture::new(moved).expect("as large as it was")
}
