//! Links between rows in flat arrays, and the search along them (Malkov and Yashunin 2018, algorithms 2 and 5).
//!
//! The layers above the lowest are those of the graph library; the lowest has a fixed number of places for each row, so that
//! rows can be joined to it. Absent: values. The caller computes similarities.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::io::{Error, ErrorKind, Read, Result, Write};

use super::kernel::prefetch;

/// The most links of a row in the lowest layer.
pub const WIDTH: usize = 32;
/// An empty place.
const NONE: u32 = u32::MAX;
/// More layers than any graph has.
const MOST_LAYERS: u32 = 64;

/// Links between the rows `0..rows`, by layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Links {
    /// A row in the highest layer, where searches start.
    entry: u32,
    /// How many rows the graph library linked.
    core: usize,
    /// `[row]`: the rows that it is linked to, then empty places.
    lowest: Vec<[u32; WIDTH]>,
    /// The layers above, the highest first: few rows have links there.
    above: Vec<HashMap<u32, Box<[u32]>>>,
}

impl Links {
    /// Takes the links of some of `rows` rows, by layer, the lowest first. There must be at least one.
    #[must_use]
    pub(super) fn new(rows: usize, linked: Vec<(u32, Vec<Vec<u32>>)>) -> Self {
        let height = linked.iter().map(|(_, layers)| layers.len()).max().unwrap_or(0);
        let mut links = Self {
            entry: 0,
            core: linked.len(),
            lowest: vec![[NONE; WIDTH]; rows],
            above: vec![HashMap::new(); height.saturating_sub(1)],
        };
        let mut highest = 0;
        for (row, layers) in linked {
            // Of equally high ones the first, so that equal links are searched alike.
            if layers.len() > highest || (layers.len() == highest && row < links.entry) {
                (highest, links.entry) = (layers.len(), row);
            }
            for (layer, linked) in layers.into_iter().enumerate() {
                match layer {
                    0 => links.set(row, &linked[..linked.len().min(WIDTH)]),
                    layer => {
                        links.above[height - 1 - layer].insert(row, linked.into_boxed_slice());
                    }
                }
            }
        }
        links
    }

