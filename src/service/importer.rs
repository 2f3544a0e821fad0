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
use super::ended::Ended;
use super::error::ServiceError;
use super::makers::{LOOK, Makers};
use crate::admission::Work;
use crate::catalogue::import::{ImportStep, Missing};
use crate::catalogue::manifest::{self, Line, ManifestProduct, Refusal};
use crate::catalogue::write::{Write, Written};
use crate::catalogue::{Catalogue, CatalogueError, NewProduct};
use crate::chips::Embedder;

/// Lines that are claimed at a time, and about how many bytes of them.
const LINES: usize = 64;
const BYTES: usize = 8 << 20;
/// Lines that are written in one transaction, while the next ones are embedded.
const GROUP: usize = 16;
/// Products that are removed as missing in one transaction: other writes go on in between. On a full disk fewer, for which
/// the reserve has room.
const REMOVED: [usize; 2] = [256, 16];
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
    /// Told of each import that has ended.
    pub ended: Ended,
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
            if lease.missing == Missing::Delete && !self.remove_missing(&id)? {
                return Ok(true);
            }
            self.write_one(&id, ImportStep::Done)?;
            self.job.ended.tell(&id);
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
                if !self.write(&mut writing, group)? {
                    return Ok(true);
                }
            }
        }
        if !(self.write(&mut writing, group)? && self.write(&mut writing, Vec::new())?) {
            return Ok(true);
        }
        let each = start.elapsed().as_nanos() / u128::try_from(count).unwrap_or(1).max(1);
        self.pace
            .store(u64::try_from(each).unwrap_or(u64::MAX), Ordering::Relaxed);
        Ok(true)
    }

    /// Removes what an import did not name, some products at a time; false if the thread must stop first.
    fn remove_missing(&self, id: &str) -> Result<bool, ServiceError> {
        let (mut after, mut most) = (None, REMOVED[0]);
        let mut removed = 0;
        loop {
            if self.stops() {
                return Ok(false);
            }
            let step = ImportStep::RemoveMissing {
                after: after.clone(),
                most,
            };
            match self.write_one(id, step) {
                Err(ServiceError::Catalogue(CatalogueError::Full { .. })) if most > REMOVED[1] => {
                    most = REMOVED[1];
                }
                Err(error) => return Err(error),
                Ok(written) => {
                    removed += written.removed.products;
                    after = written.removed.next;
                    if after.is_none() {
                        tracing::info!(import = id, removed, "products that were missing are removed");
                        return Ok(true);
                    }
                }
            }
        }
    }

    fn write_one(&self, id: &str, step: ImportStep) -> Result<Written, ServiceError> {
        let id = id.to_owned();
        let writing = self.job.catalogue.write_many(vec![Write::Import { id, step }]);
        let answer = self.runtime.block_on(writing)?.pop();
        Ok(answer.unwrap_or(Err(CatalogueError::Panicked))?)
    }

    /// Waits for the previous group, then starts writing this one; false if some of the previous one must be done again
    /// before it, because lines are done in order.
    fn write(
        &self,
        writing: &mut Option<JoinHandle<Answers>>,
        group: Vec<Write>,
    ) -> Result<bool, ServiceError> {
        if let Some(before) = writing.take() {
            let answers = self.runtime.block_on(before);
            if !self.settle(answers.map_err(|_| CatalogueError::Panicked)?)? {
                return Ok(false);
            }
        }
        if !group.is_empty() {
            let catalogue = self.job.catalogue.clone();
            *writing = Some(
                self.runtime
                    .spawn(async move { catalogue.write_many(group).await }),
            );
        }
        Ok(true)
    }

    /// Gives the first error of a group of writes. A line whose embeddings are of another origin is still waiting (false):
    /// others were adopted in the meantime, and it is embedded again, by the maker that the catalogue has now.
    fn settle(&self, answers: Answers) -> Result<bool, ServiceError> {
        let mut others = false;
        for answer in answers? {
            match answer {
                Ok(_) => {}
                Err(CatalogueError::OtherOrigin) => others = true,
                Err(error) => return Err(error.into()),
            }
        }
        if others {
            self.runtime.block_on(self.job.makers.catch_up())?;
        }
        Ok(!others)
    }

    fn step_of(&mut self, import: &str, line: u64, data: &[u8]) -> ImportStep {
        let job = &mut self.job;
        let step = std::panic::catch_unwind(AssertUnwindSafe(|| job.step(line, data)));
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
    /// What a line asks for, or why it is invalid.
    fn step(&mut self, line: u64, data: &[u8]) -> ImportStep {
        let given = manifest::line(data).and_then(|given| match given {
            Line::Product(given) => Ok(ImportStep::Stored {
                line,
                product: self.product(given)?,
            }),
            Line::Changes {
                id,
                title,
                attributes,
            } => Ok(ImportStep::Merged {
                line,
                id: id.as_str().to_owned(),
                title,
                attributes,
            }),
            Line::Deletion(id) => Ok(ImportStep::Deleted {
                line,
                id: id.as_str().to_owned(),
            }),
        });
        given.unwrap_or_else(|refusal| ImportStep::Refused {
            line,
            product: refusal.id,
            detail: refusal.detail,
        })
    }

    fn product(&mut self, given: ManifestProduct) -> Result<NewProduct, Refusal> {
        let maker = self.makers.present();
        let mut pictures = Vec::with_capacity(given.pictures.len());
        for (bytes, mode) in given.pictures.iter().zip(given.modes) {
            let made = self.embedder.new_picture(bytes, &maker, mode, &Work::OWN);
            let (picture, embedded) =
                made.map_err(|error| Refusal::of(given.id.as_str(), format!("image: {error}")))?;
            self.counters.add(&embedded.emulation);
            pictures.push(picture);
        }
        Ok(NewProduct {
            id: given.id,
            title: given.title,
            attributes: given.attributes,
            pictures,
        })
    }
}
