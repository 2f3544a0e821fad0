//! The connection to a database: a pool, its limits, transactions that are done again after a conflict, and what of all
//! that is measured.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Executor, PgConnection, PgPool, Row, Transaction};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::error::{Failure, is_conflict};
use super::measured::{Kind, Measured};
use super::schema;
use super::spaces::{Space, Spaces};
use crate::admission::{Lane, Work};
use crate::catalogue::address::StoreAddress;
use crate::catalogue::error::{CatalogueError, OpenError};
use crate::catalogue::options::StoreOptions;
use crate::catalogue::origin::Origin;
use crate::catalogue::recall::Recalls;

/// How often a transaction is begun again that lost a conflict.
const RETRIES: u32 = 5;
/// Writes that wait for a connection.
const WAITING: usize = 256;
/// Neighbours that the index looks at for one answer before filters, and rows that it visits at most.
const EF_SEARCH: &str = "100";
const MOST_SCANNED: &str = "40000";
/// The advisory lock that writes share and a change of the present space takes alone.
const WRITES: i64 = 0x7370_696b_6500;
/// The advisory lock of the server that builds an index.
pub const BUILDING: i64 = WRITES + 1;
/// The advisory lock of the server that drops what was replaced.
pub const SWEEPING: i64 = WRITES + 2;

/// Reads on a connection: `read!(store, kind, work, |connection| { ... })`.
macro_rules! read {
    ($store:expr, $kind:expr, $work:expr, |$connection:ident| $read:block) => {{
        let mut reading = $store.connection($kind, &$work).await?;
        let read: Result<_, $crate::catalogue::error::CatalogueError> = async {
            let $connection: &mut sqlx::PgConnection = &mut reading;
            $read
        }
        .await;
        read
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
    pub lost: RwLock<Option<String>>,
    pub closed: AtomicBool,
    pub measured: Measured,
    pub recalls: Recalls,
    /// The task that says that this server works.
    pub heart: Mutex<Option<JoinHandle<()>>>,
    /// The space that pictures are embedded for, and the last one that this server was given.
    pub embedded_to: Mutex<(i64, i64)>,
    /// Long reads leave connections to short ones.
    long: Semaphore,
    writes: Semaphore,
    waiting: AtomicUsize,
}

impl Postgres {
    /// Connects to a database, and brings its schema up to date.
    ///
    /// # Errors
    /// If it cannot be reached, lacks pgvector, or has a newer schema.
    pub async fn connect(address: &StoreAddress, options: StoreOptions) -> Result<Self, CatalogueError> {
        let store = Self::connect_to_any(address, options).await?;
        match store.copied_from().await? {
            (Some(source_name), true) => Err(CatalogueError::Open {
                store: store.0.place.clone(),
                reason: OpenError::HalfCopied { source_name },
            }),
            _ => Ok(store),
        }
    }

    /// The same, also to an unfinished copy.
    pub(super) async fn connect_to_any(
        address: &StoreAddress,
        options: StoreOptions,
    ) -> Result<Self, CatalogueError> {
        let target: PgConnectOptions =
            address
                .with_password()
                .parse()
                .map_err(|error: sqlx::Error| CatalogueError::Invalid {
                    field: "store".to_owned(),
                    reason: format!("is not an address like postgres://USER@HOST/DATABASE: {error}"),
                })?;
        let place = address.to_string();
        // What is slow shows in the metrics.
        let target = target.application_name("spikelens").disable_statement_logging();
        let settings = [
            ("statement_timeout", milliseconds(options.statement)),
            ("lock_timeout", milliseconds(options.lock)),
            (
                "idle_in_transaction_session_timeout",
                milliseconds(options.statement),
            ),
            // Compiling takes longer than any of these statements.
            ("jit", "off".to_owned()),
            ("hnsw.ef_search", EF_SEARCH.to_owned()),
            ("hnsw.iterative_scan", "relaxed_order".to_owned()),
            ("hnsw.max_scan_tuples", MOST_SCANNED.to_owned()),
        ];
        let pool = PgPoolOptions::new()
            .max_connections(u32::try_from(options.connections).unwrap_or(u32::MAX))
            .acquire_timeout(options.wait)
            .idle_timeout(Duration::from_secs(300))
            .after_connect(move |connection, _| {
                let settings = settings.clone();
                Box::pin(async move {
                    for (name, value) in &settings {
                        let set = sqlx::query("SELECT set_config($1, $2, false)").bind(*name);
                        connection.execute(set.bind(value)).await?;
                    }
                    Ok(())
                })
            })
            .connect_lazy_with(target);
        let refused = |reason| CatalogueError::Open {
            store: place.clone(),
            reason,
        };
        let has_pgvector: bool =
            sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM pg_extension WHERE extname = 'vector')")
                .fetch_one(&pool)
                .await?;
        if !has_pgvector {
            let created = pool.execute("CREATE EXTENSION IF NOT EXISTS vector").await;
            created.map_err(|error| {
                refused(OpenError::Store(
                    format!(
                        "the extension pgvector is missing ({error}); install it, and let a superuser run CREATE EXTENSION vector"
                    )
                    .into(),
                ))
            })?;
        }
        schema::migrate(&pool, &place).await?;
        let connections = options.connections;
        Ok(Self(Arc::new(Inner {
            pool,
            place,
            server: Uuid::new_v4(),
            runtime: Handle::current(),
            options,
            loaded: RwLock::default(),
            pictures: AtomicUsize::default(),
            lost: RwLock::default(),
            closed: AtomicBool::new(false),
            measured: Measured::default(),
            recalls: Recalls::default(),
            heart: Mutex::default(),
            embedded_to: Mutex::default(),
            long: Semaphore::new((connections / 3).max(1)),
            writes: Semaphore::new((connections / 2).max(1)),
            waiting: AtomicUsize::default(),
        })))
    }

    /// Where the database is, without the password.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.0.place
    }

    /// What it is a copy of, and whether the copy is unfinished.
    pub(super) async fn copied_from(&self) -> Result<(Option<String>, bool), CatalogueError> {
        read!(self, Kind::Look, Work::OWN, |connection| {
            let row = sqlx::query("SELECT copy_of, copying FROM catalogue")
                .fetch_one(connection)
                .await?;
            Ok((row.try_get("copy_of")?, row.try_get("copying")?))
        })
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
        let asked = Instant::now();
        let connection = inner.pool.acquire().await;
        inner.measured.waited(asked.elapsed());
        let connection = connection?;
        Ok(Reading {
            connection,
            measured: &inner.measured,
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
            begun: Instant::now(),
        }
    }

    /// Waits no longer than the database's own limits allow: one that does not answer at all is not bounded by them.
    pub async fn bounded<T>(
        &self,
        work: impl Future<Output = Result<T, CatalogueError>>,
    ) -> Result<T, CatalogueError> {
        let limit = self.0.options.wait + self.0.options.statement + Duration::from_secs(1);
        let result = tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
            Err(CatalogueError::Unavailable {
                reason: format!("the database did not answer for {} s", limit.as_secs()),
            })
        });
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
        self.0.lost.read().clone()
    }

    /// How many pictures are searched, as of a few seconds ago; none before they are loaded.
    #[must_use]
    pub fn pictures(&self) -> Option<usize> {
        let loaded = self.0.loaded.read().is_some();
        loaded.then(|| self.0.pictures.load(Ordering::Relaxed))
    }
}

