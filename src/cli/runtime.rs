//! The runtime of commands that do one thing after the other.

use tokio::runtime::{Builder, Runtime};

/// A runtime on this thread.
///
/// # Errors
/// If the system gives it no event queue.
pub fn runtime() -> std::io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}
