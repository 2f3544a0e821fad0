//! The thread that turns imported lines into products, with a chip of its own, so that searches keep theirs.
//!
//! The transaction that stores a line's product, or its error, also removes the line from the waiting ones: an import
//! survives a restart.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvError, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use engine::picture::DecodeLimits;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::counters::Counters;
use super::error::ServiceError;
use super::makers::{LOOK, Makers};
use crate::admission::Work;
use crate::catalogue::import::ImportStep;
use crate::catalogue::write::{Write, Written};
use crate::catalogue::{Catalogue, CatalogueError, NewProduct, manifest};
use crate::chips::Embedder;

/// Lines that are claimed at a time, and about how many bytes of them.
const LINES: usize = 64;
const BYTES: usize = 8 << 20;
/// Lines that are written in one transaction, while the next ones are embedded.
const GROUP: usize = 16;
/// The pause after a failure, for instance a full disk.
const RETRY: Duration = Duration::from_secs(1);

/// A handle to the importer's thread.
#[derive(Debug)]
pub struct Importer {
    wake: SyncSender<()>,
    stop: Arc<AtomicBool>,
    /// Nanoseconds per line in the last batch; 0 before the first.
    pace: Arc<AtomicU64>,
}

/// The thread's resources.
#[derive(Debug)]
pub struct Job {
    pub catalogue: Catalogue,
    pub embedder: Embedder,
    pub limits: DecodeLimits,
    /// The makers of the catalogue's embeddings.
    pub makers: Makers,
    pub counters: Arc<Counters>,
}

impl Importer {
    /// Starts the thread, which first continues the unfinished imports. Must be called on a tokio runtime.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub fn start(job: Job) -> std::io::Result<Self> {
        // One wake-up is enough, however many imports wait.
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

    /// Wakes the thread to look for waiting lines.
    pub fn wake(&self) {
        // Full: a wake-up is pending. Disconnected: the thread has stopped.
        let _ = self.wake.try_send(());
    }

    /// Stops the thread after its current line; the next start continues.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.wake();
    }

    /// Set when the thread must stop.
    #[must_use]
    pub fn stop_flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.stop)
    }

    /// The time for `lines` at the current pace; `None` before the first line.
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
                    if self.wait(woken).is_err() {
                        return;
                    }
                }
                Err(_) if self.stops() => return,
                Err(error) => {
                    tracing::error!(%error, "an import failed; retrying in a second");
                    std::thread::sleep(RETRY);
                }
            }
            if self.stops() {
                return;
            }
        }
    }

    /// Waits until lines may be waiting; fails once nobody wakes it any more.
    fn wait(&self, woken: &Receiver<()>) -> Result<(), RecvError> {
        if !self.job.makers.shared {
            return woken.recv();
        }
        // Another server may have received some.
        match woken.recv_timeout(LOOK) {
            Ok(()) | Err(RecvTimeoutError::Timeout) => Ok(()),
            Err(RecvTimeoutError::Disconnected) => Err(RecvError),
        }
    }

    fn stops(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// Processes the next lines; false if none are waiting.
    fn step(&mut self) -> Result<bool, ServiceError> {
        let lease = self.runtime.block_on(self.job.catalogue.claim(LINES, BYTES))?;
        let Some(lease) = lease else { return Ok(false) };
        let id = lease.import;
        if lease.lines.is_empty() {
            let step = ImportStep::Done;
            let done = Write::Import { id: id.clone(), step };
            self.settle(self.runtime.block_on(self.job.catalogue.write_many(vec![done])))?;
            tracing::info!(import = id, "import done");
            return Ok(true);
        }
        let start = Instant::now();
        let count = lease.lines.len();
        let mut group = Vec::with_capacity(GROUP);
        // One group is written while the next is embedded; lines keep their order.
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

    /// Waits for the previous group, then starts writing this one.
    fn write(
        &self,
        writing: &mut Option<JoinHandle<Answers>>,
        group: Vec<Write>,
    ) -> Result<(), ServiceError> {
        if let Some(before) = writing.take() {
            let answers = self.runtime.block_on(before);
            self.settle(answers.map_err(|_| CatalogueError::Panicked)?)?;
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

    /// Gives the first error of a group of writes. A line whose embeddings are of another origin is still waiting: others
    /// were adopted in the meantime, and it is embedded again, by the maker that the catalogue has now.
    fn settle(&self, answers: Answers) -> Result<(), ServiceError> {
        let mut others = false;
        for answer in answers? {
            match answer {
                Ok(_) => {}
                Err(CatalogueError::OtherOrigin) => others = true,
                Err(error) => return Err(error.into()),
            }
        }
        match others {
            true => self.runtime.block_on(self.job.makers.catch_up()),
            false => Ok(()),
        }
    }

    fn step_of(&mut self, import: &str, line: u64, data: &[u8]) -> ImportStep {
        let job = &mut self.job;
        let step = std::panic::catch_unwind(AssertUnwindSafe(|| job.product(line, data)));
        step.unwrap_or_else(|_| {
            tracing::error!(
                import,
                line,
                "a line made the emulated chip panic; the chip is replaced"
            );
            let model = &self.job.makers.present().model;
            self.job.embedder = Embedder::new(Arc::clone(model), self.job.limits);
            ImportStep::Refused {
                line,
                product: None,
                detail: "the server failed on this line; see its log".to_owned(),
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
            match self.embedder.new_picture(bytes, &maker, given.mode, &Work::OWN) {
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
