//! Fashion-MNIST's idx files, gzipped or plain → its pictures and their labels.
//!
//! The format is LeCun's: a magic number of four bytes (0, 0, type of the items, number of axes),
//! the length of every axis as a big-endian u32, then the items. Fashion-MNIST's items are u8.

use std::io::{self, Read};

use flate2::read::MultiGzDecoder;
use ndarray::Array3;

use crate::picture::PictureError;

#[cfg(test)]
mod tests;

/// The classes in the order of their labels (Xiao et al. 2017, table 2).
pub const CLASS_NAMES: [&str; 10] = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
];

/// Most bytes that a file may hold unpacked: five times Fashion-MNIST's largest (60,000 pictures
/// of 28 x 28 pixels, 47 million bytes), so that a small file cannot unpack to fill the memory.
pub const MAX_BYTES: u64 = 256 << 20;

/// Magic number of u8 items on three axes: pictures, rows, columns.
const MAGIC_PICTURES: u32 = 0x0803;
/// Magic number of u8 items on one axis: labels.
const MAGIC_LABELS: u32 = 0x0801;

/// Why a file of Fashion-MNIST is refused.
#[derive(Debug, thiserror::Error)]
pub enum IdxError {
    /// The magic number is another one.
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
    /// The file ends before the header or the items that it announces.
    #[error(
        "the idx file of {wanted} announces {expected} bytes and holds {found}; \
         fetch it again, it was cut"
    )]
    Truncated {
        /// What was to be read.
        wanted: Contents,
        /// Bytes that header and items take, unpacked.
        expected: u64,
        /// Bytes there are, unpacked.
        found: u64,
    },
    /// Bytes follow the items that the header announces.
    #[error(
        "the idx file of {wanted} goes on after the {expected} bytes that it announces; \
         fetch it again, it was damaged"
    )]
    Trailing {
        /// What was to be read.
        wanted: Contents,
        /// Bytes that header and items take, unpacked.
        expected: u64,
    },
    /// The header announces no pictures, or pictures without pixels.
    #[error("the idx file announces {count} pictures of {height} x {width} pixels; none may be 0")]
    Empty {
        /// Pictures announced.
        count: u32,
        /// Rows of a picture.
        height: u32,
        /// Columns of a picture.
        width: u32,
    },
    /// The header announces more than is ever unpacked.
    #[error(
        "the idx file of {wanted} announces {announced} bytes, the limit is {limit_bytes}; \
         Fashion-MNIST has at most 47040016"
    )]
    TooLarge {
        /// What was to be read.
        wanted: Contents,
        /// Bytes of items announced.
        announced: u128,
        /// Most bytes that are unpacked.
        limit_bytes: u64,
    },
    /// A label without a class.
    #[error("label {index} is {label}; Fashion-MNIST has the classes 0 to 9")]
    Label {
        /// Position of the label in the file, from 0.
        index: usize,
        /// The label found.
        label: u8,
    },
    /// The gzip stream contradicts itself.
    #[error("the gzip file of {wanted} is damaged ({source}); fetch it again")]
    Gzip {
        /// What was to be read.
        wanted: Contents,
        /// What the unpacker says.
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

/// Reads the pictures of a file: `[pictures, height, width]`, each pixel 0 (background) to 255.
///
/// # Errors
/// [`PictureError::Idx`] for any file but a whole idx file of one or more pictures.
pub fn pictures(bytes: &[u8]) -> Result<Array3<u8>, PictureError> {
    let mut items = Items::open(bytes, Contents::Pictures)?;
    let [count, height, width] = [items.axis()?, items.axis()?, items.axis()?];
    if count == 0 || height == 0 || width == 0 {
        return Err(PictureError::Idx(IdxError::Empty { count, height, width }));
    }
    let pixels = items.finish(u128::from(count) * u128::from(height) * u128::from(width))?;
    let found = pixels.len();
    let shape = [count, height, width].map(|axis| usize::try_from(axis).unwrap_or(usize::MAX));
    Array3::from_shape_vec(shape, pixels).map_err(|_| PictureError::PixelCount {
        shape: crate::picture::Shape {
            channels: shape[0],
            height: shape[1],
            width: shape[2],
        },
        found,
    })
}

/// Reads the labels of a file, in the order of its pictures, each an index into [`CLASS_NAMES`].
///
/// # Errors
/// [`PictureError::Idx`] for any file but a whole idx file of labels from 0 to 9.
pub fn labels(bytes: &[u8]) -> Result<Vec<u8>, PictureError> {
    let mut items = Items::open(bytes, Contents::Labels)?;
    let count = items.axis()?;
    let labels = items.finish(u128::from(count))?;
    let classless = |&(_, &label): &(usize, &u8)| usize::from(label) >= CLASS_NAMES.len();
    match labels.iter().enumerate().find(classless) {
        Some((index, &label)) => Err(IdxError::Label { index, label }.into()),
        None => Ok(labels),
    }
}

/// A file under way: the header is read, the items follow.
struct Items<'a> {
    wanted: Contents,
    reader: Box<dyn Read + 'a>,
    header_bytes: u64,
}

