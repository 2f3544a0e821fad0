//! Writing on a full disk: what adds is refused, what removes is done.
//!
//! A delete frees pages of the database, but first it needs room in the journal, and what the journal holds needs room in
//! the database's file. The reserve has that room. Once it was needed the database is held to its size: the reserve is
//! then given up for each group of writes, which can only use pages that are free, and made again after it, until the
//! disk has room for more.

use std::time::Duration;

use rusqlite::Connection;

use super::import_rows;
use super::reader::DATABASE;
use super::reserve;
use super::store::{LOCKED, Store};
use crate::catalogue::error::CatalogueError;

/// SQLite's own limit of a database.
const NO_LIMIT: i64 = 4_294_967_294;
/// How long the journal's restart waits for those who read from it.
const READERS: Duration = Duration::from_millis(200);

impl Store {
    /// Makes the reserve, and holds the database to its size unless there is more room than that.
    pub(super) fn keep_room(&mut self) -> Result<(), CatalogueError> {
        if self.reserve.make() && self.reserve.has_room_beside() {
            self.held = false;
            limit(self.connection(), NO_LIMIT)?;
            return Ok(());
        }
        self.hold()
    }

    /// Before a write: if it adds, what the journal holds beyond the database's file must fit into the reserve, or it could
    /// not be restarted on a full disk.
    pub(super) fn before_write(&mut self, adds: bool) -> Result<(), CatalogueError> {
        if self.held && adds {
            self.keep_room()?;
        }
        if self.held {
            self.reserve.give_up();
        } else if adds {
            let connection = self.connection();
            let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
            let all = u64::try_from(pragma("page_count")? * pragma("page_size")?).unwrap_or_default();
            let file = std::fs::metadata(self.folder().join(DATABASE)).map_or(all, |file| file.len());
            if all.saturating_sub(file) > reserve::BYTES as u64 / 2 {
                connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?;
            }
        }
        Ok(())
    }

    /// After a write, whether it was done or not.
    pub(super) fn after_write(&mut self) {
        self.settle();
        self.end_broken();
    }

    /// Does what only removes; on a full disk with the reserve's room.
    pub(super) fn with_reserve<T>(
        &mut self,
        mut remove: impl FnMut(&mut Self) -> Result<T, CatalogueError>,
    ) -> Result<T, CatalogueError> {
        match remove(self) {
            Err(CatalogueError::Full { .. }) if self.lend() => remove(self),
            done => done,
        }
    }

    /// Gives up the reserve; false where it is given up already.
    pub(super) fn lend(&mut self) -> bool {
        if !self.reserve.give_up() {
            return false;
        }
        tracing::warn!(
            data_dir = %self.folder().display(),
            "the disk is full: the reserve is given up for what is deleted, and what adds is refused"
        );
        if let Err(error) = self.hold() {
            tracing::warn!(%error, "the database may grow into the reserve");
        }
        self.restart_journal();
        true
    }

    /// Ends the imports whose clients are gone. What cannot be written is tried again after the next write.
    pub(super) fn end_broken(&mut self) {
        let Some(last) = self.broken else { return };
        let ended = self.with_reserve(|store| {
            let transaction = store.begin(false)?;
            import_rows::drop_broken(&transaction, last)?;
            Ok(transaction.commit()?)
        });
        match ended {
            Ok(()) => self.broken = None,
            Err(error) => tracing::warn!(%error, "an import that was cut off is not marked as failed yet"),
        }
        self.settle();
    }

    /// Where the database is held to its size: gives back the journal's room, and makes the reserve again.
    fn settle(&mut self) {
        if !self.held {
            return;
        }
        self.restart_journal();
        if let Err(error) = self.keep_room() {
            tracing::warn!(%error, "the reserve for a full disk could not be made");
        }
    }

    /// Copies the journal into the database and gives its room back, unless somebody reads from it.
    fn restart_journal(&self) {
        let connection = self.connection();
        let restarted = connection
            .busy_timeout(READERS)
            .and_then(|()| connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())));
        let waiting = connection.busy_timeout(LOCKED);
        if let Err(error) = restarted.and(waiting) {
            tracing::debug!(%error, "the journal was not restarted");
        }
    }

    /// Lets the database have no more pages than it has.
    pub(super) fn hold(&mut self) -> Result<(), CatalogueError> {
        self.held = true;
        let connection = self.connection();
        let pages = connection.pragma_query_value(None, "page_count", |row| row.get(0))?;
        Ok(limit(connection, pages)?)
    }
}

fn limit(connection: &Connection, pages: i64) -> rusqlite::Result<()> {
    connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))
}
