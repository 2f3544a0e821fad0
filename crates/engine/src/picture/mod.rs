//! Pictures. In: the bytes of an image file, of a `.npy` array or of Fashion-MNIST. Out: a [`Picture`], the input of a
//! network.
//!
//! A photo passes through [`decode::decode`] and [`prepare::prepare`]. [`npy`] reads arrays that are already prepared,
//! [`idx`] reads the data set.
//!
//! Absent: files, clocks, environment variables and status codes. Functions take bytes and return values; the variant
//! of a [`PictureError`] is the cause.

pub mod decode;
mod error;
mod format;
pub mod idx;
pub mod npy;
mod pixels;
pub mod prepare;
mod region;
mod shape;

pub use decode::{Coding, Cost, DecodeLimits, Decoded, check, cost, decode, decode_until};
pub use error::{JpegCoding, JpegFault, NotAPicture, PictureError};
pub use format::Format;
pub use pixels::Picture;
pub use prepare::{Mode, Recipe, prepare, stretch};
pub use region::Region;
pub use shape::Shape;
