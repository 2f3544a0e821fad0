//! Filling a catalogue without a server: pictures are embedded on all threads and committed in batches.

use std::borrow::Cow;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use engine::parallel::in_parallel;
use engine::picture::{DecodeLimits, Mode};

use super::error::ServiceError;
use crate::admission::Work;
use crate::catalogue::import::not_merged;
use crate::catalogue::manifest::{Line, ManifestProduct, Refusal};
use crate::catalogue::write::Write;
use crate::catalogue::{Catalogue, CatalogueError, NewProduct};
use crate::chips::{Embedder, Maker};
use crate::progress::{Progress, Stage};

/// The most products in a commit, and about the most bytes of pictures: few enough to bound memory and the work lost to a
/// kill, many enough that commits take almost no time.
const BATCH: usize = 2000;
const BATCH_BYTES: u64 = 64 << 20;

/// A picture of a source: its bytes, or a file that is read when needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Image {
    Bytes(Vec<u8>),
    File { path: PathBuf, bytes: u64 },
}

impl Image {
    /// The largest image file that is read.
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
        // The file may have grown in the meantime.
        let read = File::open(path).and_then(|file| file.take(Self::LARGEST + 1).read_to_end(&mut bytes));
        read.map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
        if bytes.len() as u64 > Self::LARGEST {
            return too_large();
        }
        Ok(Cow::Owned(bytes))
    }
}

/// One entry of a source: a product whose pictures are not read yet, or why it is invalid.
#[derive(Debug)]
pub struct Offered {
    /// Its place in the source, for people: `line 12`, or a file's name.
    pub place: String,
    /// How many further rows of the source were joined to it.
    pub further: usize,
    /// What else there is to say about it.
    pub remarks: Vec<Remark>,
    pub line: Result<Line<Image>, Refusal>,
}

impl Offered {
    /// An entry of one row.
    pub fn of(place: String, line: Result<Line<Image>, Refusal>) -> Self {
        Self {
            place,
            further: 0,
            remarks: Vec::new(),
            line,
        }
    }

    /// A product of one row.
    pub fn product(place: String, product: Result<ManifestProduct<Image>, Refusal>) -> Self {
        Self::of(place, product.map(Line::Product))
    }

    fn rows(&self) -> usize {
        1 + self.further
    }
}

/// Something that a source says and a product does not hold as it is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    pub place: String,
    pub detail: String,
    pub kind: RemarkKind,
}

/// What a remark is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RemarkKind {
    /// Nothing is lost.
    Note,
    /// A value or a picture is left out.
    Lost,
    /// A picture is at an address and was not fetched.
    Unfetched,
}

impl Remark {
    pub fn note(place: String, detail: String) -> Self {
        let kind = RemarkKind::Note;
        Self { place, detail, kind }
    }

    pub fn lost(place: String, detail: String) -> Self {
        let kind = RemarkKind::Lost;
        Self { place, detail, kind }
    }

    pub fn unfetched(place: String, detail: String) -> Self {
        let kind = RemarkKind::Unfetched;
        Self { place, detail, kind }
    }
}

/// The results of an ingest: what became of every row of the source.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Ingested {
    /// Rows that became a new product.
    pub stored: usize,
    /// Further rows of a product.
    pub joined: usize,
    /// Rows that changed a product.
    pub merged: usize,
    /// Rows that deleted a product.
    pub deleted: usize,
    /// Rows whose product took the place of one with its id.
    pub replaced: usize,
    /// Rows of products that were stored already and left as they were.
    pub skipped: usize,
    /// Rows of invalid products.
    pub failed: usize,
    /// Values and pictures of stored products that were left out.
    pub lost: usize,
    /// Pictures that were not fetched.
    pub unfetched: usize,
}

/// How a source is ingested.
#[derive(Debug, Clone, Copy)]
pub struct IngestOptions {
    /// Whether to skip products that are stored already.
    pub resume: bool,
    pub threads: usize,
    /// The approximate number of products.
    pub expected: usize,
}

/// Stores every product that a source offers, batch by batch; `report` is called for each remark and each invalid product,
/// with its place.
///
/// # Errors
/// If the catalogue's embeddings are of another origin, or it cannot be written to.
pub async fn ingest(
    catalogue: &Catalogue,
    maker: &Maker,
    offered: impl Iterator<Item = Offered>,
    options: IngestOptions,
    progress: &Progress,
    mut report: impl FnMut(&str, &Refusal),
) -> Result<Ingested, ServiceError> {
    let (origin, file) = ((*maker.origin).clone(), maker.model.file.clone());
    match catalogue.origin().await? {
        Some(found) if found == origin => catalogue.keep_model(origin, file).await?,
        Some(found) if catalogue.count().await? > 0 => return Err(ServiceError::OtherOrigin { found }),
        _ => catalogue.set_origin(origin, file).await?,
    }
    progress.enter(Stage::Embedding, options.expected);
    let mut ingest = Ingest {
        catalogue,
        maker,
        threads: options.threads,
        progress,
        report: &mut report,
        done: Ingested::default(),
    };
    let mut offered = offered.peekable();
    while offered.peek().is_some() {
        let mut batch = Batch::default();
        // Lines are done in order: a batch has products, or changes of products.
        while batch.products.len() + batch.changes.len() < BATCH
            && batch.bytes < BATCH_BYTES
            && let Some(entry) = offered.next_if(|entry| batch.takes(entry))
        {
            let id = match &entry.line {
                Ok(Line::Product(product)) if options.resume => Some(product.id.as_str().to_owned()),
                _ => None,
            };
            if let Some(id) = id
                && catalogue.holds(id, Work::OWN).await?
            {
                ingest.done.skipped += entry.rows();
                progress.advance(1);
                continue;
            }
            ingest.take(entry, &mut batch);
        }
        ingest.store(batch.products).await?;
        ingest.change(batch.changes).await?;
    }
    Ok(ingest.done)
}

