//! Runs independent work on several threads.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Calls `each` for `0..count` on `threads` threads, each with its own state from `make`. Results are in the order of
/// the indices.
///
/// # Panics
/// If `each` does.
pub fn in_parallel<S, T: Send>(
    threads: usize,
    count: usize,
    make: impl Fn() -> S + Sync,
    each: impl Fn(&mut S, usize) -> T + Sync,
) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let mut found: Vec<(usize, T)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads.clamp(1, count.max(1)))
            .map(|_| {
                scope.spawn(|| {
                    let mut state = make();
                    let mut found = Vec::new();
                    loop {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        if index >= count {
                            return found;
                        }
                        found.push((index, each(&mut state, index)));
                    }
                })
            })
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
            .collect()
    });
    found.sort_by_key(|(index, _)| *index);
    found.into_iter().map(|(_, value)| value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_stand_in_order_whoever_made_them() {
        for threads in [0, 1, 3, 100] {
            let found = in_parallel(threads, 50, || 7, |state, index| *state * index);
            assert_eq!(found, (0..50).map(|index| 7 * index).collect::<Vec<_>>());
        }
        assert!(in_parallel(4, 0, || (), |(), index| index).is_empty());
    }
}
