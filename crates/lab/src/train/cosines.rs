//! Losses on the cosines among a batch's embeddings: their gradients by the embeddings.

use ndarray::{Array1, Array2, ArrayView2, Axis};

/// The embeddings of a batch by length and direction.
pub(super) struct Cosines {
    norms: Array1<f32>,
    directions: Array2<f32>,
}

impl Cosines {
    pub(super) fn of(embeddings: ArrayView2<'_, f32>) -> Self {
        let norms = embeddings.map_axis(Axis(1), |row| row.dot(&row).sqrt());
        let mut directions = embeddings.to_owned();
        for (mut row, &norm) in directions.outer_iter_mut().zip(&norms) {
            // A zero embedding has no direction and no gradient.
            row.mapv_inplace(|value| if norm > 0.0 { value / norm } else { 0.0 });
        }
        Self { norms, directions }
    }

    /// The cosine of every embedding with every other, `[pictures, pictures]`.
    pub(super) fn all(&self) -> Array2<f32> {
        self.directions.dot(&self.directions.t())
    }

    /// The gradient by the embeddings of a loss whose derivative by each cosine over `temperature` is `pulls`.
    pub(super) fn gradient(&self, pulls: &Array2<f32>, temperature: f32) -> Array2<f32> {
        let Self { norms, directions } = self;
        let mut gradient = (pulls + &pulls.t()).dot(directions);
        for ((mut gradient, direction), &norm) in
            gradient.outer_iter_mut().zip(directions.outer_iter()).zip(norms)
        {
            // The norm of an embedding does not matter, so the gradient has no component along it.
            let along = gradient.dot(&direction);
            let share = if norm > 0.0 {
                1.0 / (norm * temperature)
            } else {
                0.0
            };
            gradient.zip_mut_with(&direction, |pull, direction| {
                *pull = share * (*pull - along * direction);
            });
        }
        gradient
    }
}
