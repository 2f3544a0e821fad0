//! What PostgreSQL refuses, in the catalogue's words.

use sqlx::Error;
use sqlx::error::DatabaseError;
use sqlx::migrate::MigrateError;
use sqlx::postgres::PgConnectOptions;

use crate::catalogue::address::StoreAddress;
use crate::catalogue::error::{CatalogueError, OpenError};

/// Why a transaction was not committed.
#[derive(Debug)]
pub enum Failure {
    /// The database refused or failed.
    Sql(Error),
    /// The catalogue's rules refuse what was asked.
    Refused(CatalogueError),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Sql(error)
    }
}

impl From<CatalogueError> for Failure {
    fn from(refused: CatalogueError) -> Self {
        Self::Refused(refused)
    }
}

impl From<Failure> for CatalogueError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Sql(error) => error.into(),
            Failure::Refused(refused) => refused,
        }
    }
}

/// Whether the same transaction may succeed when it is done again at once: it was the loser of a conflict.
pub fn is_conflict(error: &Error) -> bool {
    // Serialisation failure, deadlock; an embedding that another transaction began to use while this one dropped it.
    code(error).is_some_and(|code| matches!(code.as_str(), "40001" | "40P01" | "23503"))
}

/// Whether a table is missing, as those of embeddings that were replaced are.
pub fn is_missing_table(error: &Error) -> bool {
    code(error).is_some_and(|code| code == "42P01")
}

fn code(error: &Error) -> Option<String> {
    let code = error.as_database_error().and_then(DatabaseError::code);
    code.map(std::borrow::Cow::into_owned)
}

impl From<Error> for CatalogueError {
    fn from(error: Error) -> Self {
        let reason = said(&error);
        match &error {
            // A connection that is cut while it is made is one whose protocol is broken.
            Error::Io(_)
            | Error::Tls(_)
            | Error::Protocol(_)
            | Error::PoolTimedOut
            | Error::WorkerCrashed => Self::Unavailable { reason },
            Error::PoolClosed => Self::Closed,
            Error::Database(said) => match said.code().as_deref() {
                // The disk or a quota of the database is full.
                Some("53100") => Self::Full {
                    reason: said.message().to_owned(),
                },
                Some("55P03") => Self::Locked,
                Some(code) if passes(code) => Self::Unavailable {
                    reason: said.message().to_owned(),
                },
                _ => Self::Store(Box::new(error)),
            },
            _ => Self::Store(Box::new(error)),
        }
    }
}

/// Whether an error of this code is over when the database is well again.
fn passes(code: &str) -> bool {
    // Connections (08), resources (53), shutdown and recovery (57P), a statement's time limit, a standby that was asked to
    // write, conflicts that repeating did not end.
    code.starts_with("08")
        || code.starts_with("53")
        || code.starts_with("57P")
        || matches!(code, "57014" | "25006" | "40001" | "40P01" | "23503")
}

impl From<MigrateError> for CatalogueError {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => error.into(),
            error => Self::Store(Box::new(error)),
        }
    }
}

/// Why the first connection was refused: what waiting does not mend is said with what would.
pub fn refused_at_start(error: Error, address: &StoreAddress, target: &PgConnectOptions) -> CatalogueError {
    let role = target.get_username();
    let database = target.get_database().unwrap_or(role);
    let said = said(&error);
    let right = match (&error, code(&error).as_deref()) {
        (Error::Tls(_), _) => {
            "the address's sslmode and sslrootcert must be what the database offers".to_owned()
        }
        (Error::Configuration(_), _) => "correct the address".to_owned(),
        (_, Some("28P01")) => {
            format!("put the password of the role {role} into the address, and give the role LOGIN")
        }
        (_, Some("28000")) => {
            format!("let the role {role} LOGIN, and let pg_hba.conf admit it from this machine")
        }
        (_, Some("3D000")) => format!("create it: CREATE DATABASE \"{database}\" OWNER \"{role}\""),
        (_, Some("42501")) => format!("GRANT CONNECT ON DATABASE \"{database}\" TO \"{role}\""),
        _ => {
            return match error.into() {
                CatalogueError::Unavailable { reason } => CatalogueError::Unavailable {
                    reason: format!("{address}: {reason}"),
                },
                error => error,
            };
        }
    };
    CatalogueError::Open {
        store: address.to_string(),
        reason: OpenError::Store(format!("{said}; {right}").into()),
    }
}

/// What PostgreSQL said, without sqlx's words around it.
pub fn said(error: &Error) -> String {
    match error {
        Error::Database(said) => said.message().to_owned(),
        Error::Io(error) => error.to_string(),
        Error::PoolTimedOut => {
            "it takes no more connections, or all that this server may have are in use".to_owned()
        }
        error => error.to_string(),
    }
}

pub fn damaged(what: impl Into<String>) -> CatalogueError {
    CatalogueError::Damaged { what: what.into() }
}
