//! The file formats of pictures.

use std::fmt;

/// The picture formats that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// Portable Network Graphics; of an animated one, the default image.
    Png,
    /// JPEG, sequential or progressive.
    Jpeg,
    /// WebP, lossy or lossless; of an animated one, the first frame.
    WebP,
    /// GIF; of an animated one, the first frame.
    Gif,
    /// Windows bitmap.
    Bmp,
}

impl Format {
    /// Every format, in the order in which refusals name them.
    pub const ALL: [Self; 5] = [Self::Png, Self::Jpeg, Self::WebP, Self::Gif, Self::Bmp];

    /// The format's registered media type, such as `image/png`.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::WebP => "image/webp",
            Self::Gif => "image/gif",
            Self::Bmp => "image/bmp",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Png => "PNG",
            Self::Jpeg => "JPEG",
            Self::WebP => "WebP",
            Self::Gif => "GIF",
            Self::Bmp => "BMP",
        })
    }
}
