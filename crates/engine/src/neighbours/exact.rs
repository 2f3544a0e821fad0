//! Exact search: compares a query with every stored embedding, in integers. It is the reference for the graph and
//! ranks what the graph finds.
//!
//! In: embeddings of one length. Out: [`Neighbour`]s by cosine, nearest first, ties in stored order.

use super::chunked::Chunked;
use super::kernel::{Kernel, prefetch};

/// A stored embedding and its similarity to the query.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Neighbour {
    /// Index of the stored embedding, in the order of [`Vectors::push`].
    pub index: usize,
    /// Cosine, -1 to 1.
    pub similarity: f64,
}

/// More than a rough cosine is off: three roundings to 24 bits.
const ROUGH: f64 = 1e-5;

/// Stored embeddings, in the narrowest integer type that can hold them all. A copy takes a moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Vectors {
    kernel: Kernel,
    dimensions: usize,
    rows: Rows,
    /// Sum of squares of each row.
    squares: Chunked<f64>,
    /// One over the length of each row; 0 for one of zeros.
    inverses: Chunked<f32>,
    /// The largest magnitude of all values.
    largest: i64,
}

#[derive(Debug, Clone, PartialEq)]
enum Rows {
    I8(Chunked<i8>),
    I16(Chunked<i16>),
    I32(Chunked<i32>),
}

impl Vectors {
    /// An empty store of embeddings with `dimensions` values each.
    #[must_use]
    pub fn new(dimensions: usize) -> Self {
        Self {
            kernel: Kernel::detect(),
            dimensions,
            rows: Rows::I8(Chunked::new(dimensions)),
            squares: Chunked::new(1),
            inverses: Chunked::new(1),
            largest: 0,
        }
    }

    /// The number of values in each embedding.
    #[must_use]
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// The number of embeddings.
    #[must_use]
    pub fn len(&self) -> usize {
        self.squares.len()
    }

    /// Whether there are no embeddings.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends an embedding; all rows are widened if its values require it.
    ///
    /// # Panics
    /// If its length is not [`Vectors::dimensions`].
    pub fn push(&mut self, values: &[i32]) {
        self.admit(values);
        match &mut self.rows {
            Rows::I8(rows) => rows.push(values.iter().map(|&value| narrowed(value))),
            Rows::I16(rows) => rows.push(values.iter().map(|&value| narrowed(value))),
            Rows::I32(rows) => rows.push(values.iter().copied()),
        }
        let square = square(values);
        self.squares.push(std::iter::once(square));
        self.inverses.push(std::iter::once(inverse(square)));
    }

    /// Replaces row `index`; all rows are widened if its values require it.
    ///
    /// # Panics
    /// If there is no such row, or the length is not [`Vectors::dimensions`].
    pub fn set(&mut self, index: usize, values: &[i32]) {
        fn copy<T: Copy + TryFrom<i32>>(row: &mut [T], values: &[i32]) {
            row.iter_mut()
                .zip(values)
                .for_each(|(to, &value)| *to = narrowed(value));
        }
        self.admit(values);
        match &mut self.rows {
            Rows::I8(rows) => copy(rows.row_mut(index), values),
            Rows::I16(rows) => copy(rows.row_mut(index), values),
            Rows::I32(rows) => copy(rows.row_mut(index), values),
        }
        let square = square(values);
        self.squares.row_mut(index).fill(square);
        self.inverses.row_mut(index).fill(inverse(square));
    }

    /// Makes sure that the rows can hold these values.
    fn admit(&mut self, values: &[i32]) {
        assert_eq!(values.len(), self.dimensions, "an embedding of this network");
        if let Rows::I8(rows) = &self.rows
            && !values.iter().all(|&value| i8::try_from(value).is_ok())
        {
            self.rows = Rows::I16(rows.map(i16::from));
        }
        if let Rows::I16(rows) = &self.rows
            && !values.iter().all(|&value| i16::try_from(value).is_ok())
        {
            self.rows = Rows::I32(rows.map(i32::from));
        }
        self.largest = self.largest.max(largest(values));
    }

    /// The values of row `index`.
    #[must_use]
    pub fn row(&self, index: usize) -> Vec<i32> {
        match &self.rows {
            Rows::I8(rows) => rows.row(index).iter().map(|&value| value.into()).collect(),
            Rows::I16(rows) => rows.row(index).iter().map(|&value| value.into()).collect(),
            Rows::I32(rows) => rows.row(index).to_vec(),
        }
    }

