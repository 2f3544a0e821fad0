//! A bounded pool of connections that read, and the threads that may wait for the disk.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::reader::Reader;
use crate::admission::{Lane, Work};
use crate::catalogue::error::CatalogueError;

/// A connection that nobody needed for so long is closed.
const IDLE: Duration = Duration::from_secs(30);

/// In each lane at most so many reads at a time, each with a connection of its own.
#[derive(Debug, Clone)]
pub struct Readers {
    short: Arc<Semaphore>,
    long: Arc<Semaphore>,
    /// The last one was used last.
    idle: Arc<Mutex<Vec<(Reader, Instant)>>>,
    data_dir: PathBuf,
}

impl Readers {
    /// A pool of up to `count` connections a lane, opened when they are needed.
    pub fn new(data_dir: &Path, count: usize) -> Self {
        Self {
            short: Arc::new(Semaphore::new(count.max(1))),
            long: Arc::new(Semaphore::new(count.max(1))),
            idle: Arc::default(),
            data_dir: data_dir.to_owned(),
        }
    }

    /// Reads on a thread that may wait for the disk, as soon as a connection is free. Dropped before that, it does nothing.
    pub async fn read<T: Send + 'static>(
        &self,
        work: Work,
        read: impl FnOnce(&Reader, &Work) -> Result<T, CatalogueError> + Send + 'static,
    ) -> Result<T, CatalogueError> {
        let places = match work.lane() {
            Lane::Short => &self.short,
            Lane::Long => &self.long,
        };
        let place = Arc::clone(places).acquire_owned().await;
        let place = place.map_err(|_| CatalogueError::Closed)?;
        let readers = self.clone();
        let task = tokio::task::spawn_blocking(move || {
            let _place = place;
            work.check()?;
            work.time(|| readers.with(|reader| read(reader, &work)))
        });
        task.await.map_err(|_| CatalogueError::Panicked)?
    }

    /// Reads on this thread, beside the pool's bound: for the few threads that read beside other work.
    pub fn with<T>(
        &self,
        read: impl FnOnce(&Reader) -> Result<T, CatalogueError>,
    ) -> Result<T, CatalogueError> {
        let idle = self.idle.lock().pop();
        // A panic takes its connection with it; a new one replaces it.
        let reader = match idle {
            Some((reader, _)) => reader,
            None => Reader::open(&self.data_dir)?,
        };
        let result = read(&reader);
        let now = Instant::now();
        let mut idle = self.idle.lock();
        idle.push((reader, now));
        let unused = idle.partition_point(|(_, used)| now.duration_since(*used) > IDLE);
        let closed: Vec<_> = idle.drain(..unused).collect();
        drop(idle);
        drop(closed);
        result
    }
}
