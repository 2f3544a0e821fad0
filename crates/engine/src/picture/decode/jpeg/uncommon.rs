//! Layouts of colours that `zune-jpeg` 0.5.15, which `image` uses, does not decode, or decodes to other pixels: several
//! scans of a sequential picture (etemesi254/zune-image#419, #449), a luma coarser than the chroma, factors of 3.

use image::error::{DecodingError, ImageFormatHint};
use image::{ColorType, ImageDecoder, ImageError, ImageFormat, ImageResult};
use jpeg_decoder::Decoder;

use super::frame::Frame;

/// Decodes a picture of one or three colour components by `jpeg-decoder`.
pub(crate) struct UncommonJpeg<'a> {
    frame: Frame,
    bytes: &'a [u8],
}

impl<'a> UncommonJpeg<'a> {
    pub(crate) fn new(frame: Frame, bytes: &'a [u8]) -> Self {
        Self { frame, bytes }
    }
}

impl ImageDecoder for UncommonJpeg<'_> {
    fn dimensions(&self) -> (u32, u32) {
        (self.frame.width, self.frame.height)
    }

    fn color_type(&self) -> ColorType {
        if self.frame.components.len() == 1 {
            ColorType::L8
        } else {
            ColorType::Rgb8
        }
    }

    fn read_image(self, samples: &mut [u8]) -> ImageResult<()> {
        let mut decoder = Decoder::new(self.bytes);
        decoder.set_max_decoding_buffer_size(samples.len());
        let pixels = decoder.decode().map_err(|error| damaged(error.into()))?;
        if pixels.len() != samples.len() {
            return Err(damaged("its pixels do not fill its size".into()));
        }
        samples.copy_from_slice(&pixels);
        Ok(())
    }

    fn read_image_boxed(self: Box<Self>, samples: &mut [u8]) -> ImageResult<()> {
        (*self).read_image(samples)
    }
}

fn damaged(cause: Box<dyn std::error::Error + Send + Sync>) -> ImageError {
    let format = ImageFormatHint::Exact(ImageFormat::Jpeg);
    ImageError::Decoding(DecodingError::new(format, cause))
}
