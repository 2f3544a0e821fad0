//! Bytes of an image file, of a `.npy` array or of Fashion-MNIST go in; a [`Picture`], what a
//! network's input layer reads, comes out.
//!
//! The way of a product photo is [`decode::decode`], then [`prepare::prepare`]. [`npy`] brings
//! arrays that are already prepared, [`idx`] the data set.
//!
//! Deliberately absent: files, clocks, the environment, and status codes. Every function takes
//! bytes and returns values, and a refusal is a [`PictureError`] whose variant tells the cause.

pub mod decode;
pub mod idx;
pub mod npy;
pub mod prepare;

use std::fmt;
use std::io::Cursor;

use image::{ExtendedColorType, ImageEncoder, ImageError, codecs::png::PngEncoder};
use ndarray::{Array3, ArrayView3};

pub use decode::{DecodeLimits, Decoded, Format, decode};
pub use prepare::{Mode, Recipe, prepare};

/// The shape of a picture, and of every layer of neurons: channels of rows of columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    /// 1 for gray, 3 for red, green and blue.
    pub channels: usize,
    /// Rows, in pixels.
    pub height: usize,
    /// Columns, in pixels.
    pub width: usize,
}

impl Shape {
    /// Channels times height times width.
    #[must_use]
    #[expect(
        clippy::len_without_is_empty,
        reason = "an empty shape is refused where it arises"
    )]
    pub fn len(self) -> usize {
        self.channels * self.height * self.width
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "[{}, {}, {}]", self.channels, self.height, self.width)
    }
}

/// What a network's input layer reads: 8-bit pixels of shape `[channels, height, width]`, each
/// 0 to 255, never empty, in standard (row-major) layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    pixels: Array3<u8>,
}

impl Picture {
    /// Takes pixels of shape `[channels, height, width]`.
    ///
    /// # Errors
    /// [`PictureError::Empty`] if one of the three axes has length zero.
    pub fn new(pixels: Array3<u8>) -> Result<Self, PictureError> {
        if pixels.is_empty() {
            let (channels, height, width) = pixels.dim();
            return Err(PictureError::Empty {
                shape: Shape {
                    channels,
                    height,
                    width,
                },
            });
        }
        // `as_slice` promises one contiguous run, which a transposed array is not.
        let pixels = if pixels.is_standard_layout() {
            pixels
        } else {
            pixels.as_standard_layout().into_owned()
        };
        Ok(Self { pixels })
    }

    /// Takes pixels as one run, channel by channel, row by row.
    ///
    /// # Errors
    /// [`PictureError::Empty`] if `shape` holds a zero, [`PictureError::PixelCount`] if `pixels`
    /// is not as long as `shape` says.
    pub fn from_vec(shape: Shape, pixels: Vec<u8>) -> Result<Self, PictureError> {
        let found = pixels.len();
        let array = Array3::from_shape_vec((shape.channels, shape.height, shape.width), pixels)
            .map_err(|_| PictureError::PixelCount { shape, found })?;
        Self::new(array)
    }

    /// The picture's channels, height and width; none is zero.
    #[must_use]
    pub fn shape(&self) -> Shape {
        let (channels, height, width) = self.pixels.dim();
        Shape {
            channels,
            height,
            width,
        }
    }

