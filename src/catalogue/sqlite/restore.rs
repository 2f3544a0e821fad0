//! Putting a backup into a data directory: whole or not at all, whenever the process is killed.

use std::fs::File;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::error::{failed, refused};
use super::reader::DATABASE;
use super::schema;
use crate::catalogue::error::{CatalogueError, OpenError};

/// What SQLite keeps beside a database.
const BESIDE: [&str; 3] = ["-wal", "-shm", "-journal"];

/// Puts a backup into a locked data directory that holds no catalogue. Pictures get numbers above `least_number`: a
/// restored catalogue must not give out the numbers again that were given after the backup was taken.
///
/// Everything is done to a copy beside it, which becomes the database by its last step.
pub fn put(folder: &Path, backup: &Path, least_number: i64) -> Result<(), CatalogueError> {
    let database = folder.join(DATABASE);
    if database.exists() {
        return Err(refused(folder, OpenError::Exists));
    }
    // SQLite would apply these to the restored database.
    if let Some(path) = beside(&database).into_iter().find(|path| path.exists()) {
        let path = path.display().to_string();
        return Err(refused(folder, OpenError::LeftOver { path }));
    }
    let read_only = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let version: u32 =
        Connection::open_with_flags(backup, read_only)?
            .pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version == 0 {
        let path = backup.display().to_string();
        return Err(refused(folder, OpenError::NotABackup { path }));
    }
    let fresh = database.with_extension("new");
    // Of a restore that was killed.
    remove(&fresh);
    let made = make(folder, backup, &fresh, least_number);
    if made.is_err() {
        remove(&fresh);
    }
    made?;
    std::fs::rename(&fresh, &database).map_err(|source| failed(folder, &database, source))?;
    let named = File::open(folder).and_then(|folder| folder.sync_all());
    named.map_err(|source| failed(folder, folder, source))
}

/// Makes the database: copied, brought to the schema, numbered, in one file and on disk.
fn make(folder: &Path, backup: &Path, fresh: &Path, least_number: i64) -> Result<(), CatalogueError> {
    std::fs::copy(backup, fresh).map_err(|source| failed(folder, backup, source))?;
    let mut connection = Connection::open(fresh)?;
    connection.pragma_update(None, "journal_mode", "DELETE")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    schema::migrate(&mut connection)?.map_err(|reason| refused(folder, reason))?;
    connection.execute(
        "INSERT INTO sqlite_sequence (name, seq) SELECT 'pictures', 0
         WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'pictures')",
        [],
    )?;
    connection.execute(
        "UPDATE sqlite_sequence SET seq = max(seq, ?1) WHERE name = 'pictures'",
        [least_number],
    )?;
    connection.close().map_err(|(_, error)| error)?;
    let synced = File::open(fresh).and_then(|file| file.sync_all());
    synced.map_err(|source| failed(folder, fresh, source))
}

fn beside(database: &Path) -> [PathBuf; 3] {
    BESIDE.map(|ending| {
        let mut path = database.as_os_str().to_owned();
        path.push(ending);
        path.into()
    })
}

/// Removes a database and what is beside it. What cannot be removed is in the way of what follows, which says so.
fn remove(database: &Path) {
    for path in beside(database) {
        let _ = std::fs::remove_file(path);
    }
    let _ = std::fs::remove_file(database);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::sqlite::store::Store;

    fn backup(place: &Path) -> PathBuf {
        let folder = place.join("source");
        let store = Store::open(&folder).unwrap();
        let file = place.join("backup");
        store
            .connection()
            .execute("VACUUM INTO ?1", [file.to_str().unwrap()])
            .unwrap();
        file
    }

    fn number(folder: &Path) -> i64 {
        let connection = Connection::open(folder.join(DATABASE)).unwrap();
        let sql = "SELECT seq FROM sqlite_sequence WHERE name = 'pictures'";
        connection.query_row(sql, [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn journals_of_a_database_that_is_gone_are_refused_by_name_and_left_alone() {
        let place = tempfile::tempdir().unwrap();
        let backup = backup(place.path());
        for ending in BESIDE {
            let folder = place.path().join(ending);
            std::fs::create_dir(&folder).unwrap();
            let left = folder.join(format!("{DATABASE}{ending}"));
            std::fs::write(&left, b"of another database").unwrap();
            let refusal = Store::restore(&folder, &backup, 7).unwrap_err().to_string();
            let expected = format!("{} is left of a database that is gone", left.display());
            assert!(refusal.contains(&expected), "{refusal}");
            assert!(!Store::exists(&folder) && left.exists());
            std::fs::remove_file(&left).unwrap();
            drop(Store::restore(&folder, &backup, 7).unwrap());
            assert_eq!(number(&folder), 7);
        }
    }

    #[test]
    fn what_a_killed_restore_left_is_not_used() {
        let place = tempfile::tempdir().unwrap();
        let backup = backup(place.path());
        let folder = place.path().join("fresh");
        std::fs::create_dir(&folder).unwrap();
        let half = folder.join(DATABASE).with_extension("new");
        std::fs::write(&half, b"half").unwrap();
        for path in beside(&half) {
            std::fs::write(path, b"half").unwrap();
        }
        drop(Store::restore(&folder, &backup, 9).unwrap());
        assert_eq!(number(&folder), 9);
        assert!(!half.exists() && beside(&half).iter().all(|path| !path.exists()));
    }

    #[test]
    fn a_data_directory_in_use_is_not_restored_into() {
        let place = tempfile::tempdir().unwrap();
        let backup = backup(place.path());
        let folder = place.path().join("source");
        let _store = Store::open(&folder).unwrap();
        let refusal = Store::restore(&folder, &backup, 1).unwrap_err().to_string();
        assert!(refusal.contains("in use by another"), "{refusal}");
    }
}
