//! The pictures of an index: the product of each, and the row of its embedding, which pictures with equal embeddings share.

use crate::catalogue::product::PictureKey;

/// One picture of the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    pub picture: PictureKey,
    /// The place of its product among [`super::listing::Products`]; [`NOWHERE`] once it is removed.
    pub product: u32,
    /// Its row among the neighbours.
    pub row: u32,
}

/// The place of no product.
pub const NOWHERE: u32 = u32::MAX;

/// A row without pictures.
const NONE: u32 = u32::MAX;
/// Marks the number of a list among `shared`; without it, it is the place of the row's only picture.
const SHARED: u32 = 1 << 31;

/// Pictures by place, in stored order. Removed ones keep their place until the index is rebuilt.
#[derive(Debug, Default)]
pub struct Pictures {
    entries: Vec<Entry>,
    live: usize,
    /// `[row]`: its picture, or the number of its list.
    rows: Vec<u32>,
    /// The pictures of rows that several share, in stored order.
    shared: Vec<Vec<u32>>,
    /// Lists that no row has.
    free: Vec<u32>,
}

impl Pictures {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.live
    }

    /// The number of places, those of removed pictures included.
    pub fn places(&self) -> usize {
        self.entries.len()
    }

    /// The picture at a place.
    pub fn at(&self, place: u32) -> Entry {
        self.entries[place as usize]
    }

    /// The places of a row's pictures, in stored order.
    pub fn of_row(&self, row: usize) -> &[u32] {
        match self.rows.get(row) {
            None | Some(&NONE) => &[],
            Some(shared) if shared & SHARED != 0 => &self.shared[(shared & !SHARED) as usize],
            Some(only) => std::slice::from_ref(only),
        }
    }

    /// Adds a picture behind all others in stored order; returns its place.
    pub fn add(&mut self, picture: PictureKey, product: u32, row: usize) -> u32 {
        let place = u32::try_from(self.entries.len())
            .ok()
            .filter(|place| place & SHARED == 0)
            .expect("fewer than two billion pictures");
        self.entries.push(Entry {
            picture,
            product,
            row: u32::try_from(row).expect("rows are numbered in 32 bits"),
        });
        self.live += 1;
        if self.rows.len() <= row {
            self.rows.resize(row + 1, NONE);
        }
        match self.rows[row] {
            NONE => self.rows[row] = place,
            shared if shared & SHARED != 0 => self.shared[(shared & !SHARED) as usize].push(place),
            only => {
                let list = self.free.pop().unwrap_or_else(|| {
                    self.shared.push(Vec::new());
                    u32::try_from(self.shared.len() - 1).expect("fewer lists than pictures")
                });
                self.shared[list as usize] = vec![only, place];
                self.rows[row] = list | SHARED;
            }
        }
        place
    }

    /// Sets the product of a picture.
    pub fn set_product(&mut self, place: u32, product: u32) {
        self.entries[place as usize].product = product;
    }

    /// Removes a picture; returns its row if no picture is left there.
    pub fn remove(&mut self, place: u32) -> Option<usize> {
        let entry = &mut self.entries[place as usize];
        entry.product = NOWHERE;
        let row = entry.row as usize;
        self.live -= 1;
        let of = self.rows[row];
        if of & SHARED == 0 {
            self.rows[row] = NONE;
            return Some(row);
        }
        let list = &mut self.shared[(of & !SHARED) as usize];
        if let Ok(at) = list.binary_search(&place) {
            list.remove(at);
        }
        if let [only] = list[..] {
            *list = Vec::new();
            self.rows[row] = only;
            self.free.push(of & !SHARED);
        }
        None
    }

    /// Bytes that they take.
    pub fn bytes(&self) -> usize {
        let lists = self.shared.iter().map(|list| list.capacity() * 4 + 24);
        self.entries.capacity() * size_of::<Entry>() + self.rows.capacity() * 4 + lists.sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_list_their_pictures_in_stored_order_until_none_is_left() {
        let mut pictures = Pictures::default();
        let rows = [0, 1, 0, 3, 0, 1];
        for (key, row) in (10..).zip(rows) {
            pictures.add(PictureKey(key), 7, row);
        }
        assert_eq!((pictures.len(), pictures.places()), (6, 6));
        assert_eq!(pictures.of_row(0), [0, 2, 4]);
        assert_eq!(pictures.of_row(1), [1, 5]);
        assert!(pictures.of_row(2).is_empty() && pictures.of_row(9).is_empty());
        assert_eq!(pictures.of_row(3), [3]);

        assert_eq!(pictures.remove(2), None);
        assert_eq!(pictures.remove(0), None);
        assert_eq!(pictures.of_row(0), [4]);
        assert_eq!(pictures.remove(4), Some(0));
        assert!(pictures.of_row(0).is_empty());
        assert_eq!((pictures.len(), pictures.at(4).product), (3, NOWHERE));
        // The row comes back, and so does its list.
        pictures.add(PictureKey(16), 8, 0);
        pictures.add(PictureKey(17), 9, 0);
        assert_eq!(pictures.of_row(0), [6, 7]);
        assert_eq!(pictures.of_row(1), [1, 5]);
        assert_eq!(pictures.at(7).picture, PictureKey(17));
    }
}