    /// Bytes that they take.
    pub(super) fn bytes(&self) -> usize {
        let rows = match &self.rows {
            Rows::I8(rows) => rows.bytes(),
            Rows::I16(rows) => rows.bytes(),
            Rows::I32(rows) => rows.bytes(),
        };
        rows + self.squares.bytes() + self.inverses.bytes()
    }

    /// Whether row `index` has these values.
    pub(super) fn is(&self, index: usize, values: &[i32]) -> bool {
        fn same<T: Copy + Into<i32>>(row: &[T], values: &[i32]) -> bool {
            row.iter().zip(values).all(|(&a, &b)| a.into() == b)
        }
        match &self.rows {
            Rows::I8(rows) => same(rows.row(index), values),
            Rows::I16(rows) => same(rows.row(index), values),
            Rows::I32(rows) => same(rows.row(index), values),
        }
    }

    /// Whether all values of row `index` are 0.
    pub(super) fn is_empty_row(&self, index: usize) -> bool {
        self.squares.row(index)[0] == 0.0
    }

    /// About the cosine of rows `a` and `b`; 0 if either is all zeros.
    #[inline]
    pub(super) fn cosine_of_rows(&self, a: usize, b: usize) -> f32 {
        let product = match &self.rows {
            Rows::I8(rows) => self.kernel.dot_i8(rows.row(a), rows.row(b)) as f32,
            Rows::I16(rows) => self.kernel.dot_i16(rows.row(a), rows.row(b)) as f32,
            Rows::I32(rows) => dot(rows.row(a), rows.row(b), false) as f32,
        };
        product * self.inverses.row(a)[0] * self.inverses.row(b)[0]
    }

    /// About the cosine of the query and row `index`: quick, and good enough to find rows that are then compared exactly.
    #[inline]
    pub(super) fn rough_cosine(&self, query: &Query, index: usize) -> f32 {
        self.product(query, index) as f32 * query.inverse * self.inverses.row(index)[0]
    }

    /// Prepares a query for many comparisons.
    ///
    /// # Panics
    /// If its length is not [`Vectors::dimensions`].
    #[must_use]
    pub fn query(&self, values: &[i32]) -> Query {
        assert_eq!(values.len(), self.dimensions, "an embedding of this network");
        let fits = |bits: u32| {
            values
                .iter()
                .all(|&value| i64::from(value).abs() < 1i64 << (bits - 1))
        };
        let form = match &self.rows {
            Rows::I8(_) if fits(8) => Form::I8(values.iter().map(|&v| narrowed(v)).collect()),
            Rows::I8(_) | Rows::I16(_) if fits(16) => {
                Form::I16(values.iter().map(|&v| narrowed(v)).collect())
            }
            _ => Form::I32(values.to_vec()),
        };
        Query {
            form,
            square: square(values),
            inverse: inverse(square(values)),
            exact: self.most_product(values) < i128::from(i64::MAX),
        }
    }

    /// Cosine of the query and row `index`, -1 to 1; 0 if either is all zeros.
    #[must_use]
    pub fn cosine(&self, query: &Query, index: usize) -> f64 {
        self.scaled(query, index, self.product(query, index))
    }

    #[inline]
    fn product(&self, query: &Query, index: usize) -> f64 {
        match (&query.form, &self.rows) {
            (Form::I8(query), Rows::I8(rows)) => float(self.kernel.dot_i8(query, rows.row(index))),
            (Form::I16(query), Rows::I16(rows)) => float(self.kernel.dot_i16(query, rows.row(index))),
            (Form::I8(values), Rows::I16(rows)) => dot(values, rows.row(index), query.exact),
            (Form::I8(values), Rows::I32(rows)) => dot(values, rows.row(index), query.exact),
            (Form::I16(values), Rows::I8(rows)) => dot(values, rows.row(index), query.exact),
            (Form::I16(values), Rows::I32(rows)) => dot(values, rows.row(index), query.exact),
            (Form::I32(values), Rows::I8(rows)) => dot(values, rows.row(index), query.exact),
            (Form::I32(values), Rows::I16(rows)) => dot(values, rows.row(index), query.exact),
            (Form::I32(values), Rows::I32(rows)) => dot(values, rows.row(index), query.exact),
        }
    }

