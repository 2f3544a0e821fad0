//! Opening a database: what it must have, and what is missing in one sentence.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize};

use parking_lot::{Mutex, RwLock};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, Executor, PgConnection, Row};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::connections::{self, Watch};
use super::error::{refused_at_start, said};
use super::kept_counts::KeptCounts;
use super::measured::{Kind, Measured};
use super::schema;
use super::store::{Inner, Postgres, read};
use crate::admission::Work;
use crate::catalogue::address::StoreAddress;
use crate::catalogue::error::{CatalogueError, OpenError};
use crate::catalogue::options::StoreOptions;
use crate::catalogue::recall::Recalls;

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
        let refused = |error| refused_at_start(error, address, &target);
        // By its own connection, which says at once what is wrong.
        let first = tokio::time::timeout(options.wait, PgConnection::connect_with(&target)).await;
        let mut first = first
            .map_err(|_| CatalogueError::Unavailable {
                reason: format!("{place} did not answer for {} ms", options.wait.as_millis()),
            })?
            .map_err(refused)?;
        let has_pgvector: bool =
            sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM pg_extension WHERE extname = 'vector')")
                .fetch_one(&mut first)
                .await?;
        let open = |reason: String| CatalogueError::Open {
            store: place.clone(),
            reason: OpenError::Store(reason.into()),
        };
        if !has_pgvector {
            let created = first.execute("CREATE EXTENSION IF NOT EXISTS vector").await;
            created.map_err(|error| {
                let said = said(&error);
                match error.into() {
                    error @ CatalogueError::Unavailable { .. } => error,
                    _ => open(format!(
                        "the extension pgvector is missing ({said}); install it, and let a superuser run CREATE EXTENSION \
                         vector in this database"
                    )),
                }
            })?;
        }
        // The schema belongs to another role.
        let may_create: bool =
            sqlx::query_scalar("SELECT coalesce(has_schema_privilege(current_schema(), 'CREATE'), false)")
                .fetch_one(&mut first)
                .await?;
        if !may_create {
            let role = target.get_username();
            return Err(open(format!(
                "the role {role} may create no tables; let it own the database, or GRANT CREATE ON SCHEMA public TO {role}"
            )));
        }
        let watch = Arc::<Watch>::default();
        let pool = connections::pool(target.clone(), &options, &watch);
        schema::migrate(&pool, &place).await?;
        let connections = options.connections;
        let store = Self(Arc::new(Inner {
            pool,
            place,
            server: Uuid::new_v4(),
            runtime: Handle::current(),
            options,
            loaded: RwLock::default(),
            pictures: AtomicUsize::default(),
            watch,
            closed: AtomicBool::new(false),
            measured: Measured::default(),
            recalls: Recalls::default(),
            counts: KeptCounts::default(),
            heart: Mutex::default(),
            embedded_to: Mutex::default(),
            long: Semaphore::new((connections / 3).max(1)),
            writes: Semaphore::new((connections / 2).max(1)),
            waiting: AtomicUsize::default(),
        }));
        store.start_watch(first);
        Ok(store)
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
}

/// A runtime for what blocks its thread.
pub fn runtime(address: &StoreAddress) -> Result<tokio::runtime::Runtime, CatalogueError> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|source| CatalogueError::Open {
            store: address.to_string(),
            reason: OpenError::Store(Box::new(source)),
        })
}
