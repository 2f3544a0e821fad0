//! JPEG files (ITU-T T.81). In: bytes. Out: what the file holds, after every bit of its scans was accounted for.
//!
//! The decoders of pixels fill with gray what a damaged file lacks, or only log a warning. So the coded data is walked
//! here before: each code must be one of the file's tables, each scan must hold exactly the blocks of its picture, and
//! nothing may be left over. No pixel is computed.

mod blocks;
mod frame;
mod huffman;
mod refusal;
mod scan;
mod segments;
mod tables;
mod uncommon;

#[cfg(test)]
mod tests;

pub(super) use refusal::Refusal;
pub(super) use segments::{Layout, check, frame};
pub(super) use uncommon::UncommonJpeg;
