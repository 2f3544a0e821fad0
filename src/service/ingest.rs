//! Pictures into the catalogue: embedded on all threads, committed batch by batch.

use std::borrow::Cow;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use super::embed::{Embedded, Embedder, RunOptions};
use super::maker::Maker;
use super::manifest::{ManifestProduct, Refusal};
use super::{Progress, ServiceError, Stage};
use crate::catalogue::store::Store;
use crate::catalogue::{NewPicture, NewProduct};
use engine::embedding::is_zero;
use engine::parallel::in_parallel;
use engine::picture::{DecodeLimits, Mode};

/// Products of one commit, and about how many bytes of pictures: few enough that little work is lost to a kill and
/// little memory is held, many enough that commits cost nothing.
const BATCH: usize = 2000;
const BATCH_BYTES: u64 = 64 << 20;

/// A picture as a source has it: at hand, or in a file that is read when its turn comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Image {
    Bytes(Vec<u8>),
    File { path: PathBuf, bytes: u64 },
}

impl Image {
    /// The largest image file that a source may offer.
    pub const LARGEST: u64 = 32 << 20;

    fn bytes(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            Self::File { bytes, .. } => *bytes,
        }
    }

    fn read(&self) -> Result<Cow<'_, [u8]>, String> {
        let too_large = || Err(format!("is larger than {} bytes", Self::LARGEST));
        if self.bytes() > Self::LARGEST {
            return too_large();
        }
        let path = match self {
            Self::Bytes(bytes) => return Ok(Cow::Borrowed(bytes)),
            Self::File { path, .. } => path,
        };
        let mut bytes = Vec::new();
        // The file may have grown since it was looked at.
        let read = File::open(path).and_then(|file| file.take(Self::LARGEST + 1).read_to_end(&mut bytes));
        read.map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
        if bytes.len() as u64 > Self::LARGEST {
            return too_large();
        }
        Ok(Cow::Owned(bytes))
    }
}

/// What a source offers in one place: a product whose pictures are not looked at yet, or what is wrong there.
#[derive(Debug)]
pub struct Offered {
    /// As people find it: `line 12`, or a file's name.
    pub place: String,
    pub product: Result<ManifestProduct<Image>, Refusal>,
}

/// What became of a source's products.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Ingested {
    pub stored: usize,
    /// Already there, left as they were.
    pub skipped: usize,
    /// Refused; each was told of.
    pub failed: usize,
}

/// How a source is taken up.
#[derive(Debug, Clone, Copy)]
pub struct Take {
    /// Leave products that are stored already as they are.
    pub resume: bool,
    pub threads: usize,
    /// About how many products there will be.
    pub expected: usize,
}

/// Stores every product that a source offers, batch by batch; `refused` is told of each that is none, with its place.
pub fn ingest(
    store: &mut Store,
    maker: &Maker,
    offered: impl Iterator<Item = Offered>,
    take: Take,
    progress: &Progress,
    mut refused: impl FnMut(&str, &Refusal),
) -> Result<Ingested, ServiceError> {
    match store.origin()? {
        Some(found) if found == *maker.origin => store.keep_model(&found, &maker.model.file)?,
        Some(found) if store.products()? > 0 => return Err(ServiceError::OtherOrigin { found }),
        _ => store.set_origin(&maker.origin, &maker.model.file)?,
    }
    progress.enter(Stage::Embedding, take.expected);
    let mut ingested = Ingested::default();
    let mut offered = offered.peekable();
    while offered.peek().is_some() {
        let (mut fresh, mut bytes) = (Vec::new(), 0);
        while fresh.len() < BATCH
            && bytes < BATCH_BYTES
            && let Some(Offered { place, product }) = offered.next()
        {
            match product {
                Ok(product) if take.resume && store.holds(product.id.as_str())? => {
                    ingested.skipped += 1;
                    progress.advance(1);
                }
                Ok(product) => {
                    bytes += product.pictures.iter().map(Image::bytes).sum::<u64>();
                    fresh.push((place, product));
                }
                Err(refusal) => {
                    ingested.failed += 1;
                    progress.advance(1);
                    refused(&place, &refusal);
                }
            }
        }
        let make = || Embedder::new(Arc::clone(&maker.model), DecodeLimits::default());
        let made = in_parallel(take.threads, fresh.len(), make, |embedder, index| {
            let made = new_product(embedder, &fresh[index].1, maker);
            progress.advance(1);
            made
        });
        let mut products = Vec::with_capacity(fresh.len());
        for ((place, _), made) in fresh.iter().zip(made) {
            match made {
                Ok(product) => products.push(product),
                Err(refusal) => {
                    ingested.failed += 1;
                    refused(place, &refusal);
                }
            }
        }
        store.put_all(&products)?;
        ingested.stored += products.len();
    }
    Ok(ingested)
}

/// Reads and embeds the pictures of an offered product.
fn new_product(
    embedder: &mut Embedder,
    product: &ManifestProduct<Image>,
    maker: &Maker,
) -> Result<NewProduct, Refusal> {
    let refuse = |reason: String| Refusal::of(product.id.as_str(), format!("image: {reason}"));
    let picture = |image: &Image| {
        let bytes = image.read().map_err(refuse)?;
        let new = new_picture(embedder, &bytes, maker, product.mode);
        new.map(|(picture, _)| picture)
            .map_err(|error| refuse(error.to_string()))
    };
    Ok(NewProduct {
        id: product.id.clone(),
        title: product.title.clone(),
        attributes: product.attributes.clone(),
        pictures: product.pictures.iter().map(picture).collect::<Result<_, _>>()?,
    })
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
