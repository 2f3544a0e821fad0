//! What every store keeps in the same bytes: embeddings, attributes, and the checksums that a flipped bit is found by.

use sha2::{Digest, Sha256};

use super::attributes::Attributes;
use super::error::CatalogueError;

/// SHA-256 over parts, each with its length before it.
pub fn sum(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

pub fn product_sum(id: &str, title: &str, attributes: &str) -> [u8; 32] {
    sum(&[id.as_bytes(), title.as_bytes(), attributes.as_bytes()])
}

pub fn json(attributes: &Attributes) -> Result<String, CatalogueError> {
    serde_json::to_string(attributes).map_err(|error| CatalogueError::Damaged {
        what: error.to_string(),
    })
}

/// The narrowest width that holds every value, and the values in it, little-endian.
pub fn packed(values: &[i32]) -> (u8, Vec<u8>) {
    fn all<T: TryFrom<i32>>(values: &[i32]) -> Option<Vec<T>> {
        let narrowed = values.iter().map(|&value| T::try_from(value).ok());
        narrowed.collect()
    }
    if let Some(narrow) = all::<i8>(values) {
        (1, narrow.into_iter().flat_map(i8::to_le_bytes).collect())
    } else if let Some(narrow) = all::<i16>(values) {
        (2, narrow.into_iter().flat_map(i16::to_le_bytes).collect())
    } else {
        (4, values.iter().flat_map(|value| value.to_le_bytes()).collect())
    }
}

/// The values of a stored embedding.
pub fn unpack(width: u8, data: &[u8], values: &mut Vec<i32>) {
    values.clear();
    match width {
        1 => values.extend(data.iter().map(|&byte| i32::from(byte.cast_signed()))),
        2 => values.extend(
            data.as_chunks()
                .0
                .iter()
                .map(|&b| i32::from(i16::from_le_bytes(b))),
        ),
        _ => values.extend(data.as_chunks().0.iter().map(|&b| i32::from_le_bytes(b))),
    }
}
