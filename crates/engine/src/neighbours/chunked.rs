//! Rows of equal length in chunks, which copies share: a copy takes a moment, and a growing list is never moved as a whole.

use std::sync::Arc;

/// Rows of a chunk, a power of two.
const CHUNK: usize = 4096;

/// Rows of `width` values each.
#[derive(Debug, Clone, PartialEq)]
pub struct Chunked<T> {
    width: usize,
    chunks: Vec<Arc<Vec<T>>>,
    len: usize,
}

impl<T: Copy> Chunked<T> {
    /// No rows of `width` values.
    pub fn new(width: usize) -> Self {
        Self {
            width,
            chunks: Vec::new(),
            len: 0,
        }
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Row `index`.
    #[inline]
    pub fn row(&self, index: usize) -> &[T] {
        let first = index % CHUNK * self.width;
        &self.chunks[index / CHUNK][first..first + self.width]
    }

    /// Row `index`, to be changed.
    pub fn row_mut(&mut self, index: usize) -> &mut [T] {
        let first = index % CHUNK * self.width;
        &mut Arc::make_mut(&mut self.chunks[index / CHUNK])[first..first + self.width]
    }

    /// Appends a row of `width` values.
    pub fn push(&mut self, row: impl Iterator<Item = T>) {
        let whole = CHUNK * self.width;
        if self.len.is_multiple_of(CHUNK) {
            self.chunks.push(Arc::new(Vec::with_capacity(whole)));
        }
        let Some(last) = self.chunks.last_mut() else {
            return;
        };
        if Arc::get_mut(last).is_none() {
            // A copy of all of this shares it.
            let mut own = Vec::with_capacity(whole);
            own.extend_from_slice(last);
            *last = Arc::new(own);
        }
        Arc::make_mut(last).extend(row);
        self.len += 1;
        debug_assert_eq!(
            last.len(),
            ((self.len - 1) % CHUNK + 1) * self.width,
            "a row's width"
        );
    }

    /// Bytes that they take.
    pub fn bytes(&self) -> usize {
        let chunk = |chunk: &Arc<Vec<T>>| chunk.capacity() * size_of::<T>();
        self.chunks.iter().map(chunk).sum()
    }

    /// The same rows with other values.
    pub fn map<U: Copy>(&self, convert: impl Fn(T) -> U) -> Chunked<U> {
        let chunk = |chunk: &Arc<Vec<T>>| Arc::new(chunk.iter().map(|&value| convert(value)).collect());
        Chunked {
            width: self.width,
            chunks: self.chunks.iter().map(chunk).collect(),
            len: self.len,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_keeps_what_it_was_while_rows_are_added_and_changed() {
        let mut rows = Chunked::new(2);
        (0..5000u32).for_each(|row| rows.push([row, row + 1].into_iter()));
        let copy = rows.clone();
        rows.push([7, 7].into_iter());
        rows.row_mut(3).fill(0);
        assert_eq!((copy.len(), rows.len()), (5000, 5001));
        assert_eq!((copy.row(3), rows.row(3)), (&[3, 4][..], &[0, 0][..]));
        assert_eq!((rows.row(4999), rows.row(5000)), (&[4999, 5000][..], &[7, 7][..]));
        assert_eq!(rows.map(u64::from).row(4096), [4096, 4097]);
    }
}
