//! NumPy's `.npy` files: u8 pixels and float embeddings in, int32 embeddings out.
//!
//! The format (NumPy Enhancement Proposal 1): six bytes of signature, two of version, the length
//! of the header (u16, from version 2 on u32, little-endian), the header, which is a Python
//! dictionary of `descr`, `fortran_order` and `shape`, then the items.
//!
//! Not `ndarray-npy`: version 0.10 allocates the header's length as the file states it, so that 12 bytes abort a process
//! with less than 4 GiB of memory.

mod error;
mod header;

#[cfg(test)]
mod tests;

use std::cmp::Ordering;

use ndarray::{Array2, ArrayView2, ShapeBuilder};

use super::error::PictureError;
use super::pixels::Picture;
use super::shape::Shape;
use header::Header;

pub use error::NpyError;

const SIGNATURE: &[u8] = b"\x93NUMPY";

/// NumPy aligns the first item to 64 bytes.
const ALIGNMENT: usize = 64;

/// Whether the bytes start with the signature of a `.npy` file.
#[must_use]
pub fn is_npy(bytes: &[u8]) -> bool {
    bytes.starts_with(SIGNATURE)
}

/// Reads the pictures of a `.npy` file of u8 pixels, taken as they are: `[channels, height,
/// width]` is one picture, `[pictures, channels, height, width]` several; at least one.
///
/// # Errors
/// [`PictureError::Npy`] for items that are not u8, Fortran order, another number of axes, an axis of length zero, and
/// a file that is shorter or longer than its header says.
pub fn pictures(bytes: &[u8]) -> Result<Vec<Picture>, PictureError> {
    let (header, items_at) = read_header(bytes)?;
    if !matches!(header.descr.trim_start_matches(['|', '<', '>', '=']), "u1" | "B") {
        return Err(NpyError::ItemType { found: header.descr }.into());
    }
    let (channels, height, width) = match header.shape[..] {
        [channels, height, width] | [_, channels, height, width] => (channels, height, width),
        _ => {
            return Err(NpyError::Axes { found: header.shape }.into());
        }
    };
    if header.fortran_order {
        return Err(NpyError::FortranOrder.into());
    }
    if header.shape.contains(&0) {
        return Err(NpyError::Empty { found: header.shape }.into());
    }
    check_length(bytes.len(), &header, items_at, 1)?;
    let shape = Shape {
        channels,
        height,
        width,
    };
    bytes[items_at..]
        .chunks_exact(channels * height * width)
        .map(|pixels| Picture::from_vec(shape, pixels.to_vec()))
        .collect()
}

/// Reads a `.npy` file of float32 or float64 rows, `[rows, dimensions]`, in either order, as float32. Values may be
/// infinite or NaN.
///
/// # Errors
/// [`NpyError`] for items of another type, another number of axes, an axis of length zero, and a file that is shorter or
/// longer than its header says.
pub fn rows(bytes: &[u8]) -> Result<Array2<f32>, NpyError> {
    let (header, items_at) = read_header(bytes)?;
    let size = match header.descr.as_str() {
        "<f4" | "=f4" => 4,
        "<f8" | "=f8" => 8,
        _ => return Err(NpyError::FloatType { found: header.descr }),
    };
    let [rows, dimensions] = header.shape[..] else {
        return Err(NpyError::Rows { found: header.shape });
    };
    if header.shape.contains(&0) {
        return Err(NpyError::Empty { found: header.shape });
    }
    check_length(bytes.len(), &header, items_at, size)?;
    let item = |item: &[u8]| match *item {
        [a, b, c, d] => f32::from_le_bytes([a, b, c, d]),
        [a, b, c, d, e, f, g, h] => f64::from_le_bytes([a, b, c, d, e, f, g, h]) as f32,
        _ => f32::NAN,
    };
    let values = bytes[items_at..].chunks_exact(size).map(item).collect();
    let shape = (rows, dimensions).set_f(header.fortran_order);
    Ok(Array2::from_shape_vec(shape, values).expect("the length was checked"))
}

/// Checks that a file of `found` bytes holds what its header says, of items of `size` bytes, and nothing else.
fn check_length(found: usize, header: &Header, items_at: usize, size: usize) -> Result<(), NpyError> {
    let expected = header
        .shape
        .iter()
        .try_fold(size, |product, &axis| product.checked_mul(axis))
        .and_then(|items| items.checked_add(items_at))
        .unwrap_or(usize::MAX);
    match found.cmp(&expected) {
        Ordering::Less => Err(NpyError::Truncated { expected, found }),
        Ordering::Greater => Err(NpyError::Trailing { expected, found }),
        Ordering::Equal => Ok(()),
    }
}

/// The header, and the offset of the items.
fn read_header(bytes: &[u8]) -> Result<(Header, usize), NpyError> {
    if !is_npy(bytes) {
        return Err(NpyError::NotNpy);
    }
    let found = bytes.len();
    let cut = |expected| NpyError::Truncated { expected, found };
    let &major = bytes.get(6).ok_or(cut(10))?;
    let (text_at, length) = match major {
        1 => match bytes.get(8..10) {
            Some(&[low, high]) => (10, usize::from(u16::from_le_bytes([low, high]))),
            _ => return Err(cut(10)),
        },
        2 | 3 => match bytes.get(8..).and_then(|rest| rest.first_chunk::<4>()) {
            Some(field) => {
                let length = u32::from_le_bytes(*field);
                (12, usize::try_from(length).unwrap_or(usize::MAX))
            }
            None => return Err(cut(12)),
        },
        _ => return Err(NpyError::Version { major }),
    };
    let items_at = length.saturating_add(text_at);
    let text = bytes.get(text_at..items_at).ok_or(cut(items_at))?;
    Ok((header::parse(text)?, items_at))
}

/// Writes int32 rows, `[rows, dimensions]`, as a `.npy` file (version 1, little-endian, C order).
#[must_use]
pub fn write_i32(rows: ArrayView2<'_, i32>) -> Vec<u8> {
    const LENGTHS: usize = 10;

    let (count, dimensions) = rows.dim();
    let mut text = format!("{{'descr': '<i4', 'fortran_order': False, 'shape': ({count}, {dimensions}), }}");
    // The header ends with a newline, padded with spaces before it.
    let padded = (LENGTHS + text.len() + 1).next_multiple_of(ALIGNMENT);
    text.extend(std::iter::repeat_n(' ', padded - LENGTHS - text.len() - 1));
    text.push('\n');
    let text_length = u16::try_from(text.len()).expect("two axes take fewer than 65,536 letters");

    let mut bytes = Vec::with_capacity(padded + rows.len() * 4);
    bytes.extend_from_slice(SIGNATURE);
    bytes.extend_from_slice(&[1, 0]);
    bytes.extend_from_slice(&text_length.to_le_bytes());
    bytes.extend_from_slice(text.as_bytes());
    for value in rows {
        bytes.extend_from_slice(&value.to_le_bytes());
    }
    bytes
}
