//! Copies a catalogue into another one, of the same kind of store or another, without emulating anything.
//!
//! Both are read in the order of their products' numbers, and what differs is written. So a copy that was interrupted goes
//! on, and a copy that is repeated only carries over what has changed since.

use std::collections::VecDeque;

use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::catalogue::copying::Fingerprint;
use crate::catalogue::{CatalogueError, Survey, Target};
use crate::progress::{Progress, Stage};

/// Products that are compared at a time, and about the most bytes that are written in one transaction.
const PAGE: usize = 2000;
const BYTES: usize = 32 << 20;

/// What a copy did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Copied {
    /// Products and pictures that both have at the end.
    pub products: usize,
    pub pictures: usize,
    /// Products that were missing, that differed, and that the source has no more.
    pub added: usize,
    pub replaced: usize,
    pub removed: usize,
}

/// Why a catalogue is not copied.
#[derive(Debug, Error)]
pub enum CopyError {
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    #[error("the source is empty; there is nothing to copy")]
    Empty,
    #[error(
        "{0} imports of the source are not done, and their lines are not copied; let a server finish them, then copy again"
    )]
    OpenImports(usize),
    #[error("source and target differ after the copy; is something else writing to the target? copy again")]
    Differ,
}

/// What tells two catalogues apart: counts, and one checksum over all fingerprints.
#[derive(Debug, Clone, Default)]
struct Tally {
    products: usize,
    pictures: usize,
    hash: Sha256,
}

impl Tally {
    fn add(&mut self, page: &[Fingerprint]) {
        for product in page {
            self.products += 1;
            self.pictures += product.pictures;
            self.hash.update(product.number.to_le_bytes());
            self.hash.update(product.sum);
        }
    }

    fn equals(self, other: Self) -> bool {
        let counts = (self.products, self.pictures) == (other.products, other.pictures);
        counts && self.hash.finalize() == other.hash.finalize()
    }
}

/// Makes `target` equal to `source`, as it is at one moment, and compares both at the end. `name` says which source it is.
///
/// # Errors
/// If one cannot be read or written, the source has open imports or is damaged, or the target is not a copy of it.
pub fn copy(
    source: &Survey,
    name: &str,
    target: &mut Target,
    progress: &Progress,
) -> Result<Copied, CopyError> {
    source.at_one_moment(|source| copy_moment(source, name, target, progress))?
}

fn copy_moment(
    source: &Survey,
    name: &str,
    target: &mut Target,
    progress: &Progress,
) -> Result<Copied, CopyError> {
    let origin = source.origin()?.ok_or(CopyError::Empty)?;
    match source.open_imports()? {
        0 => {}
        open => return Err(CopyError::OpenImports(open)),
    }
    let model = source.model(&origin.model_id)?;
    target.begin(name, &origin, model.as_deref())?;
    progress.enter(Stage::Copying, source.products()?);
    let (mut copied, mut tally, mut after) = (Copied::default(), Tally::default(), 0);
    loop {
        let page = source.fingerprints(after, PAGE)?;
        tally.add(&page);
        // Behind the last page, the target has nothing either.
        let last = page.last().map_or(i64::MAX, |product| product.number);
        let difference = difference(target, &page, after, last)?;
        for gone in difference.gone.chunks(PAGE) {
            target.write(&[], gone)?;
        }
        copied.added += difference.wanted.len() - difference.replaced;
        copied.replaced += difference.replaced;
        copied.removed += difference.gone.len();
        progress.advance(page.len() - difference.wanted.len());
        let mut wanted = &difference.wanted[..];
        while !wanted.is_empty() {
            let products = source.copied(wanted, BYTES)?;
            target.write(&products, &[])?;
            progress.advance(products.len());
            wanted = &wanted[products.len()..];
        }
        if page.is_empty() {
            break;
        }
        after = last;
    }
    (copied.products, copied.pictures) = (tally.products, tally.pictures);
    progress.enter(Stage::Comparing, tally.products);
    let same_maker = target.model(&origin.model_id)? == model && target.origin()? == Some(origin);
    if !same_maker || !tally.equals(tally_of(target, progress)?) {
        return Err(CopyError::Differ);
    }
    target.end(source.last_numbers()?)?;
    Ok(copied)
}

/// How the target differs from a page of the source.
#[derive(Debug, Default)]
struct Difference {
    /// Products of the page that the target has not, or not so.
    wanted: Vec<i64>,
    /// How many of them it has otherwise.
    replaced: usize,
    /// Products that only the target has.
    gone: Vec<i64>,
}

/// Compares a page of the source, the products with numbers from behind `after` to `last`, with the target.
fn difference(
    target: &Target,
    page: &[Fingerprint],
    after: i64,
    last: i64,
) -> Result<Difference, CatalogueError> {
    let mut found = Difference::default();
    let mut page: VecDeque<&Fingerprint> = page.iter().collect();
    let mut read = after;
    'pages: loop {
        let there = target.fingerprints(read, PAGE)?;
        let Some(end) = there.last() else { break };
        read = end.number;
        for there in &there {
            if there.number > last {
                break 'pages;
            }
            while let Some(missing) = page.pop_front_if(|wanted| wanted.number < there.number) {
                found.wanted.push(missing.number);
            }
            match page.pop_front_if(|wanted| wanted.number == there.number) {
                Some(same) if same == there => {}
                Some(other) => {
                    found.wanted.push(other.number);
                    found.replaced += 1;
                }
                None => found.gone.push(there.number),
            }
        }
        if read >= last {
            break;
        }
    }
    found.wanted.extend(page.iter().map(|missing| missing.number));
    Ok(found)
}

/// The tally of all that is in the target.
fn tally_of(target: &Target, progress: &Progress) -> Result<Tally, CatalogueError> {
    let (mut tally, mut after) = (Tally::default(), 0);
    loop {
        let page = target.fingerprints(after, PAGE)?;
        let Some(last) = page.last() else { return Ok(tally) };
        after = last.number;
        tally.add(&page);
        progress.advance(page.len());
    }
}
