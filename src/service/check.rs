//! A whole catalogue looked at: rows, sums, the kept index, and every embedding made once more.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use super::embed::Embedder;
use super::kept::{self, Kept, row_hash};
use super::maker::Maker;
use super::reembed::{STORED, embedding_of};
use super::{Progress, ServiceError, Stage};
use crate::catalogue::PictureKey;
use crate::catalogue::check::Checked;
use crate::catalogue::store::Reader;
use engine::parallel::in_parallel;

/// What was looked at.
#[derive(Debug, Default)]
pub struct Checkup {
    pub rows: Checked,
    /// Entries of the kept index; none where there is none, which is no fault.
    pub index: Option<usize>,
    /// Embeddings that were made once more and compared; none without their model.
    pub embedded: Option<usize>,
}

/// Pictures that are held at a time, and about how many bytes of them.
const PICTURES: usize = 2000;
const BYTES: usize = 64 << 20;

/// Looks at everything; tells `wrong` of whatever is not as it was written. With what made the catalogue's embeddings,
/// and the next ones that are on their way, every picture is embedded once more.
pub fn check(
    reader: &Reader,
    folder: &Path,
    maker: Option<&Maker>,
    next: Option<&Maker>,
    threads: usize,
    progress: &Progress,
    mut wrong: impl FnMut(String),
) -> Result<Checkup, ServiceError> {
    let mut checkup = Checkup {
        rows: reader.check(maker.map(Maker::dimensions), &mut wrong)?,
        ..Checkup::default()
    };
    let Some(origin) = reader.origin()? else {
        return Ok(checkup);
    };
    let mut hashes = Hashes::new();
    reader.each_embedding(|picture, values| {
        hashes.insert(picture, row_hash(values));
    })?;
    match kept::read(&kept::folder(folder), &origin) {
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
    if let Some(maker) = maker {
        let again = Again {
            reader,
            maker,
            threads,
            progress,
        };
        checkup.embedded = Some(again.compare(&hashes, "embedding", &mut wrong)?);
    }
    if let Some(maker) = next.filter(|_| checkup.rows.next > 0) {
        let mut hashes = Hashes::new();
        reader.each_next_embedding(|picture, values| {
            hashes.insert(picture, row_hash(values));
        })?;
        let again = Again {
            reader,
            maker,
            threads,
            progress,
        };
        again.compare(&hashes, "next embedding", &mut wrong)?;
    }
    Ok(checkup)
}

type Hashes = HashMap<PictureKey, [u8; 8]>;

/// Every picture embedded once more.
struct Again<'a> {
    reader: &'a Reader,
    maker: &'a Maker,
    threads: usize,
    progress: &'a Progress,
}

impl Again<'_> {
    /// Compares with what is stored, where something is; gives how many are the same.
    fn compare(
        &self,
        stored: &Hashes,
        what: &str,
        wrong: &mut impl FnMut(String),
    ) -> Result<usize, ServiceError> {
        let Self { reader, maker, .. } = self;
        self.progress.enter(Stage::Embedding, stored.len());
        // What a model makes nothing of is stored as zeros.
        let zeros = row_hash(&vec![0; maker.dimensions()]);
        let (mut after, mut same) = (None, 0);
        loop {
            let mut batch = reader.pictures_after(after, PICTURES, BYTES)?;
            let Some(last) = batch.last() else { break };
            after = Some(last.key);
            batch.retain(|picture| stored.contains_key(&picture.key));
            let make = || Embedder::new(Arc::clone(&maker.model), STORED);
            let made = in_parallel(self.threads, batch.len(), make, |embedder, index| {
                let values = embedding_of(embedder, &batch[index], maker);
                self.progress.advance(1);
                values
            });
            for (picture, values) in batch.iter().zip(made) {
                let number = picture.key.0;
                let found = stored[&picture.key];
                match values {
                    Ok(values) if found == row_hash(&values) => same += 1,
                    Ok(_) => wrong(format!(
                        "picture number {number}: the network makes another {what} of it than is stored"
                    )),
                    Err(_) if found == zeros => same += 1,
                    Err(error) => wrong(format!("picture number {number}: {error}")),
                }
            }
        }
        Ok(same)
    }
}
