//! Embeddings as directions: vectors of length one in half precision, which pgvector's index compares.
//!
//! A direction only chooses candidates; scores come from the whole numbers. [`error`] bounds how far apart the two are.

use std::fmt::Write;

/// The most values of a direction.
pub const MOST: usize = 16_000;

/// The direction of an embedding, as pgvector reads it; zeros stay zeros.
pub fn text(values: &[i32]) -> String {
    let square: f64 = values.iter().map(|&value| f64::from(value).powi(2)).sum();
    let scale = if square > 0.0 { square.sqrt().recip() } else { 0.0 };
    let mut text = String::with_capacity(10 * values.len() + 2);
    text.push('[');
    for (place, &value) in values.iter().enumerate() {
        let comma = if place > 0 { "," } else { "" };
        // Writing to a string does not fail.
        let _ = write!(text, "{comma}{}", (f64::from(value) * scale) as f32);
    }
    text.push(']');
    text
}

/// The most by which the inner product of two directions is off the cosine.
pub fn error(dimensions: usize) -> f64 {
    // Half precision rounds each value by at most 2^-11 of it, or by 2^-25 where it is small, and both directions are
    // rounded; by Cauchy and Schwarz the first is at most 2^-10 in all. The sum is kept in single precision.
    let small = dimensions as f64 * (2.0 * 2f64.powi(-25) + 2f64.powi(-24));
    2f64.powi(-10) * 1.001 + small
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_direction_has_length_one_and_zeros_have_none() {
        assert_eq!(text(&[3, -4]), "[0.6,-0.8]");
        assert_eq!(text(&[0, 0, 0]), "[0,0,0]");
        assert_eq!(text(&[i32::MIN, 0]), "[-1,0]");
        assert!(error(128) < 0.001_1 && error(4_000) < 0.002);
    }
}
