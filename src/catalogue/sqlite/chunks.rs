//! A growing list whose copies share everything that neither has changed since.

use std::sync::Arc;

/// Items that are copied together when one of them changes.
const CHUNK: usize = 256;

/// Items by number, from 0. A copy takes a moment, however long the list is.
#[derive(Debug, Clone)]
pub struct Chunks<T> {
    chunks: Vec<Arc<Vec<T>>>,
    len: usize,
}

impl<T> Default for Chunks<T> {
    fn default() -> Self {
        Self {
            chunks: Vec::new(),
            len: 0,
        }
    }
}

impl<T: Clone> Chunks<T> {
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn get(&self, number: usize) -> Option<&T> {
        self.chunks.get(number / CHUNK)?.get(number % CHUNK)
    }

    pub fn get_mut(&mut self, number: usize) -> Option<&mut T> {
        Arc::make_mut(self.chunks.get_mut(number / CHUNK)?).get_mut(number % CHUNK)
    }

    /// Adds an item at the end.
    pub fn push(&mut self, item: T) {
        if self.len.is_multiple_of(CHUNK) {
            self.chunks.push(Arc::new(Vec::with_capacity(CHUNK)));
        }
        if let Some(last) = self.chunks.last_mut() {
            Arc::make_mut(last).push(item);
            self.len += 1;
        }
    }

    /// The items from `first` on, in pieces.
    pub fn pieces(&self, first: usize) -> impl Iterator<Item = &[T]> {
        let skipped = first % CHUNK;
        self.chunks
            .iter()
            .skip(first / CHUNK)
            .enumerate()
            .map(move |(place, chunk)| match place {
                0 => chunk.get(skipped..).unwrap_or_default(),
                _ => chunk.as_slice(),
            })
    }

    /// Bytes that the list takes, without what its items own.
    pub fn bytes(&self) -> usize {
        let chunk = |chunk: &Arc<Vec<T>>| chunk.capacity() * size_of::<T>() + size_of_val(chunk);
        self.chunks.iter().map(chunk).sum()
    }

    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.pieces(0).flatten()
    }

    /// The number of the first item for which `before` is false; it must be true for all items before that one.
    pub fn partition_point(&self, before: impl Fn(&T) -> bool) -> usize {
        let full = self
            .chunks
            .partition_point(|chunk| chunk.last().is_some_and(&before));
        let rest = self
            .chunks
            .get(full)
            .map_or(0, |chunk| chunk.partition_point(&before));
        (full * CHUNK + rest).min(self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_list_and_a_copy_keeps_what_it_was() {
        let mut list = Chunks::default();
        assert_eq!(
            (list.len(), list.get(0), list.partition_point(|_: &usize| true)),
            (0, None, 0)
        );
        (0..1000).for_each(|number| list.push(number));
        let copy = list.clone();
        *list.get_mut(700).unwrap() = 0;
        list.push(1000);
        assert_eq!(
            (copy.len(), copy.get(700), copy.get(1000)),
            (1000, Some(&700), None)
        );
        assert_eq!(
            (list.len(), list.get(700), list.get(1000)),
            (1001, Some(&0), Some(&1000))
        );
        assert!(copy.iter().copied().eq(0..1000));
        for first in [0, 1, 255, 256, 300, 999, 1000, 5000] {
            let rest: Vec<usize> = copy.pieces(first).flatten().copied().collect();
            assert!(rest.into_iter().eq(first..1000), "{first}");
        }
        for bound in [0, 1, 256, 257, 999, 1000, 2000] {
            assert_eq!(copy.partition_point(|number| *number < bound), bound.min(1000));
        }
    }
}
