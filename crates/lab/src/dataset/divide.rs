//! Divides a data set without splits: 70 % training, 10 % validation, 20 % test.

use sha2::{Digest, Sha256};

use super::entry::{Entry, Part};

/// The split of a picture, from the SHA-256 of its group, or of its id if it has no group. It depends on nothing else,
/// so pictures keep their split when others are added.
#[must_use]
pub fn part_of(entry: &Entry) -> Part {
    // Below 100, evenly.
    match (u64::from(place(entry)) * 100) >> 32 {
        0..70 => Part::Train,
        70..80 => Part::Validation,
        _ => Part::Test,
    }
}

/// The first four bytes of the SHA-256 of a picture's group or id: an even, stable order.
#[must_use]
pub fn place(entry: &Entry) -> u32 {
    let key = entry.group.as_ref().unwrap_or(&entry.id);
    let digest = Sha256::digest(key.as_bytes());
    u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]])
}
