//! Why a file is refused, by what its decoder says.

use std::error::Error as _;
use std::io;

use image::{ImageError, Limits};

use super::jpeg;
use crate::picture::error::PictureError;
use crate::picture::format::Format;

/// The format and bytes of a file, for error messages.
pub(super) struct Refused<'a> {
    pub bytes: &'a [u8],
    pub format: Format,
}

impl Refused<'_> {
    pub(super) fn truncated(&self) -> PictureError {
        PictureError::Truncated {
            format: self.format,
            bytes: self.bytes.len(),
        }
    }

    pub(super) fn jpeg(&self, refusal: jpeg::Refusal) -> PictureError {
        match refusal {
            jpeg::Refusal::Truncated => self.truncated(),
            jpeg::Refusal::Damaged { at, fault } => PictureError::DamagedJpeg { at, fault },
            jpeg::Refusal::Stopped => PictureError::Stopped,
            jpeg::Refusal::Unread(coding) => PictureError::UnreadJpeg { coding },
        }
    }

    /// Where a decoder could not read the header.
    pub(super) fn header(&self, source: ImageError) -> PictureError {
        self.by_decoder(source, &Limits::no_limits())
    }

    pub(super) fn by_decoder(&self, source: ImageError, allowed: &Limits) -> PictureError {
        let format = self.format;
        match source {
            ImageError::Limits(_) => PictureError::TooLarge {
                format,
                limit_bytes: allowed.max_alloc.unwrap_or(u64::MAX),
            },
            ImageError::Unsupported(_) => PictureError::UnsupportedCoding { format, source },
            source if ends_early(&source) => self.truncated(),
            source => PictureError::Damaged { format, source },
        }
    }
}

/// Whether an error, or one of its sources, is an unexpected end of the bytes.
fn ends_early(error: &ImageError) -> bool {
    if let ImageError::IoError(error) = error {
        return error.kind() == io::ErrorKind::UnexpectedEof;
    }
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return error.kind() == io::ErrorKind::UnexpectedEof;
        }
        cause = error.source();
    }
    false
}