    /// The number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.lowest.len()
    }

    /// How many rows the graph library linked.
    #[must_use]
    pub(super) fn core(&self) -> usize {
        self.core
    }

    /// The row where searches start.
    #[must_use]
    pub(super) fn entry(&self) -> u32 {
        self.entry
    }

    /// Adds rows without links, up to `rows`.
    pub(super) fn grow(&mut self, rows: usize) {
        self.lowest.reserve_exact(rows.saturating_sub(self.lowest.len()));
        self.lowest.resize(rows.max(self.lowest.len()), [NONE; WIDTH]);
    }

    /// The links of a row in the lowest layer.
    #[inline]
    #[must_use]
    pub(super) fn linked(&self, row: u32) -> &[u32] {
        let places = &self.lowest[row as usize];
        let count = places.iter().position(|row| *row == NONE).unwrap_or(WIDTH);
        &places[..count]
    }

    /// Replaces the links of a row in the lowest layer, at most [`WIDTH`].
    pub(super) fn set(&mut self, row: u32, linked: &[u32]) {
        let places = &mut self.lowest[row as usize];
        places[..linked.len()].copy_from_slice(linked);
        places[linked.len()..].fill(NONE);
    }

    /// About the `count` nearest rows of those that `counts`, nearest first. `similarity` gives the similarity of a row;
    /// `soon` is called for rows whose similarity is needed next. The search starts at the entry and at `start`.
    pub(super) fn nearest(
        &self,
        count: usize,
        start: Option<u32>,
        similarity: impl Fn(usize) -> f32,
        soon: impl Fn(usize),
        counts: impl Fn(usize) -> bool,
    ) -> Vec<Key> {
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
        let mut walk = Walk {
            seen: Seen::new(self.rows()),
            open: BinaryHeap::new(),
            found: BinaryHeap::new(),
            count,
            counts,
        };
        for key in [Some(best), start.map(key)].into_iter().flatten() {
            if walk.seen.first_time(key.row()) {
                walk.meet(key);
            }
        }
        let mut fresh: Vec<u32> = Vec::with_capacity(WIDTH);
        while let Some(next) = walk.next() {
            fresh.clear();
            let linked = self.lowest[next.row() as usize].into_iter();
            let linked = linked.take_while(|row| *row != NONE);
            fresh.extend(linked.filter(|row| walk.seen.first_time(*row)));
            fresh.iter().for_each(|row| soon(*row as usize));
            for &row in &fresh {
                if walk.meet(key(row)) {
                    prefetch(&self.lowest[row as usize]);
                }
            }
        }
        let mut found: Vec<Key> = walk.found.into_iter().map(|Reverse(key)| key).collect();
        found.sort_unstable_by(|a, b| b.cmp(a));
        found
    }

    /// Writes them, to be read by [`Links::read`].
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn write(&self, out: &mut impl Write) -> Result<()> {
        out.write_all(&number(self.rows()).to_le_bytes())?;
        out.write_all(&number(self.core).to_le_bytes())?;
        out.write_all(&self.entry.to_le_bytes())?;
        out.write_all(&number(self.above.len()).to_le_bytes())?;
        for places in &self.lowest {
            out.write_all(places.map(u32::to_le_bytes).as_flattened())?;
        }
        for layer in &self.above {
            let mut rows: Vec<_> = layer.iter().collect();
            rows.sort_unstable();
            out.write_all(&number(rows.len()).to_le_bytes())?;
            for (row, linked) in rows {
                out.write_all(&row.to_le_bytes())?;
                out.write_all(&number(linked.len()).to_le_bytes())?;
                for row in linked {
                    out.write_all(&row.to_le_bytes())?;
                }
            }
        }
        Ok(())
    }

    /// Reads what [`Links::write`] wrote.
    ///
    /// # Errors
    /// If it cannot be read, or is of other than `rows` rows, or leads elsewhere.
    pub fn read(from: &mut impl Read, rows: usize) -> Result<Self> {
        let wrong = |what: &str| Error::new(ErrorKind::InvalidData, format!("its links have {what}"));
        let next = |from: &mut dyn Read| -> Result<u32> {
            let mut bytes = [0; 4];
            from.read_exact(&mut bytes)?;
            Ok(u32::from_le_bytes(bytes))
        };
        let row = |row: u32| match (row as usize) < rows {
            true => Ok(row),
            false => Err(wrong("a row that is not there")),
        };
        if next(from)? as usize != rows {
            return Err(wrong("another number of rows"));
        }
        let core = row(next(from)?.saturating_sub(1))? as usize + 1;
        let entry = row(next(from)?)?;
        let layers = next(from)?;
        if layers > MOST_LAYERS {
            return Err(wrong("too many layers"));
        }
        let mut lowest = Vec::with_capacity(rows);
        let mut bytes = [[0; 4]; WIDTH];
        for _ in 0..rows {
            from.read_exact(bytes.as_flattened_mut())?;
            let places = bytes.map(u32::from_le_bytes);
            for place in places {
                if place != NONE {
                    row(place)?;
                }
            }
            lowest.push(places);
        }
        let mut above = Vec::new();
        for _ in 0..layers {
            let mut layer = HashMap::new();
            for _ in 0..next(from)? {
                let at = row(next(from)?)?;
                let count = next(from)?;
                let linked = (0..count).map(|_| row(next(from)?)).collect::<Result<_>>()?;
                layer.insert(at, linked);
            }
            above.push(layer);
        }
        Ok(Self {
            entry,
            core,
            lowest,
            above,
        })
    }

    /// Bytes that they take: the lowest layer, and those above.
    pub(super) fn bytes(&self) -> [usize; 2] {
        let above = self.above.iter().flat_map(HashMap::values);
        let above = above.map(|linked| size_of_val(&**linked) + size_of::<(u32, Box<[u32]>)>() * 8 / 7 + 1);
        [size_of_val(&*self.lowest), above.sum()]
    }
}

/// A row's number, or a number of rows, in the width that links have.
pub(super) fn number(count: usize) -> u32 {
    u32::try_from(count).expect("rows are numbered in 32 bits")
}

/// A search under way.
struct Walk<F> {
    seen: Seen,
    /// Rows whose links were not followed yet.
    open: BinaryHeap<Key>,
    /// The best rows that count, the worst first.
    found: BinaryHeap<Reverse<Key>>,
    count: usize,
    counts: F,
}

impl<F: Fn(usize) -> bool> Walk<F> {
    /// Whether a row is better than the worst one found, or there is room.
    fn is_wanted(&self, key: Key) -> bool {
        self.found.len() < self.count || self.found.peek().is_some_and(|Reverse(worst)| key > *worst)
    }

    /// The best row whose links may lead to a better one.
    fn next(&mut self) -> Option<Key> {
        let next = self.open.pop()?;
        let full = self.found.len() >= self.count;
        let over = full && self.found.peek().is_some_and(|Reverse(worst)| next < *worst);
        (!over).then_some(next)
    }

