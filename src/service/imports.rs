//! Imports over the wire: lines are stored as they come, then become products one after the other, through restarts.
//!
//! One thread of its own with a chip of its own works on them, so that searches keep theirs. A line becomes a product,
//! or an error by its number, in the transaction that takes it out of those that wait.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Instant;

use super::counters::Counters;
use super::embed::Embedder;
use super::ingest::new_picture;
use super::live::Current;
use super::manifest;
use super::writer::Writes;
use super::{Service, ServiceError};
use crate::catalogue::imports::{Import, ImportState, ImportStep, OpenImport};
use crate::catalogue::store::Reader;
use crate::catalogue::write::Write;
use crate::catalogue::{CatalogueError, NewProduct};
use engine::picture::DecodeLimits;

/// Lines of one group of writes.
const LINES: usize = 64;
/// Open imports that are told of at once.
pub const OPEN_IMPORTS: usize = 100;
/// Bytes of lines that are held at a time, about.
const BYTES: usize = 8 << 20;

/// Tells the thread that an import waits; the thread ends when this is gone or told to.
#[derive(Debug)]
pub struct Importer {
    wake: SyncSender<()>,
    stop: Arc<AtomicBool>,
    /// Nanoseconds that a line took lately; 0 before the first.
    pace: Arc<AtomicU64>,
}

/// What the thread works with.
#[derive(Debug)]
pub struct Work {
    pub reader: Reader,
    pub writes: Writes,
    pub embedder: Embedder,
    pub limits: DecodeLimits,
    /// Says what the catalogue's embeddings are made by.
    pub(super) current: Current,
    pub counters: Arc<Counters>,
}

impl Importer {
    /// Starts the thread, which first takes up what an earlier server left.
    pub fn start(work: Work) -> std::io::Result<Self> {
        // One waking is enough, however many imports wait.
        let (wake, woken) = sync_channel(1);
        let importer = Self {
            wake,
            stop: Arc::default(),
            pace: Arc::default(),
        };
        let (stop, pace) = (Arc::clone(&importer.stop), Arc::clone(&importer.pace));
        std::thread::Builder::new()
            .name("importer".to_owned())
            .spawn(move || run(work, &woken, &stop, &pace))?;
        Ok(importer)
    }

    fn wake(&self) {
        // Full: it has been woken and has not looked yet. Gone: it was told to stop.
        let _ = self.wake.try_send(());
    }

    /// How long so many lines take by the pace of the last ones; none before there is one.
    fn seconds_for(&self, lines: u64) -> Option<f64> {
        let pace = self.pace.load(Ordering::Relaxed);
        (pace != 0).then_some(lines as f64 * pace as f64 * 1e-9)
    }

    /// Tells it to stop after what it is at; the rest is taken up by the next server.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.wake();
    }
}

fn run(mut work: Work, woken: &Receiver<()>, stop: &AtomicBool, pace: &AtomicU64) {
    loop {
        match step(&mut work, stop, pace) {
            Ok(true) => {}
            Ok(false) => {
                if woken.recv().is_err() {
                    return;
                }
            }
            Err(error) => {
                tracing::error!(%error, "an import stands still; it is tried again in a second");
                std::thread::sleep(std::time::Duration::from_secs(1));
            }
        }
        if stop.load(Ordering::Acquire) {
            return;
        }
    }
}

/// Works on the next lines; false where none wait.
fn step(work: &mut Work, stop: &AtomicBool, pace: &AtomicU64) -> Result<bool, ServiceError> {
    let Some(waiting) = work.reader.waiting(LINES, BYTES)? else {
        return Ok(false);
    };
    let id = waiting.import;
    if waiting.lines.is_empty() {
        let done = work.writes.hand_in(Write::Import {
            id: id.clone(),
            step: ImportStep::Done,
        })?;
        Writes::wait(done)?;
        tracing::info!(import = id, "an import is done");
        return Ok(true);
    }
    let start = Instant::now();
    let count = waiting.lines.len();
    let mut answers = Vec::with_capacity(count);
    for (line, data) in waiting.lines {
        if stop.load(Ordering::Acquire) {
            break;
        }
        let step = std::panic::catch_unwind(AssertUnwindSafe(|| become_product(work, line, &data)));
        let step = step.unwrap_or_else(|_| {
            tracing::error!(
                import = id,
                line,
                "a line made its chip panic; the chip is replaced"
            );
            work.embedder = Embedder::new(Arc::clone(&work.current.maker().model), work.limits);
            ImportStep::Refused {
                line,
                product: None,
                detail: "the server failed on this line; the cause is in its log".to_owned(),
            }
        });
        let write = Write::Import { id: id.clone(), step };
        answers.push(work.writes.hand_in(write)?);
    }
    for answer in answers {
        match Writes::wait(answer) {
            // Other embeddings took over meanwhile: the line waits still, and is embedded once more.
            Err(ServiceError::Catalogue(CatalogueError::OtherEmbeddings)) => {}
            answer => drop(answer?),
        }
    }
    let each = start.elapsed().as_nanos() / u128::try_from(count).unwrap_or(1).max(1);
    pace.store(u64::try_from(each).unwrap_or(u64::MAX), Ordering::Relaxed);
    Ok(true)
}

