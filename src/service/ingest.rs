//! Pictures into the catalogue: embedded on all threads, committed batch by batch.

use std::sync::Arc;
use std::time::Instant;

use super::embed::{Embedded, Embedder, RunOptions};
use super::model::{Maker, Model};
use super::{Progress, ServiceError, Stage};
use crate::catalogue::store::Store;
use crate::catalogue::{NewPicture, NewProduct, ProductId};
use crate::embedding::is_zero;
use crate::picture::{DecodeLimits, Mode};
use serde_json::{Map, Value};

/// Products of one commit: few enough that little work is lost to a kill, many enough that commits cost nothing.
const BATCH: usize = 2000;

/// A product that a source offers, its picture not yet looked at.
#[derive(Debug, Clone)]
pub struct Offered {
    pub id: ProductId,
    pub title: String,
    pub attributes: Map<String, Value>,
    /// The image file, as it will be kept.
    pub picture: Vec<u8>,
}

/// What became of a source's products.
#[derive(Debug, Default)]
pub struct Ingested {
    pub stored: usize,
    /// Already there, left as they were.
    pub skipped: usize,
    /// Refused, with the reason.
    pub failed: Vec<(ProductId, String)>,
}

/// Stores every product of `offered`; with `resume`, those that are already there are skipped.
pub fn ingest(
    store: &mut Store,
    maker: &Maker,
    offered: &[Offered],
    resume: bool,
    threads: usize,
    progress: &Progress,
) -> Result<Ingested, ServiceError> {
    match store.origin()? {
        Some(found) if found == *maker.origin => store.keep_model(&found, &maker.model.file)?,
        Some(found) if store.products()? > 0 => return Err(ServiceError::OtherOrigin { found }),
        _ => store.set_origin(&maker.origin, &maker.model.file)?,
    }
    progress.enter(Stage::Embedding, offered.len());
    let mut ingested = Ingested::default();
    for batch in offered.chunks(BATCH) {
        let mut fresh = Vec::with_capacity(batch.len());
        for product in batch {
            if resume && store.holds(product.id.as_str())? {
                ingested.skipped += 1;
                progress.advance(1);
            } else {
                fresh.push(product);
            }
        }
        let limits = DecodeLimits::default();
        let pictures = in_parallel(&maker.model, limits, &fresh, threads, |embedder, product| {
            let new = new_picture(embedder, &product.picture, maker, Mode::Auto);
            progress.advance(1);
            new.map(|(picture, _)| picture)
        });
        let mut products = Vec::with_capacity(fresh.len());
        for (product, picture) in fresh.into_iter().zip(pictures) {
            match picture {
                Ok(picture) => products.push(NewProduct {
                    id: product.id.clone(),
                    title: product.title.clone(),
                    attributes: product.attributes.clone(),
                    pictures: vec![picture],
                }),
                Err(error) => ingested.failed.push((product.id.clone(), error.to_string())),
            }
        }
        store.put_all(&products)?;
        ingested.stored += products.len();
    }
    Ok(ingested)
}

/// Embeds a picture that is to be stored; one without an embedding is refused. Gives the run as well.
pub fn new_picture(
    embedder: &mut Embedder,
    bytes: &[u8],
    maker: &Maker,
    mode: Mode,
) -> Result<(NewPicture, Embedded), ServiceError> {
    let options = RunOptions {
        mode,
        ..maker.options()
    };
    embedder.take_up(&maker.model);
    let start = Instant::now();
    let (decoded, picture) = embedder.prepare(bytes, mode)?;
    let decode_time = start.elapsed();
    let mut embedded = embedder.embed_picture(&picture, options)?;
    embedded.decode_time = decode_time;
    if is_zero(&embedded.embedding.values) {
        return Err(ServiceError::EmptyEmbedding);
    }
    let new = NewPicture {
        content_type: decoded.format().content_type().to_owned(),
        width: decoded.width(),
        height: decoded.height(),
        bytes: bytes.to_vec(),
        prepare: mode,
        embedding: embedded.embedding.values.clone(),
        origin: Arc::clone(&maker.origin),
    };
    Ok((new, embedded))
}

/// `each` over all items on `threads` threads with a chip each; results stand in the items' order.
pub fn in_parallel<I: Sync, T: Send>(
    model: &Arc<Model>,
    limits: DecodeLimits,
    items: &[I],
    threads: usize,
    each: impl Fn(&mut Embedder, &I) -> T + Sync,
) -> Vec<T> {
    let share = items.len().div_ceil(threads.max(1)).max(1);
    std::thread::scope(|scope| {
        let parts: Vec<_> = items
            .chunks(share)
            .map(|part| {
                let each = &each;
                scope.spawn(move || {
                    let mut embedder = Embedder::new(Arc::clone(model), limits);
                    let found = part.iter().map(|item| each(&mut embedder, item));
                    found.collect::<Vec<T>>()
                })
            })
            .collect();
        parts
            .into_iter()
            .flat_map(|part| {
                part.join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
            .collect()
    })
}
