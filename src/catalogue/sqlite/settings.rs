//! What made the embeddings, as the database keeps it.

use rusqlite::{Connection, OptionalExtension};

use super::error::damaged;
use crate::catalogue::error::CatalogueError;
use crate::catalogue::origin::Origin;
use engine::network::TimeSteps;

/// Settings of the present embeddings: model, probe, T.
pub const PRESENT: [&str; 3] = ["model_id", "probe", "time_steps"];
/// Settings of the next embeddings.
pub const NEXT: [&str; 3] = ["next_model_id", "next_probe", "next_time_steps"];

/// The origin in these settings, if they are set.
pub fn read(connection: &Connection, keys: [&str; 3]) -> Result<Option<Origin>, CatalogueError> {
    let setting = |key: &str| -> Result<Option<String>, CatalogueError> {
        let mut statement = connection.prepare_cached("SELECT value FROM settings WHERE key = ?1")?;
        Ok(statement.query_row([key], |row| row.get(0)).optional()?)
    };
    let [model_id, probe, time_steps] = keys;
    let (Some(id), Some(read_probe), Some(steps)) =
        (setting(model_id)?, setting(probe)?, setting(time_steps)?)
    else {
        return Ok(None);
    };
    Ok(Some(Origin {
        model_id: id,
        probe: read_probe
            .parse()
            .map_err(|error| damaged(format!("settings.{probe}: {error}")))?,
        time_steps: steps
            .parse::<TimeSteps>()
            .map_err(|error| damaged(format!("settings.{time_steps}: {error}")))?,
    }))
}

/// Sets an origin.
pub fn write(connection: &Connection, keys: [&str; 3], origin: &Origin) -> Result<(), CatalogueError> {
    let mut row = connection.prepare_cached(
        "INSERT INTO settings (key, value) VALUES (?1, ?2)
         ON CONFLICT (key) DO UPDATE SET value = excluded.value",
    )?;
    let [model_id, probe, time_steps] = keys;
    row.execute([model_id, &origin.model_id])?;
    row.execute([probe, origin.probe.as_str()])?;
    row.execute([time_steps, &origin.time_steps.to_string()])?;
    Ok(())
}

/// Removes these settings.
pub fn forget(connection: &Connection, keys: [&str; 3]) -> Result<(), CatalogueError> {
    let mut row = connection.prepare_cached("DELETE FROM settings WHERE key = ?1")?;
    for key in keys {
        row.execute([key])?;
    }
    Ok(())
}