impl<'a> Items<'a> {
    fn open(bytes: &'a [u8], wanted: Contents) -> Result<Self, IdxError> {
        // The signature of gzip (RFC 1952, section 2.3.1); an idx file begins with two zeros.
        let reader: Box<dyn Read + 'a> = if bytes.starts_with(&[0x1f, 0x8b]) {
            Box::new(MultiGzDecoder::new(bytes))
        } else {
            Box::new(bytes)
        };
        let (expected, header_bytes) = match wanted {
            Contents::Pictures => (MAGIC_PICTURES, 16),
            Contents::Labels => (MAGIC_LABELS, 8),
        };
        let mut items = Self {
            wanted,
            reader,
            header_bytes,
        };
        let found = items.axis()?;
        if found == expected {
            Ok(items)
        } else {
            Err(IdxError::Magic {
                wanted,
                expected,
                found,
            })
        }
    }

    /// The next four bytes of the header.
    fn axis(&mut self) -> Result<u32, IdxError> {
        let field = self.read(4)?;
        match field.first_chunk::<4>() {
            Some(field) => Ok(u32::from_be_bytes(*field)),
            None => Err(IdxError::Truncated {
                wanted: self.wanted,
                expected: self.header_bytes,
                found: u64::try_from(field.len()).unwrap_or(u64::MAX),
            }),
        }
    }

    /// All items, of which there must be as many as announced.
    fn finish(mut self, announced: u128) -> Result<Vec<u8>, IdxError> {
        let wanted = self.wanted;
        let Some(length) = u64::try_from(announced).ok().filter(|n| *n <= MAX_BYTES) else {
            return Err(IdxError::TooLarge {
                wanted,
                announced,
                limit_bytes: MAX_BYTES,
            });
        };
        let expected = self.header_bytes + length;
        // The buffer grows with what is there, never with what is announced.
        let items = self.read(length)?;
        let found = u64::try_from(items.len()).unwrap_or(u64::MAX);
        if found < length {
            let found = self.header_bytes + found;
            return Err(IdxError::Truncated {
                wanted,
                expected,
                found,
            });
        }
        // This also makes the unpacker reach its checksum, which a cut file may lack.
        let mut beyond = [0];
        match self.reader.read(&mut beyond) {
            Ok(0) => Ok(items),
            Ok(_) => Err(IdxError::Trailing { wanted, expected }),
            Err(source) => Err(IdxError::Gzip { wanted, source }),
        }
    }

    /// Up to `length` bytes; fewer where the file ends.
    fn read(&mut self, length: u64) -> Result<Vec<u8>, IdxError> {
        let mut bytes = Vec::new();
        match self.reader.by_ref().take(length).read_to_end(&mut bytes) {
            Ok(_) => Ok(bytes),
            // A cut gzip file gives what it holds, and the lengths then tell.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(bytes),
            Err(source) => Err(IdxError::Gzip {
                wanted: self.wanted,
                source,
            }),
        }
    }
}
