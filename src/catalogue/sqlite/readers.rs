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
        self.idle.lock().push((reader, Instant::now()));
        result
    }

    /// Closes the connections that nobody needed for long.
    pub fn close_idle(&self) {
        self.close_unused(IDLE);
    }

    fn close_unused(&self, time: Duration) {
        let mut idle = self.idle.lock();
        let unused = idle.partition_point(|(_, used)| used.elapsed() > time);
        let closed: Vec<_> = idle.drain(..unused).collect();
        // Closing takes its time, and no read is to wait for that.
        drop(idle);
        drop(closed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::catalogue::sqlite::reader::JOURNAL;
    use crate::catalogue::sqlite::store::Store;

    /// How many connections this process has to a database: each has its journal open. (The database's own descriptors are
    /// kept by SQLite for the next connection, since closing one would drop the locks of all.)
    fn open(journal: &Path) -> usize {
        let files = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
        files
            .filter(|file| std::fs::read_link(file.path()).is_ok_and(|path| path == journal))
            .count()
    }

    #[tokio::test]
    async fn as_many_connections_are_open_as_may_read_and_all_are_closed_when_nobody_reads() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        let _store = Store::open(&folder).unwrap();
        let journal = folder.join(JOURNAL);
        let before = open(&journal);
        let readers = Readers::new(&folder, 2);
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let reads = (0..20).map(|_| {
            let (readers, now, most) = (readers.clone(), Arc::clone(&now), Arc::clone(&most));
            tokio::spawn(async move {
                let read = move |reader: &Reader, _: &Work| {
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    std::thread::sleep(Duration::from_millis(5));
                    now.fetch_sub(1, Ordering::SeqCst);
                    reader.products()
                };
                readers.read(Work::OWN, read).await
            })
        });
        for read in reads.collect::<Vec<_>>() {
            assert_eq!(read.await.unwrap().unwrap(), 0);
        }
        assert_eq!(most.load(Ordering::SeqCst), 2);
        assert_eq!(open(&journal), before + 2);
        readers.close_unused(Duration::from_secs(3600));
        assert_eq!(open(&journal), before + 2, "they are needed again soon");
        readers.close_unused(Duration::ZERO);
        assert_eq!(open(&journal), before);
        assert_eq!(readers.with(Reader::products).unwrap(), 0);
    }
}