    /// The pixels, `[channels, height, width]`, each 0 to 255.
    #[must_use]
    pub fn pixels(&self) -> ArrayView3<'_, u8> {
        self.pixels.view()
    }

    /// The pixels as one run, channel by channel, row by row, for kernels.
    ///
    /// # Panics
    /// Never: the constructor brings every array into standard layout.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        self.pixels
            .as_slice()
            .expect("Picture::new keeps pixels in standard layout")
    }

    /// Gives the pixels away, `[channels, height, width]`.
    #[must_use]
    pub fn into_pixels(self) -> Array3<u8> {
        self.pixels
    }

    /// Hands the picture on if it has the shape that a network expects.
    ///
    /// # Errors
    /// [`PictureError::ShapeMismatch`] with both shapes otherwise.
    pub fn with_shape(self, expected: Shape) -> Result<Self, PictureError> {
        let found = self.shape();
        if found == expected {
            Ok(self)
        } else {
            Err(PictureError::ShapeMismatch { found, expected })
        }
    }

    /// Draws the picture as a PNG file, for people: RGB for three channels, gray for one, and
    /// for any other number the channels in gray, one below the other.
    ///
    /// # Errors
    /// [`PictureError::NotDrawable`] if a side exceeds what a PNG can hold.
    pub fn to_png(&self) -> Result<Vec<u8>, PictureError> {
        let shape = self.shape();
        let (rows, colour, bytes) = if shape.channels == 3 {
            let interleaved = self.pixels.view().permuted_axes([1, 2, 0]);
            let bytes = interleaved.iter().copied().collect();
            (shape.height, ExtendedColorType::Rgb8, bytes)
        } else {
            let rows = shape.channels * shape.height;
            (rows, ExtendedColorType::L8, self.as_slice().to_vec())
        };
        let not_drawable = |source| PictureError::NotDrawable { shape, source };
        let (Ok(width), Ok(height)) = (u32::try_from(shape.width), u32::try_from(rows)) else {
            return Err(not_drawable(None));
        };
        let mut png = Cursor::new(Vec::new());
        PngEncoder::new(&mut png)
            .write_image(&bytes, width, height, colour)
            .map_err(|source| not_drawable(Some(source)))?;
        Ok(png.into_inner())
    }
}

