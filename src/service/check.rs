//! A whole catalogue checked: rows, checksums, the kept index, and every embedding made again.

use std::sync::Arc;

use engine::parallel::in_parallel;

use super::error::ServiceError;
use crate::catalogue::sqlite::{Batch, Checked, Survey, Which};
use crate::chips::{Embedder, Maker, STORED};
use crate::progress::{Progress, Stage};

/// What was checked.
#[derive(Debug, Default)]
pub struct Checkup {
    pub rows: Checked,
    /// Entries of the kept index; none where none is kept, which is no fault.
    pub index: Option<usize>,
    /// Embeddings that were made again and compared; none without their model.
    pub embedded: Option<usize>,
}

/// Pictures that are held at a time, and about how many bytes of them.
const PICTURES: usize = 2000;
const BYTES: usize = 64 << 20;

/// Checks everything; `wrong` is called with whatever is not as it was written. Every picture is embedded again by what
/// made the catalogue's embeddings, and by what makes the next ones, where their models are given.
///
/// # Errors
/// If the catalogue cannot be read.
pub fn check(
    survey: &Survey,
    maker: Option<&Maker>,
    next: Option<&Maker>,
    threads: usize,
    progress: &Progress,
    mut wrong: impl FnMut(String),
) -> Result<Checkup, ServiceError> {
    let mut checkup = Checkup {
        rows: survey.check_rows(maker.map(Maker::dimensions), &mut wrong)?,
        ..Checkup::default()
    };
    let Some(origin) = survey.origin()? else {
        return Ok(checkup);
    };
    checkup.index = survey.check_index(&origin, &mut wrong)?;
    let again = |maker, which| Again {
        survey,
        maker,
        which,
        threads,
        progress,
    };
    if let Some(maker) = maker {
        progress.enter(Stage::Embedding, checkup.rows.embeddings);
        checkup.embedded = Some(again(maker, Which::Present).compare(&mut wrong)?);
    }
    if let Some(maker) = next.filter(|_| checkup.rows.next > 0) {
        progress.enter(Stage::Embedding, checkup.rows.next);
        again(maker, Which::Next).compare(&mut wrong)?;
    }
    Ok(checkup)
}

/// Every picture embedded again.
struct Again<'a> {
    survey: &'a Survey,
    maker: &'a Maker,
    which: Which,
    threads: usize,
    progress: &'a Progress,
}

impl Again<'_> {
    /// Compares with what is stored, where something is; gives how many are the same.
    fn compare(&self, wrong: &mut impl FnMut(String)) -> Result<usize, ServiceError> {
        let Self { maker, which, .. } = *self;
        let what = match which {
            Which::Present => "embedding",
            Which::Next => "next embedding",
        };
        let (mut after, mut same) = (None, 0);
        loop {
            let Batch { found: batch, last } = self.survey.embedded_after(which, after, PICTURES, BYTES)?;
            if last.is_none() {
                return Ok(same);
            }
            after = last;
            let make = || Embedder::new(Arc::clone(&maker.model), STORED);
            let made = in_parallel(self.threads, batch.len(), make, |embedder, index| {
                let made = embedder.embed_stored(&batch[index].0, maker);
                self.progress.advance(1);
                made
            });
            for ((picture, stored), made) in batch.iter().zip(made) {
                let number = picture.key;
                match made {
                    Ok(made) if made == *stored => same += 1,
                    Ok(_) => wrong(format!(
                        "picture number {number}: the network makes another {what} of it than is stored"
                    )),
                    // A picture without an embedding is stored with zeros.
                    Err(_) if stored.iter().all(|value| *value == 0) => same += 1,
                    Err(error) => wrong(format!("picture number {number}: {error}")),
                }
            }
        }
    }
}
