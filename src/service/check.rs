//! A whole catalogue looked at: rows, sums, the kept index, and every embedding made once more.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use super::ingest::{embedding_of, in_parallel, options};
use super::kept::{self, Kept, row_hash};
use super::model::Model;
use super::{Progress, ServiceError, Stage};
use crate::catalogue::check::Checked;
use crate::catalogue::store::Reader;
use crate::catalogue::{Origin, PictureKey};

/// What was looked at.
#[derive(Debug, Default)]
pub struct Checkup {
    pub rows: Checked,
    /// Entries of the kept index; none where there is none, which is no fault.
    pub index: Option<usize>,
    /// Embeddings that were made once more and compared; none without their model.
    pub embedded: Option<usize>,
}

/// Pictures that are held at a time.
const BATCH: usize = 2000;

/// Looks at everything; tells `wrong` of whatever is not as it was written. With the catalogue's own `model` every picture
/// is embedded once more.
pub fn check(
    reader: &Reader,
    folder: &Path,
    origin: Option<&Origin>,
    model: Option<&Arc<Model>>,
    threads: usize,
    progress: &Progress,
    mut wrong: impl FnMut(String),
) -> Result<Checkup, ServiceError> {
    let dimensions = model.map(|model| model.snn.network.embedding_dimensions());
    let mut checkup = Checkup {
        rows: reader.check(dimensions, &mut wrong)?,
        ..Checkup::default()
    };
    let Some(origin) = origin else {
        return Ok(checkup);
    };
    let mut hashes: HashMap<PictureKey, [u8; 8]> = HashMap::new();
    reader.each_embedding(|picture, values| {
        hashes.insert(picture, row_hash(values));
    })?;
    match kept::read(&kept::folder(folder), origin) {
        Kept::None | Kept::Other => {}
        Kept::Damaged { why } => wrong(format!("index: {why}; the next start builds it anew")),
        Kept::Whole(rows) => {
            for row in &rows {
                // Pictures that are gone leave gaps; the next start knows them.
                if hashes.get(&row.picture).is_some_and(|hash| *hash != row.hash) {
                    wrong(format!(
                        "index: the entry of picture number {} is of another embedding",
                        row.picture.0
                    ));
                }
            }
            checkup.index = Some(rows.len());
        }
    }
    let Some(model) = model else {
        return Ok(checkup);
    };
    progress.enter(Stage::Embedding, checkup.rows.pictures);
    let options = options(model, origin);
    let (mut after, mut embedded) = (None, 0);
    loop {
        let batch = reader.pictures_after(after, BATCH)?;
        let Some(last) = batch.last() else { break };
        after = Some(last.key);
        let values = in_parallel(model, &batch, threads, |embedder, picture| {
            let values = embedding_of(embedder, picture, options);
            progress.advance(1);
            values
        });
        for (picture, values) in batch.iter().zip(values) {
            let number = picture.key.0;
            match values {
                Ok(values) if hashes.get(&picture.key) == Some(&row_hash(&values)) => embedded += 1,
                Ok(_) => wrong(format!(
                    "picture number {number}: the network makes another embedding of it than is stored"
                )),
                Err(error) => wrong(format!("picture number {number}: {error}")),
            }
        }
    }
    checkup.embedded = Some(embedded);
    Ok(checkup)
}