/// A connection that something is read on; it is measured until it is dropped.
#[derive(Debug)]
pub(super) struct Reading<'a> {
    connection: PoolConnection<sqlx::Postgres>,
    measured: &'a Measured,
    kind: Kind,
    work: Work,
    begun: Instant,
    _long: Option<SemaphorePermit<'a>>,
}

impl Deref for Reading<'_> {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for Reading<'_> {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        self.work.add(self.begun.elapsed());
        self.measured.took(self.kind, self.begun.elapsed());
    }
}

/// The attempts at one transaction.
#[derive(Debug)]
pub(super) struct Attempts<'a> {
    inner: &'a Inner,
    kind: Kind,
    tries: u32,
    begun: Instant,
}

impl Attempts<'_> {
    /// Begins it.
    pub async fn begin(&mut self) -> Result<Transaction<'static, sqlx::Postgres>, CatalogueError> {
        let asked = Instant::now();
        let transaction = self.inner.pool.begin().await;
        self.inner.measured.waited(asked.elapsed());
        let transaction = transaction?;
        self.begun = Instant::now();
        Ok(transaction)
    }

    /// Commits what was changed, or rolls back what failed; none where it lost a conflict and is to be done again.
    pub async fn end<T>(
        &mut self,
        transaction: Transaction<'static, sqlx::Postgres>,
        changed: Result<T, Failure>,
    ) -> Option<Result<T, CatalogueError>> {
        let done = match changed {
            Ok(value) => transaction.commit().await.map(|()| value).map_err(Failure::Sql),
            Err(failure) => {
                // The error that is answered is the first.
                let _ = transaction.rollback().await;
                Err(failure)
            }
        };
        self.inner.measured.took(self.kind, self.begun.elapsed());
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

fn milliseconds(time: Duration) -> String {
    time.as_millis().to_string()
}