/// Lines that are done together.
#[derive(Debug, Default)]
struct Batch {
    /// With their places, and the number of their rows.
    products: Vec<(String, usize, ManifestProduct<Image>)>,
    bytes: u64,
    /// With their places and ids.
    changes: Vec<(String, String, Write)>,
}

impl Batch {
    fn takes(&self, entry: &Offered) -> bool {
        match &entry.line {
            Err(_) => true,
            Ok(Line::Product(_)) => self.changes.is_empty(),
            Ok(Line::Changes { .. } | Line::Deletion(_)) => self.products.is_empty(),
        }
    }
}

/// An ingest, and its results so far.
struct Ingest<'a> {
    catalogue: &'a Catalogue,
    maker: &'a Maker,
    threads: usize,
    progress: &'a Progress,
    report: &'a mut dyn FnMut(&str, &Refusal),
    done: Ingested,
}

impl Ingest<'_> {
    /// Adds an entry to a batch, or reports why it is invalid.
    fn take(&mut self, entry: Offered, batch: &mut Batch) {
        let rows = entry.rows();
        let known = entry.line.as_ref().ok().map(|line| line.id().as_str().to_owned());
        for remark in &entry.remarks {
            match remark.kind {
                RemarkKind::Note => {}
                RemarkKind::Lost => self.done.lost += 1,
                RemarkKind::Unfetched => self.done.unfetched += 1,
            }
            let id = known.clone();
            let detail = remark.detail.clone();
            (self.report)(&remark.place, &Refusal { id, detail });
        }
        match entry.line {
            Ok(Line::Product(product)) => {
                batch.bytes += product.pictures.iter().map(Image::bytes).sum::<u64>();
                batch.products.push((entry.place, rows, product));
            }
            Ok(Line::Changes {
                id,
                title,
                attributes,
            }) => {
                let id = id.as_str().to_owned();
                let write = Write::Merge {
                    id: id.clone(),
                    title,
                    attributes,
                };
                batch.changes.push((entry.place, id, write));
            }
            Ok(Line::Deletion(id)) => {
                let id = id.as_str().to_owned();
                batch
                    .changes
                    .push((entry.place, id.clone(), Write::Delete { id }));
            }
            Err(refusal) => {
                self.done.failed += rows;
                self.progress.advance(1);
                (self.report)(&entry.place, &refusal);
            }
        }
    }

    /// Embeds products on all threads and stores them.
    async fn store(
        &mut self,
        fresh: Vec<(String, usize, ManifestProduct<Image>)>,
    ) -> Result<(), ServiceError> {
        if fresh.is_empty() {
            return Ok(());
        }
        let (maker, progress) = (self.maker, self.progress);
        let make = || Embedder::new(Arc::clone(&maker.model), DecodeLimits::default());
        let made = in_parallel(self.threads, fresh.len(), make, |embedder, index| {
            let made = new_product(embedder, &fresh[index].2, maker);
            progress.advance(1);
            made
        });
        let mut products = Vec::with_capacity(fresh.len());
        for ((place, rows, _), made) in fresh.iter().zip(made) {
            match made {
                Ok(product) => {
                    products.push(product);
                    self.done.joined += rows - 1;
                }
                Err(refusal) => {
                    self.done.failed += rows;
                    (self.report)(place, &refusal);
                }
            }
        }
        let count = products.len();
        let created = self.catalogue.store_all(products).await?;
        self.done.stored += created;
        self.done.replaced += count - created;
        Ok(())
    }

    /// Changes and deletes products.
    async fn change(&mut self, changes: Vec<(String, String, Write)>) -> Result<(), ServiceError> {
        if changes.is_empty() {
            return Ok(());
        }
        let writes = changes.iter().map(|(_, _, write)| write.clone()).collect();
        let answers = self.catalogue.change(writes).await?;
        for ((place, id, write), answer) in changes.into_iter().zip(answers) {
            self.progress.advance(1);
            match (write, answer) {
                (Write::Delete { .. }, Ok(_)) => self.done.deleted += 1,
                // It is done.
                (Write::Delete { .. }, Err(CatalogueError::NoProduct { .. })) => {}
                (_, Ok(_)) => self.done.merged += 1,
                (_, Err(error)) => {
                    let detail = not_merged(error)?;
                    self.done.failed += 1;
                    (self.report)(&place, &Refusal::of(&id, detail));
                }
            }
        }
        Ok(())
    }
}

/// Reads and embeds the pictures of a product.
fn new_product(
    embedder: &mut Embedder,
    product: &ManifestProduct<Image>,
    maker: &Maker,
) -> Result<NewProduct, Refusal> {
    let refuse = |reason: String| Refusal::of(product.id.as_str(), format!("image: {reason}"));
    let picture = |(image, mode): (&Image, &Mode)| {
        let bytes = image.read().map_err(refuse)?;
        let new = embedder.new_picture(&bytes, maker, *mode, &Work::OWN);
        new.map(|(picture, _)| picture)
            .map_err(|error| refuse(error.to_string()))
    };
    Ok(NewProduct {
        id: product.id.clone(),
        title: product.title.clone(),
        attributes: product.attributes.clone(),
        pictures: product
            .pictures
            .iter()
            .zip(&product.modes)
            .map(picture)
            .collect::<Result<_, _>>()?,
    })
}
