//! Why bytes are not a valid picture.

mod jpeg;

use std::fmt;

use image::ImageError;

use super::format::Format;
use super::idx::IdxError;
use super::npy::NpyError;
use super::shape::Shape;
pub use jpeg::{JpegCoding, JpegFault};

/// Why bytes are not a valid [`Picture`](super::Picture).
///
/// Callers distinguish three groups: bytes of an unsupported format ([`UnsupportedFormat`](Self::UnsupportedFormat)),
/// pictures that are too large ([`TooManyPixels`](Self::TooManyPixels), [`TooLong`](Self::TooLong),
/// [`TooLarge`](Self::TooLarge)), and bytes that cannot be decoded (the others up to [`NoPixels`](Self::NoPixels), but for [`Stopped`](Self::Stopped)).
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// The bytes begin like a file of another kind.
    #[error("this is {found}; send a PNG, JPEG, WebP, GIF or BMP picture")]
    UnsupportedFormat {
        /// What the bytes begin like, with its article.
        found: &'static str,
    },
    /// The header has more pixels than the limit; nothing was decoded.
    #[error(
        "the picture has {width} x {height} pixels, the limit is {limit_pixels} pixels; \
         send a smaller one"
    )]
    TooManyPixels {
        /// The width in the header.
        width: u32,
        /// The height in the header.
        height: u32,
        /// The largest product of the two.
        limit_pixels: u64,
    },
    /// A side in the header is longer than the limit; nothing was decoded.
    #[error(
        "the picture has {width} x {height} pixels, the limit is {limit_side} pixels on a side; \
         send a smaller one"
    )]
    TooLong {
        /// The width in the header.
        width: u32,
        /// The height in the header.
        height: u32,
        /// The longest side.
        limit_side: u32,
    },
    /// One side in the header is too many times as long as the other; nothing was decoded.
    #[error(
        "the picture has {width} x {height} pixels, and one side may be {limit_ratio} times as long as \
         the other; cut it to what it shows"
    )]
    TooNarrow {
        /// The width in the header.
        width: u32,
        /// The height in the header.
        height: u32,
        /// How many times as long a side may be.
        limit_ratio: u32,
    },
    /// The decoder needs more memory than is allowed for a picture of this size.
    #[error(
        "decoding this {format} needs more than the {limit_bytes} bytes allowed for a picture \
         of its size; save it again without its metadata and further frames"
    )]
    TooLarge {
        /// The format found.
        format: Format,
        /// The memory allowed.
        limit_bytes: u64,
    },
    /// No signature of a known file format at the start.
    #[error("{reason}; send a PNG, JPEG, WebP, GIF or BMP picture")]
    NotAPicture {
        /// What the bytes are.
        reason: NotAPicture,
    },
    /// The file is truncated.
    #[error("the {format} ends after {bytes} bytes, before the picture is complete; send the whole file")]
    Truncated {
        /// The format found.
        format: Format,
        /// The length of the file.
        bytes: usize,
    },
    /// The file contradicts its own format.
    #[error("the {format} is damaged ({}); save or export it again", one_line(source))]
    Damaged {
        /// The format found.
        format: Format,
        /// The error of the decoder.
        source: ImageError,
    },
    /// A valid file that uses an unsupported feature of its format.
    #[error(
        "this {format} uses an unsupported encoding ({}); save it as PNG",
        one_line(source)
    )]
    UnsupportedCoding {
        /// The format found.
        format: Format,
        /// The error of the decoder.
        source: ImageError,
    },
    /// A JPEG whose coded data is damaged.
    #[error("the JPEG is damaged near byte {at}: {fault}; save or export it again")]
    DamagedJpeg {
        /// The place in the file that was reached.
        at: usize,
        /// What is wrong there.
        fault: JpegFault,
    },
    /// A JPEG of a coding that is not read.
    #[error("this is {coding}, which is not read; save it as a baseline or progressive JPEG or as PNG")]
    UnreadJpeg {
        /// The coding found.
        coding: JpegCoding,
    },
    /// The caller stopped it.
    #[error("decoding was stopped before it was done")]
    Stopped,
    /// The width or the height in the header is 0.
    #[error("the {format} has {width} x {height} pixels; a picture needs at least one")]
    NoPixels {
        /// The format found.
        format: Format,
        /// The width in the header.
        width: u32,
        /// The height in the header.
        height: u32,
    },
    /// Numbers that are no part of a picture.
    #[error(
        "is {given:?}; it must be [x0, y0, x1, y1], fractions of the picture with 0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1"
    )]
    NoRegion {
        /// The numbers given.
        given: [f64; 4],
    },
    /// An array of pixels with an axis of length zero.
    #[error("the shape {shape} has no pixels; channels, height and width must be 1 or more")]
    Empty {
        /// The shape given.
        shape: Shape,
    },
    /// The number of pixels does not match the shape.
    #[error("{found} pixels do not fill the shape {shape} (channels x height x width)")]
    PixelCount {
        /// The shape given.
        shape: Shape,
        /// Pixels given.
        found: usize,
    },
    /// An array has another shape than the network's input.
    #[error("the array is {found}, the network reads {expected} (channels, height, width)")]
    ShapeMismatch {
        /// Shape of the array.
        found: Shape,
        /// Shape of the network's input.
        expected: Shape,
    },
    /// The network's input has a number of channels or pixels that photos cannot be prepared for.
    #[error(
        "photos cannot be prepared for a network input of {input}: channels must be 1 or 3, \
         height and width 1 to {limit_side}; send a .npy array of that shape"
    )]
    InputNotPreparable {
        /// Shape of the network's input.
        input: Shape,
        /// Longest height or width of an input.
        limit_side: usize,
    },
    /// An unknown recipe.
    #[error("unknown recipe {name:?}; `network.input.prepare` must be `fashion-mnist` or `plain`")]
    UnknownRecipe {
        /// The name given.
        name: String,
    },
    /// An unknown mode.
    #[error("unknown value {name:?}; `prepare` must be `auto` or `as_is`")]
    UnknownMode {
        /// The name given.
        name: String,
    },
    /// A picture that is too large for a PNG file.
    #[error("a picture of shape {shape} cannot be written as a PNG file")]
    NotDrawable {
        /// The picture's shape.
        shape: Shape,
        /// The error of the encoder, if it was called.
        source: Option<ImageError>,
    },
    /// An invalid `.npy` file.
    #[error(transparent)]
    Npy(#[from] NpyError),
    /// An invalid file of Fashion-MNIST.
    #[error(transparent)]
    Idx(#[from] IdxError),
}

/// Some decoders' messages contain line breaks.
fn one_line(error: &ImageError) -> String {
    let text = error.to_string();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What was found in place of a picture's signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAPicture {
    /// No bytes at all.
    NoBytes,
    /// Bytes that begin like no known file.
    UnknownSignature {
        /// The length of the file.
        bytes: usize,
    },
}

impl fmt::Display for NotAPicture {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoBytes => write!(formatter, "there are no bytes where a picture was expected"),
            Self::UnknownSignature { bytes } => {
                write!(formatter, "the {bytes} bytes begin like no known picture")
            }
        }
    }
}