/// Why bytes did not become a [`Picture`].
///
/// Three groups matter to callers: bytes of a kind that is not served
/// ([`UnsupportedFormat`](Self::UnsupportedFormat)), pictures that are too large
/// ([`TooManyPixels`](Self::TooManyPixels), [`TooLarge`](Self::TooLarge)), and bytes that do not
/// decode (all of the rest up to [`NoPixels`](Self::NoPixels)).
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// The bytes begin like a file that is no picture, or like a picture of another kind.
    #[error("this is {found}; send a PNG, JPEG, WebP, GIF or BMP picture")]
    UnsupportedFormat {
        /// What the bytes begin like, with its article.
        found: &'static str,
    },
    /// The header announces more pixels than the limit; nothing was decoded.
    #[error(
        "the picture has {width} x {height} pixels, the limit is {limit_pixels} pixels; \
         send a smaller one"
    )]
    TooManyPixels {
        /// Columns announced.
        width: u32,
        /// Rows announced.
        height: u32,
        /// Largest product of the two.
        limit_pixels: u64,
    },
    /// The decoder would need more working memory than a picture of this size can ask for.
    #[error(
        "decoding this {format} needs more than the {limit_bytes} bytes allowed for a picture \
         of its size; save it anew without its metadata and further frames"
    )]
    TooLarge {
        /// The format found.
        format: Format,
        /// The working memory allowed.
        limit_bytes: u64,
    },
    /// No signature of a known file format at the start.
    #[error("{reason}; send a PNG, JPEG, WebP, GIF or BMP picture")]
    NotAPicture {
        /// What was found instead.
        reason: NotAPicture,
    },
    /// The file ends before its picture does.
    #[error("the {format} ends after {bytes} bytes, before the picture is whole; send all of it")]
    Truncated {
        /// The format found.
        format: Format,
        /// How many bytes there were.
        bytes: usize,
    },
    /// The file contradicts its own format.
    #[error(
        "the {format} is damaged ({}); save or export the picture anew",
        one_line(source)
    )]
    Damaged {
        /// The format found.
        format: Format,
        /// What the decoder says.
        source: ImageError,
    },
    /// A legitimate file that uses a part of its format which is not read here.
    #[error(
        "this {format} uses a rare coding that is not read here ({}); save it as PNG",
        one_line(source)
    )]
    UnsupportedCoding {
        /// The format found.
        format: Format,
        /// What the decoder says.
        source: ImageError,
    },
    /// The header announces no columns or no rows.
    #[error("the {format} has {width} x {height} pixels; a picture needs at least one")]
    NoPixels {
        /// The format found.
        format: Format,
        /// Columns announced.
        width: u32,
        /// Rows announced.
        height: u32,
    },
    /// An array of pixels with an axis of length zero.
    #[error("the shape {shape} has no pixels; channels, height and width must be 1 or more")]
    Empty {
        /// The shape given.
        shape: Shape,
    },
    /// As many pixels as given do not fill the shape given.
    #[error("{found} pixels do not fill the shape {shape} (channels x height x width)")]
    PixelCount {
        /// The shape given.
        shape: Shape,
        /// Pixels given.
        found: usize,
    },
    /// An array is taken as it is, and it has another shape than the network's input.
    #[error("the array is {found}, the network reads {expected} (channels, height, width)")]
    ShapeMismatch {
        /// Shape of the array.
        found: Shape,
        /// Shape of the network's input.
        expected: Shape,
    },
    /// No recipe makes a photo into that many channels, or into that many pixels.
    #[error(
        "no photo can be prepared for a network input of {input}: channels must be 1 or 3, \
         height and width 1 to {limit_side}; send a .npy array of that shape"
    )]
    InputNotPreparable {
        /// Shape of the network's input.
        input: Shape,
        /// Longest height or width of an input.
        limit_side: usize,
    },
    /// A name that is none of the recipes.
    #[error("there is no recipe {name:?}; `network.input.prepare` is `fashion-mnist` or `plain`")]
    UnknownRecipe {
        /// The name given.
        name: String,
    },
    /// A name that is none of the modes.
    #[error("there is no way of preparing {name:?}; `prepare` is `auto` or `as_is`")]
    UnknownMode {
        /// The name given.
        name: String,
    },
    /// A picture that no PNG can show.
    #[error("a picture of shape {shape} cannot be drawn as a PNG")]
    NotDrawable {
        /// The picture's shape.
        shape: Shape,
        /// What the encoder says, if it was asked.
        source: Option<ImageError>,
    },
    /// A `.npy` file that is refused.
    #[error(transparent)]
    Npy(#[from] npy::NpyError),
    /// A file of Fashion-MNIST that is refused.
    #[error(transparent)]
    Idx(#[from] idx::IdxError),
}

/// Some decoders end their sentences with a line break.
fn one_line(error: &ImageError) -> String {
    let text = error.to_string();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What was found where a picture's signature was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAPicture {
    /// No bytes at all.
    NoBytes,
    /// Bytes that begin like no known file.
    UnknownSignature {
        /// How many bytes there were.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(channels: usize, height: usize, width: usize) -> Shape {
        Shape {
            channels,
            height,
            width,
        }
    }

    #[test]
    fn a_picture_keeps_its_shape_and_its_order_of_pixels() {
        let picture = Picture::from_vec(shape(1, 2, 3), vec![1, 2, 3, 4, 5, 6]).unwrap();
        assert_eq!(picture.shape(), shape(1, 2, 3));
        assert_eq!(picture.pixels()[[0, 1, 0]], 4);
        let turned = picture.into_pixels().permuted_axes([0, 2, 1]);
        let turned = Picture::new(turned).unwrap();
        assert_eq!(turned.as_slice(), [1, 4, 2, 5, 3, 6]);
    }

    #[test]
    fn empty_and_misfitting_pixels_are_refused() {
        let empty = Picture::new(Array3::zeros((1, 0, 3))).unwrap_err();
        assert!(matches!(empty, PictureError::Empty { shape: s } if s == shape(1, 0, 3)));
        let short = Picture::from_vec(shape(1, 2, 2), vec![0; 3]).unwrap_err();
        assert_eq!(
            short.to_string(),
            "3 pixels do not fill the shape [1, 2, 2] (channels x height x width)"
        );
        let picture = Picture::from_vec(shape(1, 2, 2), vec![0; 4]).unwrap();
        let other = picture.with_shape(shape(3, 2, 2)).unwrap_err();
        assert_eq!(
            other.to_string(),
            "the array is [1, 2, 2], the network reads [3, 2, 2] (channels, height, width)"
        );
    }

    #[test]
    fn a_drawn_picture_decodes_to_itself() {
        let gray = Picture::from_vec(shape(1, 2, 2), vec![0, 90, 180, 255]).unwrap();
        let decoded = decode(&gray.to_png().unwrap(), &DecodeLimits::default()).unwrap();
        assert_eq!(decoded.gray(), Some(gray.as_slice()));
        let colour = Picture::from_vec(shape(3, 1, 2), vec![1, 2, 3, 4, 5, 6]).unwrap();
        let decoded = decode(&colour.to_png().unwrap(), &DecodeLimits::default()).unwrap();
        assert_eq!(decoded.bytes(), [1, 3, 5, 2, 4, 6]);
        let two = Picture::from_vec(shape(2, 1, 2), vec![1, 2, 3, 4]).unwrap();
        let decoded = decode(&two.to_png().unwrap(), &DecodeLimits::default()).unwrap();
        assert_eq!((decoded.width(), decoded.height()), (2, 2));
    }
}
