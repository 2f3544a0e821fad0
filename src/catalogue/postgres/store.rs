//! The connection to a database: a pool, its limits, transactions that are done again after a conflict, and what of all
//! that is measured.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};
use sqlx::{PgConnection, PgPool};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::connections::{Held, Watch};
use super::error::{Failure, is_conflict};
use super::kept_counts::KeptCounts;
use super::measured::{Kind, Measured};
use super::spaces::{Space, Spaces};
use crate::admission::{Lane, Work};
use crate::catalogue::error::CatalogueError;
use crate::catalogue::options::StoreOptions;
use crate::catalogue::origin::Origin;
use crate::catalogue::recall::Recalls;

/// How often a transaction is begun again that lost a conflict.
const RETRIES: u32 = 5;
/// Writes that wait for a connection.
const WAITING: usize = 256;
/// The advisory lock that writes share and a change of the present space takes alone.
pub const WRITES: i64 = 0x7370_696b_6500;
/// The advisory lock of the server that builds an index.
pub const BUILDING: i64 = WRITES + 1;
/// The advisory lock of the server that drops what was replaced.
pub const SWEEPING: i64 = WRITES + 2;

/// Reads on a connection, once more on another one if it was broken: `read!(store, kind, work, |connection| { ... })`.
macro_rules! read {
    ($store:expr, $kind:expr, $work:expr, |$connection:ident| $read:block) => {{
        let mut broken = 0;
        loop {
            let mut reading = $store.connection($kind, &$work).await?;
            let read: Result<_, $crate::catalogue::error::CatalogueError> = async {
                let $connection: &mut sqlx::PgConnection = &mut reading;
                $read
            }
            .await;
            if let Some(read) = reading.end(read, &mut broken).await {
                break read;
            }
        }
    }};
}

/// Does a transaction, again if it lost a conflict: `transact!(store, kind, |connection| { ... })`. It must change nothing
/// but the database. A macro, because the compiler cannot yet tell that such a closure may change threads.
macro_rules! transact {
    ($store:expr, $kind:expr, |$connection:ident| $change:block) => {{
        let mut attempts = $store.attempts($kind);
        loop {
            let mut transaction = attempts.begin().await?;
            let changed = async {
                let $connection: &mut sqlx::PgConnection = &mut transaction;
                $change
            }
            .await;
            if let Some(done) = attempts.end(transaction, changed).await {
                break done;
            }
        }
    }};
}

pub(super) use {read, transact};

/// A catalogue in a PostgreSQL database; its clones share it.
#[derive(Debug, Clone)]
pub struct Postgres(pub(super) Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    pub pool: PgPool,
    /// Where the database is, without the password.
    pub place: String,
    pub server: Uuid,
    pub runtime: Handle,
    pub options: StoreOptions,
    /// What this server answers from, once it is loaded.
    pub loaded: RwLock<Option<Space>>,
    pub pictures: AtomicUsize,
    pub watch: Arc<Watch>,
    pub closed: AtomicBool,
    pub measured: Measured,
    pub recalls: Recalls,
    pub counts: KeptCounts,
    /// The task that says that this server works.
    pub heart: Mutex<Option<JoinHandle<()>>>,
    /// The space that pictures are embedded for, and the last one that this server was given.
    pub embedded_to: Mutex<(i64, i64)>,
    /// Long reads leave connections to short ones.
    pub long: Semaphore,
    pub writes: Semaphore,
    pub waiting: AtomicUsize,
}

