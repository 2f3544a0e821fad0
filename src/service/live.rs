//! What answers now: a model with its index, as one thing, so that no request ever meets one without the other.
//!
//! A request takes a [`Live`] once and uses nothing else; another model takes its place between two requests.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::ServiceError;
use super::imports::Importer;
use super::index::Index;
use super::maker::Maker;
use super::progress::Progress;
use super::writer::{SharedIndex, Writes, lend};
use crate::catalogue::store::Reader;

/// A catalogue that is ready to be searched, and what its embeddings are made by.
#[derive(Debug, Clone)]
pub struct Live {
    pub maker: Arc<Maker>,
    pub(super) index: SharedIndex,
    pub(super) readers: Arc<Readers>,
    pub(super) writes: Writes,
    pub(super) importer: Arc<Importer>,
}

impl Live {
    pub(super) fn index(&self) -> RwLockReadGuard<'_, Index> {
        lend(&self.index)
    }
}

/// Connections that only read: one a chip, so that no worker waits for another's read.
#[derive(Debug)]
pub struct Readers {
    idle: Mutex<Vec<Reader>>,
    /// The data directory, which the writer owns.
    folder: PathBuf,
}

impl Readers {
    pub(super) fn new(idle: Vec<Reader>, folder: PathBuf) -> Self {
        Self {
            idle: Mutex::new(idle),
            folder,
        }
    }

    pub(super) fn with<T>(
        &self,
        read: impl FnOnce(&Reader) -> Result<T, ServiceError>,
    ) -> Result<T, ServiceError> {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = idle().pop();
        // A panicking job takes its reader along; a new one is opened in its place.
        let reader = match taken {
            Some(reader) => reader,
            None => Reader::open(&self.folder)?,
        };
        let result = read(&reader);
        idle().push(reader);
        result
    }
}

/// How far the service has come.
#[derive(Debug, Clone)]
pub(super) enum Phase {
    Loading,
    Failed(String),
    Ready(Arc<Live>),
    Draining,
}

/// Embeddings by another model, probe or T on their way.
#[derive(Debug)]
pub struct Reembedding {
    pub maker: Arc<Maker>,
    pub progress: Progress,
}

/// What answers, shared by all threads; the one place where it changes.
#[derive(Debug, Clone)]
pub(super) struct Current(Arc<RwLock<Now>>);

#[derive(Debug)]
struct Now {
    maker: Arc<Maker>,
    phase: Phase,
    reembedding: Option<Arc<Reembedding>>,
}

impl Current {
    pub fn new(maker: Arc<Maker>, reembedding: Option<Arc<Reembedding>>) -> Self {
        Self(Arc::new(RwLock::new(Now {
            maker,
            phase: Phase::Loading,
            reembedding,
        })))
    }

    fn read(&self) -> RwLockReadGuard<'_, Now> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Now> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// What makes embeddings now.
    pub fn maker(&self) -> Arc<Maker> {
        Arc::clone(&self.read().maker)
    }

    pub fn phase(&self) -> Phase {
        self.read().phase.clone()
    }

    /// What answers, if anything does.
    pub fn live(&self) -> Option<Arc<Live>> {
        match &self.read().phase {
            Phase::Ready(live) => Some(Arc::clone(live)),
            Phase::Loading | Phase::Failed(_) | Phase::Draining => None,
        }
    }

    pub fn reembedding(&self) -> Option<Arc<Reembedding>> {
        self.read().reembedding.clone()
    }

    /// Answers from now on; false if a signal came first.
    pub fn begin(&self, live: Arc<Live>) -> bool {
        let mut now = self.write();
        let begins = !matches!(now.phase, Phase::Draining);
        if begins {
            now.phase = Phase::Ready(live);
        }
        begins
    }

    pub fn turn(&self, phase: Phase) {
        self.write().phase = phase;
    }

    /// Lets another model and the index of its embeddings take over, as one.
    pub fn succeed(&self, maker: Arc<Maker>, index: SharedIndex) {
        let mut now = self.write();
        let mut before = None;
        if let Phase::Ready(live) = &now.phase {
            let next = Live {
                maker: Arc::clone(&maker),
                index,
                ..Live::clone(live)
            };
            before = Some(std::mem::replace(&mut now.phase, Phase::Ready(Arc::new(next))));
        }
        now.maker = maker;
        now.reembedding = None;
        // An index takes its time to be freed, and nobody is to wait for that.
        drop(now);
        drop(before);
    }
}
