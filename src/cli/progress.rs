//! Progress bars on stderr, if it is a terminal.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::progress::Progress;

/// A bar of `total` steps.
#[must_use]
pub fn bar(what: &'static str, total: usize) -> ProgressBar {
    let total = u64::try_from(total).unwrap_or(u64::MAX);
    let bar = ProgressBar::new(total).with_message(what);
    bar.set_style(
        ProgressStyle::with_template("{msg:24} {wide_bar} {human_pos}/{human_len} {eta:>5}")
            .expect("the template is valid"),
    );
    bar
}

/// Converts a number of steps to the bars' type.
#[must_use]
pub fn steps(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// Runs `work` while a bar shows its progress.
pub fn follow<T>(progress: &Arc<Progress>, work: impl FnOnce() -> T) -> T {
    let _shown = shown(Arc::clone(progress));
    work()
}

/// Shows a bar until it is dropped, also by a panic.
#[derive(Debug)]
pub struct Shown {
    done: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Shows the progress of work, with one bar per stage.
#[must_use]
pub fn shown(progress: Arc<Progress>) -> Shown {
    let done = Arc::new(AtomicBool::new(false));
    let ends = Arc::clone(&done);
    let thread = std::thread::spawn(move || {
        let mut shown: Option<(&str, ProgressBar)> = None;
        while !ends.load(Ordering::Relaxed) {
            let (stage, finished, total) = progress.now();
            let what = stage.describe();
            if shown.as_ref().is_none_or(|(current, _)| *current != what) {
                if let Some((_, finished)) = shown.take() {
                    finished.finish();
                }
                shown = Some((what, bar(what, total)));
            }
            if let Some((_, bar)) = &shown {
                bar.set_length(steps(total));
                bar.set_position(steps(finished));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        if let Some((_, bar)) = shown {
            bar.finish();
        }
    });
    Shown {
        done,
        thread: Some(thread),
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // Nothing depends on the bar.
            let _ = thread.join();
        }
    }
}
