//! A graph's links in flat arrays, and the search along them (Malkov and Yashunin 2018, algorithms 2 and 5).
//!
//! The graph library stores every link as an allocation of its own behind locks, which insertions need and which slows
//! searches down. This is a read-only copy for searches, with the rows that were linked when it was made. Absent:
//! values. The caller computes similarities.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

/// Links between the rows `0..rows`, by layer.
#[derive(Debug)]
pub struct Links {
    rows: usize,
    /// A row in the highest layer, where searches start.
    entry: u32,
    /// `[row]`: start of its links in `lowest`; one entry more than rows.
    starts: Vec<u64>,
    lowest: Vec<u32>,
    /// The layers above, the highest first: few rows have links there.
    above: Vec<HashMap<u32, Box<[u32]>>>,
}

impl Links {
    /// Takes the links of every row, by layer, the lowest first. There must be at least one row.
    pub fn new(mut links: Vec<Vec<Vec<u32>>>) -> Self {
        let rows = links.len();
        let height = links.iter().map(Vec::len).max().unwrap_or(0);
        let mut above: Vec<HashMap<u32, Box<[u32]>>> = vec![HashMap::new(); height.saturating_sub(1)];
        let mut starts = Vec::with_capacity(rows + 1);
        let mut lowest = Vec::new();
        let mut entry = 0;
        let mut highest = 0;
        starts.push(0);
        for (row, layers) in (0u32..).zip(&mut links) {
            if layers.len() > highest {
                (highest, entry) = (layers.len(), row);
            }
            for (layer, linked) in std::mem::take(layers).into_iter().enumerate() {
                match layer {
                    0 => lowest.extend(linked),
                    layer => {
                        above[height - 1 - layer].insert(row, linked.into_boxed_slice());
                    }
                }
            }
            starts.push(lowest.len() as u64);
        }
        lowest.shrink_to_fit();
        Self {
            rows,
            entry,
            starts,
            lowest,
            above,
        }
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// About the `count` nearest rows, unordered. `similarity` gives the similarity of a row; `soon` is called for
    /// rows whose similarity is needed next.
    pub fn nearest(
        &self,
        count: usize,
        similarity: impl Fn(usize) -> f64,
        soon: impl Fn(usize),
    ) -> impl Iterator<Item = usize> {
        let key = |row: u32| Key::new(similarity(row as usize), row);
        let mut best = key(self.entry);
        for layer in &self.above {
            loop {
                let linked = layer
                    .get(&best.row())
                    .map(|linked| &linked[..])
                    .unwrap_or_default();
                let Some(better) = linked.iter().map(|row| key(*row)).max().filter(|key| *key > best) else {
                    break;
                };
                best = better;
            }
        }
        let mut seen = Seen::new(self.rows);
        seen.first_time(best.row());
        let mut fresh: Vec<u32> = Vec::new();
        let mut open = BinaryHeap::from([best]);
        let mut found = BinaryHeap::from([Reverse(best)]);
        while let Some(next) = open.pop() {
            let worst = found.peek().map(|Reverse(key)| *key);
            if found.len() >= count && worst.is_some_and(|worst| next < worst) {
                break;
            }
            fresh.clear();
            fresh.extend(
                self.linked(next.row())
                    .iter()
                    .filter(|row| seen.first_time(**row)),
            );
            fresh.iter().for_each(|row| soon(*row as usize));
            for &row in &fresh {
                let key = key(row);
                if found.len() < count {
                    found.push(Reverse(key));
                    open.push(key);
                } else if let Some(mut worst) = found.peek_mut()
                    && key > worst.0
                {
                    *worst = Reverse(key);
                    open.push(key);
                }
            }
        }
        found.into_iter().map(|Reverse(key)| key.row() as usize)
    }

    fn linked(&self, row: u32) -> &[u32] {
        let row = row as usize;
        // The sum of all lengths fits in memory.
        &self.lowest[self.starts[row] as usize..self.starts[row + 1] as usize]
    }
}

/// A row ordered by similarity; of equally similar rows, the one stored first is larger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key(u64);

impl Key {
    fn new(similarity: f64, row: u32) -> Self {
        let bits = (similarity as f32).to_bits();
        // Positive floats are ordered like their bits, negative ones in reverse.
        let ordered = if bits >> 31 == 0 { bits | 1 << 31 } else { !bits };
        Self(u64::from(ordered) << 32 | u64::from(!row))
    }

    fn row(self) -> u32 {
        !(self.0 as u32)
    }
}

/// The set of visited rows.
struct Seen(Vec<u64>);

impl Seen {
    fn new(rows: usize) -> Self {
        Self(vec![0; rows.div_ceil(64)])
    }

    fn first_time(&mut self, row: u32) -> bool {
        let (word, bit) = (row as usize / 64, 1 << (row % 64));
        let new = self.0[word] & bit == 0;
        self.0[word] |= bit;
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_ordered_by_similarity_then_by_row() {
        let order = [
            Key::new(-1.0, 3),
            Key::new(-0.25, 9),
            Key::new(0.0, 4),
            Key::new(0.25, 8),
            Key::new(0.25, 7),
            Key::new(1.0, 1),
        ];
        assert!(order.is_sorted());
        assert_eq!(order.map(Key::row), [3, 9, 4, 8, 7, 1]);
    }

    #[test]
    fn a_chain_is_walked_to_its_nearest_end_and_not_beyond_what_is_asked() {
        // Row r is linked to its neighbours on a line; row 50 alone is in a layer above.
        let links = (0..100u32)
            .map(|row| {
                let linked = [row.checked_sub(1), Some(row + 1).filter(|row| *row < 100)];
                let mut layers = vec![linked.into_iter().flatten().collect::<Vec<u32>>()];
                if row == 50 {
                    layers.push(Vec::new());
                }
                layers
            })
            .collect();
        let links = Links::new(links);
        let mut found: Vec<usize> = links
            .nearest(5, |row| -(row as f64 - 80.0).abs(), |_| {})
            .collect();
        found.sort_unstable();
        assert_eq!(found, [78, 79, 80, 81, 82]);
        assert_eq!(links.nearest(1000, |_| 0.0, |_| {}).count(), 100);
    }
}
