//! Why a `.npy` file is invalid.

/// Why a `.npy` file is invalid.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NpyError {
    /// The signature is missing.
    #[error("not a .npy file: it does not begin with \\x93NUMPY; write one with numpy.save")]
    NotNpy,
    /// An unknown version of the format.
    #[error("the .npy file has version {major}; versions 1 to 3 are supported")]
    Version {
        /// The major version found.
        major: u8,
    },
    /// The header is not a valid dictionary.
    #[error("the header of the .npy file is invalid: expected {expected} at byte {at} of it")]
    Header {
        /// What was expected.
        expected: &'static str,
        /// Position in the header's text, from 0.
        at: usize,
    },
    /// The items have another type.
    #[error("the .npy file has {found} items, pixels must be uint8; convert with .astype('uint8')")]
    ItemType {
        /// The `descr` found.
        found: String,
    },
    /// The items of embeddings have another type.
    #[error(
        "the .npy file has {found} items, embeddings must be float32 or float64; convert with .astype('float32')"
    )]
    FloatType {
        /// The `descr` found.
        found: String,
    },
    /// Embeddings with another number of axes than 2.
    #[error("the .npy file has {} axes {found:?}, embeddings must have [pictures, dimensions]", found.len())]
    Rows {
        /// The shape found.
        found: Vec<usize>,
    },
    /// The first axis runs fastest.
    #[error(
        "the .npy file is in Fortran order, pixels must be in C order; \
         convert with numpy.ascontiguousarray"
    )]
    FortranOrder,
    /// Another number of axes than 3 or 4.
    #[error(
        "the .npy file has {} axes {found:?}, pictures must have [channels, height, width] or \
         [pictures, channels, height, width]", found.len()
    )]
    Axes {
        /// The shape found.
        found: Vec<usize>,
    },
    /// An axis of length zero.
    #[error("the .npy file of shape {found:?} has no pixels; every axis must be 1 or more")]
    Empty {
        /// The shape found.
        found: Vec<usize>,
    },
    /// The file is truncated.
    #[error(
        "the .npy file should have {expected} bytes and has {found}; it is truncated, send the whole file"
    )]
    Truncated {
        /// The length according to the part of the header that was read; `usize::MAX` if it exceeds that.
        expected: usize,
        /// The length found.
        found: usize,
    },
    /// Bytes follow the array.
    #[error("the .npy file should have {expected} bytes and has {found}; a file must hold one array")]
    Trailing {
        /// The length according to the header.
        expected: usize,
        /// The length found.
        found: usize,
    },
}
