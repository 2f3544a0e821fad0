//! What a copy of a catalogue carries from one store to another, and what tells that both hold the same.
//!
//! Numbers, times and texts are carried as they are stored, embeddings as whole numbers: nothing is made anew.

use engine::picture::Mode;
use sha2::{Digest, Sha256};

/// A product as it is stored, with its pictures in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopiedProduct {
    /// Its place in the order in which products were first stored.
    pub number: i64,
    pub id: String,
    pub title: String,
    /// JSON, byte for byte.
    pub attributes: String,
    /// In UTC, with three digits of the second: `2026-01-31T12:00:00.000Z`.
    pub created_at: String,
    pub updated_at: String,
    pub pictures: Vec<CopiedPicture>,
}

/// A picture as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopiedPicture {
    /// Its number in the whole catalogue.
    pub number: i64,
    pub id: String,
    pub content_type: String,
    pub width: u32,
    pub height: u32,
    pub prepare: Mode,
    pub bytes: Vec<u8>,
    pub embedding: Vec<i32>,
}

impl CopiedProduct {
    /// The bytes of its pictures and texts.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let pictures = self.pictures.iter().map(|picture| picture.bytes.len());
        pictures.sum::<usize>() + self.title.len() + self.attributes.len()
    }
}

/// The last numbers that a store has given, also to what was removed since: the next ones are above them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LastNumbers {
    pub product: i64,
    pub picture: i64,
}

/// What a product is told by, without reading its pictures: equal ones are of equal products.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint {
    /// The product's number.
    pub number: i64,
    pub pictures: usize,
    pub sum: [u8; 32],
}

/// A picture as a fingerprint takes it in.
#[derive(Debug, Clone, Copy)]
pub struct PictureRow<'a> {
    pub number: i64,
    pub id: &'a str,
    pub content_type: &'a str,
    pub width: u32,
    pub height: u32,
    pub prepare: &'a str,
    /// The stored checksums of its file and of its embedding.
    pub file_sum: &'a [u8],
    pub embedding_sum: &'a [u8],
}

/// A fingerprint in the making; every store makes it of the same parts in the same order.
#[derive(Debug, Clone)]
pub struct Fingerprinting {
    number: i64,
    pictures: usize,
    hash: Sha256,
}

impl Fingerprinting {
    /// Begins with the product: its number, the stored checksum of its own fields, and its times.
    #[must_use]
    pub fn of_product(number: i64, sum: &[u8], created_at: &str, updated_at: &str) -> Self {
        let mut hash = Sha256::new();
        part(&mut hash, &number.to_le_bytes());
        part(&mut hash, sum);
        part(&mut hash, created_at.as_bytes());
        part(&mut hash, updated_at.as_bytes());
        Self {
            number,
            pictures: 0,
            hash,
        }
    }

    /// The product's number.
    #[must_use]
    pub fn number(&self) -> i64 {
        self.number
    }

    /// Takes in its next picture.
    pub fn add(&mut self, picture: PictureRow<'_>) {
        self.pictures += 1;
        let hash = &mut self.hash;
        part(hash, &picture.number.to_le_bytes());
        part(hash, picture.id.as_bytes());
        part(hash, picture.content_type.as_bytes());
        part(hash, &picture.width.to_le_bytes());
        part(hash, &picture.height.to_le_bytes());
        part(hash, picture.prepare.as_bytes());
        part(hash, picture.file_sum);
        part(hash, picture.embedding_sum);
    }

    /// The fingerprint.
    #[must_use]
    pub fn done(self) -> Fingerprint {
        Fingerprint {
            number: self.number,
            pictures: self.pictures,
            sum: self.hash.finalize().into(),
        }
    }
}

/// A part with its length before it.
fn part(hash: &mut Sha256, bytes: &[u8]) {
    hash.update(u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_le_bytes());
    hash.update(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_differs_of_a_product_gives_another_fingerprint() {
        let picture = PictureRow {
            number: 7,
            id: "7",
            content_type: "image/png",
            width: 28,
            height: 28,
            prepare: "auto",
            file_sum: &[1; 32],
            embedding_sum: &[2; 32],
        };
        let of = |number, sum: u8, times: [&str; 2], pictures: &[PictureRow<'_>]| {
            let mut made = Fingerprinting::of_product(number, &[sum; 32], times[0], times[1]);
            pictures.iter().for_each(|picture| made.add(*picture));
            made.done()
        };
        let same = || of(3, 9, ["then", "now"], &[picture]);
        assert_eq!(same(), same());
        assert_eq!((same().number, same().pictures), (3, 1));
        let one = |picture| of(3, 9, ["then", "now"], &[picture]).sum;
        let others = [
            of(4, 9, ["then", "now"], &[picture]).sum,
            of(3, 8, ["then", "now"], &[picture]).sum,
            of(3, 9, ["thenn", "ow"], &[picture]).sum,
            of(3, 9, ["then", "now"], &[]).sum,
            of(3, 9, ["then", "now"], &[picture, picture]).sum,
            one(PictureRow { number: 8, ..picture }),
            one(PictureRow { id: "8", ..picture }),
            one(PictureRow {
                content_type: "image/gif",
                ..picture
            }),
            one(PictureRow { width: 27, ..picture }),
            one(PictureRow {
                height: 27,
                ..picture
            }),
            one(PictureRow {
                prepare: "as_is",
                ..picture
            }),
            one(PictureRow {
                file_sum: &[0; 32],
                ..picture
            }),
            one(PictureRow {
                embedding_sum: &[0; 32],
                ..picture
            }),
            same().sum,
        ];
        let different: std::collections::BTreeSet<_> = others.iter().collect();
        assert_eq!(different.len(), others.len());
    }
}
