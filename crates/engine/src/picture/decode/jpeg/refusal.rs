//! Why the walk through a JPEG stopped.

use crate::picture::error::{JpegCoding, JpegFault};

/// Why the walk through a JPEG stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The bytes end first.
    Truncated,
    /// The data contradicts itself at a byte of the file.
    Damaged { at: usize, fault: JpegFault },
    /// The caller asked to stop.
    Stopped,
    /// A coding that is not read.
    Unread(JpegCoding),
}
