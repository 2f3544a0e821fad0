//! A bounded pool of connections that read, and the threads that may wait for the disk.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::reader::Reader;
use crate::catalogue::error::CatalogueError;

/// At most so many reads at a time, each with a connection of its own.
#[derive(Debug, Clone)]
pub struct Readers {
    places: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<Reader>>>,
    data_dir: PathBuf,
}

impl Readers {
    /// A pool of up to `count` connections, opened when they are needed.
    pub fn new(data_dir: &Path, count: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(count.max(1))),
            idle: Arc::default(),
            data_dir: data_dir.to_owned(),
        }
    }

    /// Reads on a thread that may wait for the disk, as soon as a connection is free. Dropped before that, it does nothing.
    pub async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Reader) -> Result<T, CatalogueError> + Send + 'static,
    ) -> Result<T, CatalogueError> {
        let place = Arc::clone(&self.places).acquire_owned().await;
        let place = place.map_err(|_| CatalogueError::Closed)?;
        let readers = self.clone();
        let task = tokio::task::spawn_blocking(move || {
            let _place = place;
            readers.with(read)
        });
        task.await.map_err(|_| CatalogueError::Panicked)?
    }

    /// Reads on this thread, beside the pool's bound: for the few threads of their own that work in the background.
    pub fn with<T>(
        &self,
        read: impl FnOnce(&Reader) -> Result<T, CatalogueError>,
    ) -> Result<T, CatalogueError> {
        let idle = self.idle.lock().pop();
        // A panic takes its connection with it; a new one replaces it.
        let reader = match idle {
            Some(reader) => reader,
            None => Reader::open(&self.data_dir)?,
        };
        let result = read(&reader);
        self.idle.lock().push(reader);
        result
    }
}
