//! Row numbers as types.

use crate::catalogue::product::Cursor;

/// Which product of the database a picture belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProductKey(pub i64);

impl ProductKey {
    /// The key of no product.
    pub const NONE: Self = Self(0);

    /// A cursor that stands behind this product.
    pub fn cursor(self) -> Cursor {
        Cursor(self.0.to_be_bytes().to_vec())
    }

    /// The product that a cursor stands behind, if it is one of ours.
    pub fn of_cursor(cursor: &Cursor) -> Option<Self> {
        let bytes: [u8; 8] = cursor.0.as_slice().try_into().ok()?;
        Some(Self(i64::from_be_bytes(bytes)))
    }
}
