//! Progress bars on stderr, if it is a terminal.

use indicatif::{ProgressBar, ProgressStyle};

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

/// Converts a number of steps to the type that bars use.
pub fn steps(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
