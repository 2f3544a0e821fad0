//! The supervised contrastive loss (Khosla et al. 2020): it moves embeddings of one class together and others apart.
//!
//! It compares every picture of a batch with every other, so it is computed over the embeddings of the whole batch,
//! with a gradient in closed form. The tensor library computes the gradients below the embeddings.

use ndarray::{Array2, ArrayView2};
use serde::Serialize;

use super::cosines::Cosines;

/// The parameters of the contrastive loss.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Contrast {
    /// Weight; the cross entropy has weight 1.
    pub weight: f32,
    /// Temperature: the lower it is, the more the closest neighbours count.
    pub temperature: f32,
}

/// The sum of the pictures' losses and its gradient by `embeddings`, `[pictures, dimensions]`.
///
/// Pictures with equal labels are of one class. A picture's loss is the mean, over the other pictures of its class, of minus the logarithm of that picture's share
/// in the batch, by the exponential of cosine over temperature. A picture without a label, or that is the only one of its
/// class, has no loss.
pub(super) fn contrast<L: PartialEq>(
    embeddings: ArrayView2<'_, f32>,
    labels: &[Option<L>],
    temperature: f32,
) -> (f64, Array2<f32>) {
    let cosines = Cosines::of(embeddings);
    // The derivative of the loss by the similarity of pictures `row` and `column`.
    let mut pulls = cosines.all();
    let mut loss = 0.0;
    for (row, mut pulls) in pulls.outer_iter_mut().enumerate() {
        let alike = |column: usize| column != row && labels[row].is_some() && labels[column] == labels[row];
        let count = (0..labels.len()).filter(|&column| alike(column)).count();
        if count == 0 {
            pulls.fill(0.0);
            continue;
        }
        let wanted = 1.0 / count as f32;
        let others = pulls.iter().enumerate().filter(|(column, _)| *column != row);
        let closest = others.map(|(_, &cosine)| cosine).fold(f32::MIN, f32::max);
        let mut total = 0.0;
        let mut attained = 0.0;
        for (column, pull) in pulls.iter_mut().enumerate() {
            // The largest is subtracted so that no exponential overflows; this does not change the loss.
            let exponent = (*pull - closest) / temperature;
            attained += if alike(column) { wanted * exponent } else { 0.0 };
            *pull = if column == row { 0.0 } else { exponent.exp() };
            total += *pull;
        }
        loss += f64::from(total.ln() - attained);
        for (column, pull) in pulls.iter_mut().enumerate() {
            *pull /= total;
            if alike(column) {
                *pull -= wanted;
            }
        }
    }
    (loss, cosines.gradient(&pulls, temperature))
}

#[cfg(test)]
mod tests {
    use super::super::random::Random;
    use super::*;

    #[test]
    fn the_gradient_agrees_with_differences_of_the_loss() {
        let mut random = Random::new(5);
        let mut embeddings = Array2::from_shape_simple_fn((7, 4), || random.unit() * 3.0);
        embeddings.row_mut(3).fill(0.0);
        let labels = [0, 1, 0, 1, 2, 0, 1].map(Some);
        let loss = |embeddings: &Array2<f32>| contrast(embeddings.view(), &labels, 0.3).0;
        let (_, gradient) = contrast(embeddings.view(), &labels, 0.3);
        for (index, &found) in gradient.indexed_iter().filter(|((row, _), _)| *row != 3) {
            let moved = |offset: f32| {
                let mut moved = embeddings.clone();
                moved[index] += offset;
                loss(&moved)
            };
            let difference = (moved(1e-2) - moved(-1e-2)) / 2e-2;
            assert!(
                (difference - f64::from(found)).abs() < 2e-3,
                "{index:?}: {difference} {found}"
            );
        }
        assert!(gradient.row(3).iter().all(|&pull| pull == 0.0));
    }

    #[test]
    fn two_of_a_class_in_one_direction_cost_nothing_against_opposite_ones() {
        let embeddings = ndarray::arr2(&[[1.0, 0.0], [5.0, 0.0], [0.0, 1.0]]);
        let (loss, gradient) = contrast(embeddings.view(), &[4, 4, 7].map(Some), 0.05);
        assert!(loss.abs() < 1e-6, "{loss}");
        assert!(gradient.iter().all(|pull| pull.abs() < 1e-6));
    }
    #[test]
    fn pictures_without_a_label_are_not_alike() {
        let embeddings = ndarray::arr2(&[[1.0, 0.0], [0.5, 1.0], [0.0, 1.0]]);
        let (loss, _) = contrast(embeddings.view(), &[Some(4), None, None], 0.5);
        assert_eq!(loss, 0.0);
        let (loss, gradient) = contrast(embeddings.view(), &[Some(4), Some(4), None], 0.5);
        assert!(loss > 0.0 && gradient.row(2).iter().any(|&pull| pull != 0.0));
    }
}