    /// Takes a row up if it is wanted; whether its links may be followed.
    fn meet(&mut self, key: Key) -> bool {
        if !self.is_wanted(key) {
            return false;
        }
        self.open.push(key);
        // Rows that do not count lead on all the same.
        if (self.counts)(key.row() as usize) {
            if self.found.len() < self.count {
                self.found.push(Reverse(key));
            } else if let Some(mut worst) = self.found.peek_mut() {
                *worst = Reverse(key);
            }
        }
        true
    }
}

/// A row ordered by similarity; of equally similar rows, the one stored first is larger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(u64);

impl Key {
    pub fn new(similarity: f32, row: u32) -> Self {
        let bits = similarity.to_bits();
        // Positive floats are ordered like their bits, negative ones in reverse.
        let ordered = if bits >> 31 == 0 { bits | 1 << 31 } else { !bits };
        Self(u64::from(ordered) << 32 | u64::from(!row))
    }

    pub fn row(self) -> u32 {
        !(self.0 as u32)
    }

    /// The similarity.
    pub fn similarity(self) -> f32 {
        let ordered = (self.0 >> 32) as u32;
        f32::from_bits(if ordered >> 31 == 1 {
            ordered ^ 1 << 31
        } else {
            !ordered
        })
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
    use proptest::prelude::*;

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
        assert_eq!(order.map(Key::similarity), [-1.0, -0.25, 0.0, 0.25, 0.25, 1.0]);
    }

    /// Row r is linked to its neighbours on a line; row 50 alone is in a layer above.
    fn chain() -> Links {
        let links = (0..100u32).map(|row| {
            let linked = [row.checked_sub(1), Some(row + 1).filter(|row| *row < 100)];
            let mut layers = vec![linked.into_iter().flatten().collect::<Vec<u32>>()];
            if row == 50 {
                layers.push(Vec::new());
            }
            (row, layers)
        });
        Links::new(100, links.collect())
    }

    fn rows(found: Vec<Key>) -> Vec<u32> {
        found.into_iter().map(Key::row).collect()
    }

    #[test]
    fn a_chain_is_walked_to_its_nearest_end_and_not_beyond_what_is_asked() {
        let links = chain();
        assert_eq!(links.entry(), 50);
        let near = |row: usize| -(row as f32 - 80.1).abs();
        assert_eq!(
            rows(links.nearest(5, None, near, |_| {}, |_| true)),
            [80, 81, 79, 82, 78]
        );
        assert_eq!(links.nearest(1000, None, |_| 0.0, |_| {}, |_| true).len(), 100);
        // Rows that do not count are passed through.
        let odd = links.nearest(3, None, near, |_| {}, |row| row % 2 == 1);
        assert_eq!(rows(odd), [81, 79, 83]);
        // The walk from row 50 would need the part of the chain that is cut off.
        let mut cut = links.clone();
        cut.set(60, &[59]);
        assert_eq!(rows(cut.nearest(1, None, near, |_| {}, |_| true)), [60]);
        assert_eq!(rows(cut.nearest(1, Some(99), near, |_| {}, |_| true)), [80]);
    }

    proptest! {
        #[test]
        fn a_damaged_file_is_refused_or_leads_to_rows_that_are_there(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
            end in any::<prop::sample::Index>(),
        ) {
            let mut file = Vec::new();
            chain().write(&mut file).unwrap();
            for (place, value) in changes {
                let place = place.index(file.len());
                file[place] = value;
            }
            file.truncate(end.index(2 * file.len()).max(16));
            if let Ok(links) = Links::read(&mut file.as_slice(), 100) {
                let found = links.nearest(10, Some(99), |row| row as f32, |_| {}, |_| true);
                prop_assert!(found.iter().all(|key| key.row() < 100));
            }
        }
    }

    #[test]
    fn what_was_written_is_read_and_nothing_else() {
        let links = chain();
        let mut file = Vec::new();
        links.write(&mut file).unwrap();
        assert_eq!(Links::read(&mut file.as_slice(), 100).unwrap(), links);
        assert!(Links::read(&mut file.as_slice(), 99).is_err());
        assert!(Links::read(&mut &file[..file.len() - 1], 100).is_err());
        // The first link of row 0.
        let mut wrong = file.clone();
        wrong[16] = 100;
        assert!(Links::read(&mut wrong.as_slice(), 100).is_err());
    }
}
