//! Why a file of Fashion-MNIST is invalid.

use std::io;

/// Why a file of Fashion-MNIST is invalid.
#[derive(Debug, thiserror::Error)]
pub enum IdxError {
    /// The magic number is wrong.
    #[error(
        "an idx file of {wanted} begins with the magic number {expected:#010x}, this one with \
         {found:#010x}; give the official *-ubyte.gz file"
    )]
    Magic {
        /// What was to be read.
        wanted: Contents,
        /// The magic number of such a file.
        expected: u32,
        /// The magic number found.
        found: u32,
    },
    /// The file is shorter than its header says.
    #[error(
        "the idx file of {wanted} should have {expected} bytes and has {found}; \
         it is truncated, download it again"
    )]
    Truncated {
        /// What was to be read.
        wanted: Contents,
        /// The unpacked length according to the header.
        expected: u64,
        /// The unpacked length found.
        found: u64,
    },
    /// The file is longer than its header says.
    #[error(
        "the idx file of {wanted} has more than the {expected} bytes of its header; \
         it is damaged, download it again"
    )]
    Trailing {
        /// What was to be read.
        wanted: Contents,
        /// The unpacked length according to the header.
        expected: u64,
    },
    /// The header has no pictures, or pictures without pixels.
    #[error("the idx file has {count} pictures of {height} x {width} pixels; all three must be at least 1")]
    Empty {
        /// The number of pictures in the header.
        count: u32,
        /// Rows of a picture.
        height: u32,
        /// Columns of a picture.
        width: u32,
    },
    /// The header has more bytes than the limit.
    #[error(
        "the idx file of {wanted} has {announced} bytes, the limit is {limit_bytes}; \
         Fashion-MNIST has at most 47040016"
    )]
    TooLarge {
        /// What was to be read.
        wanted: Contents,
        /// The length of the items according to the header.
        announced: u128,
        /// The largest unpacked length.
        limit_bytes: u64,
    },
    /// A label that is not a class.
    #[error("label {index} is {label}; Fashion-MNIST has the classes 0 to 9")]
    Label {
        /// Position of the label in the file, from 0.
        index: usize,
        /// The label found.
        label: u8,
    },
    /// Two files that do not belong together.
    #[error("there are {labels} labels for {pictures} pictures; give the two files of one split")]
    Unequal {
        /// Pictures found.
        pictures: usize,
        /// Labels found.
        labels: usize,
    },
    /// More pictures are requested than there are.
    #[error("{wanted} pictures are requested, the split has {found}")]
    TooFew {
        /// Pictures requested.
        wanted: usize,
        /// Pictures found.
        found: usize,
    },
    /// The gzip stream is invalid.
    #[error("the gzip file of {wanted} is damaged ({source}); download it again")]
    Gzip {
        /// What was to be read.
        wanted: Contents,
        /// The error of the decoder.
        source: io::Error,
    },
}

/// The two kinds of files that Fashion-MNIST consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contents {
    /// `*-images-idx3-ubyte`
    Pictures,
    /// `*-labels-idx1-ubyte`
    Labels,
}

impl std::fmt::Display for Contents {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Pictures => "pictures",
            Self::Labels => "labels",
        })
    }
}
