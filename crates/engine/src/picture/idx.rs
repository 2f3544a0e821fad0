//! Fashion-MNIST's idx files, gzipped or plain. In: the bytes of a file. Out: pictures or labels.
//!
//! The format is LeCun's: a magic number of four bytes (0, 0, type of the items, number of axes),
//! the length of every axis as a big-endian u32, then the items. Fashion-MNIST's items are u8.

use std::fmt;
use std::io::{self, Read};

use flate2::read::MultiGzDecoder;
use ndarray::Array3;

use super::error::PictureError;
use super::pixels::Picture;
use super::shape::Shape;

pub use error::{Contents, IdxError};

mod error;
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

/// The largest unpacked length in bytes: five times Fashion-MNIST's largest (60,000 pictures of 28 x 28 pixels, 47
/// million bytes), so that a small file cannot fill the memory.
pub const MAX_BYTES: u64 = 256 << 20;

/// Magic number of u8 items on three axes: pictures, rows, columns.
const MAGIC_PICTURES: u32 = 0x0803;
/// Magic number of u8 items on one axis: labels.
const MAGIC_LABELS: u32 = 0x0801;

/// Reads the pictures of a file: `[pictures, height, width]`, each pixel 0 (background) to 255.
///
/// # Errors
/// [`PictureError::Idx`] unless the file is a complete idx file of one or more pictures.
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
        shape: Shape {
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
/// [`PictureError::Idx`] unless the file is a complete idx file of labels from 0 to 9.
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

/// A split of Fashion-MNIST.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// 60,000 pictures to train on.
    Train,
    /// 10,000 pictures to test with.
    Test,
}

impl Split {
    /// The split's name: `train` or `test`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Test => "test",
        }
    }

    /// The names of the split's official files: its pictures, and their labels.
    #[must_use]
    pub fn file_names(self) -> [&'static str; 2] {
        match self {
            Self::Train => ["train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"],
            Self::Test => ["t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"],
        }
    }
}

impl fmt::Display for Split {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// Pictures of one gray channel, and as many labels, each an index into [`CLASS_NAMES`].
pub type Labelled = (Vec<Picture>, Vec<u8>);

/// Reads a file of pictures and the file of their labels: the first `count`, or all of them.
///
/// # Errors
/// [`PictureError::Idx`] if a file is invalid, the two differ in their numbers, or `count` is more than there are.
pub fn labelled(
    picture_file: &[u8],
    label_file: &[u8],
    count: Option<usize>,
) -> Result<Labelled, PictureError> {
    let pixels = pictures(picture_file)?;
    let mut labels = labels(label_file)?;
    let (found, height, width) = pixels.dim();
    if labels.len() != found {
        return Err(IdxError::Unequal {
            pictures: found,
            labels: labels.len(),
        }
        .into());
    }
    let wanted = count.unwrap_or(found);
    if wanted > found {
        return Err(IdxError::TooFew { wanted, found }.into());
    }
    let shape = Shape {
        channels: 1,
        height,
        width,
    };
    let planes = pixels.outer_iter().take(wanted);
    let pictures = planes.map(|plane| Picture::from_vec(shape, plane.iter().copied().collect()));
    labels.truncate(wanted);
    Ok((pictures.collect::<Result<_, _>>()?, labels))
}

/// A reader whose header is read and whose items follow.
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

    /// All items. There must be as many as the header says.
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
        // The buffer grows with the bytes read, not with the length in the header.
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
        // This also makes the decoder verify its checksum, which a truncated file lacks.
        let mut beyond = [0];
        match self.reader.read(&mut beyond) {
            Ok(0) => Ok(items),
            Ok(_) => Err(IdxError::Trailing { wanted, expected }),
            Err(source) => Err(IdxError::Gzip { wanted, source }),
        }
    }

    /// Up to `length` bytes; fewer if the file ends.
    fn read(&mut self, length: u64) -> Result<Vec<u8>, IdxError> {
        let mut bytes = Vec::new();
        match self.reader.by_ref().take(length).read_to_end(&mut bytes) {
            Ok(_) => Ok(bytes),
            // A truncated gzip file gives the bytes it has; the lengths are compared later.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(bytes),
            Err(source) => Err(IdxError::Gzip {
                wanted: self.wanted,
                source,
            }),
        }
    }
}
