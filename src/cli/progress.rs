//! Progress on stderr: bars where it is a terminal, nothing where it is not.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::service::Progress;

/// A bar over `total` steps.
pub fn bar(what: &'static str, total: usize) -> ProgressBar {
    let total = u64::try_from(total).unwrap_or(u64::MAX);
    let bar = ProgressBar::new(total).with_message(what);
    bar.set_style(
        ProgressStyle::with_template("{msg:24} {wide_bar} {human_pos}/{human_len} {eta:>5}")
            .expect("the template is sound"),
    );
    bar
}

/// A number of finished steps, as bars count them.
pub fn steps(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// Does `work` while a bar follows the service's progress through its stages.
pub fn follow<T>(progress: &Progress, work: impl FnOnce() -> T) -> T {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut shown: Option<(&str, ProgressBar)> = None;
            while !done.load(Ordering::Relaxed) {
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
        // Told even if `work` panics, or the scope would wait for the bar for ever.
        struct Done<'a>(&'a AtomicBool);
        impl Drop for Done<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let _done = Done(&done);
        work()
    })
}