    /// Prefetches row `index` for a comparison that follows soon. For wide rows the beginning is enough: the hardware
    /// prefetcher continues.
    pub(super) fn prefetch(&self, index: usize) {
        prefetch(self.inverses.row(index));
        match &self.rows {
            Rows::I8(rows) => prefetch(rows.row(index)),
            Rows::I16(rows) => prefetch(rows.row(index)),
            Rows::I32(rows) => prefetch(rows.row(index)),
        }
    }

    /// The cosine of the query and row `index`, from their dot product.
    pub(super) fn scaled(&self, query: &Query, index: usize, product: f64) -> f64 {
        // The root of the product rather than the product of the roots, so that rows of equal direction get equal
        // cosines.
        let scale = (query.square * self.squares.row(index)[0]).sqrt();
        if scale == 0.0 {
            return 0.0;
        }
        (product / scale).clamp(-1.0, 1.0)
    }

    /// A bound on the magnitude of the dot product of these values and any row.
    pub(super) fn most_product(&self, values: &[i32]) -> i128 {
        let dimensions = i128::try_from(self.dimensions).expect("a length fits");
        i128::from(self.largest) * i128::from(largest(values)) * dimensions
    }

    /// Converts the values of row `index` to floats.
    pub(super) fn copy_row<F>(&self, index: usize, to: &mut [F], float: impl Fn(i32) -> F) {
        let copy = to.iter_mut();
        match &self.rows {
            Rows::I8(rows) => copy
                .zip(rows.row(index))
                .for_each(|(to, &value)| *to = float(value.into())),
            Rows::I16(rows) => copy
                .zip(rows.row(index))
                .for_each(|(to, &value)| *to = float(value.into())),
            Rows::I32(rows) => copy
                .zip(rows.row(index))
                .for_each(|(to, &value)| *to = float(value)),
        }
    }

    /// Cosine of the query and every row, in stored order.
    pub fn cosines<'a>(&'a self, query: &'a Query) -> impl Iterator<Item = f64> + 'a {
        (0..self.len()).map(|index| self.cosine(query, index))
    }

    /// The `k` nearest of those among `rows` for which `passes` is true.
    pub fn nearest(
        &self,
        query: &Query,
        k: usize,
        rows: impl Iterator<Item = usize>,
        passes: impl Fn(usize) -> bool,
    ) -> Vec<Neighbour> {
        if k == 0 {
            return Vec::new();
        }
        let mut found = Vec::with_capacity(2 * k.min(rows.size_hint().0));
        let most = k.saturating_mul(2);
        // No row below it is among the nearest.
        let mut least = f64::NEG_INFINITY;
        for index in rows.filter(|index| passes(*index)) {
            if f64::from(self.rough_cosine(query, index)) < least - ROUGH {
                continue;
            }
            let similarity = self.cosine(query, index);
            if similarity >= least {
                found.push(Neighbour { index, similarity });
            }
            if found.len() == most {
                found = nearest_first(found, k);
                least = found[k - 1].similarity;
            }
        }
        nearest_first(found, k)
    }
}

/// Sorts by similarity, ties by index, and keeps `k`.
#[must_use]
pub fn nearest_first(mut found: Vec<Neighbour>, k: usize) -> Vec<Neighbour> {
    let order = |a: &Neighbour, b: &Neighbour| {
        let similarity = b.similarity.total_cmp(&a.similarity);
        similarity.then(a.index.cmp(&b.index))
    };
    if k < found.len() {
        if k == 0 {
            return Vec::new();
        }
        found.select_nth_unstable_by(k - 1, order);
        found.truncate(k);
    }
    found.sort_unstable_by(order);
    found
}

/// A query in the integer type that its comparisons need.
#[derive(Debug, Clone)]
pub struct Query {
    form: Form,
    square: f64,
    /// One over its length; 0 for one of zeros.
    inverse: f32,
    /// Whether it is proven that a 64-bit dot product does not overflow.
    exact: bool,
}

#[derive(Debug, Clone)]
enum Form {
    I8(Vec<i8>),
    I16(Vec<i16>),
    I32(Vec<i32>),
}