impl Postgres {
    /// Where the database is, without the password.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.0.place
    }

    pub(super) fn loaded(&self) -> Result<Space, CatalogueError> {
        self.0.loaded.read().clone().ok_or(CatalogueError::NotLoaded)
    }

    /// The spaces as the database has them; those that this server answers from follow.
    pub(super) async fn spaces(&self) -> Result<Spaces, CatalogueError> {
        let spaces = read!(self, Kind::Look, Work::OWN, |connection| {
            Spaces::read(connection).await
        })?;
        self.follow(&spaces);
        Ok(spaces)
    }

    /// Answers from the present space from now on, if another server changed it.
    pub(super) fn follow(&self, spaces: &Spaces) {
        if let Some(present) = &spaces.present
            && let Some(loaded) = &mut *self.0.loaded.write()
        {
            loaded.clone_from(present);
        }
    }

    /// What made the embeddings that are searched; none before they are loaded.
    #[must_use]
    pub fn current_origin(&self) -> Option<Arc<Origin>> {
        let loaded = self.0.loaded.read();
        loaded.as_ref().map(|space| Arc::clone(&space.origin))
    }

    /// A connection of the pool, to read within the limits of `work`.
    pub(super) async fn connection(&self, kind: Kind, work: &Work) -> Result<Reading<'_>, CatalogueError> {
        let inner = &*self.0;
        let long = match work.lane() {
            Lane::Long => inner.long.acquire().await.ok(),
            Lane::Short => None,
        };
        work.check()?;
        let held = inner.held().await?;
        Ok(Reading {
            held,
            inner,
            kind,
            work: work.clone(),
            begun: Instant::now(),
            _long: long,
        })
    }

    /// A transaction that may be begun again.
    pub(super) fn attempts(&self, kind: Kind) -> Attempts<'_> {
        Attempts {
            inner: &self.0,
            kind,
            tries: 0,
            broken: false,
            begun: Instant::now(),
        }
    }

    /// Waits no longer than the database's own limits allow: one that does not answer at all is not bounded by them.
    pub async fn bounded<T>(
        &self,
        work: impl Future<Output = Result<T, CatalogueError>>,
    ) -> Result<T, CatalogueError> {
        let limit = self.0.options.wait + self.0.options.statement + Duration::from_secs(1);
        let result = tokio::select! {
            biased;
            result = tokio::time::timeout(limit, work) => result.unwrap_or_else(|_| {
                Err(CatalogueError::Unavailable {
                    reason: format!("the database did not answer for {} s", limit.as_secs()),
                })
            }),
            lost = self.0.watch.given_up() => Err(lost),
        };
        match result {
            Err(_) if self.0.closed.load(Ordering::Acquire) => Err(CatalogueError::Closed),
            result => result,
        }
    }

    /// A place among the writes; refused where too many wait.
    pub(super) async fn place_to_write(&self, waits: bool) -> Result<impl Drop, CatalogueError> {
        struct Waiting<'a>(&'a AtomicUsize);
        impl Drop for Waiting<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::AcqRel);
            }
        }
        if self.0.closed.load(Ordering::Acquire) {
            return Err(CatalogueError::Closed);
        }
        let before = self.0.waiting.fetch_add(1, Ordering::AcqRel);
        let waiting = Waiting(&self.0.waiting);
        if before >= WAITING && !waits {
            return Err(CatalogueError::Busy);
        }
        let place = self
            .0
            .writes
            .acquire()
            .await
            .map_err(|_| CatalogueError::Closed)?;
        drop(waiting);
        Ok(place)
    }

    /// Why the database could not be reached a moment ago, as a sentence; none while it can.
    #[must_use]
    pub fn lost(&self) -> Option<String> {
        self.0.watch.lost()
    }

    /// How many pictures are searched, as of a few seconds ago; none before they are loaded.
    #[must_use]
    pub fn pictures(&self) -> Option<usize> {
        let loaded = self.0.loaded.read().is_some();
        loaded.then(|| self.0.pictures.load(Ordering::Relaxed))
    }
}

impl Inner {
    async fn held(&self) -> Result<Held, CatalogueError> {
        let asked = Instant::now();
        let held = Held::take(&self.pool, &self.watch).await;
        self.measured.waited(asked.elapsed());
        Ok(held?)
    }
}

/// A connection that something is read on; it is measured until it is dropped.
#[derive(Debug)]
pub(super) struct Reading<'a> {
    held: Held,
    inner: &'a Inner,
    kind: Kind,
    work: Work,
    begun: Instant,
    _long: Option<SemaphorePermit<'a>>,
}

