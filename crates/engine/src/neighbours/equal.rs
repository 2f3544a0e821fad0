//! Which row has given values: equal embeddings share one row.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;

use super::exact::Vectors;

/// The rows by the hash of their values.
#[derive(Debug, Clone, Default)]
pub struct Equal {
    rows: HashTable<Entry>,
    hasher: RandomState,
}

/// With its hash, so that a growing table need not read embeddings.
#[derive(Debug, Clone, Copy)]
struct Entry {
    hash: u32,
    row: u32,
}

impl Entry {
    /// The table's own hash of an entry, which uses the highest and the lowest bits.
    fn spread(self) -> u64 {
        u64::from(self.hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

impl Equal {
    /// The row of `vectors` with these values.
    pub fn find(&self, vectors: &Vectors, values: &[i32]) -> Option<u32> {
        let wanted = self.entry(values, 0);
        let is = |entry: &Entry| entry.hash == wanted.hash && vectors.is(entry.row as usize, values);
        self.rows.find(wanted.spread(), is).map(|entry| entry.row)
    }

    /// Adds a row; none has its values yet.
    pub fn add(&mut self, values: &[i32], row: u32) {
        let entry = self.entry(values, row);
        self.rows
            .insert_unique(entry.spread(), entry, |entry| entry.spread());
    }

    fn entry(&self, values: &[i32], row: u32) -> Entry {
        // Half of the hash tells rows apart well enough: candidates are compared.
        let hash = self.hasher.hash_one(values) as u32;
        Entry { hash, row }
    }

    /// Bytes that it takes.
    pub fn bytes(&self) -> usize {
        self.rows.allocation_size()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_found_by_its_values_at_any_width() {
        let mut vectors = Vectors::new(3);
        let mut equal = Equal::default();
        let row = |number: i32| [number % 7, number / 7 % 11, number / 77];
        for number in 0..1000 {
            assert_eq!(equal.find(&vectors, &row(number)), None);
            vectors.push(&row(number));
            equal.add(&row(number), u32::try_from(number).unwrap());
        }
        vectors.push(&[70_000, 0, 0]);
        for number in 0..1000 {
            assert_eq!(
                equal.find(&vectors, &row(number)),
                u32::try_from(number).ok(),
                "{number}"
            );
        }
    }
}
