//! Cosines of many queries with every stored embedding, by blocked matrix products.
//!
//! The results equal those of [`Vectors::cosine`] bit for bit: floats are used only if every partial sum is an integer
//! that the float represents exactly, so the order of the additions does not matter.

use ndarray::linalg::general_mat_mul;
use ndarray::{Array2, LinalgScalar, s};

use super::exact::{Query, Vectors};

/// Stored embeddings converted to floats at a time: a few megabytes, which stay in the CPU's cache.
const BLOCK: usize = 256;

/// Below these, every integer is exactly representable as f32 or f64.
const MOST_F32: i128 = 1 << 24;
const MOST_F64: i128 = 1 << 53;

impl Vectors {
    /// Cosines of each query and every row, `[query, row]`.
    ///
    /// # Panics
    /// If a query's length is not [`Vectors::dimensions`].
    pub fn cosines_of_each(&self, queries: &[&[i32]]) -> Array2<f64> {
        let prepared: Vec<Query> = queries.iter().map(|values| self.query(values)).collect();
        let most = queries.iter().map(|values| self.most_product(values)).max();
        match most.unwrap_or(0) {
            most if most < MOST_F32 => self.multiplied(queries, &prepared, |value| value as f32, f64::from),
            most if most < MOST_F64 => self.multiplied(queries, &prepared, f64::from, |product| product),
            _ => Array2::from_shape_fn((queries.len(), self.len()), |(query, row)| {
                self.cosine(&prepared[query], row)
            }),
        }
    }

    fn multiplied<F: LinalgScalar>(
        &self,
        queries: &[&[i32]],
        prepared: &[Query],
        float: impl Fn(i32) -> F,
        wide: impl Fn(F) -> f64,
    ) -> Array2<f64> {
        let dimensions = self.dimensions();
        let mut left = Array2::zeros((queries.len(), dimensions));
        for (mut row, values) in left.outer_iter_mut().zip(queries) {
            row.iter_mut()
                .zip(*values)
                .for_each(|(to, &value)| *to = float(value));
        }
        let mut cosines = Array2::zeros((queries.len(), self.len()));
        let mut right = Array2::zeros((BLOCK, dimensions));
        let mut products = Array2::zeros((queries.len(), BLOCK));
        for first in (0..self.len()).step_by(BLOCK) {
            let rows = BLOCK.min(self.len() - first);
            let mut right = right.slice_mut(s![..rows, ..]);
            for (offset, row) in right.outer_iter_mut().enumerate() {
                let row = row.into_slice().expect("rows of a fresh matrix are whole");
                self.copy_row(first + offset, row, &float);
            }
            let mut products = products.slice_mut(s![.., ..rows]);
            general_mat_mul(F::one(), &left, &right.t(), F::zero(), &mut products);
            for (query, line) in products.outer_iter().enumerate() {
                for (offset, &product) in line.iter().enumerate() {
                    let row = first + offset;
                    cosines[[query, row]] = self.scaled(&prepared[query], row, wide(product));
                }
            }
        }
        cosines
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn blocks_give_the_very_cosines_of_single_queries(
            rows in prop::collection::vec(prop::collection::vec(any::<i32>(), 33), 1..20),
            queries in prop::collection::vec(prop::collection::vec(any::<i32>(), 33), 1..6),
            copies in 1usize..40,
            shift in 0u32..32,
        ) {
            let shifted = |values: &Vec<i32>| values.iter().map(|value| value >> shift).collect::<Vec<i32>>();
            let mut vectors = Vectors::new(33);
            for row in rows.iter().cycle().take(rows.len() * copies) {
                vectors.push(&shifted(row));
            }
            let queries: Vec<Vec<i32>> = queries.iter().map(shifted).collect();
            let borrowed: Vec<&[i32]> = queries.iter().map(Vec::as_slice).collect();
            let found = vectors.cosines_of_each(&borrowed);
            for (query, values) in queries.iter().enumerate() {
                let prepared = vectors.query(values);
                for (row, cosine) in vectors.cosines(&prepared).enumerate() {
                    prop_assert_eq!(found[[query, row]].to_bits(), cosine.to_bits());
                }
            }
        }
    }
}
