//! Results of the last few questions, while they are still right.

use std::sync::Arc;

use parking_lot::Mutex;

/// At most `MOST` results by their question; the oldest one goes first.
#[derive(Debug)]
pub struct LastFew<K, V, const MOST: usize>(Mutex<Vec<(K, Arc<V>)>>);

impl<K, V, const MOST: usize> Default for LastFew<K, V, MOST> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: PartialEq, V, const MOST: usize> LastFew<K, V, MOST> {
    /// The result of a question, if it is among them.
    pub fn known(&self, wanted: &K) -> Option<Arc<V>> {
        let kept = self.0.lock();
        let found = kept.iter().find(|(known, _)| known == wanted);
        found.map(|(_, value)| Arc::clone(value))
    }

    /// Keeps a result.
    pub fn keep(&self, key: K, value: &Arc<V>) {
        let mut kept = self.0.lock();
        if kept.len() >= MOST {
            kept.remove(0);
        }
        kept.push((key, Arc::clone(value)));
    }
}