fn narrowed<T: TryFrom<i32>>(value: i32) -> T {
    T::try_from(value).ok().expect("the width was checked")
}

fn dot<A, B>(a: &[A], b: &[B], exact: bool) -> f64
where
    A: Copy + Into<i64>,
    B: Copy + Into<i64>,
{
    let products = a.iter().zip(b).map(|(&a, &b)| (a.into(), b.into()));
    if exact {
        float(products.map(|(a, b): (i64, i64)| a * b).sum())
    } else {
        products.map(|(a, b)| float(a) * float(b)).sum()
    }
}

/// Sums beyond 2^53 are rounded, by less than one part in 10^15.
fn float(sum: i64) -> f64 {
    sum as f64
}

fn square(values: &[i32]) -> f64 {
    let squares = values
        .iter()
        .map(|&value| u128::from(value.unsigned_abs()).pow(2));
    squares.sum::<u128>() as f64
}

fn inverse(square: f64) -> f32 {
    match square {
        0.0 => 0.0,
        square => (1.0 / square.sqrt()) as f32,
    }
}

fn largest(values: &[i32]) -> i64 {
    let magnitudes = values.iter().map(|&value| i64::from(value).abs());
    magnitudes.max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn obvious(a: &[i32], b: &[i32]) -> f64 {
        let dot = |a: &[i32], b: &[i32]| -> f64 {
            let products = a.iter().zip(b).map(|(&a, &b)| i128::from(a) * i128::from(b));
            products.sum::<i128>() as f64
        };
        let scale = dot(a, a).sqrt() * dot(b, b).sqrt();
        if scale == 0.0 { 0.0 } else { dot(a, b) / scale }
    }

    proptest! {
        #[test]
        fn every_width_gives_the_obvious_cosine(
            rows in prop::collection::vec((prop::collection::vec(any::<i32>(), 33), 0u32..32), 1..6),
            query in prop::collection::vec(any::<i32>(), 33),
            shift in 0u32..32,
        ) {
            let rows: Vec<Vec<i32>> = rows
                .into_iter()
                .map(|(row, shift)| row.into_iter().map(|value| value >> shift).collect())
                .collect();
            let query: Vec<i32> = query.into_iter().map(|value| value >> shift).collect();
            let mut vectors = Vectors::new(33);
            for row in &rows {
                vectors.push(row);
            }
            let prepared = vectors.query(&query);
            for (index, row) in rows.iter().enumerate() {
                prop_assert_eq!(&vectors.row(index), row);
                let expected = obvious(&query, row);
                prop_assert!((vectors.cosine(&prepared, index) - expected).abs() < 1e-9);
            }
        }
    }

    proptest! {
        #[test]
        fn the_nearest_are_those_of_all_cosines_sorted(
            rows in prop::collection::vec(prop::collection::vec(-3i32..200, 5), 0..120),
            query in prop::collection::vec(-3i32..200, 5),
            factor in prop::sample::select(vec![1, 50, 40_000]),
            k in 0usize..20,
        ) {
            let times = |values: &Vec<i32>| values.iter().map(|value| value * factor).collect::<Vec<i32>>();
            let mut vectors = Vectors::new(5);
            rows.iter().for_each(|row| vectors.push(&times(row)));
            let query = vectors.query(&times(&query));
            let passes = |row: usize| row % 7 != 3;
            let all = vectors.cosines(&query).enumerate().filter(|(row, _)| passes(*row));
            let mut all: Vec<(usize, f64)> = all.collect();
            all.sort_by(|a, b| b.1.total_cmp(&a.1));
            all.truncate(k);
            let found = vectors.nearest(&query, k, 0..vectors.len(), passes);
            let found: Vec<(usize, f64)> = found.into_iter().map(|one| (one.index, one.similarity)).collect();
            prop_assert_eq!(found, all);
        }
    }

    #[test]
    fn equals_stay_in_stored_order() {
        let mut vectors = Vectors::new(2);
        for row in [[0, 1], [2, 2], [1, 1], [300, 300], [0, 0]] {
            vectors.push(&row);
        }
        let query = vectors.query(&[5, 5]);
        let found = vectors.nearest(&query, 4, 0..vectors.len(), |_| true);
        let order: Vec<usize> = found.iter().map(|found| found.index).collect();
        assert_eq!(order, [1, 2, 3, 0]);
    }
}