impl Reading<'_> {
    /// Gives the connection back; none where it was broken, for the first time, and all is to be read by another one.
    pub async fn end<T>(
        mut self,
        read: Result<T, CatalogueError>,
        broken: &mut u32,
    ) -> Option<Result<T, CatalogueError>> {
        if matches!(read, Err(CatalogueError::Unavailable { .. }))
            && self.held.is_broken(&self.inner.watch).await
        {
            *broken += 1;
            return (*broken > 1).then_some(read);
        }
        self.held.rest();
        Some(read)
    }
}

impl Deref for Reading<'_> {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.held
    }
}

impl DerefMut for Reading<'_> {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.held
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        self.work.add(self.begun.elapsed());
        self.inner.measured.took(self.kind, self.begun.elapsed());
    }
}

/// The attempts at one transaction.
#[derive(Debug)]
pub(super) struct Attempts<'a> {
    inner: &'a Inner,
    kind: Kind,
    tries: u32,
    /// Whether a connection was broken.
    broken: bool,
    begun: Instant,
}

impl Attempts<'_> {
    /// Begins it, by another connection if one is broken.
    pub async fn begin(&mut self) -> Result<Held, CatalogueError> {
        loop {
            let mut held = self.inner.held().await?;
            self.begun = Instant::now();
            match sqlx::raw_sql("BEGIN").execute(&mut *held).await {
                Ok(_) => return Ok(held),
                Err(error) => {
                    if self.broken || !held.is_broken(&self.inner.watch).await {
                        return Err(error.into());
                    }
                    self.broken = true;
                }
            }
        }
    }

    /// Commits what was changed, or rolls back what failed; none where it is to be done again: it lost a conflict, or its
    /// connection before it was asked to commit.
    pub async fn end<T>(
        &mut self,
        mut held: Held,
        changed: Result<T, Failure>,
    ) -> Option<Result<T, CatalogueError>> {
        let done = match changed {
            Ok(value) => sqlx::raw_sql("COMMIT")
                .execute(&mut *held)
                .await
                .map(|_| value)
                .map_err(Failure::Sql),
            Err(failure) => {
                if held.is_broken(&self.inner.watch).await {
                    self.inner.measured.took(self.kind, self.begun.elapsed());
                    if std::mem::replace(&mut self.broken, true) {
                        return Some(Err(failure.into()));
                    }
                    return None;
                }
                // The error that is answered is the first.
                if sqlx::raw_sql("ROLLBACK").execute(&mut *held).await.is_ok() {
                    held.rest();
                }
                Err(failure)
            }
        };
        self.inner.measured.took(self.kind, self.begun.elapsed());
        if done.is_ok() {
            held.rest();
        }
        drop(held);
        match done {
            Err(Failure::Sql(error)) if is_conflict(&error) && self.tries < RETRIES => {
                self.tries += 1;
                self.inner.measured.retried();
                tokio::time::sleep(Duration::from_millis(2 << self.tries)).await;
                None
            }
            done => Some(done.map_err(CatalogueError::from)),
        }
    }
}

/// Shares the lock of writes until the transaction ends, and reads which embeddings are present.
pub(super) async fn share_writes(connection: &mut PgConnection) -> Result<Spaces, CatalogueError> {
    sqlx::query("SELECT pg_advisory_xact_lock_shared($1)")
        .bind(WRITES)
        .execute(&mut *connection)
        .await?;
    let spaces = Spaces::read(connection).await?;
    if spaces.is_copy {
        sqlx::query("UPDATE catalogue SET copy_of = NULL, copying = false")
            .execute(connection)
            .await?;
    }
    Ok(spaces)
}

/// Keeps all writes waiting until the transaction ends.
pub(super) async fn stop_writes(connection: &mut PgConnection) -> Result<Spaces, CatalogueError> {
    sqlx::query("SELECT pg_advisory_xact_lock($1)")
        .bind(WRITES)
        .execute(&mut *connection)
        .await?;
    Spaces::read(connection).await
}
