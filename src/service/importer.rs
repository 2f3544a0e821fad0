//! The thread that makes products of imported lines, with a chip of its own so that searches keep theirs.
//!
//! A line becomes a product, or an error by its number, in the transaction that takes it out of those that wait: an import
//! survives a restart.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use engine::picture::DecodeLimits;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::counters::Counters;
use super::makers::Makers;
use crate::catalogue::import::ImportStep;
use crate::catalogue::write::{Write, Written};
use crate::catalogue::{Catalogue, CatalogueError, NewProduct, manifest};
use crate::chips::Embedder;

/// Lines that are claimed at a time, and about how many bytes of them.
const LINES: usize = 64;
const BYTES: usize = 8 << 20;
/// Lines that are written together, while the next ones are embedded.
const GROUP: usize = 16;
/// After a failure, as of a full disk, it is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Wakes the thread, and stops it.
#[derive(Debug)]
pub struct Importer {
    wake: SyncSender<()>,
    stop: Arc<AtomicBool>,
    /// Nanoseconds that a line took lately; 0 before the first.
    pace: Arc<AtomicU64>,
}

/// What the thread works with.
#[derive(Debug)]
pub struct Job {
    pub catalogue: Catalogue,
    pub embedder: Embedder,
    pub limits: DecodeLimits,
    /// Says what the catalogue's embeddings are made by.
    pub makers: Makers,
    pub counters: Arc<Counters>,
}

impl Importer {
    /// Starts the thread, which first continues what an earlier server left. Must be called on a tokio runtime.
    ///
    /// # Errors
    /// If the system starts no thread.
    pub fn start(job: Job) -> std::io::Result<Self> {
        // One waking is enough, however many imports wait.
        let (wake, woken) = sync_channel(1);
        let importer = Self {
            wake,
            stop: Arc::default(),
            pace: Arc::default(),
        };
        let mut worker = Worker {
            job,
            runtime: Handle::current(),
            stop: Arc::clone(&importer.stop),
            pace: Arc::clone(&importer.pace),
        };
        std::thread::Builder::new()
            .name("importer".to_owned())
            .spawn(move || worker.run(&woken))?;
        Ok(importer)
    }

    /// Lets the thread look for lines that wait.
    pub fn wake(&self) {
        // Full: it has been woken and has not looked yet. Disconnected: it was stopped.
        let _ = self.wake.try_send(());
    }

    /// Stops the thread after the line that it works on; the next server continues.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.wake();
    }

    /// Set once the thread is to stop.
    #[must_use]
    pub fn stop_flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.stop)
    }

    /// How long so many lines take at the pace of the last ones; none before the first.
    #[must_use]
    pub fn seconds_for(&self, lines: u64) -> Option<f64> {
        let pace = self.pace.load(Ordering::Relaxed);
        (pace != 0).then_some(lines as f64 * pace as f64 * 1e-9)
    }
}

type Answers = Result<Vec<Result<Written, CatalogueError>>, CatalogueError>;

struct Worker {
    job: Job,
    runtime: Handle,
    stop: Arc<AtomicBool>,
    pace: Arc<AtomicU64>,
}

impl Worker {
    fn run(&mut self, woken: &Receiver<()>) {
        loop {
            match self.step() {
                Ok(true) => {}
                Ok(false) => {
                    if woken.recv().is_err() {
                        return;
                    }
                }
                Err(_) if self.stops() => return,
                Err(error) => {
                    tracing::error!(%error, "an import cannot go on; it is tried again in a second");
                    std::thread::sleep(RETRY);
                }
            }
            if self.stops() {
                return;
            }
        }
    }

    fn stops(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// Works on the next lines; false where none wait.
    fn step(&mut self) -> Result<bool, CatalogueError> {
        let lease = self.runtime.block_on(self.job.catalogue.claim(LINES, BYTES))?;
        let Some(lease) = lease else { return Ok(false) };
        let id = lease.import;
        if lease.lines.is_empty() {
            let step = ImportStep::Done;
            let done = Write::Import { id: id.clone(), step };
            settled(self.runtime.block_on(self.job.catalogue.write_many(vec![done])))?;
            tracing::info!(import = id, "an import is done");
            return Ok(true);
        }
        let start = Instant::now();
        let count = lease.lines.len();
        let mut group = Vec::with_capacity(GROUP);
        // One group is written while the next one is embedded; lines keep their order.
        let mut writing: Option<JoinHandle<Answers>> = None;
        for (line, data) in lease.lines {
            if self.stops() {
                break;
            }
            let step = self.step_of(&id, line, &data);
            group.push(Write::Import { id: id.clone(), step });
            if group.len() == GROUP {
                let group = std::mem::replace(&mut group, Vec::with_capacity(GROUP));
                self.write(&mut writing, group)?;
            }
        }
        self.write(&mut writing, group)?;
        self.write(&mut writing, Vec::new())?;
        let each = start.elapsed().as_nanos() / u128::try_from(count).unwrap_or(1).max(1);
        self.pace
            .store(u64::try_from(each).unwrap_or(u64::MAX), Ordering::Relaxed);
        Ok(true)
    }

    /// Waits for the group before, then lets this one be written.
    fn write(
        &self,
        writing: &mut Option<JoinHandle<Answers>>,
        group: Vec<Write>,
    ) -> Result<(), CatalogueError> {
        if let Some(before) = writing.take() {
            let answers = self.runtime.block_on(before);
            settled(answers.map_err(|_| CatalogueError::Panicked)?)?;
        }
        if !group.is_empty() {
            let catalogue = self.job.catalogue.clone();
            *writing = Some(
                self.runtime
                    .spawn(async move { catalogue.write_many(group).await }),
            );
        }
        Ok(())
    }

    fn step_of(&mut self, import: &str, line: u64, data: &[u8]) -> ImportStep {
        let job = &mut self.job;
        let step = std::panic::catch_unwind(AssertUnwindSafe(|| job.product(line, data)));
        step.unwrap_or_else(|_| {
            tracing::error!(import, line, "a line made its chip panic; the chip is replaced");
            let model = &self.job.makers.present().model;
            self.job.embedder = Embedder::new(Arc::clone(model), self.job.limits);
            ImportStep::Refused {
                line,
                product: None,
                detail: "the server failed on this line; the cause is in its log".to_owned(),
            }
        })
    }
}

impl Job {
    /// The product that a line describes, or why it is invalid.
    fn product(&mut self, line: u64, data: &[u8]) -> ImportStep {
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
        let maker = self.makers.present();
        let mut pictures = Vec::with_capacity(given.pictures.len());
        for bytes in &given.pictures {
            match self.embedder.new_picture(bytes, &maker, given.mode) {
                Ok((picture, embedded)) => {
                    self.counters.add(&embedded.emulation);
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
}

/// Whether every write of a group is done.
fn settled(answers: Answers) -> Result<(), CatalogueError> {
    for answer in answers? {
        match answer {
            // Other embeddings were adopted in the meantime: the line still waits, and is embedded again.
            Ok(_) | Err(CatalogueError::OtherOrigin) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
