//! Connections to the database: how they are made and given back, which of them are still trusted, and what is known of
//! whether the database can be reached.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, PgPool};
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use crate::catalogue::error::CatalogueError;
use crate::catalogue::options::StoreOptions;

/// Neighbours that the index looks at for one answer before filters, and rows that it visits at most.
const EF_SEARCH: &str = "100";
const MOST_SCANNED: &str = "40000";
/// What is under way when the database is found lost may end by itself for so long.
const GRACE: Duration = Duration::from_millis(250);
/// A connection that is not used for so long is closed.
const IDLE: Duration = Duration::from_secs(300);

/// Whether the database can be reached.
#[derive(Debug, Default)]
pub struct Watch {
    /// Why not, as a sentence.
    pub lost: watch::Sender<Option<String>>,
    /// Asks for a look at once.
    pub look: Notify,
    distrust: Arc<Distrust>,
}

/// The moment before which connections were made that are not used any more: one of them was found broken.
#[derive(Debug, Default)]
pub struct Distrust(Mutex<Option<Instant>>);

impl Distrust {
    fn before(&self, moment: Instant) {
        let mut before = self.0.lock();
        *before = (*before).max(Some(moment));
    }

    fn trusts(&self, age: Duration) -> bool {
        self.0.lock().is_none_or(|before| before.elapsed() > age)
    }
}

impl Watch {
    /// Why the database could not be reached a moment ago; none while it can.
    pub fn lost(&self) -> Option<String> {
        self.lost.borrow().clone()
    }

    pub fn look_now(&self) {
        self.look.notify_one();
    }

    /// Connections that were made before now are not used any more.
    pub fn distrust(&self) {
        self.distrust.before(Instant::now());
    }

    /// Ends soon after the database was found lost, with the reason.
    pub async fn given_up(&self) -> CatalogueError {
        let mut lost = self.lost.subscribe();
        loop {
            let found = lost.wait_for(Option::is_some).await.map(|reason| reason.clone());
            tokio::time::sleep(GRACE).await;
            let still = self.lost();
            if let (Ok(_), Some(reason)) = (found, still) {
                return CatalogueError::Unavailable { reason };
            }
        }
    }
}

/// A pool that makes its connections when they are needed.
pub fn pool(target: PgConnectOptions, options: &StoreOptions, watch: &Watch) -> PgPool {
    let milliseconds = |time: Duration| time.as_millis().to_string();
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
    // One statement, for one round trip.
    let settings = settings.map(|(name, value)| format!("set_config('{name}', '{value}', false)"));
    let settings = format!("SELECT {}", settings.join(", "));
    let distrust = Arc::clone(&watch.distrust);
    PgPoolOptions::new()
        .max_connections(u32::try_from(options.connections).unwrap_or(u32::MAX))
        .acquire_timeout(options.wait)
        .idle_timeout(IDLE)
        // That takes a round trip for each use; what finds its connection broken is done once more.
        .test_before_acquire(false)
        .before_acquire(move |_, connection| {
            let trusted = distrust.trusts(connection.age);
            Box::pin(async move { Ok(trusted) })
        })
        .after_connect(move |connection, _| {
            let settings = sqlx::raw_sql(AssertSqlSafe(settings.clone()));
            Box::pin(async move { connection.execute(settings).await.map(drop) })
        })
        .connect_lazy_with(target)
}

/// A connection of the pool. It goes back if nothing is under way on it; else it is closed, and the database rolls back.
#[derive(Debug)]
pub struct Held {
    connection: PoolConnection<sqlx::Postgres>,
    taken: Instant,
    at_rest: bool,
    /// How long the database may take to say that it is ready for the next statement.
    limit: Duration,
}

impl Held {
    /// Takes a connection of the pool, within the pool's limit.
    pub async fn take(pool: &PgPool, watch: &Watch) -> Result<Self, sqlx::Error> {
        let taken = Instant::now();
        let connection = pool.acquire().await.inspect_err(|_| watch.look_now())?;
        Ok(Self {
            connection,
            taken,
            at_rest: false,
            limit: pool.options().get_acquire_timeout(),
        })
    }

    /// What was begun on it has ended.
    pub fn rest(&mut self) {
        self.at_rest = true;
    }

    /// Whether it is good for nothing any more; then others of its age are not either.
    pub async fn is_broken(&mut self, watch: &Watch) -> bool {
        let answered = timeout(self.limit, self.connection.ping()).await;
        if let Ok(Ok(())) = answered {
            return false;
        }
        self.at_rest = false;
        watch.distrust.before(self.taken);
        watch.look_now();
        true
    }
}

impl Deref for Held {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for Held {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.at_rest {
            // sqlx asks whether it is well before it takes it back, and waits for the answer without a limit.
            let returned = timeout(self.limit, self.connection.return_to_pool());
            if let Ok(runtime) = tokio::runtime::Handle::try_current() {
                runtime.spawn(returned);
            }
        } else {
            self.connection.close_on_drop();
        }
    }
}
