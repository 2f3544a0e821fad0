//! Checks a whole catalogue: rows, checksums, the stored index, and every embedding, recomputed.

use std::sync::Arc;

use engine::parallel::in_parallel;

use super::error::ServiceError;
use crate::catalogue::{Batch, Checked, Survey, Which};
use crate::chips::{Embedder, Maker, STORED};
use crate::progress::{Progress, Stage};

/// The results of a check.
#[derive(Debug, Default)]
pub struct Checkup {
    pub rows: Checked,
    /// Entries of the stored index; `None` if there is no stored index, which is not an error.
    pub index: Option<usize>,
    /// Embeddings that were recomputed and are equal; `None` if their model is not available.
    pub embedded: Option<usize>,
}

/// Pictures that are held at a time, and about how many bytes of them.
const PICTURES: usize = 2000;
const BYTES: usize = 64 << 20;

/// Checks everything; `wrong` is called with each finding. Every picture is embedded again by the makers of the catalogue's
/// present and next embeddings, if they are given.
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
    let recomputed = |maker, which| Recomputed {
        survey,
        maker,
        which,
        threads,
        progress,
    };
    if let Some(maker) = maker {
        progress.enter(Stage::Embedding, checkup.rows.embeddings);
        checkup.embedded = Some(recomputed(maker, Which::Present).compare(&mut wrong)?);
    }
    if let Some(maker) = next.filter(|_| checkup.rows.next > 0) {
        progress.enter(Stage::Embedding, checkup.rows.next);
        recomputed(maker, Which::Next).compare(&mut wrong)?;
    }
    Ok(checkup)
}

/// Recomputes every embedding.
struct Recomputed<'a> {
    survey: &'a Survey,
    maker: &'a Maker,
    which: Which,
    threads: usize,
    progress: &'a Progress,
}

impl Recomputed<'_> {
    /// Compares the embeddings with the stored ones; returns how many are equal.
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
                        "picture number {number}: the stored {what} differs from the recomputed one"
                    )),
                    // A picture without an embedding is stored with zeros.
                    Err(_) if stored.iter().all(|value| *value == 0) => same += 1,
                    Err(error) => wrong(format!("picture number {number}: {error}")),
                }
            }
        }
    }
}
