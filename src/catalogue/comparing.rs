//! What tells the pictures of a catalogue from one another.

use super::product::PictureKey;

/// A picture to be compared with all others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComparedPicture {
    pub key: PictureKey,
    pub id: String,
    /// The id and the title of its product.
    pub product: String,
    pub title: String,
    /// The checksum of its file.
    pub file: Vec<u8>,
    /// None if it has none yet.
    pub embedding: Option<Vec<i32>>,
}
