//! How many files, connections among them, this process may have open.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Files beside the limited connections: those over the limit, the database's, the index's.
const OTHERS: u64 = 512;

/// Raises the limit as far as the system allows, and warns if `connections` do not fit.
pub fn allow(connections: usize) {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // What remains is compared below.
    let _ = setrlimit(Resource::Nofile, limit);
    let wanted = connections as u64 + OTHERS;
    if let Some(allowed) = getrlimit(Resource::Nofile).current
        && allowed < wanted
    {
        tracing::warn!(
            allowed,
            wanted,
            "the system allows fewer open files than connections may need: raise it (ulimit -n) or lower --max-connections"
        );
    }
}
