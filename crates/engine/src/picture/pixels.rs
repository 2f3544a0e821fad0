//! Pictures in memory: 8-bit pixels, channel by channel, and their PNG form.

use std::io::Cursor;

use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};
use ndarray::{Array3, ArrayView3};

use super::error::PictureError;
use super::shape::Shape;

/// The input of a network: 8-bit pixels of shape `[channels, height, width]`, each 0 to 255, never empty, in standard
/// (row-major) layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    pixels: Array3<u8>,
}

impl Picture {
    /// A picture of pixels of shape `[channels, height, width]`.
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
        // `as_slice` needs contiguous pixels, which a transposed array has not.
        let pixels = if pixels.is_standard_layout() {
            pixels
        } else {
            pixels.as_standard_layout().into_owned()
        };
        Ok(Self { pixels })
    }

    /// A picture of pixels given channel by channel, row by row.
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

    /// The pixels as a slice, channel by channel, row by row.
    ///
    /// # Panics
    /// Never: the constructor brings every array into standard layout.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        self.pixels
            .as_slice()
            .expect("Picture::new keeps pixels in standard layout")
    }

    /// Converts the picture into its pixels, `[channels, height, width]`.
    #[must_use]
    pub fn into_pixels(self) -> Array3<u8> {
        self.pixels
    }

    /// Returns the picture if it has the shape `expected`.
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

    /// Encodes the picture as a PNG file: RGB for three channels, gray for one, and for any other number the channels
    /// in gray, one below the other.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::{DecodeLimits, decode};

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