fn become_product(work: &mut Work, line: u64, data: &[u8]) -> ImportStep {
    let given = match manifest::product(data) {
        Ok(given) => given,
        Err(refusal) => {
            return ImportStep::Refused {
                line,
                product: refusal.id,
                detail: refusal.detail,
            };
        }
    };
    let maker = work.current.maker();
    let mut pictures = Vec::with_capacity(given.pictures.len());
    for bytes in &given.pictures {
        match new_picture(&mut work.embedder, bytes, &maker, given.mode) {
            Ok((picture, embedded)) => {
                work.counters.add(&embedded.emulation);
                pictures.push(picture);
            }
            Err(error) => {
                return ImportStep::Refused {
                    line,
                    product: Some(given.id.as_str().to_owned()),
                    detail: format!("image: {error}"),
                };
            }
        }
    }
    ImportStep::Stored {
        line,
        product: NewProduct {
            id: given.id,
            title: given.title,
            attributes: given.attributes,
            pictures,
        },
    }
}

/// An import whose lines are coming in; dropped before it is whole, it is given up.
#[derive(Debug)]
pub struct Receiving {
    writes: Writes,
    id: String,
    whole: bool,
}

/// An import as answers show it.
#[derive(Debug)]
pub struct ImportStatus {
    pub import: Import,
    /// By the pace of the last lines; none before there is one.
    pub seconds_left: Option<f64>,
}

/// An import that is not at its end, as those see it who watch.
#[derive(Debug)]
pub struct OpenImportStatus {
    pub import: OpenImport,
    /// Until its last line is taken up, those of earlier imports first; none before there is a pace.
    pub seconds_left: Option<f64>,
}

impl Service {
    /// Opens an import under a new name.
    pub async fn begin_import(&self, id: String, deadline: Instant) -> Result<Receiving, ServiceError> {
        let receiving = Receiving {
            writes: self.live()?.writes.clone(),
            id,
            whole: false,
        };
        receiving.step(ImportStep::Begun, deadline).await?;
        Ok(receiving)
    }

    /// Lets the importer look for imports that are whole.
    pub fn wake_importer(&self) -> Result<(), ServiceError> {
        self.live()?.importer.wake();
        Ok(())
    }

    /// Where an import stands.
    pub async fn import(&self, id: String) -> Result<ImportStatus, ServiceError> {
        self.read(move |live, reader| {
            let import = reader.import(&id)?.ok_or(CatalogueError::NoImport { id })?;
            let seconds_left = match import.state {
                ImportState::Done | ImportState::Failed => Some(0.0),
                _ => live
                    .importer
                    .seconds_for(import.received - import.stored - import.failed),
            };
            Ok(ImportStatus { import, seconds_left })
        })
        .await
    }

    /// The imports that are not at their end, the oldest first, at most [`OPEN_IMPORTS`] of them.
    pub async fn open_imports(&self) -> Result<Vec<OpenImportStatus>, ServiceError> {
        self.read(|live, reader| {
            let mut before = 0;
            let open = reader.open_imports(OPEN_IMPORTS)?.into_iter().map(|import| {
                // One is worked on after the other.
                before += import.received - import.stored - import.failed;
                let seconds_left = live.importer.seconds_for(before);
                OpenImportStatus { import, seconds_left }
            });
            Ok(open.collect())
        })
        .await
    }
}

impl Receiving {
    /// Stores some lines, durably.
    pub async fn lines(&mut self, lines: Vec<(u64, Vec<u8>)>, deadline: Instant) -> Result<(), ServiceError> {
        self.step(ImportStep::Received(lines), deadline).await
    }

    /// All lines are there: they become products once the importer looks.
    pub async fn whole(mut self, deadline: Instant) -> Result<(), ServiceError> {
        self.step(ImportStep::Whole, deadline).await?;
        self.whole = true;
        Ok(())
    }

    async fn step(&self, step: ImportStep, deadline: Instant) -> Result<(), ServiceError> {
        let id = self.id.clone();
        let write = Write::Import { id, step };
        self.writes.write(write, deadline).await.map(|_| ())
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        if !self.whole {
            // Where there is no room for this either, the next start drops the lines.
            self.writes.tell(Write::Import {
                id: self.id.clone(),
                step: ImportStep::Broken,
            });
        }
    }
}
